//! What goes wrong with a store: each case by its cause, with the remedy in its message.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a store can't be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no file. Remedy: another path, or let a runtime create it.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The folder it is to be created in does not exist. Remedy: create it.
    MissingFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The file is something else. Remedy: another path.
    NotAStore {
        /// The file; empty where it is not known.
        path: PathBuf,
    },
    /// The file has another format version. Remedy: the penstock that wrote it.
    Format {
        /// The version found.
        found: i64,
    },
    /// What is there is not what was written. Remedy: `penstock verify`, then a backup.
    Corrupt {
        /// Where: a table and row, or the file.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// What is to be written contradicts what is there: a defect of the caller.
    Conflict {
        /// The row.
        place: String,
        /// What it contradicts.
        why: String,
    },
    /// Another runtime owns the store. Remedy: end it, or use another store.
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that owns it, if it is known.
        pid: Option<u32>,
    },
    /// Another process keeps the file busy. Remedy: end its transaction.
    Busy,
    /// The file or its folder can't be written to. Remedy: permissions.
    ReadOnly {
        /// The file; empty where it is not known.
        path: PathBuf,
    },
    /// The disk is full. Remedy: free some of it.
    Full,
    /// It is on a network file system, which does not keep its promises. Remedy: a local disk.
    NetworkFs {
        /// The store.
        path: PathBuf,
        /// The file system's name.
        kind: String,
    },
    /// The operating system refused; its words.
    Io(String),
    /// The writer's thread is gone: a defect of penstock. Remedy: open the store again.
    Stopped,
}

impl StoreError {
    /// The error with its file, where it lacks one.
    #[must_use]
    pub(crate) fn at(mut self, file: &Path) -> Self {
        if let Self::NotAStore { path } | Self::ReadOnly { path } = &mut self
            && path.as_os_str().is_empty()
        {
            *path = file.to_path_buf();
        }
        self
    }

    /// Whether the same may work later, without anybody changing the store.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::Busy | Self::Full | Self::Io(_) | Self::ReadOnly { .. })
    }

    /// A damaged row.
    pub(crate) fn corrupt(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), why: why.into() }
    }

    /// A row that contradicts another.
    pub(crate) fn conflict(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Conflict { place: place.into(), why: why.into() }
    }

    /// What the operating system said of a file.
    pub(crate) fn io(error: &io::Error, path: &Path) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path: path.to_path_buf() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(format!("{}: {error}", path.display())),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = |path: &Path| {
            let known = !path.as_os_str().is_empty();
            if known { path.display().to_string() } else { "the store".to_owned() }
        };
        match self {
            Self::Missing { path } => write!(
                formatter,
                "there is no store at {}; check the path, or start a runtime with it once",
                path.display()
            ),
            Self::MissingFolder { path } => {
                write!(formatter, "the folder {} does not exist; create it first", path.display())
            }
            Self::NotAStore { path } => write!(
                formatter,
                "{} is not a penstock store, and is left as it is; choose another path",
                file(path)
            ),
            Self::Format { found } => write!(
                formatter,
                "the store has format version {found}, and this penstock reads version {}; use \
                 the penstock that wrote it, or another store",
                crate::schema::VERSION
            ),
            Self::Corrupt { place, why } => write!(
                formatter,
                "the store is damaged at {place}: {why}; run `penstock verify` on it, and restore \
                 it from a backup"
            ),
            Self::Conflict { place, why } => write!(
                formatter,
                "{place} can't be written: {why}; this is a defect of penstock, please report it"
            ),
            Self::Locked { path, pid: Some(pid) } => write!(
                formatter,
                "{} is in use by the runtime of process {pid}; end that, or use another store",
                path.display()
            ),
            Self::Locked { path, pid: None } => write!(
                formatter,
                "{} is in use by another runtime; end that, or use another store",
                path.display()
            ),
            Self::Busy => formatter.write_str(
                "another process has kept the store busy for seconds; end its transaction (an open \
                 `sqlite3` shell, a backup)",
            ),
            Self::ReadOnly { path } => write!(
                formatter,
                "{} can't be written to; give this user write permission on the file and its \
                 folder",
                file(path)
            ),
            Self::Full => formatter
                .write_str("the disk is full; free some of it, and penstock goes on by itself"),
            Self::NetworkFs { path, kind } => write!(
                formatter,
                "{} is on a network file system ({kind}), whose locks and syncs can't be relied \
                 on; put the store on a local disk",
                path.display()
            ),
            Self::Io(error) => write!(
                formatter,
                "the operating system refused to read or write the store: {error}; check the disk"
            ),
            Self::Stopped => formatter.write_str(
                "the journal's thread has died, which is a defect of penstock; open the store \
                 again and report it",
            ),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(code, message) = &error else {
            // A column of another type, text that is no UTF-8, SQL that no longer fits the tables.
            return Self::corrupt("the tables", error.to_string());
        };
        let text = || match message {
            Some(message) => format!("{message} (SQLite error {})", code.extended_code),
            None => format!("{code} ({})", code.extended_code),
        };
        match code.code {
            ErrorCode::NotADatabase => Self::NotAStore { path: PathBuf::new() },
            ErrorCode::DatabaseCorrupt => Self::corrupt("the file", text()),
            ErrorCode::Unknown | ErrorCode::SchemaChanged | ErrorCode::TypeMismatch => {
                Self::corrupt("the tables", text())
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::ReadOnly => Self::ReadOnly { path: PathBuf::new() },
            ErrorCode::DiskFull => Self::Full,
            _ => Self::Io(text()),
        }
    }
}
