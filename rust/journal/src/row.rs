//! A run's row: reading it, its checksum, and its words.

use penstock_engine::{Durability, RUN_STATES, RunStatus};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::batch::{Head, NewRun};
use crate::checksum::Checksum;
use crate::error::StoreError;

/// A run as the table of runs has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its number in the store.
    pub run: u64,
    /// Its id.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's version.
    pub version: String,
    /// Digest of the workflow's graph, hex.
    pub graph: String,
    /// Where it is.
    pub status: RunStatus,
    /// Whose it is.
    pub tenant: Option<String>,
    /// Its priority, if it has one of its own.
    pub priority: Option<u8>,
    /// What is on disk before what.
    pub durability: Durability,
    /// When it was accepted.
    pub accepted_ns: u64,
    /// When it ended.
    pub ended_ns: Option<u64>,
    /// How often it was retried as a whole.
    pub generation: u32,
    /// How often the process went down under it.
    pub recoveries: u32,
    /// Why it is kept aside.
    pub held: Option<String>,
    /// The id of the run it was made from.
    pub parent: Option<String>,
    /// Hash of what it was started with, if its id was given by the user.
    pub fingerprint: Option<[u8; 32]>,
    /// What it is found by.
    pub tags: Vec<(String, String)>,
}

/// The columns that [`read`] reads, in its order.
macro_rules! columns {
    () => {
        "run, run_id, workflow, version, graph, status, tenant, priority, durability, accepted_at, \
         ended_at, generation, recoveries, held, parent, fingerprint, tags, crc"
    };
}

/// The columns that [`read`] reads, in its order.
pub(crate) const COLUMNS: &str = columns!();

/// One run's row by its number, for [`read`].
pub(crate) const BY_NUMBER: &str = concat!("SELECT ", columns!(), " FROM runs WHERE run = ?1");

/// One run's row by its id, for [`read`].
pub(crate) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM runs WHERE run_id = ?1");

/// Every run that has not ended, for [`read`].
pub(crate) const UNFINISHED: &str =
    concat!("SELECT ", columns!(), " FROM runs WHERE ended_at IS NULL ORDER BY run");

/// Every run, for [`read`].
pub(crate) const ALL: &str = concat!("SELECT ", columns!(), " FROM runs ORDER BY run");

impl From<&NewRun> for RunRow {
    fn from(new: &NewRun) -> Self {
        let new = new.clone();
        Self {
            run: new.run,
            run_id: new.run_id,
            workflow: new.workflow,
            version: new.version,
            graph: new.graph,
            status: RunStatus::Running,
            tenant: new.tenant,
            priority: new.priority,
            durability: new.durability,
            accepted_ns: new.accepted_ns,
            ended_ns: None,
            generation: new.generation,
            recoveries: 0,
            held: None,
            parent: new.parent,
            fingerprint: new.fingerprint,
            tags: new.tags,
        }
    }
}

impl RunRow {
    /// Makes a change; what it does not name stays.
    pub(crate) fn change(&mut self, head: &Head) {
        self.status = head.status;
        self.ended_ns = head.ended_ns;
        self.generation = head.generation.unwrap_or(self.generation);
        self.recoveries = head.recoveries.unwrap_or(self.recoveries);
        self.held.clone_from(&head.held);
    }

    /// The row's checksum, over its columns in the table's order; `tags` is that column.
    pub(crate) fn crc(&self, tags: Option<&str>, checksum: &mut Checksum) -> u32 {
        checksum
            .number(self.run)
            .text(&self.run_id)
            .text(&self.workflow)
            .text(&self.version)
            .text(&self.graph)
            .text(self.status.name())
            .bytes(self.tenant.as_deref().map(str::as_bytes))
            .number(self.priority.map(u64::from))
            .text(durability_name(self.durability))
            .number(self.accepted_ns)
            .number(self.ended_ns)
            .number(u64::from(self.generation))
            .number(u64::from(self.recoveries))
            .bytes(self.held.as_deref().map(str::as_bytes))
            .bytes(self.parent.as_deref().map(str::as_bytes))
            .bytes(self.fingerprint.as_ref().map(<[u8; 32]>::as_slice))
            .bytes(tags.map(str::as_bytes))
            .take()
    }
}

