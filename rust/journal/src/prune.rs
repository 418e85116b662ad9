//! Retention: which ended runs are to be forgotten, in slices that are deleted in one short transaction.

use std::path::Path;

use crate::batch::Batch;
use crate::error::StoreError;
use crate::reader::Reader;
use crate::sqlite::{SqliteStore, StoreOptions};
use crate::store::Store;

/// What is kept of ended runs; both parts must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those that ended at this time or later.
    pub ended_after_ns: Option<u64>,
    /// The last ones that ended, at most this many.
    pub ended_max: Option<u64>,
}

/// Rows of the journal that one slice deletes, unless a single run has more.
const SLICE_ROWS: u64 = 500;

impl Reader {
    /// The runs that are not kept, oldest first, in slices of at most 500 records: each is to be deleted
    /// by one [`Batch`]. O(runs).
    pub fn prunable(&self, retention: &Retention) -> Result<Vec<Vec<u64>>, StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut ended = transaction
            .prepare_cached("SELECT run, ended_at FROM runs WHERE ended_at IS NOT NULL")?
            .query_map([], |row| {
                let run = row.get::<_, i64>(0)?.cast_unsigned();
                Ok((row.get::<_, i64>(1)?.cast_unsigned(), run))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        ended.sort_unstable();
        let surplus = retention.ended_max.map_or(0, |max| {
            ended.len().saturating_sub(usize::try_from(max).unwrap_or(usize::MAX))
        });
        let expired = retention
            .ended_after_ns
            .map_or(0, |after| ended.partition_point(|(ended_ns, _)| *ended_ns < after));
        let mut count =
            transaction.prepare_cached("SELECT count(*) FROM journal WHERE run = ?1")?;
        let mut slices: Vec<Vec<u64>> = Vec::new();
        let mut room = 0;
        for (_, run) in &ended[..surplus.max(expired)] {
            let rows = count.query_row([run.cast_signed()], |row| row.get::<_, i64>(0))?;
            let rows = rows.unsigned_abs();
            match slices.last_mut() {
                Some(slice) if rows <= room => {
                    slice.push(*run);
                    room -= rows;
                }
                _ => {
                    slices.push(vec![*run]);
                    room = SLICE_ROWS.saturating_sub(rows);
                }
            }
        }
        Ok(slices)
    }
}

/// Deletes the runs that are not kept from a store that nobody owns; gives their number. One that is owned
/// is an error: its owner has to do it.
pub fn prune(path: &Path, retention: &Retention) -> Result<u64, StoreError> {
    let reader = Reader::open(path)?;
    let mut store = SqliteStore::open(path, StoreOptions { sync: true, thread: false })?;
    let mut runs = 0;
    for deleted in reader.prunable(retention)? {
        runs += deleted.len() as u64;
        store.commit(&Batch { deleted, ..Batch::default() })?;
        store.tend();
    }
    drop(reader);
    store.close()?;
    Ok(runs)
}
