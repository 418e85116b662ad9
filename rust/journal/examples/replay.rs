//! What the journal costs above SQLite itself: the same batches committed by a bare loop with the same
//! tables, and through the journal; then how fast unfinished runs are read back.
//!
//! `cargo run --release -p penstock-journal --example replay [FOLDER]`
#![allow(missing_docs, clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use penstock_engine::{Body, Durability, Lsn, Place, Record, RunKey, RunStatus, ValueId};
use penstock_journal::{Batch, Head, Journal, Line, NewRun, Options, Reader};
use rusqlite::Connection;
use rusqlite::types::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Chains of five steps whose values are strings of 200 bytes.
const RUNS: u64 = 15_000;
const STEPS: u64 = 5;
const RUNS_PER_BATCH: u64 = 150;
const ROUNDS: usize = 5;
const SINGLE: u64 = 1_000;
const UNFINISHED: u64 = 100_000;

fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("penstock-replay-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(&folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn measure(folder: &Path) -> Outcome<()> {
    println!("release build: {}", !cfg!(debug_assertions));
    for sync in [true, false] {
        let (mut raw, mut journal, mut inline) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let store = |name: &str| folder.join(format!("{name}-{sync}-{round}.db"));
            journal.push(through_journal(&store("journal"), sync, false)?);
            raw.push(bare(&store("journal"), &store("raw"), sync)?);
            inline.push(through_journal(&store("inline"), sync, true)?);
        }
        let lines = (RUNS * (STEPS + 2)) as f64;
        for (name, times) in [("raw", &raw), ("journal", &journal), ("inline", &inline)] {
            let best = best(times);
            println!(
                "sync={sync} {name}: {:.0} ms, {:.0} lines/s, {:.2}x of raw",
                best * 1e3,
                lines / best,
                best / self::best(&raw)
            );
        }
    }
    single_commits(folder)?;
    recovery(folder)
}

fn best(times: &[Duration]) -> f64 {
    times.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
}

fn line(run: u64, seq: u64, of: u64, body: Body) -> Line {
    let lsn = (run - 1) * of + seq + 1;
    let record = Record {
        lsn: Lsn(lsn),
        run: RunKey(0),
        seq: seq as u32,
        at_ns: 1_700_000_000_000_000_000 + lsn,
        node: Place(if body.is_about_run() { 0 } else { seq as u32 }),
        attempt: u32::from(!body.is_about_run()),
        body,
    };
    Line::new(run, record)
}

fn accept(run: u64, of: u64) -> (NewRun, Line) {
    let new = NewRun {
        run,
        run_id: format!("0190a1b2-c3d4-7e5f-8a9b-{run:012x}"),
        workflow: "triage".to_owned(),
        version: "3".to_owned(),
        graph: "9f86d081884c7d659a2feaa0c55ad015".to_owned(),
        tenant: None,
        priority: None,
        durability: Durability::Sync,
        accepted_ns: 1_700_000_000_000_000_000,
        fingerprint: None,
        parent: None,
        tags: Vec::new(),
        generation: 0,
    };
    let accepted = Body::Accepted { priority: None, deadline_ns: u64::MAX };
    let mut first = line(run, 0, of, accepted);
    first.payload = Some(br#"{"ticket":12345}"#.to_vec().into());
    (new, first)
}

fn done(run: u64, seq: u64, of: u64) -> Line {
    let started_ns = 1_700_000_000_000_000_000;
    let mut line = line(run, seq, of, Body::Done { value: ValueId(0), started_ns, copy: false });
    line.payload = Some(format!("\"{}\"", "x".repeat(198)).into_bytes().into());
    line
}

fn batch(first: u64) -> Batch {
    let mut batch = Batch::default();
    let of = STEPS + 2;
    for run in first..first + RUNS_PER_BATCH {
        let (new, accepted) = accept(run, of);
        batch.accepts.push(new);
        batch.lines.push(accepted);
        batch.lines.extend((1..=STEPS).map(|seq| done(run, seq, of)));
        let status = RunStatus::Succeeded;
        batch.lines.push(line(run, STEPS + 1, of, Body::Ended { status }));
        let (ended_ns, held) = (Some(1_700_000_000_000_000_001), None);
        batch.heads.push(Head { run, status, ended_ns, generation: None, recoveries: None, held });
    }
    batch
}

/// The batches one after the other, each on disk before the next: no more is coalesced than in the raw loop.
fn through_journal(path: &Path, sync: bool, inline: bool) -> Outcome<Duration> {
    let journal = Journal::open(path, Options { sync, inline, ..Options::default() })?;
    let batches: Vec<_> = (1..=RUNS).step_by(RUNS_PER_BATCH as usize).map(batch).collect();
    let begun = Instant::now();
    for batch in batches {
        let lsn = batch.lsn();
        journal.submit(batch);
        if !journal.wait(lsn, Duration::from_secs(60))? {
            return Err(format!("not written: {:?}", journal.failure()).into());
        }
    }
    let taken = begun.elapsed();
    journal.close()?;
    Ok(taken)
}

/// The rows of a store written again by a loop that only binds and steps.
fn bare(from: &Path, path: &Path, sync: bool) -> Outcome<Duration> {
    Journal::open(path, Options::default())?.close()?;
    let source = Connection::open(from)?;
    let all = |sql: &str, columns: usize| -> Outcome<Vec<Vec<Value>>> {
        let mut statement = source.prepare(sql)?;
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect())?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let lines = all("SELECT * FROM journal ORDER BY lsn", 10)?;
    let runs = all("SELECT * FROM runs ORDER BY run", 18)?;
    let connection = Connection::open(path)?;
    connection.execute_batch(if sync {
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;"
    } else {
        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;"
    })?;
    let begun = Instant::now();
    let per_batch = RUNS_PER_BATCH as usize;
    for (runs, lines) in runs.chunks(per_batch).zip(lines.chunks(per_batch * (STEPS as usize + 2)))
    {
        let transaction = connection.unchecked_transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO runs VALUES (?1,?2,?3,?4,?5,'running',?7,?8,?9,?10,NULL,?12,?13,?14,?15,
                 ?16,?17,?18)",
            )?;
            for run in runs {
                for (at, value) in run.iter().enumerate().filter(|(at, _)| *at != 5 && *at != 10) {
                    insert.raw_bind_parameter(at + 1, value)?;
                }
                insert.raw_execute()?;
            }
            let mut insert = transaction
                .prepare_cached("INSERT INTO journal VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")?;
            for line in lines {
                for (at, value) in line.iter().enumerate() {
                    insert.raw_bind_parameter(at + 1, value)?;
                }
                insert.raw_execute()?;
            }
            let mut update = transaction.prepare_cached(
                "UPDATE runs SET status = ?2, ended_at = ?3, crc = ?4 WHERE run = ?1",
            )?;
            for run in runs {
                update.execute((&run[0], &run[5], &run[10], &run[17]))?;
            }
        }
        transaction.commit()?;
    }
    Ok(begun.elapsed())
}

