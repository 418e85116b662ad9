//! A store over time: what is no longer kept goes, what is damaged is named, and the log stays short.

mod harness;

use std::time::Duration;

use harness::{Folder, ended, every_kind, new_run, open, started};
use penstock_engine::Durability;
use penstock_journal::{
    Batch, CommandDone, Filter, Journal, NewCommand, Options, Reader, Retention, StoreError, prune,
};
use rusqlite::Connection;

const SOON: Duration = Duration::from_secs(20);
const BEGIN: u64 = 1_700_000_000_000_000_000;

/// Twenty runs, of which the first ten ended at `BEGIN + 41` and the nine next nanoseconds.
fn fill(journal: &Journal) {
    for run in 1..=20 {
        journal.submit(started(run));
    }
    for run in 1..=10 {
        journal.submit(ended(run, 40 + run, 2));
    }
    assert!(journal.flush(SOON).expect("it lives"));
}

fn runs(reader: &Reader) -> Vec<u64> {
    let rows = reader.runs(&Filter::default()).expect("they read");
    rows.iter().rev().map(|row| row.run).collect()
}

#[test]
fn the_owner_forgets_what_is_not_kept_slice_by_slice() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    fill(&journal);
    let reader = Reader::open(&folder.store()).expect("a reader");
    let command =
        NewCommand { cmd: "c", run_id: "run-2", verb: "pause", args: "{}", actor: "ops", at_ns: 1 };
    let id = reader.command(&command).expect("it is left");
    let done = CommandDone { id, at_ns: 2, outcome: "done".to_owned() };
    journal.submit(Batch { done: vec![done], ..Batch::default() });
    let nothing = Retention::default();
    assert_eq!(reader.prunable(&nothing), Ok(vec![]));
    let four = Retention { ended_max: Some(6), ..nothing };
    assert_eq!(reader.prunable(&four), Ok(vec![vec![1, 2, 3, 4]]));
    let five = Retention { ended_after_ns: Some(BEGIN + 46), ..four };
    let slices = reader.prunable(&five).expect("they read");
    assert_eq!(slices, [[1, 2, 3, 4, 5]]);
    for deleted in slices {
        journal.submit(Batch { deleted, ..Batch::default() });
    }
    assert!(journal.flush(SOON).expect("it lives"));
    assert_eq!(runs(&reader), (6..=20).collect::<Vec<_>>());
    assert_eq!((reader.lines(2), reader.outcome(id)), (Ok(vec![]), Ok(None)));
    assert_eq!(reader.verify(), Ok(vec![]));
}

#[test]
fn a_slice_is_of_500_records_or_one_run() {
    let folder = Folder::new();
    let options = Options { sync: false, inline: true, ..Options::default() };
    let journal = Journal::open(&folder.store(), options).expect("a store");
    let mut lsn = 1;
    let mut add = |run: u64, rows: u32| {
        let mut batch = Batch { accepts: vec![new_run(run)], ..Batch::default() };
        for seq in 0..rows {
            let mut line = started(run).lines.swap_remove(usize::from(seq > 0));
            (line.record.lsn.0, line.record.seq) = (lsn, seq);
            batch.lines.push(line);
            lsn += 1;
        }
        batch.heads = ended(run, lsn, 0).heads;
        journal.submit(batch);
    };
    for (run, rows) in (1..).zip([300, 200, 1, 900, 499, 1, 1]) {
        add(run, rows);
    }
    assert_eq!(journal.failure(), None);
    let reader = Reader::open(&folder.store()).expect("a reader");
    let all = Retention { ended_max: Some(0), ended_after_ns: None };
    let slices: Vec<Vec<u64>> = vec![vec![1, 2], vec![3], vec![4], vec![5, 6], vec![7]];
    assert_eq!(reader.prunable(&all), Ok(slices));
}

#[test]
fn a_store_without_an_owner_can_be_pruned_by_anybody() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    fill(&journal);
    let three = Retention { ended_max: Some(7), ended_after_ns: None };
    assert!(matches!(prune(&folder.store(), &three), Err(StoreError::Locked { .. })));
    journal.close().expect("it closes");
    assert_eq!(prune(&folder.store(), &three), Ok(3));
    assert_eq!(prune(&folder.store(), &three), Ok(0));
    let reader = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(runs(&reader), (4..=20).collect::<Vec<_>>());
}