/// A row, its tags as they are written and the checksum it says it has.
pub(crate) fn read(row: &Row<'_>) -> Result<(RunRow, Option<String>, u32), StoreError> {
    let run = row.get::<_, i64>(0)?.cast_unsigned();
    read_columns(row, run).map_err(|why| StoreError::corrupt(place(run), why))
}

/// A row whose checksum is right.
pub(crate) fn read_checked(row: &Row<'_>, checksum: &mut Checksum) -> Result<RunRow, StoreError> {
    let (found, tags, crc) = read(row)?;
    if found.crc(tags.as_deref(), checksum) == crc {
        Ok(found)
    } else {
        Err(StoreError::corrupt(place(found.run), "its checksum is wrong"))
    }
}

fn place(run: u64) -> String {
    format!("runs run {run}")
}

fn read_columns(row: &Row<'_>, run: u64) -> Result<(RunRow, Option<String>, u32), String> {
    fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, index: usize) -> Result<T, String> {
        row.get(index).map_err(|error| error.to_string())
    }
    let time = |index| column::<Option<i64>>(row, index).map(|time| time.map(i64::cast_unsigned));
    let tags: Option<String> = column(row, 16)?;
    let fingerprint = match row.get_ref(15).map_err(|error| error.to_string())? {
        ValueRef::Null => None,
        ValueRef::Blob(bytes) => {
            Some(bytes.try_into().map_err(|_| "its fingerprint is not of 32 bytes".to_owned())?)
        }
        _ => return Err("its fingerprint is no blob".to_owned()),
    };
    let found = RunRow {
        run,
        run_id: column(row, 1)?,
        workflow: column(row, 2)?,
        version: column(row, 3)?,
        graph: column(row, 4)?,
        status: status(&column::<String>(row, 5)?)?,
        tenant: column(row, 6)?,
        priority: column(row, 7)?,
        durability: durability(&column::<String>(row, 8)?)?,
        accepted_ns: time(9)?.ok_or("it lacks the time it was accepted")?,
        ended_ns: time(10)?,
        generation: column(row, 11)?,
        recoveries: column(row, 12)?,
        held: column(row, 13)?,
        parent: column(row, 14)?,
        fingerprint,
        tags: tags.as_deref().map_or(Ok(Vec::new()), tags_of)?,
    };
    Ok((found, tags, column(row, 17)?))
}

/// The status that a word stands for.
pub fn status_named(name: &str) -> Option<RunStatus> {
    RUN_STATES.iter().copied().find(|status| status.name() == name)
}

fn status(name: &str) -> Result<RunStatus, String> {
    status_named(name).ok_or_else(|| format!("no status is {name:?}"))
}

/// The word for a durability.
pub(crate) const fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Sync => "sync",
        Durability::Async => "async",
        Durability::Exit => "exit",
    }
}

fn durability(name: &str) -> Result<Durability, String> {
    let all = [Durability::Sync, Durability::Async, Durability::Exit];
    let found = all.into_iter().find(|durability| durability_name(*durability) == name);
    found.ok_or_else(|| format!("no durability is {name:?}"))
}

/// Tags as a JSON object, in the order given; NULL for none.
pub(crate) fn tags_text(tags: &[(String, String)]) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let mut text = String::new();
    for (key, value) in tags {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&serde_json::Value::from(key.as_str()).to_string());
        text.push(':');
        text.push_str(&serde_json::Value::from(value.as_str()).to_string());
    }
    text.push('}');
    Some(text)
}

fn tags_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let tags: Pairs =
        serde_json::from_str(text).map_err(|error| format!("its tags can't be read: {error}"))?;
    Ok(tags.0)
}

/// A JSON object of texts in its order.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
