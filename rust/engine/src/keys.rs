//! Concurrency keys: of all nodes that ask for one, one at a time holds it, in the order they asked.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{Place, RunKey};

/// Who holds and who waits for each key that is in use.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Those who wait; a key is held as long as it is here.
    lines: BTreeMap<u64, VecDeque<(RunKey, Place)>>,
    /// Nodes whose turn has come.
    turns: VecDeque<(u64, RunKey, Place)>,
}

impl Keys {
    /// A node asks for a key; it is told by [`Keys::next_turn`] when it has it.
    pub(crate) fn ask(&mut self, key: u64, run: RunKey, node: Place) {
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::KeyIsShared) && self.lines.contains_key(&key) {
            return self.turns.push_back((key, run, node));
        }
        if let Some(line) = self.lines.get_mut(&key) {
            line.push_back((run, node));
        } else {
            self.lines.insert(key, VecDeque::new());
            self.turns.push_back((key, run, node));
        }
    }

    /// A node that has stood still asks for a key, unless it does so still. O(those who wait for it).
    pub(crate) fn ask_again(&mut self, key: u64, run: RunKey, node: Place) {
        let waits = self.lines.get(&key).is_some_and(|line| line.contains(&(run, node)));
        if !waits && !self.turns.contains(&(key, run, node)) {
            self.ask(key, run, node);
        }
    }

    /// A node that had the key already has it again.
    pub(crate) fn hold(&mut self, key: u64) {
        self.lines.entry(key).or_default();
    }

    /// Whoever held the key does no longer, or does not want it any more.
    pub(crate) fn release(&mut self, key: u64) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::KeyWakesNobody) && !line.is_empty() {
            return;
        }
        match line.pop_front() {
            Some((run, node)) => self.turns.push_back((key, run, node)),
            None => {
                self.lines.remove(&key);
            }
        }
    }

    /// Those who wait for a key, or have been given one and have not heard of it.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (RunKey, Place)> {
        let turns = self.turns.iter().map(|&(_, run, node)| (run, node));
        self.lines.values().flatten().copied().chain(turns)
    }

    /// Whether some node may have its key.
    pub(crate) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The next node that may have its key. One that does not want it any more gives it back by
    /// [`Keys::release`].
    pub(crate) fn next_turn(&mut self) -> Option<(u64, RunKey, Place)> {
        self.turns.pop_front()
    }
}
