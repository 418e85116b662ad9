//! Where records are kept: in memory ([`MemoryStore`]), or in an SQLite file.
//!
//! A file has one owner, which writes it through a [`Journal`]; everybody may read it through a [`Reader`]
//! and leave commands for the owner. The format is described in docs/journal-format.md.
#![forbid(unsafe_code)]

mod batch;
mod checkpoint;
mod checksum;
mod connection;
mod entry;
mod error;
mod figures;
mod filter;
mod id;
mod line;
mod lock;
mod memory;
mod prune;
mod reader;
mod release;
mod row;
mod schema;
mod shared;
mod sqlite;
mod store;
mod verify;
mod wake;
mod worker;
mod write;
mod writer;

pub use batch::{Batch, Command, CommandDone, Head, Interface, NewRun, Note, Rollup};
pub use entry::{Entry, cause_word};
pub use error::StoreError;
pub use figures::Uncounted;
pub use filter::Filter;
pub use id::{Ids, RunId, Uuid};
pub use line::{INLINE_MAX, Line};
pub use lock::owner;
pub use memory::{Limits, MemoryStore};
pub use prune::{Retention, prune};
pub use reader::{NewCommand, Reader};
pub use release::release;
pub use row::{RunRow, status_named};
pub use schema::{APPLICATION_ID, VERSION};
pub use sqlite::{SqliteStore, StoreOptions};
pub use store::{Last, Store, Upkeep};
pub use writer::{Journal, OnSynced, Options};
