//! What the disk and SQLite take by themselves: the batches that a store was written in, replayed by a bare
//! loop with the same tables, indexes, pragmas and transactions.
//!
//! `recorded batches STORE COMMITS NEW`: COMMITS has the last lsn of each transaction, a line each. Prints the
//! seconds that writing them to NEW took, and how many rows of the journal it were.
//!
//! `recorded commits NEW`: for each number in a line of the input, makes so many transactions of one row, and
//! prints the nanoseconds of each in a line.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, Write};
use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, ToSql, Transaction, TransactionBehavior};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["batches", store, commits, new] => batches(store, commits, new),
        ["commits", new] => commits(new),
        _ => panic!("give `batches STORE COMMITS NEW` or `commits NEW`"),
    }
}

/// A row of a table, and the lsn with which it came.
type Row = (u64, Vec<Value>);

fn batches(store: &str, commits: &str, new: &str) {
    let old = Connection::open(store).unwrap();
    let text = std::fs::read_to_string(commits).unwrap();
    let ends: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    let journal = rows(&old, "SELECT lsn, * FROM journal ORDER BY lsn");
    // A run's row as it was accepted, with the lsn of its first record; and how it ended, with the last.
    let accepted = rows(
        &old,
        "SELECT (SELECT min(lsn) FROM journal j WHERE j.run = r.run) AS first, run, run_id, workflow, version,
            graph, 'running', tenant, priority, durability, accepted_at, NULL, generation, 0, NULL, parent,
            fingerprint, tags, crc FROM runs r ORDER BY first",
    );
    let ended = rows(
        &old,
        "SELECT lsn, r.run, r.status, r.ended_at, r.generation, r.recoveries, r.held, r.crc
         FROM journal j JOIN runs r ON r.run = j.run WHERE j.kind = 'ended' ORDER BY lsn",
    );
    let mut connection = open(new);
    let (mut journal, mut accepted, mut ended) =
        (journal.iter().peekable(), accepted.iter().peekable(), ended.iter().peekable());
    let begin = Instant::now();
    let mut written = 0;
    for &end in ends.iter().filter(|&&end| end > 0) {
        let upto = |row: &&Row| row.0 <= end;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let mut accept = transaction.prepare_cached(ACCEPT).unwrap();
        while let Some(row) = accepted.next_if(upto) {
            execute(&mut accept, row);
        }
        let mut insert = transaction.prepare_cached(INSERT).unwrap();
        while let Some(row) = journal.next_if(upto) {
            execute(&mut insert, row);
            written += 1;
        }
        let mut select = transaction.prepare_cached(SELECT).unwrap();
        let mut update = transaction.prepare_cached(UPDATE).unwrap();
        while let Some(row) = ended.next_if(upto) {
            // Who changes a row with a checksum has to read it first.
            let _: i64 = select.query_row([&row.1[0]], |found| found.get(16)).unwrap();
            execute(&mut update, row);
        }
        drop((accept, insert, select, update));
        transaction.commit().unwrap();
    }
    println!("{} {written}", begin.elapsed().as_secs_f64());
}

fn rows(connection: &Connection, sql: &str) -> Vec<Row> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let lsn: i64 = row.get(0)?;
        let values = (1..columns).map(|index| row.get(index)).collect::<Result<_, _>>()?;
        Ok((lsn.unsigned_abs(), values))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn execute(statement: &mut Statement<'_>, row: &Row) {
    for (index, value) in (1..).zip(&row.1) {
        statement.raw_bind_parameter(index, value as &dyn ToSql).unwrap();
    }
    statement.raw_execute().unwrap();
}

fn commits(new: &str) {
    let mut connection = open(new);
    let payload = format!("\"{}\"", "x".repeat(200));
    let mut lsn = 0_i64;
    for line in std::io::stdin().lock().lines() {
        let count: u32 = line.unwrap().trim().parse().unwrap();
        let mut took = Vec::new();
        for _ in 0..count {
            lsn += 1;
            let begin = Instant::now();
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
            one(&transaction, lsn, &payload);
            transaction.commit().unwrap();
            took.push(begin.elapsed().as_nanos().to_string());
        }
        println!("{}", took.join(" "));
        std::io::stdout().flush().unwrap();
    }
}

fn one(transaction: &Transaction<'_>, lsn: i64, payload: &str) {
    let row =
        (lsn, lsn / 7, lsn % 7, lsn, "done", 1, 1, "{\"started\":1795675002936157447}", payload);
    let mut insert = transaction
        .prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)")
        .unwrap();
    insert.execute(row).unwrap();
}

/// A new store, with everything that a store's writer sets.
fn open(path: &str) -> Connection {
    let options = penstock_journal::StoreOptions { sync: true, thread: false };
    let made = penstock_journal::SqliteStore::open(path.as_ref(), options).unwrap();
    drop(made);
    let connection = Connection::open(path).unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    let pragmas =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
        PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;
        PRAGMA cell_size_check = ON;";
    connection.execute_batch(pragmas).unwrap();
    connection
}

const ACCEPT: &str = "INSERT INTO runs VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
    ON CONFLICT(run) DO NOTHING";
const INSERT: &str = "INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT(lsn) DO NOTHING";
const SELECT: &str = "SELECT run, run_id, workflow, version, graph, status, tenant, priority, durability,
    accepted_at, ended_at, generation, recoveries, held, parent, fingerprint, crc FROM runs WHERE run = ?1";
const UPDATE: &str =
    "UPDATE runs SET status = ?2, ended_at = ?3, generation = ?4, recoveries = ?5, held = ?6,
    crc = ?7 WHERE run = ?1";
