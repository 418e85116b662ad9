//! The store of a runtime without a file: ids and histories of runs under way, and the last ended ones.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use penstock_engine::{Record, RunKey};

use crate::entry::Entry;
use crate::id::{Ids, RunId, Uuid};

/// How much a memory store keeps of what is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ended runs.
    pub ended_max: usize,
    /// History lines of all ended runs together.
    pub entries_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ended_max: 10_000, entries_max: 1_000_000 }
    }
}

/// Keeps every run under way and the last ended ones, with an outcome of the caller's type. All
/// operations are O(1), history apart.
#[derive(Debug)]
pub struct MemoryStore<T> {
    limits: Limits,
    ids: Ids,
    /// Ended runs; those under way are found by the slot in their id.
    by_uuid: HashMap<Uuid, RunKey, BuildHasherDefault<Folded>>,
    by_text: HashMap<Box<str>, RunKey>,
    /// Runs under way, by slot of their key.
    live: Vec<Option<Row>>,
    /// Ended runs, oldest first; the first one's number is `ended_first`.
    ended: VecDeque<(Row, T)>,
    ended_first: u64,
    numbers: HashMap<u64, u64, BuildHasherDefault<Folded>>,
    /// History lines of the ended runs.
    entries: usize,
}

/// Lines that a history which goes on is made longer by.
const HISTORY_MIN: usize = 6;

#[derive(Debug)]
struct Row {
    run: RunKey,
    id: RunId,
    fingerprint: Option<Box<[u8; 32]>>,
    history: Vec<Entry>,
}

impl<T> MemoryStore<T> {
    /// A store whose default ids come from a seed.
    pub fn new(seed: u64) -> Self {
        Self::with_limits(seed, Limits::default())
    }

    /// A store that keeps as much as `limits` say.
    pub fn with_limits(seed: u64, limits: Limits) -> Self {
        Self {
            limits,
            ids: Ids::new(seed),
            by_uuid: HashMap::default(),
            by_text: HashMap::new(),
            live: Vec::new(),
            ended: VecDeque::new(),
            ended_first: 0,
            numbers: HashMap::default(),
            entries: 0,
        }
    }

    /// Keeps a run that the engine has accepted, under the user's id or one of its own. The caller has
    /// looked the id up before ([`MemoryStore::find`]); one that is taken moves to the new run.
    pub fn accept(
        &mut self,
        run: RunKey,
        now_ns: u64,
        id: Option<&str>,
        fingerprint: Option<[u8; 32]>,
    ) {
        let slot = slot(run);
        let id = match id {
            None => RunId::Uuid(self.ids.next(now_ns, slot as u32)),
            Some(text) => {
                self.by_text.insert(text.into(), run);
                RunId::Text(text.into())
            }
        };
        if slot >= self.live.len() {
            self.live.resize_with(slot + 1, || None);
        }
        let fingerprint = fingerprint.map(Box::new);
        // Most runs that wait have been accepted and have failed once.
        let history = Vec::with_capacity(2);
        self.live[slot] = Some(Row { run, id, fingerprint, history });
    }

    /// Adds a record to its run's history.
    pub fn append(&mut self, record: &Record) {
        if let Some(Some(row)) = self.live.get_mut(slot(record.run))
            && row.run == record.run
        {
            let history = &mut row.history;
            if history.len() == history.capacity() {
                history.reserve(HISTORY_MIN);
            }
            history.push(record.into());
        }
    }

    /// Moves a run among the ended ones; gives the outcomes that are no longer kept.
    pub fn end(&mut self, run: RunKey, outcome: T) -> Vec<T> {
        let Some(row) = self.live.get_mut(slot(run)).and_then(Option::take) else {
            return vec![outcome];
        };
        if let RunId::Uuid(uuid) = row.id {
            self.by_uuid.insert(uuid, run);
        }
        self.end_row(row, outcome)
    }

