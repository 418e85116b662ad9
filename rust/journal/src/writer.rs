//! The journal of a runtime: takes batches without ever blocking, and a thread of its own writes them, all
//! that wait in one transaction.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::batch::{Batch, Command};
use crate::error::StoreError;
use crate::shared::Shared;
use crate::sqlite::{SqliteStore, StoreOptions};
use crate::store::{Last, Store};
use crate::worker::Worker;

/// Called with the lsn that is on disk, in the writer's thread, before anybody else learns of it.
pub type OnSynced = Box<dyn Fn(u64) + Send>;

/// How a journal is kept.
pub struct Options {
    /// Whether a commit waits for the disk; without, a power cut takes the last commits, in order.
    pub sync: bool,
    /// No thread: [`Journal::submit`] commits in the caller's, for virtual time.
    pub inline: bool,
    /// The highest lsn that is known to have been acknowledged, from outside the store: less in it is
    /// damage. 0 if it is not known.
    pub acked_lsn: u64,
    /// Where that is noted.
    pub on_synced: Option<OnSynced>,
    /// For how long a closing journal tries to write what is left while that fails.
    pub close_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: true,
            inline: false,
            acked_lsn: 0,
            on_synced: None,
            close_within: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("sync", &self.sync)
            .field("inline", &self.inline)
            .field("acked_lsn", &self.acked_lsn)
            .field("close_within", &self.close_within)
            .finish_non_exhaustive()
    }
}

/// Writes records behind the runtime's back. Commands, none of which blocks: [`Journal::submit`],
/// [`Journal::arm`], [`Journal::disarm_and_drain`], [`Journal::take_commands`]; getters:
/// [`Journal::synced`], [`Journal::backlog`], [`Journal::failure`], [`Journal::warning`]; at the end, and
/// blocking: [`Journal::wait`], [`Journal::flush`], [`Journal::close`]. Dropping it does what `close` does.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    last: Last,
    /// Who writes; gone after the end.
    hand: Option<Hand>,
    /// After a fork the thread is not in the child, which has to keep its hands off.
    pid: u32,
    #[cfg(unix)]
    lock_fd: Option<std::os::fd::RawFd>,
}

#[derive(Debug)]
enum Hand {
    Thread(JoinHandle<Result<(), StoreError>>),
    Inline(Box<Mutex<Worker>>),
}

