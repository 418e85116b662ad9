//! How SQLite is opened: flags, pragmas, and patience with other processes.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

/// How often a connection asks again for a lock that another one has, each time after 0.5 ms. SQLite's own
/// pauses grow, and starve whoever waits beside a busy writer.
#[derive(Clone, Debug)]
pub(crate) struct Patience(Arc<AtomicU32>);

const PAUSE: Duration = Duration::from_micros(500);

impl Patience {
    pub(crate) fn set(&self, tries: u32) {
        self.0.store(tries, Relaxed);
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Writing, and making the file if it is not there.
    Create,
    /// Reading, and writing if the file can be written to.
    Existing,
    /// Reading a file that nobody can write to.
    Frozen,
}

/// Opens a connection; `tries` is its patience.
pub(crate) fn open(
    path: &Path,
    access: Access,
    tries: u32,
) -> Result<(Connection, Patience), StoreError> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags |= match access {
        Access::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Existing => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Frozen => OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    };
    let connection = if access == Access::Frozen {
        Connection::open_with_flags(frozen_uri(path), flags)
    } else {
        Connection::open_with_flags(path, flags)
    };
    let mut connection = connection.map_err(|error| StoreError::from(error).at(path))?;
    let patience = Patience(Arc::new(AtomicU32::new(tries)));
    let left = patience.clone();
    connection.busy_handler(Some(move |asked: i32| {
        let again = asked.cast_unsigned() < left.0.load(Relaxed);
        if again {
            std::thread::sleep(PAUSE);
        }
        again
    }))?;
    connection.set_prepared_statement_cache_capacity(64);
    // A file that was tampered with must not run functions, and its damage is to be found early.
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
        .map_err(|error| StoreError::from(error).at(path))?;
    Ok((connection, patience))
}

fn frozen_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            // Writing to a string can't fail.
            _ => drop(write!(uri, "%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}