    fn end_row(&mut self, row: Row, outcome: T) -> Vec<T> {
        self.entries += row.history.len();
        self.numbers.insert(row.run.0, self.ended_first + self.ended.len() as u64);
        self.ended.push_back((row, outcome));
        let mut forgotten = Vec::new();
        while self.ended.len() > self.limits.ended_max || self.entries > self.limits.entries_max {
            let Some((row, outcome)) = self.ended.pop_front() else { break };
            self.ended_first += 1;
            self.entries -= row.history.len();
            self.numbers.remove(&row.run.0);
            self.forget_id(&row);
            forgotten.push(outcome);
        }
        forgotten
    }

    /// Keeps a run among the ended ones that was never under way here; gives the outcomes that are no longer
    /// kept.
    pub fn keep_past(
        &mut self,
        run: RunKey,
        id: &str,
        fingerprint: Option<[u8; 32]>,
        records: &[Record],
        outcome: T,
    ) -> Vec<T> {
        self.by_text.insert(id.into(), run);
        let row = Row {
            run,
            id: RunId::Text(id.into()),
            fingerprint: fingerprint.map(Box::new),
            history: records.iter().map(Entry::from).collect(),
        };
        self.end_row(row, outcome)
    }

    /// Forgets a run under way.
    pub fn forget(&mut self, run: RunKey) {
        if let Some(row) = self.live.get_mut(slot(run)).and_then(Option::take) {
            self.forget_id(&row);
        }
    }

    /// The run that has an id, under way or ended.
    pub fn find(&self, id: &str) -> Option<RunKey> {
        if let Some(run) = self.by_text.get(id) {
            return Some(*run);
        }
        let RunId::Uuid(uuid) = RunId::parse(id) else { return None };
        match self.live.get(uuid.slot() as usize) {
            Some(Some(row)) if row.id == RunId::Uuid(uuid) => Some(row.run),
            _ => self.by_uuid.get(&uuid).copied(),
        }
    }

    /// A run's id.
    pub fn id(&self, run: RunKey) -> Option<&RunId> {
        self.row(run).map(|row| &row.id)
    }

    /// The hash of what a run was started with, if its id was given.
    pub fn fingerprint(&self, run: RunKey) -> Option<[u8; 32]> {
        self.row(run)?.fingerprint.as_deref().copied()
    }

    /// A run's history so far.
    pub fn history(&self, run: RunKey) -> Option<&[Entry]> {
        self.row(run).map(|row| row.history.as_slice())
    }

    /// How an ended run ended.
    pub fn outcome(&self, run: RunKey) -> Option<&T> {
        self.ended_at(run).map(|(_, outcome)| outcome)
    }

    /// Ended runs kept.
    pub fn ended_len(&self) -> usize {
        self.ended.len()
    }

    /// The outcomes kept, oldest first.
    pub fn outcomes(&self) -> impl Iterator<Item = &T> {
        self.ended.iter().map(|(_, outcome)| outcome)
    }

    /// Every run that is kept with its history, and its outcome if it has ended: those under way in no
    /// order, then the ended ones, latest first.
    pub fn runs(&self) -> impl Iterator<Item = (RunKey, &RunId, &[Entry], Option<&T>)> {
        let live = self.live.iter().flatten();
        let live = live.map(|row| (row.run, &row.id, row.history.as_slice(), None));
        let ended = self.ended.iter().rev();
        live.chain(ended.map(|(row, it)| (row.run, &row.id, row.history.as_slice(), Some(it))))
    }

    /// Forgets every run; gives the outcomes that were kept.
    pub fn clear(&mut self) -> Vec<T> {
        self.by_uuid.clear();
        self.by_text.clear();
        self.live.clear();
        self.numbers.clear();
        self.entries = 0;
        self.ended_first += self.ended.len() as u64;
        self.ended.drain(..).map(|(_, outcome)| outcome).collect()
    }

    fn row(&self, run: RunKey) -> Option<&Row> {
        match self.live.get(slot(run)) {
            Some(Some(row)) if row.run == run => Some(row),
            _ => self.ended_at(run).map(|(row, _)| row),
        }
    }

