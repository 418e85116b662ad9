//! The read side of a store: of the owner, and of other processes while the service runs. Every read is
//! short and sees one state of the store.

use std::path::{Path, PathBuf};

use penstock_engine::Durability;
use rusqlite::{Connection, OptionalExtension, Statement, TransactionBehavior};

use crate::batch::Interface;
use crate::checksum::Checksum;
use crate::connection::{self, Access};
use crate::error::StoreError;
use crate::filter::Filter;
use crate::line::{self, Line};
use crate::lock;
use crate::row::{self, RunRow};
use crate::schema::{self, Found};

/// Reads a store, and leaves commands for its owner. Getters: [`Reader::run`], [`Reader::runs`],
/// [`Reader::counts`], [`Reader::lines`], [`Reader::line`], [`Reader::unfinished`],
/// [`Reader::interfaces`], [`Reader::outcome`]; a command: [`Reader::command`].
///
/// Whoever has another copy of SQLite in the same process (Python's `sqlite3`) must not open the file
/// with it: closing it there would drop the locks of this one.
#[derive(Debug)]
pub struct Reader {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
}

/// Ten seconds of asking for a lock.
const TRIES: u32 = 20_000;

impl Reader {
    /// Opens a store that is there, for reading and, if the file allows it, for commands.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.to_path_buf() });
        }
        let path = lock::resolved(path)?;
        let connection = match Self::connect(&path, Access::Existing) {
            // SQLite wants to write beside the file even to read it. Where nobody can, nobody changes it
            // either, as long as no log waits to be read.
            Err(StoreError::ReadOnly { .. } | StoreError::Io(_)) if !has_log(&path) => {
                Self::connect(&path, Access::Frozen)?
            }
            other => other?,
        };
        Ok(Self { path, connection })
    }

    fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
        let (connection, _) = connection::open(path, access, TRIES)?;
        match schema::check(&connection, path)? {
            Found::Store | Found::Earlier => {}
            Found::Empty => return Err(StoreError::NotAStore { path: path.to_path_buf() }),
        }
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
        Ok(connection)
    }

    /// Runs that a filter lets through, newest first.
    pub fn runs(&self, filter: &Filter) -> Result<Vec<RunRow>, StoreError> {
        let (sql, parameters) = filter.sql();
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        let mut runs = Vec::new();
        let mut checksum = Checksum::default();
        while let Some(row) = rows.next()? {
            runs.push(row::read_checked(row, &mut checksum)?);
        }
        Ok(runs)
    }

    /// The run that has an id.
    pub fn run(&self, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(row::BY_ID)?;
        let mut rows = statement.query([run_id])?;
        let row = rows.next()?.map(|row| row::read_checked(row, &mut Checksum::default()));
        row.transpose()
    }

    /// The run that has a number.
    pub fn by_number(&self, run: u64) -> Result<Option<RunRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(row::BY_NUMBER)?;
        let mut rows = statement.query([run.cast_signed()])?;
        let row = rows.next()?.map(|row| row::read_checked(row, &mut Checksum::default()));
        row.transpose()
    }

    /// How many runs there are of each status; those of none are left out. O(runs).
    pub fn counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status")?;
        let counts = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        Ok(counts.collect::<Result<_, _>>()?)
    }

    /// A run's records in their order, by the run's number; none of a run that is not there. A record that
    /// is damaged or missing is an error.
    pub fn lines(&self, run: u64) -> Result<Vec<Line>, StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut found = Vec::new();
        Lines::new(&transaction)?.of(run, &mut found)?;
        if let Err(gap) = dense(run, &found) {
            let mut statement = transaction.prepare_cached(row::BY_NUMBER)?;
            let mut rows = statement.query([run.cast_signed()])?;
            let row = rows.next()?.map(|row| row::read_checked(row, &mut Checksum::default()));
            let may_have_gaps = match row.transpose()? {
                None => found.is_empty(),
                Some(row) => row.durability == Durability::Exit,
            };
            if !may_have_gaps {
                return Err(gap);
            }
        }
        Ok(found)
    }

    /// Every run that has not ended, in the order they were accepted, with its records. One run is held
    /// at a time; the store's state is the same for all. Ends at the first error, also of `visit`.
    pub fn unfinished(
        &self,
        visit: &mut dyn FnMut(RunRow, Vec<Line>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut statement = transaction.prepare_cached(row::UNFINISHED)?;
        let mut rows = statement.query([])?;
        let mut lines = Lines::new(&transaction)?;
        let mut checksum = Checksum::default();
        while let Some(row) = rows.next()? {
            let row = row::read_checked(row, &mut checksum)?;
            let mut found = Vec::with_capacity(8);
            lines.of(row.run, &mut found)?;
            if row.durability != Durability::Exit {
                dense(row.run, &found)?;
            }
            visit(row, found)?;
        }
        Ok(())
    }

    /// The record at a position.
    pub fn line(&self, lsn: u64) -> Result<Option<Line>, StoreError> {
        let sql = "SELECT lsn, run, seq, at, kind, node, attempt, body, value, crc FROM journal
                   WHERE lsn = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([lsn.cast_signed()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        read_line(row, &self.connection, &mut Checksum::default()).map(Some)
    }

    /// The interfaces that runs were started with, of a kind or all, by kind, name and first sight.
    pub fn interfaces(&self, kind: Option<&str>) -> Result<Vec<Interface>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT kind, name, version, digest, content, first_at FROM interfaces
             WHERE ?1 IS NULL OR kind = ?1 ORDER BY kind, name, first_at, version, digest",
        )?;
        let interfaces = statement.query_map([kind], |row| {
            Ok(Interface {
                kind: row.get(0)?,
                name: row.get(1)?,
                version: row.get(2)?,
                digest: row.get(3)?,
                content: row.get(4)?,
                at_ns: row.get::<_, i64>(5)?.cast_unsigned(),
            })
        })?;
        Ok(interfaces.collect::<Result<_, _>>()?)
    }

    /// Leaves a command for the owner, on disk when this returns; gives its number. A second one with the
    /// same `cmd` is the first one, and must ask for the same.
    pub fn command(&self, command: &NewCommand<'_>) -> Result<i64, StoreError> {
        let NewCommand { cmd, run_id, verb, args, actor, at_ns } = *command;
        let transaction =
            rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .map_err(|error| StoreError::from(error).at(&self.path))?;
        if let Some((id, other_run, other_verb, other_args)) =
            crate::write::command_with_key(&transaction, cmd)?
        {
            if (other_run.as_str(), other_verb.as_str(), other_args.as_str())
                == (run_id, verb, args)
            {
                return Ok(id);
            }
            return Err(StoreError::conflict(
                format!("command {cmd:?}"),
                format!("its key was used for `{other_verb}` of run {other_run:?}"),
            ));
        }
        transaction
            .prepare_cached(
                "INSERT INTO commands(cmd, run_id, verb, args, actor, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((cmd, run_id, verb, args, actor, at_ns.cast_signed()))
            .map_err(|error| StoreError::from(error).at(&self.path))?;
        let id = transaction.last_insert_rowid();
        transaction.commit().map_err(|error| StoreError::from(error).at(&self.path))?;
        Ok(id)
    }

    /// What came of a command; `None` while it is not done with, or not known.
    pub fn outcome(&self, id: i64) -> Result<Option<String>, StoreError> {
        let outcome: Option<Option<String>> = self
            .connection
            .prepare_cached("SELECT outcome FROM commands WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(outcome.flatten())
    }
}

/// A command to leave for the owner of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewCommand<'a> {
    /// Its key.
    pub cmd: &'a str,
    /// The run it is about, or empty.
    pub run_id: &'a str,
    /// What to do.
    pub verb: &'a str,
    /// JSON of its arguments.
    pub args: &'a str,
    /// Who asks.
    pub actor: &'a str,
    /// When.
    pub at_ns: u64,
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// Reads the records of one run after the other.
struct Lines<'a> {
    connection: &'a Connection,
    statement: Statement<'a>,
    checksum: Checksum,
}

impl<'a> Lines<'a> {
    fn new(connection: &'a Connection) -> Result<Self, StoreError> {
        let statement = connection.prepare(
            "SELECT lsn, run, seq, at, kind, node, attempt, body, value, crc FROM journal
             WHERE run = ?1 ORDER BY lsn",
        )?;
        Ok(Self { connection, statement, checksum: Checksum::default() })
    }

    fn of(&mut self, run: u64, found: &mut Vec<Line>) -> Result<(), StoreError> {
        let mut rows = self.statement.query([run.cast_signed()])?;
        while let Some(row) = rows.next()? {
            found.push(read_line(row, self.connection, &mut self.checksum)?);
        }
        Ok(())
    }
}

/// Whether a run's records are numbered from 0 without a gap.
pub(crate) fn dense(run: u64, lines: &[Line]) -> Result<(), StoreError> {
    for (expected, line) in lines.iter().enumerate() {
        if line.record.seq as usize != expected {
            let why = format!("record {expected} of the run is not there");
            return Err(StoreError::corrupt(line.place(), why));
        }
    }
    if lines.is_empty() {
        return Err(StoreError::corrupt(format!("runs run {run}"), "none of its records is there"));
    }
    Ok(())
}

/// Reads a row of the journal with the columns of its table, in their order.
pub(crate) fn read_line(
    row: &rusqlite::Row<'_>,
    connection: &Connection,
    checksum: &mut Checksum,
) -> Result<Line, StoreError> {
    let lsn = row.get::<_, i64>(0)?.cast_unsigned();
    let damaged = |error: &dyn std::fmt::Display| {
        StoreError::corrupt(format!("journal lsn {lsn}"), error.to_string())
    };
    let number =
        |index| row.get::<_, i64>(index).map(i64::cast_unsigned).map_err(|error| damaged(&error));
    let small = |index| row.get::<_, Option<u32>>(index).map_err(|error| damaged(&error));
    let text = |index| {
        let text = row.get_ref(index).map_err(|error| damaged(&error))?;
        text.as_str_or_null().map_err(|error| damaged(&error))
    };
    let value = row.get_ref(8)?;
    let value = value.as_bytes_or_null().map_err(|error| damaged(&error))?;
    let found = line::Row {
        lsn,
        run: number(1)?,
        seq: row.get(2).map_err(|error| damaged(&error))?,
        at_ns: number(3)?,
        kind: text(4)?.ok_or_else(|| damaged(&"it has no kind"))?,
        node: small(5)?,
        attempt: small(6)?,
        body: text(7)?,
        value,
        crc: row.get(9).map_err(|error| damaged(&error))?,
    };
    found.line(checksum, |lsn| {
        let payload = connection
            .prepare_cached("SELECT value FROM payloads WHERE lsn = ?1")?
            .query_row([lsn.cast_signed()], |row| row.get(0))
            .optional()?;
        Ok(payload)
    })
}
