//! What the journal's two sides share: the queue of batches, and how far the writer is.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::batch::{Batch, Command};
use crate::error::StoreError;
use crate::store::Upkeep;
use crate::wake::Bell;

/// Shared by the journal and its writer. No lock is held for longer than moving what it guards.
#[derive(Debug)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// There is something to do.
    work: Condvar,
    /// The writer got on.
    progress: Condvar,
    synced: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    failure: Mutex<Option<StoreError>>,
    upkeep: Mutex<Upkeep>,
    commands: Mutex<Vec<Command>>,
    /// The last lsn of each commit, while somebody measures.
    commits: Mutex<Option<Vec<u64>>>,
    pub(crate) bell: Bell,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Batches handed over so far.
    submitted: u64,
    /// Batches written so far.
    written: u64,
    /// The writer waits for work.
    is_waiting: bool,
    is_closing: bool,
    /// The writer has ended.
    is_over: bool,
}

/// Why the writer was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There are batches.
    Work,
    /// Time has passed.
    Idle,
    /// Nothing more will come, and nothing is left.
    Closing,
}

impl Shared {
    pub(crate) fn new(synced: u64) -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            synced: AtomicU64::new(synced),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failure: Mutex::default(),
            upkeep: Mutex::default(),
            commands: Mutex::default(),
            commits: Mutex::default(),
            bell: Bell::new()?,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        locked(&self.queue)
    }

    // The caller's side.

    pub(crate) fn submit(&self, batch: Batch) {
        let (records, bytes) = batch.size();
        self.records.fetch_add(records as u64, SeqCst);
        self.bytes.fetch_add(bytes as u64, SeqCst);
        let mut queue = self.queue();
        queue.batches.push_back(batch);
        queue.submitted += 1;
        if queue.is_waiting {
            queue.is_waiting = false;
            drop(queue);
            self.work.notify_one();
        }
    }

    pub(crate) fn close(&self) {
        self.queue().is_closing = true;
        self.work.notify_one();
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(SeqCst)
    }

    pub(crate) fn backlog(&self) -> (u64, u64) {
        (self.records.load(SeqCst), self.bytes.load(SeqCst))
    }

    pub(crate) fn is_ahead(&self) -> bool {
        let queue = self.queue();
        queue.written < queue.submitted
    }

    pub(crate) fn submitted(&self) -> u64 {
        self.queue().submitted
    }

    /// Batches written, and whether the writer has ended.
    pub(crate) fn progress(&self) -> (u64, bool) {
        let queue = self.queue();
        (queue.written, queue.is_over)
    }

    pub(crate) fn failure(&self) -> Option<StoreError> {
        locked(&self.failure).clone()
    }

    pub(crate) fn upkeep(&self) -> Upkeep {
        locked(&self.upkeep).clone()
    }

    pub(crate) fn has_commands(&self) -> bool {
        !locked(&self.commands).is_empty()
    }

    pub(crate) fn take_commands(&self) -> Vec<Command> {
        std::mem::take(&mut *locked(&self.commands))
    }

    /// Waits for something of the writer's progress, which is given the number of batches written.
    pub(crate) fn wait_until(
        &self,
        until: Instant,
        over: impl Fn(&Self, u64) -> bool,
    ) -> Result<bool, StoreError> {
        let mut queue = self.queue();
        loop {
            if over(self, queue.written) {
                return Ok(true);
            }
            if queue.is_over {
                return Err(StoreError::Stopped);
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Ok(false);
            };
            let woken = self.progress.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    // The writer's side.

    /// Waits for batches, for at most `idle`.
    pub(crate) fn wait_for_work(&self, idle: Duration) -> Woken {
        let mut queue = self.queue();
        if queue.batches.is_empty() && !queue.is_closing {
            queue.is_waiting = true;
            let woken = self.work.wait_timeout(queue, idle);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            queue.is_waiting = false;
        }
        match (queue.batches.is_empty(), queue.is_closing) {
            (false, _) => Woken::Work,
            (true, true) => Woken::Closing,
            (true, false) => Woken::Idle,
        }
    }

    /// Waits for a time, or until the journal is closed.
    pub(crate) fn pause(&self, pause: Duration) {
        let queue = self.queue();
        let closing = |queue: &mut Queue| !queue.is_closing;
        let woken = self.work.wait_timeout_while(queue, pause, closing);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.queue().is_closing
    }

    /// Takes what goes into one transaction, and how many batches that are.
    pub(crate) fn take(&self) -> (Batch, u64) {
        let mut queue = self.queue();
        let Some(mut whole) = queue.batches.pop_front() else { return (Batch::default(), 0) };
        let mut more = Vec::new();
        while let Some(next) = queue.batches.pop_front() {
            if whole.takes(&next) && more.iter().all(|batch: &Batch| batch.takes(&next)) {
                more.push(next);
            } else {
                queue.batches.push_front(next);
                break;
            }
        }
        drop(queue);
        let count = 1 + more.len() as u64;
        for next in more {
            whole.append(next);
        }
        (whole, count)
    }

    /// From now on the last lsn of each commit is noted; gives those noted so far.
    pub(crate) fn trace(&self) -> Vec<u64> {
        locked(&self.commits).replace(Vec::new()).unwrap_or_default()
    }

    /// Tells everybody that what was taken is on disk.
    pub(crate) fn written(&self, batch: &Batch, count: u64) {
        if let Some(commits) = &mut *locked(&self.commits) {
            commits.push(batch.lsn());
        }
        self.synced.fetch_max(batch.lsn(), SeqCst);
        let (records, bytes) = batch.size();
        self.records.fetch_sub(records as u64, SeqCst);
        self.bytes.fetch_sub(bytes as u64, SeqCst);
        self.queue().written += count;
        self.progress.notify_all();
    }

    /// Rings with every attempt that fails, not the first alone: some may have begun to wait since then.
    pub(crate) fn fail(&self, failure: Option<StoreError>) {
        let mut current = locked(&self.failure);
        let tells = failure.is_some() || *current != failure;
        *current = failure;
        drop(current);
        if tells {
            self.bell.ring();
        }
    }

    pub(crate) fn set_upkeep(&self, upkeep: Upkeep) {
        *locked(&self.upkeep) = upkeep;
    }

    pub(crate) fn add_commands(&self, mut commands: Vec<Command>) {
        if !commands.is_empty() {
            locked(&self.commands).append(&mut commands);
            self.bell.ring();
        }
    }

    /// The writer has ended.
    pub(crate) fn over(&self) {
        self.queue().is_over = true;
        self.progress.notify_all();
    }
}

/// A lock whatever became of the last one who held it: what it guards is whole between any two statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
