//! What a store is to the journal's writer. SQLite's is [`crate::SqliteStore`]; one in PostgreSQL fits too.

use crate::batch::{Batch, Command};
use crate::error::StoreError;

/// The highest numbers that a store has ever held, also of runs deleted since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Position of the last record; 0 for none.
    pub lsn: u64,
    /// Number of the last run; 0 for none.
    pub run: u64,
    /// Time of the last record.
    pub at_ns: u64,
}

/// How a store is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Bytes in the log that are not in the tables yet.
    pub log_bytes: u64,
    /// What the user should know and do something about.
    pub warning: Option<String>,
}

/// Writes batches. Commands: [`Store::commit`], [`Store::tend`], [`Store::reopen`], [`Store::close`]; events
/// from outside: [`Store::commands`].
pub trait Store: Send {
    /// Writes a batch in one transaction with one sync. An error leaves it open whether the batch is on
    /// disk; writing the same batch again is harmless.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Connects anew after an error, and makes sure that what [`Store::last`] then finds is on disk, and
    /// not only in a cache that a failed sync left behind.
    fn reopen(&mut self) -> Result<(), StoreError>;

    /// The highest numbers on disk.
    fn last(&mut self) -> Result<Last, StoreError>;

    /// Commands not given before. Called often: it costs next to nothing while there are none.
    fn commands(&mut self) -> Result<Vec<Command>, StoreError>;

    /// Upkeep between two commits; never long.
    fn tend(&mut self) -> Upkeep {
        Upkeep::default()
    }

    /// What keeps other owners out, for a forked child to close: it would keep them out as well.
    #[cfg(unix)]
    fn lock_fd(&self) -> Option<std::os::fd::RawFd> {
        None
    }

    /// Moves everything into its final place, and lets go.
    fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
