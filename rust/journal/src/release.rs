//! Lets go of a run that is kept aside, in a store that nobody owns.

use std::path::Path;

use penstock_engine::RunStatus;

use crate::batch::{Batch, Head};
use crate::error::StoreError;
use crate::reader::Reader;
use crate::row::RunRow;
use crate::sqlite::{SqliteStore, StoreOptions};
use crate::store::Store;

impl Head {
    /// What makes a run that is held one that goes on when its store is opened next.
    pub fn released(row: &RunRow) -> Self {
        Self {
            run: row.run,
            status: RunStatus::Running,
            ended_ns: None,
            generation: None,
            recoveries: Some(0),
            held: None,
        }
    }
}

/// Has a run that is held go on when the store is opened next; false if it is not held. A store that is
/// owned is an error: its owner has to do it.
pub fn release(path: &Path, run_id: &str) -> Result<bool, StoreError> {
    let reader = Reader::open(path)?;
    let mut store = SqliteStore::open(path, StoreOptions { sync: true, thread: false })?;
    let row = reader.run(run_id)?.filter(|row| row.status == RunStatus::Held);
    if let Some(row) = &row {
        store.commit(&Batch { heads: vec![Head::released(row)], ..Batch::default() })?;
    }
    drop(reader);
    store.close()?;
    Ok(row.is_some())
}
