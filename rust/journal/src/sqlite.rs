//! The store in an SQLite file, write side: one transaction for a batch, repeatable without harm.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::batch::{Batch, Command};
use crate::checkpoint::Checkpoints;
use crate::connection::{self, Access, Patience};
use crate::error::StoreError;
use crate::lock::{self, Lock};
use crate::schema::{self, Found};
use crate::store::{Last, Store, Upkeep};
use crate::write::{self, Scratch};

/// A store in an SQLite file, with the lock of its owner.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    options: StoreOptions,
    /// Gone while a reconnection has failed, and after the end.
    link: Option<Link>,
    checkpoints: Checkpoints,
    scratch: Scratch,
    /// The last command given.
    command: i64,
    /// SQLite's counter of other connections' commits, when commands were last looked for.
    data_version: Option<i64>,
    /// Dropped last: nobody may open what is still being closed.
    lock: Lock,
}

/// How a store is written.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Whether a commit waits for the disk; without, a power cut takes the last commits, in order.
    pub sync: bool,
    /// Whether checkpoints have a thread of their own.
    pub thread: bool,
}

#[derive(Debug)]
struct Link {
    connection: Connection,
    patience: Patience,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicU64>,
}

/// Two seconds of asking for the write lock, then the batch has failed for now.
const TRIES: u32 = 4_000;

/// A tenth of a second for readers to finish.
const PATIENCE_FOR_READERS: u32 = 200;

impl SqliteStore {
    /// Opens a store for its one owner, and makes it if there is none.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let path = lock::resolved(path)?;
        lock::refuse_network(&path)?;
        let lock = Lock::take(&path)?;
        let link = Link::open(&path, options)?;
        // What a killed owner left may be read from memory and not be on disk yet. Also beside a reader,
        // who keeps the log from being emptied, this syncs it.
        link.empty_log()?;
        link.begin_log()?;
        let checkpoints = Checkpoints::new(&path, options.thread)?;
        Ok(Self {
            path,
            options,
            link: Some(link),
            checkpoints,
            scratch: Scratch::default(),
            command: 0,
            data_version: None,
            lock,
        })
    }

    fn link(&mut self) -> Result<&mut Link, StoreError> {
        self.link.as_mut().ok_or_else(|| StoreError::Io("it is not open".to_owned()))
    }
}

impl Link {
    fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let (mut connection, patience) = connection::open(path, Access::Create, TRIES)?;
        let found = schema::check(&connection, path)?;
        if connection.is_readonly("main")? {
            return Err(StoreError::ReadOnly { path: path.to_path_buf() });
        }
        let synchronous = if options.sync { "FULL" } else { "NORMAL" };
        let mode = use_log(&connection).map_err(|error| error.at(path))?;
        if mode != "wal" {
            let path = path.display();
            let why = format!("{path} can't have a write-ahead log, only {mode:?}");
            return Err(StoreError::Io(why));
        }
        connection
            .execute_batch(&format!(
                "PRAGMA synchronous = {synchronous};
                 PRAGMA wal_autocheckpoint = 0;
                 PRAGMA journal_size_limit = {};
                 PRAGMA cache_size = -16384;
                 PRAGMA temp_store = MEMORY;",
                crate::checkpoint::PASSIVE_BYTES
            ))
            .map_err(|error| StoreError::from(error).at(path))?;
        match found {
            Found::Empty => schema::create(&mut connection),
            Found::Earlier => schema::upgrade(&mut connection),
            Found::Store => Ok(()),
        }
        .map_err(|error| error.at(path))?;
        let log_pages = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&log_pages);
        connection.wal_hook(Some(move |_: &mut _, pages: std::ffi::c_int| {
            seen.store(u64::from(pages.unsigned_abs()), Relaxed);
            Ok(())
        }))?;
        Ok(Self { connection, patience, log_pages })
    }

    /// Moves all of the log into the tables, with syncs; false if somebody reads an old state of it.
    fn empty_log(&self) -> Result<bool, StoreError> {
        self.patience.set(PATIENCE_FOR_READERS);
        let state = crate::checkpoint::run(&self.connection, "TRUNCATE")?;
        self.patience.set(TRIES);
        Ok(state.complete)
    }

    /// Writes something, which puts a new log on disk. Until then a power cut can bring back an old one
    /// that was emptied or deleted, less what a failed sync has cost it: read again, it would take the
    /// tables back to an older state.
    fn begin_log(&self) -> Result<(), StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.connection.execute(
            "INSERT INTO meta VALUES ('opened_at', ?1)
             ON CONFLICT(key) DO UPDATE SET value = excluded.value",
            [now.as_nanos().to_string()],
        )?;
        Ok(())
    }
}

