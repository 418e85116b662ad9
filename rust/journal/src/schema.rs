//! The tables of format version 2: making them in a new file, and refusing what is none of ours.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;

/// Version of the format. A file of another version is refused.
pub const VERSION: i64 = 2;

/// What SQLite's header says a penstock store is: `PNST`.
pub const APPLICATION_ID: i64 = 0x504e_5354;

/// What [`create`] runs. Columns and their meaning: docs/journal-format.md.
const TABLES: &str = "
CREATE TABLE journal(
    lsn INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    node INTEGER,
    attempt INTEGER,
    body TEXT,
    value TEXT,
    crc INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_by_run ON journal(run);
CREATE TABLE payloads(lsn INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE runs(
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    version TEXT NOT NULL,
    graph TEXT NOT NULL,
    status TEXT NOT NULL,
    tenant TEXT,
    priority INTEGER,
    durability TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    ended_at INTEGER,
    generation INTEGER NOT NULL DEFAULT 0,
    recoveries INTEGER NOT NULL DEFAULT 0,
    held TEXT,
    parent TEXT,
    fingerprint BLOB,
    tags TEXT,
    crc INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_unfinished ON runs(run) WHERE ended_at IS NULL;
CREATE INDEX runs_failed ON runs(run) WHERE status = 'failed';
CREATE INDEX runs_held ON runs(run) WHERE status = 'held';
CREATE TABLE run_tags(
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY(key, value, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_tags_by_run ON run_tags(run);
CREATE TABLE interfaces(
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    content TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    PRIMARY KEY(kind, name, version, digest)
) STRICT;
CREATE TABLE commands(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cmd TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL,
    verb TEXT NOT NULL,
    args TEXT NOT NULL,
    actor TEXT NOT NULL,
    at INTEGER NOT NULL,
    done_at INTEGER,
    outcome TEXT
) STRICT;
CREATE INDEX commands_open ON commands(id) WHERE done_at IS NULL;
CREATE INDEX commands_by_run ON commands(run_id);
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// What version 2 added: figures that outlive runs, and what is set down beside them.
const ADDED: &str = "
CREATE TABLE metrics(
    window INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    part INTEGER NOT NULL,
    body TEXT NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY(window, kind, key, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE notes(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE INDEX notes_by_name ON notes(kind, name);
";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing yet.
    Empty,
    /// A store of this version.
    Store,
    /// A store of an earlier version, which is read as it is, and becomes one of this version when it is written to.
    Earlier,
}

/// Looks what a file is, and changes nothing.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<Found, StoreError> {
    let number = |name: &str| {
        let number: Result<i64, _> = connection.pragma_query_value(None, name, |row| row.get(0));
        number.map_err(|error| StoreError::from(error).at(path))
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    if application == APPLICATION_ID {
        return match version {
            VERSION => Ok(Found::Store),
            1 => Ok(Found::Earlier),
            found => Err(StoreError::Format { found }),
        };
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        Ok(Found::Empty)
    } else {
        Err(StoreError::NotAStore { path: path.to_path_buf() })
    }
}

/// Makes the tables, all or none of them.
pub(crate) fn create(connection: &mut Connection) -> Result<(), StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(ADDED)?;
    transaction.execute(
        "INSERT INTO meta VALUES ('format', ?1), ('created_at', ?2)",
        [VERSION.to_string(), now.as_nanos().to_string()],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Makes a store of an earlier version one of this version, or leaves it as it is.
pub(crate) fn upgrade(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(ADDED)?;
    transaction
        .execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [VERSION.to_string()])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}
