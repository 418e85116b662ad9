//! Figures and notes: what a store keeps beside runs, and longer than them.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use crate::batch::{Note, Rollup};
use crate::checksum::Checksum;
use crate::error::StoreError;
use crate::reader::Reader;

/// Records that no figures had been taken of yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Runs that were accepted: the run, and when.
    pub accepted: Vec<(u64, u64)>,
    /// Runs that were over, in that order, with the record that says so: who was tried again is there again.
    pub ended: Vec<(u64, u64)>,
    /// What was spent: the run, when, units, nano-dollars if it has a price, and what.
    pub spent: Vec<(u64, u64, u64, Option<i64>, String)>,
}

impl Rollup {
    pub(crate) fn crc(&self) -> u32 {
        let Self { window_ns, kind, key, part, body } = self;
        let mut checksum = Checksum::default();
        checksum.number(*window_ns).text(kind).text(key).number(*part).text(body).take()
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let rollup = Self {
            window_ns: row.get::<_, i64>(0)?.cast_unsigned(),
            kind: row.get(1)?,
            key: row.get(2)?,
            part: row.get::<_, i64>(3)?.cast_unsigned(),
            body: row.get(4)?,
        };
        let place =
            || format!("metrics window {} {} {}", rollup.window_ns, rollup.kind, rollup.key);
        checked(rollup.crc(), row.get(5)?, place)?;
        Ok(rollup)
    }
}

impl Note {
    /// Its number is left out: the store gives it.
    pub(crate) fn crc(&self) -> u32 {
        let Self { key, kind, name, at_ns, body, .. } = self;
        Checksum::default().text(key).text(kind).text(name).number(*at_ns).text(body).take()
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let note = Self {
            id: row.get(0)?,
            key: row.get(1)?,
            kind: row.get(2)?,
            name: row.get(3)?,
            at_ns: row.get::<_, i64>(4)?.cast_unsigned(),
            body: row.get(5)?,
        };
        checked(note.crc(), row.get(6)?, || format!("notes id {}", note.id))?;
        Ok(note)
    }
}

fn checked(found: u32, said: u32, place: impl Fn() -> String) -> Result<(), StoreError> {
    if found == said { Ok(()) } else { Err(StoreError::corrupt(place(), "its checksum is wrong")) }
}

impl Reader {
    /// Figures of the windows that begin in `[since_ns, until_ns)`, in the order of their windows.
    pub fn metrics(&self, since_ns: u64, until_ns: u64) -> Result<Vec<Rollup>, StoreError> {
        let mut found = Vec::new();
        self.each_rollup((since_ns, until_ns), &mut |row| {
            found.push(row?);
            Ok(())
        })?;
        Ok(found)
    }

    /// When the first window begins that there are figures of.
    pub fn first_window(&self) -> Result<Option<u64>, StoreError> {
        if !has_table(&self.connection, "metrics")? {
            return Ok(None);
        }
        let mut statement = self.connection.prepare_cached("SELECT min(window) FROM metrics")?;
        let first: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(first.map(i64::cast_unsigned))
    }

    /// Every row of figures and every note is looked at; damage is told.
    pub(crate) fn verify_figures(
        &self,
        problem: &mut dyn FnMut(&StoreError),
    ) -> Result<(), StoreError> {
        self.each_rollup((0, u64::MAX), &mut |row| {
            row.as_ref().err().map(&mut *problem);
            Ok(())
        })?;
        if has_table(&self.connection, "notes")? {
            let mut statement = self
                .connection
                .prepare("SELECT id, key, kind, name, at, body, crc FROM notes ORDER BY id")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                Note::read(row).err().as_ref().map(&mut *problem);
            }
        }
        Ok(())
    }

    fn each_rollup(
        &self,
        (since_ns, until_ns): (u64, u64),
        visit: &mut dyn FnMut(Result<Rollup, StoreError>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if !has_table(&self.connection, "metrics")? {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT window, kind, key, part, body, crc FROM metrics
             WHERE window >= ?1 AND window < ?2",
        )?;
        let until = i64::try_from(until_ns).unwrap_or(i64::MAX);
        let mut rows = statement.query((since_ns.cast_signed(), until))?;
        while let Some(row) = rows.next()? {
            visit(Rollup::read(row))?;
        }
        Ok(())
    }

    /// Notes of a kind, of all or one name, in the order they were set down.
    pub fn notes(&self, kind: &str, name: Option<&str>) -> Result<Vec<Note>, StoreError> {
        if !has_table(&self.connection, "notes")? {
            return Ok(Vec::new());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT id, key, kind, name, at, body, crc FROM notes
             WHERE kind = ?1 AND (?2 IS NULL OR name = ?2) ORDER BY id",
        )?;
        let mut rows = statement.query((kind, name))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Note::read(row)?);
        }
        Ok(found)
    }

    /// Sets a note down, from whatever process; nothing where there is one of its key.
    pub fn note(&mut self, note: &Note) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        crate::write::insert_note(&transaction, note)?;
        transaction.commit()?;
        Ok(())
    }

    /// What was kept last under a key of [`crate::Batch::states`].
    pub fn state(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT value FROM meta WHERE key = 'state ' || ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Records that no figures were taken of. O(records since).
    pub fn uncounted(&self) -> Result<Uncounted, StoreError> {
        let counted: Option<String> = self
            .connection
            .prepare_cached("SELECT value FROM meta WHERE key = 'counted_lsn'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let counted: i64 = counted.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut statement = self.connection.prepare_cached(
            "SELECT run, at, kind, body, lsn FROM journal
             WHERE lsn > ?1 AND kind IN ('accepted', 'spent', 'ended') ORDER BY lsn",
        )?;
        let mut rows = statement.query([counted])?;
        let mut found = Uncounted::default();
        while let Some(row) = rows.next()? {
            let run = row.get::<_, i64>(0)?.cast_unsigned();
            let at_ns = row.get::<_, i64>(1)?.cast_unsigned();
            let kind: String = row.get(2)?;
            let fields = || -> Result<serde_json::Value, StoreError> {
                let body: String = row.get(3)?;
                serde_json::from_str(&body).map_err(|why| {
                    StoreError::corrupt(format!("the {kind} record of run {run}"), why.to_string())
                })
            };
            match kind.as_str() {
                "accepted" => found.accepted.push((run, at_ns)),
                // It can still be repaired, and is over then.
                "ended" if fields()?["status"] == "compensation_failed" => {}
                "ended" => found.ended.push((run, row.get::<_, i64>(4)?.cast_unsigned())),
                _ => {
                    let fields = fields()?;
                    let units = fields["units"].as_u64().unwrap_or(0);
                    let what = fields["facts"].to_string();
                    found.spent.push((run, at_ns, units, fields["nanos"].as_i64(), what));
                }
            }
        }
        Ok(found)
    }
}

fn has_table(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let found = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?
        .exists([name])?;
    Ok(found)
}