/// Switches to the write-ahead log; gives the mode that SQLite is in then.
fn use_log(connection: &Connection) -> Result<String, StoreError> {
    // The first row comes before the switch is on disk, and the error if it can't be after it.
    let mut switch = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = switch.query([])?;
    while rows.next()?.is_some() {}
    Ok(connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?)
}

impl Store for SqliteStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let Some(link) = &mut self.link else {
            return Err(StoreError::Io("it is not open".to_owned()));
        };
        let transaction =
            link.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write::write(&transaction, batch, &mut self.scratch)?;
        transaction.commit().map_err(|error| StoreError::from(error).at(&self.path))
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.link = None;
        self.data_version = None;
        let link = Link::open(&self.path, self.options)?;
        // After a sync that failed, the log's pages may be in memory only and yet be read as if they were
        // on disk, and what is written after them would be cut off with them. A log that is empty settles it.
        if !link.empty_log()? {
            return Err(StoreError::Busy);
        }
        link.begin_log()?;
        self.link = Some(link);
        Ok(())
    }

    fn last(&mut self) -> Result<Last, StoreError> {
        last(&self.link()?.connection)
    }

    fn commands(&mut self) -> Result<Vec<Command>, StoreError> {
        let (after, seen) = (self.command, self.data_version);
        let connection = &self.link()?.connection;
        let version: i64 =
            connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if seen == Some(version) {
            return Ok(Vec::new());
        }
        let mut statement = connection.prepare_cached(
            "SELECT id, cmd, run_id, verb, args, actor, at FROM commands
             WHERE done_at IS NULL AND id > ?1 ORDER BY id",
        )?;
        let commands = statement.query_map([after], |row| {
            Ok(Command {
                id: row.get(0)?,
                cmd: row.get(1)?,
                run_id: row.get(2)?,
                verb: row.get(3)?,
                args: row.get(4)?,
                actor: row.get(5)?,
                at_ns: row.get::<_, i64>(6)?.cast_unsigned(),
            })
        })?;
        let commands = commands.collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        self.data_version = Some(version);
        if let Some(command) = commands.last() {
            self.command = command.id;
        }
        Ok(commands)
    }

    fn tend(&mut self) -> Upkeep {
        match &self.link {
            None => Upkeep::default(),
            Some(link) => {
                self.checkpoints.tend(&link.connection, &link.patience, TRIES, &link.log_pages)
            }
        }
    }

    #[cfg(unix)]
    fn lock_fd(&self) -> Option<std::os::fd::RawFd> {
        Some(self.lock.fd())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.checkpoints.stop();
        let Some(link) = self.link.take() else { return Ok(()) };
        // Readers may keep the log in use; then the next owner goes on with it.
        link.empty_log()?;
        link.connection.close().map_err(|(_, error)| StoreError::from(error))
    }
}

/// The highest numbers in a store, and of runs deleted from it.
pub(crate) fn last(connection: &Connection) -> Result<Last, StoreError> {
    let meta = |key: &str| -> Result<u64, StoreError> {
        let text: Option<String> = connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        match text {
            None => Ok(0),
            Some(text) => text.parse().map_err(|_| {
                StoreError::corrupt(format!("meta {key}"), format!("{text:?} is no number"))
            }),
        }
    };
    let row = |sql: &str| -> Result<(u64, u64), StoreError> {
        let found: Option<(i64, i64)> = connection
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(found.map_or((0, 0), |(first, second)| (first.cast_unsigned(), second.cast_unsigned())))
    };
    let (lsn, at_ns) = row("SELECT lsn, at FROM journal ORDER BY lsn DESC LIMIT 1")?;
    let (run, _) = row("SELECT run, 0 FROM runs ORDER BY run DESC LIMIT 1")?;
    Ok(Last {
        lsn: lsn.max(meta("last_lsn")?),
        run: run.max(meta("last_run")?),
        at_ns: at_ns.max(meta("last_at")?),
    })
}
