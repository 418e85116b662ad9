//! The rows of a batch: how each is written, and what happens where it is there already.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction};

use crate::batch::{Batch, CommandDone, Interface, NewRun, Note, Rollup};
use crate::checksum::Checksum;
use crate::error::StoreError;
use crate::line::Line;
use crate::row::{self, RunRow};

/// Buffers that are used again for each row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    body: String,
    checksum: Checksum,
}

/// Writes a batch into an open transaction, in the order of its fields. Rows that are there already, the
/// same ones, are left as they are.
pub(crate) fn write(
    transaction: &Transaction<'_>,
    batch: &Batch,
    scratch: &mut Scratch,
) -> Result<(), StoreError> {
    if !batch.accepts.is_empty() {
        accepts(transaction, &batch.accepts, scratch)?;
    }
    if !batch.lines.is_empty() {
        lines(transaction, &batch.lines, scratch)?;
    }
    if !batch.heads.is_empty() {
        heads(transaction, batch, scratch)?;
    }
    for interface in &batch.interfaces {
        insert_interface(transaction, interface)?;
    }
    for done in &batch.done {
        finish(transaction, done)?;
    }
    if !batch.rollups.is_empty() || !batch.outdated.is_empty() {
        rollups(transaction, batch)?;
    }
    if let Some(lsn) = batch.counted {
        set(transaction, "counted_lsn", &lsn.to_string())?;
    }
    for (key, value) in &batch.states {
        set(transaction, &format!("state {key}"), value)?;
    }
    for note in &batch.notes {
        insert_note(transaction, note)?;
    }
    if !batch.deleted.is_empty() {
        delete(transaction, &batch.deleted)?;
    }
    Ok(())
}

fn lines(connection: &Connection, lines: &[Line], scratch: &mut Scratch) -> Result<(), StoreError> {
    let Scratch { body, checksum } = scratch;
    let mut insert = connection.prepare_cached(
        "INSERT INTO journal(lsn, run, seq, at, kind, node, attempt, body, value, crc)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT(lsn) DO NOTHING",
    )?;
    for line in lines {
        line.write_body(body);
        let crc = line.crc(body, checksum);
        let record = &line.record;
        let inline = if line.is_large() { None } else { line.payload.as_deref() };
        insert.raw_bind_parameter(1, record.lsn.0.cast_signed())?;
        insert.raw_bind_parameter(2, line.run.cast_signed())?;
        insert.raw_bind_parameter(3, record.seq)?;
        insert.raw_bind_parameter(4, record.at_ns.cast_signed())?;
        insert.raw_bind_parameter(5, record.body.name())?;
        insert.raw_bind_parameter(6, line.node())?;
        insert.raw_bind_parameter(7, line.attempt())?;
        insert.raw_bind_parameter(8, (!body.is_empty()).then_some(body.as_str()))?;
        insert.raw_bind_parameter(9, text(inline))?;
        insert.raw_bind_parameter(10, crc)?;
        if insert.raw_execute()? == 0 {
            same_line(connection, line, crc)?;
        }
        if line.is_large() {
            insert_payload(connection, line)?;
        }
    }
    Ok(())
}

/// JSON text, without a check of what the caller has made.
fn text(bytes: Option<&[u8]>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(bytes.map_or(ValueRef::Null, ValueRef::Text))
}

fn insert_payload(connection: &Connection, line: &Line) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO payloads VALUES (?1, ?2) ON CONFLICT(lsn) DO NOTHING")?
        .execute((line.record.lsn.0.cast_signed(), line.payload.as_deref()))?;
    Ok(())
}

fn same_line(connection: &Connection, line: &Line, crc: u32) -> Result<(), StoreError> {
    let there: (i64, i64, u32) = connection
        .prepare_cached("SELECT run, seq, crc FROM journal WHERE lsn = ?1")?
        .query_row([line.record.lsn.0.cast_signed()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    if there == (line.run.cast_signed(), line.record.seq.into(), crc) {
        return Ok(());
    }
    let why = format!("there is another record already (run {}, seq {})", there.0, there.1);
    Err(StoreError::conflict(line.place(), why))
}

fn accepts(
    connection: &Connection,
    runs: &[NewRun],
    scratch: &mut Scratch,
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO runs(run, run_id, workflow, version, graph, status, tenant, priority, durability,
            accepted_at, ended_at, generation, recoveries, held, parent, fingerprint, tags, crc)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL, ?11, 0, NULL, ?12, ?13, ?14, ?15)
         ON CONFLICT(run) DO NOTHING",
    )?;
    let mut tag = connection
        .prepare_cached("INSERT INTO run_tags VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for new in runs {
        let row = RunRow::from(new);
        let tags = row::tags_text(&row.tags);
        let crc = row.crc(tags.as_deref(), &mut scratch.checksum);
        let inserted = insert.execute(rusqlite::params![
            new.run.cast_signed(),
            new.run_id,
            new.workflow,
            new.version,
            new.graph,
            row.status.name(),
            new.tenant,
            new.priority,
            row::durability_name(new.durability),
            new.accepted_ns.cast_signed(),
            new.generation,
            new.parent,
            new.fingerprint.as_ref().map(<[u8; 32]>::as_slice),
            tags,
            crc,
        ]);
        match inserted {
            Ok(0) => same_run(connection, new)?,
            Ok(_) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let place = format!("run {}", new.run);
                return Err(StoreError::conflict(
                    place,
                    format!("another run has its id {:?}", new.run_id),
                ));
            }
            Err(error) => return Err(error.into()),
        }
        for (key, value) in &new.tags {
            tag.execute((key, value, new.run.cast_signed()))?;
        }
    }
    Ok(())
}