impl Journal {
    /// Opens a store for its one owner and makes it if there is none; another runtime that has it is an
    /// error, and so is a store that ends before `options.acked_lsn`.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        let how = StoreOptions { sync: options.sync, thread: !options.inline };
        Self::with_store(Box::new(SqliteStore::open(path, how)?), options)
    }

    /// A journal in any store.
    pub fn with_store(mut store: Box<dyn Store>, options: Options) -> Result<Self, StoreError> {
        let last = store.last()?;
        if last.lsn < options.acked_lsn {
            return Err(lost(last.lsn, options.acked_lsn));
        }
        let shared = Shared::new(last.lsn).map_err(|error| StoreError::Io(error.to_string()))?;
        let shared = Arc::new(shared);
        let inline = options.inline;
        #[cfg(unix)]
        let lock_fd = store.lock_fd();
        let mut worker = Worker::new(store, Arc::clone(&shared), options);
        let hand = if inline {
            worker.look_for_commands();
            Hand::Inline(Box::new(Mutex::new(worker)))
        } else {
            let thread = std::thread::Builder::new()
                .name("penstock-journal".to_owned())
                .spawn(move || worker.run())
                .map_err(|error| StoreError::Io(error.to_string()))?;
            Hand::Thread(thread)
        };
        Ok(Self {
            shared,
            last,
            hand: Some(hand),
            pid: std::process::id(),
            #[cfg(unix)]
            lock_fd,
        })
    }

    /// The highest lsn that was in the store when it was opened; 0 for none.
    pub const fn last_lsn(&self) -> u64 {
        self.last.lsn
    }

    /// The highest number of a run that was in the store when it was opened; 0 for none.
    pub const fn last_run(&self) -> u64 {
        self.last.run
    }

    /// The time of the last record that was in the store when it was opened; 0 for none.
    pub const fn last_at_ns(&self) -> u64 {
        self.last.at_ns
    }

    /// Hands over a batch. Never blocks, unless the journal is inline.
    pub fn submit(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        self.shared.submit(batch);
        self.work_inline(Worker::work_off);
    }

    /// Everything up to this lsn is on disk.
    pub fn synced(&self) -> u64 {
        self.shared.synced()
    }

    /// Records and bytes that were handed over and are not on disk.
    pub fn backlog(&self) -> (u64, u64) {
        self.shared.backlog()
    }

    /// Batches handed over so far, and how many of them are on disk: for those without records, which
    /// [`Journal::synced`] can't tell of.
    pub fn batches(&self) -> (u64, u64) {
        (self.shared.submitted(), self.shared.progress().0)
    }

    /// Whether anything was handed over that is not on disk.
    pub fn is_ahead(&self) -> bool {
        self.shared.is_ahead()
    }

    /// Why nothing can be written at the moment; `None` when all is well, again or still. What was handed
    /// over is kept and tried again.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure().map(|failure| failure.to_string())
    }

    /// Has the last lsn of each commit noted from now on, for who measures; gives those noted so far.
    pub fn trace_commits(&self) -> Vec<u64> {
        self.shared.trace()
    }

    /// Bytes of the write-ahead log that are not in the tables yet.
    pub fn wal_bytes(&self) -> u64 {
        self.shared.upkeep().log_bytes
    }

    /// What the user should know about the store and do something about.
    pub fn warning(&self) -> Option<String> {
        self.shared.upkeep().warning
    }

    /// The end of a pipe to watch for reading.
    #[cfg(unix)]
    pub fn wake_fd(&self) -> std::os::fd::RawFd {
        self.shared.bell.fd()
    }

    /// The lock of the store. A child that was forked has it as well, and keeps others out until it ends or
    /// closes this.
    #[cfg(unix)]
    pub const fn lock_fd(&self) -> Option<std::os::fd::RawFd> {
        self.lock_fd
    }

    /// Asks for one byte in the pipe at the next commit, command or change of [`Journal::failure`]. What
    /// came just before gives none: look at [`Journal::synced`] and the others once more after this.
    pub fn arm(&self) {
        self.shared.bell.arm();
    }

    /// Asks for no byte, and takes out the one that is there.
    pub fn disarm_and_drain(&self) {
        self.shared.bell.disarm();
    }

    /// Whether there are commands to take; inline, there may be.
    pub fn has_commands(&self) -> bool {
        matches!(self.hand, Some(Hand::Inline(_))) || self.shared.has_commands()
    }

    /// Commands of other processes not taken before. The writer looks for them with each batch, and every
    /// 100 ms; inline, this looks.
    pub fn take_commands(&self) -> Vec<Command> {
        self.work_inline(Worker::look_for_commands);
        self.shared.take_commands()
    }

    /// Blocks until a record is on disk; false if it is not so in time. An error says that it never will
    /// be, as the writer is gone.
    pub fn wait(&self, lsn: u64, timeout: Duration) -> Result<bool, StoreError> {
        self.wait_for(timeout, |shared, _| shared.synced() >= lsn)
    }

    /// Blocks until everything handed over so far is on disk, also what has no lsn; false if it is not so
    /// in time.
    pub fn flush(&self, timeout: Duration) -> Result<bool, StoreError> {
        let submitted = self.shared.submitted();
        self.wait_for(timeout, |_, written| written >= submitted)
    }

    fn wait_for(
        &self,
        timeout: Duration,
        over: impl Fn(&Shared, u64) -> bool,
    ) -> Result<bool, StoreError> {
        let until = Instant::now() + timeout;
        if let Some(Hand::Inline(_)) = self.hand {
            self.work_inline(Worker::work_off);
            let (written, _) = self.shared.progress();
            return Ok(over(&self.shared, written));
        }
        self.shared.wait_until(until, over)
    }

    /// Writes what is left, moves everything into its final place, and lets go of the store. What can't be
    /// written within `close_within` is lost, and the error says why.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let Some(hand) = self.hand.take() else { return Ok(()) };
        if std::process::id() != self.pid {
            // The parent's store, with its locks and its thread: closing any of it here would harm it.
            std::mem::forget(hand);
            return Ok(());
        }
        self.shared.close();
        match hand {
            Hand::Thread(thread) => thread.join().unwrap_or(Err(StoreError::Stopped)),
            Hand::Inline(worker) => {
                worker.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
            }
        }
    }

    fn work_inline(&self, work: impl FnOnce(&mut Worker)) {
        if let Some(Hand::Inline(worker)) = &self.hand {
            work(&mut worker.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Whoever wants to know calls close.
        let _ = self.end();
    }
}

/// The error of a store that ends before what it has acknowledged.
pub(crate) fn lost(last: u64, acked: u64) -> StoreError {
    StoreError::corrupt(
        format!("journal lsn {} to {acked}", last + 1),
        "records that were acknowledged are not there (an older copy of the store? to accept the loss, \
         remove the .flight file beside it)",
    )
}
