//! Keeps the write-ahead log short: moves its pages into the tables on a thread of its own, and starts it
//! anew between two commits when nearly all of it is moved. SQLite's own way would stall commits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::connection::{self, Access, Patience};
use crate::error::StoreError;
use crate::store::Upkeep;

/// From this size of the log on, its pages are moved.
pub(crate) const PASSIVE_BYTES: u64 = 32 << 20;
/// Above this size the user is told.
const WARNING_BYTES: u64 = 256 << 20;
/// With at most this many pages to move, the writer moves them itself and starts the log anew.
const NEARLY_PAGES: u64 = 1_000;
/// A page and its header in the log.
const PAGE_BYTES: u64 = 4096 + 24;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// What a checkpoint came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Nobody was in its way.
    pub(crate) complete: bool,
    /// Pages in the log.
    log: u64,
    /// Those of them that are in the tables.
    moved: u64,
}

/// Runs a checkpoint of a mode as SQLite names it.
pub(crate) fn run(connection: &Connection, mode: &str) -> Result<State, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let state = connection.query_row(&sql, [], |row| {
        let number = |index| row.get::<_, i64>(index).map(|pages| pages.max(0).unsigned_abs());
        Ok(State { complete: number(0)? == 0, log: number(1)?, moved: number(2)? })
    })?;
    Ok(state)
}

/// The checkpoints of one store.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    path: PathBuf,
    mover: Option<(Arc<Mover>, JoinHandle<()>)>,
    not_before: Instant,
    warning_bytes: u64,
    failure: Option<String>,
}

/// What the writer and the thread that moves pages tell each other.
#[derive(Debug)]
struct Mover {
    phase: Mutex<Phase>,
    changed: Condvar,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Wanted,
    Moved(Result<u64, StoreError>),
    Stop,
}

impl Checkpoints {
    /// Checkpoints of a file, with a thread of their own or in the writer's.
    pub(crate) fn new(path: &Path, thread: bool) -> Result<Self, StoreError> {
        let mover = if thread { Some(spawn(path.to_path_buf())?) } else { None };
        let path = path.to_path_buf();
        let not_before = Instant::now();
        Ok(Self { path, mover, not_before, warning_bytes: WARNING_BYTES, failure: None })
    }

    /// Does what is due between two commits. `tries` is the connection's patience for commits.
    pub(crate) fn tend(
        &mut self,
        connection: &Connection,
        patience: &Patience,
        tries: u32,
        log_pages: &AtomicU64,
    ) -> Upkeep {
        let log_bytes = log_pages.load(Relaxed) * PAGE_BYTES;
        if log_bytes >= PASSIVE_BYTES
            && let Some(left) = self.moved()
        {
            self.failure = left.as_ref().err().map(ToString::to_string);
            if left.is_ok_and(|left| left <= NEARLY_PAGES) {
                patience.set(0);
                if run(connection, "RESTART").is_ok_and(|state| state.complete) {
                    log_pages.store(0, Relaxed);
                }
                patience.set(tries);
            }
            self.not_before = Instant::now() + PAUSE;
        }
        let warning = match &self.failure {
            Some(failure) => Some(format!("the write-ahead log can't be shortened: {failure}")),
            None if log_bytes > self.warning_bytes => Some(format!(
                "the store's write-ahead log has grown to {} MiB, as somebody keeps reading an old \
                 state of it; end what has {} open (a `sqlite3` shell, a backup, a viewer)",
                log_bytes >> 20,
                self.path.display()
            )),
            None => None,
        };
        Upkeep { log_bytes, warning }
    }

    /// Pages left in the log after they were moved, if that is over; else sees to it that it happens.
    fn moved(&mut self) -> Option<Result<u64, StoreError>> {
        let due = Instant::now() >= self.not_before;
        let Some((mover, _)) = &self.mover else {
            return due.then(|| move_pages(&self.path));
        };
        let mut phase = mover.phase.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *phase, Phase::Idle) {
            Phase::Moved(left) => return Some(left),
            Phase::Idle if due => {
                *phase = Phase::Wanted;
                mover.changed.notify_one();
            }
            other => *phase = other,
        }
        None
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        if let Some((mover, thread)) = self.mover.take() {
            *mover.phase.lock().unwrap_or_else(PoisonError::into_inner) = Phase::Stop;
            mover.changed.notify_one();
            // It can't panic; and if it did, there is nothing left for it to do.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(path: PathBuf) -> Result<(Arc<Mover>, JoinHandle<()>), StoreError> {
    let mover = Arc::new(Mover { phase: Mutex::new(Phase::Idle), changed: Condvar::new() });
    let shared = Arc::clone(&mover);
    let thread = std::thread::Builder::new()
        .name("penstock-checkpoint".to_owned())
        .spawn(move || {
            loop {
                let phase = shared.phase.lock().unwrap_or_else(PoisonError::into_inner);
                let waiting = |phase: &mut Phase| matches!(phase, Phase::Idle | Phase::Moved(_));
                let phase = shared.changed.wait_while(phase, waiting);
                let phase = phase.unwrap_or_else(PoisonError::into_inner);
                if matches!(*phase, Phase::Stop) {
                    return;
                }
                drop(phase);
                let left = move_pages(&path);
                let mut phase = shared.phase.lock().unwrap_or_else(PoisonError::into_inner);
                if matches!(*phase, Phase::Wanted) {
                    *phase = Phase::Moved(left);
                }
            }
        })
        .map_err(|error| StoreError::Io(error.to_string()))?;
    Ok((mover, thread))
}

/// Moves pages until few are left, or none more can be moved; gives how many are left. What commits add
/// meanwhile becomes less from round to round.
fn move_pages(path: &Path) -> Result<u64, StoreError> {
    let (connection, _) = connection::open(path, Access::Existing, 0)?;
    let mut before = 0;
    loop {
        let state = run(&connection, "PASSIVE")?;
        let left = state.log.saturating_sub(state.moved);
        if left <= NEARLY_PAGES || state.moved <= before {
            return Ok(left);
        }
        before = state.moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stays_is_warned_of_and_the_log_goes_on_after_it() {
        let name = format!("penstock-checkpoint-{}.db", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (connection, patience) = connection::open(&path, Access::Create, 0).expect("a file");
        let write = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE bytes(bytes BLOB); INSERT INTO bytes VALUES (zeroblob(1000));";
        connection.execute_batch(write).expect("a log");
        let (reader, _) = connection::open(&path, Access::Existing, 0).expect("a reader");
        reader.execute_batch("BEGIN; SELECT * FROM bytes;").expect("it reads");
        let more = "INSERT INTO bytes VALUES (zeroblob(36 << 20))";
        connection.execute_batch(more).expect("a longer log");
        let pages = AtomicU64::new((36 << 20) / 4096);
        let mut checkpoints = Checkpoints::new(&path, false).expect("no thread");
        checkpoints.warning_bytes = PASSIVE_BYTES;
        let mut tend = || {
            checkpoints.not_before = Instant::now();
            checkpoints.tend(&connection, &patience, 0, &pages)
        };
        let warning = tend().warning.expect("somebody reads");
        assert!(warning.contains("grown to 36 MiB") && warning.contains("end what has"));
        assert_eq!(tend().log_bytes >> 20, 36);
        reader.execute_batch("COMMIT").expect("it ends");
        tend();
        assert_eq!(tend(), Upkeep::default());
        drop((connection, reader));
        std::fs::remove_file(path).expect("it was made here");
    }
}
