//! The journal's writer: commits what waits, keeps it until it is on disk, and looks for commands.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::error::StoreError;
use crate::shared::{Shared, Woken};
use crate::store::Store;
use crate::writer::{OnSynced, Options, lost};

/// Between two looks for commands while nothing is written.
const IDLE: Duration = Duration::from_millis(100);
/// Commits go back to back for this long,
const BUSY: Duration = Duration::from_millis(25);
/// then other processes get this gap for theirs.
const GAP: Duration = Duration::from_millis(1);
/// After a failure; doubled with each one, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(1);

/// Writes to a store.
pub(crate) struct Worker {
    store: Box<dyn Store>,
    shared: Arc<Shared>,
    on_synced: Option<OnSynced>,
    close_within: Duration,
    /// What was taken and is not known to be on disk.
    tail: Batch,
    /// Batches that the tail is made of.
    count: u64,
    /// The pause after the last failure; none while all is well.
    pause: Option<Duration>,
    /// The store must be connected anew.
    is_broken: bool,
    /// When others had the store to themselves for the last time.
    gap_at: Instant,
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(store: Box<dyn Store>, shared: Arc<Shared>, options: Options) -> Self {
        Self {
            store,
            shared,
            on_synced: options.on_synced,
            close_within: options.close_within,
            tail: Batch::default(),
            count: 0,
            pause: None,
            is_broken: false,
            gap_at: Instant::now(),
        }
    }

    /// The thread: runs until the journal is closed and everything is written.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        // Also after a panic those who wait must not wait for ever.
        let _over = Over(Arc::clone(&self.shared));
        self.look_for_commands();
        loop {
            if let Some(pause) = self.pause {
                if self.shared.is_closing() {
                    return self.finish();
                }
                self.shared.pause(pause);
                self.work();
                continue;
            }
            match self.shared.wait_for_work(IDLE) {
                Woken::Work => {
                    self.work();
                    if self.gap_at.elapsed() >= BUSY {
                        std::thread::sleep(GAP);
                        self.gap_at = Instant::now();
                    }
                }
                Woken::Idle => {
                    self.gap_at = Instant::now();
                    self.look_for_commands();
                    self.tend();
                }
                Woken::Closing => return self.finish(),
            }
        }
    }

    /// Writes all that waits, or fails once.
    pub(crate) fn work_off(&mut self) {
        while self.work() {}
    }

    /// Writes one transaction, or tries to get at the store again; false if there was nothing to do or it
    /// failed.
    fn work(&mut self) -> bool {
        if self.count == 0 {
            (self.tail, self.count) = self.shared.take();
        }
        if self.count == 0 && self.pause.is_none() {
            return false;
        }
        match self.attempt() {
            Ok(()) => self.succeeded(),
            Err(error) => {
                self.failed(error);
                return false;
            }
        }
        self.look_for_commands();
        self.tend();
        self.pause.is_none()
    }

    fn attempt(&mut self) -> Result<(), StoreError> {
        if self.is_broken {
            self.store.reopen()?;
            let (last, synced) = (self.store.last()?.lsn, self.shared.synced());
            if last < synced {
                return Err(lost(last, synced));
            }
            let commands = self.store.commands()?;
            self.shared.add_commands(commands);
            self.is_broken = false;
        }
        if self.count > 0 { self.store.commit(&self.tail) } else { Ok(()) }
    }

    fn succeeded(&mut self) {
        self.pause = None;
        self.shared.fail(None);
        if self.count == 0 {
            return;
        }
        if let Some(note) = &self.on_synced
            && self.tail.lsn() > 0
        {
            note(self.tail.lsn());
        }
        self.shared.written(&self.tail, self.count);
        self.tail = Batch::default();
        self.count = 0;
        self.shared.bell.ring();
    }

    fn failed(&mut self, error: StoreError) {
        // Somebody else's transaction is no fault of the connection.
        self.is_broken |= error != StoreError::Busy;
        let pause = self.pause.map_or(PAUSE_FIRST, |pause| (pause * 2).min(PAUSE_LAST));
        self.pause = Some(pause);
        self.shared.fail(Some(error));
    }

    /// Takes in the commands that others have left.
    pub(crate) fn look_for_commands(&mut self) {
        if self.is_broken {
            return;
        }
        match self.store.commands() {
            Ok(commands) => self.shared.add_commands(commands),
            // The next look, or the next commit, says what is wrong.
            Err(StoreError::Busy) => {}
            Err(error) => self.failed(error),
        }
    }

    fn tend(&mut self) {
        if !self.is_broken {
            let upkeep = self.store.tend();
            self.shared.set_upkeep(upkeep);
        }
    }

    /// Writes what is left, and lets go of the store.
    pub(crate) fn finish(&mut self) -> Result<(), StoreError> {
        let until = Instant::now() + self.close_within;
        loop {
            self.work_off();
            let (Some(pause), Some(failure)) = (self.pause, self.shared.failure()) else {
                return self.store.close();
            };
            if !self.shared.is_ahead() || !failure.may_pass() || Instant::now() >= until {
                // The failure is what matters; what can be closed is closed.
                let _ = self.store.close();
                return Err(failure);
            }
            std::thread::sleep(pause);
        }
    }
}

/// Says that the writer has ended, when dropped.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Some(StoreError::Stopped));
        }
        self.0.over();
    }
}
