//! Where records are kept. There is one store so far, in memory; those that outlive the process come with
//! the durable runs.
#![forbid(unsafe_code)]

mod entry;
mod id;
mod memory;

pub use entry::Entry;
pub use id::{Ids, RunId, Uuid};
pub use memory::{Limits, MemoryStore};