    fn ended_at(&self, run: RunKey) -> Option<&(Row, T)> {
        let number = self.numbers.get(&run.0)?;
        self.ended.get((number - self.ended_first) as usize)
    }

    fn forget_id(&mut self, row: &Row) {
        match &row.id {
            RunId::Uuid(uuid) => {
                self.by_uuid.remove(uuid);
            }
            RunId::Text(text) => {
                if self.by_text.get(text) == Some(&row.run) {
                    self.by_text.remove(text);
                }
            }
        }
    }
}

const fn slot(run: RunKey) -> usize {
    (run.0 & 0xffff_ffff) as usize
}

/// Hashes keys that are random or sequential already: one multiplication (Fibonacci hashing).
#[derive(Debug, Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(29) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_engine::{Body, Lsn, Place, RunStatus};

    const LIMITS: Limits = Limits { ended_max: 3, entries_max: 100 };

    fn ended(run: u64) -> Record {
        Record {
            lsn: Lsn(1),
            run: RunKey(run),
            seq: 0,
            at_ns: 1,
            node: Place(0),
            attempt: 0,
            body: Body::Ended { status: RunStatus::Succeeded },
        }
    }

    fn store_with(runs: u64) -> MemoryStore<u64> {
        let mut store = MemoryStore::with_limits(1, LIMITS);
        for run in 0..runs {
            store.accept(RunKey(run), run, Some(&format!("run-{run}")), Some([run as u8; 32]));
            store.append(&ended(run));
            store.end(RunKey(run), run);
        }
        store
    }

    #[test]
    fn the_last_ended_runs_are_found_and_older_ones_are_forgotten() {
        let store = store_with(10);
        assert_eq!((store.ended_len(), store.find("run-6"), store.id(RunKey(6))), (3, None, None));
        assert_eq!(store.find("run-9"), Some(RunKey(9)));
        assert_eq!(
            (store.outcome(RunKey(9)), store.fingerprint(RunKey(8))),
            (Some(&9), Some([8; 32]))
        );
        assert_eq!(store.history(RunKey(7)).map(<[Entry]>::len), Some(1));
    }

    #[test]
    fn long_histories_push_others_out() {
        let mut store = store_with(3);
        store.accept(RunKey(3), 3, None, None);
        (0..99).for_each(|_| store.append(&ended(3)));
        assert_eq!(store.end(RunKey(3), 3), [0, 1]);
        assert_eq!(store.outcomes().collect::<Vec<_>>(), [&2, &3]);
    }

    #[test]
    fn a_key_of_an_ended_run_is_not_mistaken_for_the_one_in_its_slot() {
        let mut store = store_with(1);
        let next = RunKey(1 << 32);
        store.accept(next, 5, None, None);
        let id = store.id(next).expect("it is there").to_string();
        assert_eq!(
            (store.find(&id), store.id(RunKey(0)).map(ToString::to_string)),
            (Some(next), Some("run-0".into()))
        );
        assert_eq!(store.clear(), [0]);
        assert_eq!(store.find(&id), None);
    }

    #[test]
    fn a_uuid_that_was_given_again_stays_with_the_newer_run() {
        // Forgetting the older run took the id away from the newer one.
        let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        let mut store = MemoryStore::with_limits(1, Limits { ended_max: 1, entries_max: 100 });
        store.accept(RunKey(0), 0, Some(id), None);
        store.end(RunKey(0), 0);
        store.accept(RunKey(1), 1, Some(id), None);
        store.accept(RunKey(2), 2, None, None);
        assert_eq!(store.end(RunKey(2), 2), [0]);
        assert_eq!(store.find(id), Some(RunKey(1)));
    }

    #[test]
    fn a_run_under_way_takes_few_bytes() {
        // With a history of two lines and no index: its default id carries the slot.
        let row = size_of::<Option<Row>>() + 2 * size_of::<Entry>();
        assert!(row <= 112, "{row} bytes");
    }
}