fn same_run(connection: &Connection, new: &NewRun) -> Result<(), StoreError> {
    let there: (String, i64) = connection
        .prepare_cached("SELECT run_id, accepted_at FROM runs WHERE run = ?1")?
        .query_row([new.run.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if (there.0 == new.run_id) && there.1 == new.accepted_ns.cast_signed() {
        return Ok(());
    }
    let why = format!("its number belongs to run {:?}", there.0);
    Err(StoreError::conflict(format!("run {}", new.run), why))
}

fn heads(connection: &Connection, batch: &Batch, scratch: &mut Scratch) -> Result<(), StoreError> {
    let checksum = &mut scratch.checksum;
    let mut select = connection.prepare_cached(row::BY_NUMBER)?;
    let mut update = connection.prepare_cached(
        "UPDATE runs SET status = ?2, ended_at = ?3, generation = ?4, recoveries = ?5, held = ?6,
            crc = ?7
         WHERE run = ?1",
    )?;
    for head in &batch.heads {
        let mut rows = select.query([head.run.cast_signed()])?;
        let Some(found) = rows.next()? else {
            // Of a batch written again, a later part may have deleted the run.
            if batch.deleted.contains(&head.run) {
                continue;
            }
            let place = format!("the status of run {}", head.run);
            return Err(StoreError::conflict(place, "there is no such run"));
        };
        let (mut row, tags, crc) = row::read(found)?;
        drop(rows);
        // Damage of the row must be found later too, so a wrong checksum stays as wrong as it was.
        let damage = crc ^ row.crc(tags.as_deref(), checksum);
        row.change(head);
        let crc = row.crc(tags.as_deref(), checksum) ^ damage;
        update.execute(rusqlite::params![
            head.run.cast_signed(),
            row.status.name(),
            row.ended_ns.map(u64::cast_signed),
            row.generation,
            row.recoveries,
            row.held,
            crc,
        ])?;
    }
    Ok(())
}

fn insert_interface(connection: &Connection, interface: &Interface) -> Result<(), StoreError> {
    let Interface { kind, name, version, digest, content, at_ns } = interface;
    connection
        .prepare_cached(
            "INSERT INTO interfaces VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute((kind, name, version, digest, content, at_ns.cast_signed()))?;
    Ok(())
}

/// Sets a value of the store's own.
fn set(connection: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO meta VALUES (?1, ?2)
             ON CONFLICT(key) DO UPDATE SET value = excluded.value",
        )?
        .execute((key, value))?;
    Ok(())
}

fn rollups(connection: &Connection, batch: &Batch) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM metrics WHERE window = ?1 AND kind = ?2 AND key = ?3 AND part = ?4",
    )?;
    for (window_ns, kind, key, part) in &batch.outdated {
        delete.execute((window_ns.cast_signed(), kind, key, part.cast_signed()))?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO metrics VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET body = excluded.body, crc = excluded.crc",
    )?;
    for row in &batch.rollups {
        let crc = row.crc();
        let Rollup { window_ns, kind, key, part, body } = row;
        insert.execute((window_ns.cast_signed(), kind, key, part.cast_signed(), body, crc))?;
    }
    Ok(())
}

/// Sets a note down, unless there is one of its key.
pub(crate) fn insert_note(connection: &Connection, note: &Note) -> Result<(), StoreError> {
    let Note { key, kind, name, at_ns, body, .. } = note;
    connection
        .prepare_cached(
            "INSERT INTO notes(key, kind, name, at, body, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO NOTHING",
        )?
        .execute((key, kind, name, at_ns.cast_signed(), body, note.crc()))?;
    Ok(())
}

fn finish(connection: &Connection, done: &CommandDone) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE commands SET done_at = ?2, outcome = ?3 WHERE id = ?1 AND done_at IS NULL",
        )?
        .execute((done.id, done.at_ns.cast_signed(), &done.outcome))?;
    Ok(())
}

/// Forgets a run: what hangs on its rows comes before them.
const OF_RUN: [&str; 5] = [
    "DELETE FROM payloads WHERE lsn IN (SELECT lsn FROM journal WHERE run = ?1)",
    "DELETE FROM journal WHERE run = ?1",
    "DELETE FROM run_tags WHERE run = ?1",
    "DELETE FROM commands
     WHERE done_at IS NOT NULL AND run_id = (SELECT run_id FROM runs WHERE run = ?1)",
    "DELETE FROM runs WHERE run = ?1",
];

/// Forgets runs with all rows of theirs. The highest numbers stay known, so that none is used twice.
pub(crate) fn delete(connection: &Connection, runs: &[u64]) -> Result<(), StoreError> {
    let last = crate::sqlite::last(connection)?;
    let mut meta = connection.prepare_cached(
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
    )?;
    for (key, number) in [("last_lsn", last.lsn), ("last_run", last.run), ("last_at", last.at_ns)] {
        meta.execute((key, number.to_string()))?;
    }
    for sql in OF_RUN {
        let mut statement = connection.prepare_cached(sql)?;
        for run in runs {
            statement.execute([run.cast_signed()])?;
        }
    }
    Ok(())
}

/// A command's number and content, if its key is taken.
pub(crate) fn command_with_key(
    connection: &Connection,
    cmd: &str,
) -> Result<Option<(i64, String, String, String)>, StoreError> {
    let found = connection
        .prepare_cached("SELECT id, run_id, verb, args FROM commands WHERE cmd = ?1")?
        .query_row([cmd], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    Ok(found)
}
