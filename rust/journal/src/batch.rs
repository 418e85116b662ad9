//! What is written in one transaction.

use penstock_engine::{Durability, RunStatus};

use crate::line::Line;

/// A run that was accepted: its row in `runs`, and its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Its number in the store, 1 and up, never reused.
    pub run: u64,
    /// Its id, unique in the store.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's version.
    pub version: String,
    /// Digest of the workflow's graph, hex.
    pub graph: String,
    /// Whose it is.
    pub tenant: Option<String>,
    /// Its priority, if it has one of its own.
    pub priority: Option<u8>,
    /// What is on disk before what.
    pub durability: Durability,
    /// When it was accepted.
    pub accepted_ns: u64,
    /// Hash of what it was started with, if its id was given by the user.
    pub fingerprint: Option<[u8; 32]>,
    /// The id of the run it was made from.
    pub parent: Option<String>,
    /// What it is found by.
    pub tags: Vec<(String, String)>,
    /// How often it was retried as a whole.
    pub generation: u32,
}

/// A change of a run's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The run's number.
    pub run: u64,
    /// Where it is now.
    pub status: RunStatus,
    /// When it ended; `None` while it has not, and again after a retry.
    pub ended_ns: Option<u64>,
    /// How often it was retried as a whole; `None` leaves it as it is.
    pub generation: Option<u32>,
    /// How often the process went down under it; `None` leaves it as it is.
    pub recoveries: Option<u32>,
    /// Why it is kept aside; `None` while it is not.
    pub held: Option<String>,
}

/// The interface of a step or workflow, as runs in the store were started with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `step` or `workflow`, for instance.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of the content, hex.
    pub digest: String,
    /// Canonical JSON.
    pub content: String,
    /// When it was first seen.
    pub at_ns: u64,
}

/// A command that another process left for the owner of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its number in the store.
    pub id: i64,
    /// Its key: a second command with the same key is the same command.
    pub cmd: String,
    /// The run it is about, or empty.
    pub run_id: String,
    /// What to do.
    pub verb: String,
    /// JSON of its arguments.
    pub args: String,
    /// Who asked.
    pub actor: String,
    /// When.
    pub at_ns: u64,
}

/// A command that was carried out or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandDone {
    /// Its number in the store.
    pub id: i64,
    /// When.
    pub at_ns: u64,
    /// What came of it, for the one who asked.
    pub outcome: String,
}

/// Figures of a window that were not written before; what was written of it stands beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollup {
    /// When its window begins.
    pub window_ns: u64,
    /// What is counted: `runs` or `delays`, for instance.
    pub kind: String,
    /// Whose figures they are, as canonical JSON.
    pub key: String,
    /// Tells it from the other rows of its window, kind and key; drawn at random.
    pub part: u64,
    /// JSON of numbers that add up with those of other rows of this window, kind and key.
    pub body: String,
}

/// Something that is set down beside runs: a release, a baseline, a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its number in the store; 0 while it has none.
    pub id: i64,
    /// A second note of this key is the same note.
    pub key: String,
    /// What it is.
    pub kind: String,
    /// What it is about.
    pub name: String,
    /// When.
    pub at_ns: u64,
    /// JSON.
    pub body: String,
}

/// What is written in one transaction: all of it is on disk, or none. It is applied in the order of the
/// fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Runs that were accepted.
    pub accepts: Vec<NewRun>,
    /// Records, by rising lsn.
    pub lines: Vec<Line>,
    /// Changes of runs' rows.
    pub heads: Vec<Head>,
    /// Interfaces; those known already stay as they are.
    pub interfaces: Vec<Interface>,
    /// Commands that are done with.
    pub done: Vec<CommandDone>,
    /// Rows of figures that others have taken the place of, or that are too old.
    pub outdated: Vec<(u64, String, String, u64)>,
    /// Figures.
    pub rollups: Vec<Rollup>,
    /// The last record that figures were taken of.
    pub counted: Option<u64>,
    /// What others need to go on from, by key; each takes the place of the one before.
    pub states: Vec<(String, String)>,
    /// What is set down.
    pub notes: Vec<Note>,
    /// Runs to forget, with all rows of theirs.
    pub deleted: Vec<u64>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.accepts.is_empty()
            && self.lines.is_empty()
            && self.heads.is_empty()
            && self.interfaces.is_empty()
            && self.done.is_empty()
            && self.outdated.is_empty()
            && self.rollups.is_empty()
            && self.counted.is_none()
            && self.states.is_empty()
            && self.notes.is_empty()
            && self.deleted.is_empty()
    }

    /// The highest lsn in it; 0 where there is no record.
    pub fn lsn(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.record.lsn.0)
    }

    /// Whether a later batch can be written in the same transaction: not after a deletion, as a run that
    /// is accepted later may have the id of one that is deleted here.
    pub const fn takes(&self, next: &Self) -> bool {
        self.deleted.is_empty() || next.accepts.is_empty()
    }

    /// Adds a later batch, one that it [takes](Self::takes).
    pub fn append(&mut self, mut next: Self) {
        debug_assert!(self.takes(&next), "a run accepted after a deletion");
        if self.is_empty() {
            *self = next;
            return;
        }
        self.accepts.append(&mut next.accepts);
        self.lines.append(&mut next.lines);
        self.heads.append(&mut next.heads);
        self.interfaces.append(&mut next.interfaces);
        self.done.append(&mut next.done);
        self.outdated.append(&mut next.outdated);
        self.rollups.append(&mut next.rollups);
        self.counted = next.counted.or(self.counted);
        self.states.append(&mut next.states);
        self.notes.append(&mut next.notes);
        self.deleted.append(&mut next.deleted);
    }

    /// Records, and roughly the bytes of everything.
    pub fn size(&self) -> (usize, usize) {
        let lines: usize = self.lines.iter().map(Line::size_bytes).sum();
        let interfaces: usize =
            self.interfaces.iter().map(|interface| 96 + interface.content.len()).sum();
        let texts = self.rollups.iter().map(|it| it.key.len() + it.body.len()).sum::<usize>()
            + self.notes.iter().map(|it| 96 + it.body.len()).sum::<usize>();
        let rows = texts + 256 * self.accepts.len() + 64 * (self.heads.len() + self.done.len());
        (self.lines.len(), lines + interfaces + rows + 8 * self.deleted.len())
    }
}