#[test]
fn verifying_names_every_place() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    fill(&journal);
    let mut large = every_kind(21, 60);
    large.lines[10].payload = Some(format!("\"{}\"", "z".repeat(20_000)).into_bytes().into());
    journal.submit(large);
    journal.close().expect("it closes");
    Connection::open(folder.store())
        .and_then(|store| {
            store.execute_batch(
                "UPDATE journal SET value = '1' WHERE lsn = 2;
                 DELETE FROM journal WHERE run = 2 AND seq = 1;
                 UPDATE journal SET kind = 'moved' WHERE lsn = 5;
                 UPDATE runs SET status = 'failed' WHERE run = 4;
                 DELETE FROM run_tags WHERE run = 5;
                 DELETE FROM runs WHERE run = 6;
                 DELETE FROM payloads;
                 DELETE FROM journal WHERE run = 7;",
            )
        })
        .expect("damage");
    let reader = Reader::open(&folder.store()).expect("a reader");
    let found = reader.verify().expect("it reads");
    let expected = [
        "journal lsn 2 (run 1, seq 1): its checksum is wrong",
        "journal lsn 42 (run 2, seq 2): record 1 of the run is not there",
        "journal lsn 5 (run 3, seq 0): its checksum is wrong",
        "runs run 4: its checksum is wrong",
        "run_tags run 5: they are not the tags in its row",
        "runs run 7: none of its records is there",
        "journal lsn 70 (run 21, seq 10): its payload of 20002 bytes is not there",
        "journal 11: there is no run 6",
        "journal 12: there is no run 6",
        "journal 46: there is no run 6",
        "run_tags 6: there is no run 6",
    ];
    assert_eq!(found, expected);
    // Reading says the same of what it meets.
    assert!(matches!(reader.lines(1), Err(StoreError::Corrupt { place, .. })
        if place == "journal lsn 2 (run 1, seq 1)"));
    assert!(reader.lines(2).is_err() && reader.run("run-4").is_err() && reader.lines(21).is_err());
    assert!(reader.runs(&Filter::default()).is_err());
    assert_eq!(reader.lines(10).map(|lines| lines.len()), Ok(3));
}

#[test]
fn an_update_does_not_cover_up_a_damaged_row() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    fill(&journal);
    journal.close().expect("it closes");
    Connection::open(folder.store())
        .and_then(|store| store.execute("UPDATE runs SET workflow = 'x' WHERE run = 11", []))
        .expect("damage");
    let journal = open(&folder.store());
    journal.submit(ended(11, 51, 2));
    assert!(journal.flush(SOON).expect("it lives"));
    let reader = Reader::open(&folder.store()).expect("a reader");
    assert!(reader.run("run-11").is_err());
}

#[test]
fn a_run_whose_results_are_not_written_may_have_gaps() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    let mut batch = started(1);
    batch.lines.pop();
    batch.accepts[0].durability = Durability::Exit;
    journal.submit(batch);
    journal.submit(ended(1, 9, 7));
    assert!(journal.flush(SOON).expect("it lives"));
    let reader = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(reader.lines(1).map(|lines| lines.len()), Ok(2));
    assert_eq!(reader.verify(), Ok(vec![]));
}

#[test]
fn the_log_is_moved_while_it_is_written_to() {
    // Without that it had grown to 600 MB in six seconds.
    let folder = Folder::in_memory();
    let options = Options { sync: false, ..Options::default() };
    let journal = Journal::open(&folder.store(), options).expect("a store");
    let mut highest = 0;
    for run in 1..=4_000 {
        let mut batch = started(run);
        batch.lines[1].payload = Some(vec![b'7'; 16_000].into());
        journal.submit(batch);
        if run % 50 == 0 {
            assert!(journal.flush(SOON).expect("it lives"));
            highest = highest.max(journal.wal_bytes());
        }
    }
    let written = 4_000 * 16_000;
    let log = std::fs::metadata(format!("{}-wal", folder.store().display())).expect("a log");
    assert!(highest > 32 << 20, "it was never long: {highest}");
    // How much is written meanwhile depends on the machine; it starts anew at all.
    assert!(log.len() < written, "{} bytes of {written}", log.len());
    assert_eq!(journal.warning(), None);
    journal.close().expect("it closes");
}