/// One record a commit: what a caller waits for who is alone. The three take turns, so that they meet the
/// same disk.
fn single_commits(folder: &Path) -> Outcome<()> {
    let journal = |inline: bool| {
        let path = folder.join(format!("single-{inline}.db"));
        Journal::open(&path, Options { inline, ..Options::default() })
    };
    let (inline, thread) = (journal(true)?, journal(false)?);
    let raw = folder.join("single-raw.db");
    Journal::open(&raw, Options::default())?.close()?;
    let raw = Connection::open(raw)?;
    raw.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    let mut times = [(); 3].map(|()| Vec::new());
    for lsn in 1..=SINGLE {
        let begun = Instant::now();
        let transaction = raw.unchecked_transaction()?;
        let value = format!("\"{}\"", "x".repeat(198));
        let sql = "INSERT INTO journal VALUES (?1, 1, ?2, 1700000000000000000, 'done', 1, 1, '{}', ?3, 5)";
        transaction.prepare_cached(sql)?.execute((lsn.cast_signed(), lsn.cast_signed(), value))?;
        transaction.commit()?;
        times[0].push(begun.elapsed());
        for (times, journal) in times[1..].iter_mut().zip([&inline, &thread]) {
            let lines = vec![done(1, lsn - 1, 1_000_000)];
            let begun = Instant::now();
            journal.submit(Batch { lines, ..Batch::default() });
            journal.wait(lsn, Duration::from_secs(60))?;
            times.push(begun.elapsed());
        }
    }
    let mut p50 = [0.0; 3];
    for (p50, times) in p50.iter_mut().zip(&mut times) {
        times.sort_unstable();
        *p50 = times[times.len() / 2].as_secs_f64() * 1e6;
    }
    let [raw, inline_p50, thread_p50] = p50;
    println!(
        "single commit, p50: raw {raw:.0} µs, inline {:.2}x, through the thread {:.2}x",
        inline_p50 / raw,
        thread_p50 / raw
    );
    inline.close()?;
    thread.close()?;
    Ok(())
}

fn recovery(folder: &Path) -> Outcome<()> {
    let path = folder.join("unfinished.db");
    let journal = Journal::open(&path, Options { sync: false, ..Options::default() })?;
    for first in (1..=UNFINISHED).step_by(1_000) {
        let mut batch = Batch::default();
        for run in first..first + 1_000 {
            let (new, accepted) = accept(run, 5);
            batch.accepts.push(new);
            batch.lines.push(accepted);
            batch.lines.extend((1..5).map(|seq| done(run, seq, 5)));
        }
        journal.submit(batch);
    }
    journal.close()?;
    let journal = Journal::open(&path, Options::default())?;
    let begun = Instant::now();
    let reader = Reader::open(&path)?;
    let (mut runs, mut lines) = (0_usize, 0_usize);
    reader.unfinished(&mut |_, found| {
        runs += 1;
        lines += found.len();
        Ok(())
    })?;
    println!("recovery: {runs} runs, {lines} lines in {:?}", begun.elapsed());
    let begun = Instant::now();
    let problems = reader.verify()?;
    println!("verify: {} problems in {:?}", problems.len(), begun.elapsed());
    drop(reader);
    journal.close()?;
    Ok(())
}
