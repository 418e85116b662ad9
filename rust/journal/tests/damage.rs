//! Whatever becomes of a store's bytes, opening, reading and verifying it gives what was written or says
//! where the damage is.

mod harness;

use std::path::Path;

use harness::{Folder, ended, started};
use penstock_journal::{Batch, Filter, Journal, Line, Note, Options, Reader, Rollup, StoreError};

const RUNS: u64 = 60;
const LAST: u64 = 2 * RUNS + RUNS / 3;

/// Figures of a window, and a note.
fn figures(window: u64) -> Batch {
    let row = Rollup {
        window_ns: window * 60_000_000_000,
        kind: "runs".to_owned(),
        key: r#"{"workflow":"triage"}"#.to_owned(),
        part: LAST,
        body: format!(r#"{{"accepted":1,"text":"{}"}}"#, "y".repeat(200)),
    };
    let note = Note {
        id: 0,
        key: format!("n-{window}"),
        kind: "score".to_owned(),
        name: format!("run-{window}"),
        at_ns: window,
        body: format!(r#"{{"value":{window},"text":"{}"}}"#, "z".repeat(200)),
    };
    Batch { rollups: vec![row], counted: Some(LAST), notes: vec![note], ..Batch::default() }
}

/// A store with everything moved out of the log, or with most of it still in there.
fn store(folder: &Folder, in_log: bool) {
    let options = Options { sync: false, inline: true, ..Options::default() };
    let journal = Journal::open(&folder.store(), options).expect("a store");
    // Before the records: that the end of a log is missing is told by them.
    for window in 0..40 {
        journal.submit(figures(window));
    }
    for run in 1..=RUNS {
        journal.submit(started(run));
    }
    for run in 1..=RUNS / 3 {
        journal.submit(ended(run, 2 * RUNS + run, 2));
    }
    assert_eq!(journal.synced(), LAST);
    if in_log {
        let copy = folder.path().join("copy");
        for end in ["", "-wal"] {
            let name = |path: &Path| format!("{}{end}", path.display());
            std::fs::copy(name(&folder.store()), name(&copy)).expect("a copy");
        }
        journal.close().expect("it closes");
        for end in ["", "-wal"] {
            let name = |path: &Path| format!("{}{end}", path.display());
            std::fs::rename(name(&copy), name(&folder.store())).expect("it is put back");
        }
    } else {
        journal.close().expect("it closes");
    }
}

/// A run with its records.
type Run = (u64, Vec<Line>);

/// Runs, figures and notes of a store.
type Content = (Vec<Run>, Vec<Rollup>, Vec<Note>);

/// Everything in a store, if it can be read; empty if verifying finds something.
fn content(path: &Path) -> Result<Content, StoreError> {
    let options = Options { sync: false, inline: true, acked_lsn: LAST, ..Options::default() };
    let journal = Journal::open(path, options)?;
    let reader = Reader::open(path)?;
    if let Some(problem) = reader.verify()?.first() {
        return Err(StoreError::Io(format!("verify: {problem}")));
    }
    let mut runs = Vec::new();
    for row in reader.runs(&Filter::default())? {
        runs.push((row.run, reader.lines(row.run)?));
    }
    let mut unfinished = 0;
    reader.unfinished(&mut |_, _| {
        unfinished += 1;
        Ok(())
    })?;
    assert_eq!(unfinished, RUNS - RUNS / 3);
    let figures = (reader.metrics(0, u64::MAX)?, reader.notes("score", None)?);
    drop(reader);
    journal.close()?;
    Ok((runs, figures.0, figures.1))
}

/// Changes a copy of a file in many ways; says how many were noticed.
fn damage(in_log: bool, end: &str, changes: &dyn Fn(usize) -> Vec<Change>) -> (usize, usize) {
    let folder = Folder::in_memory();
    store(&folder, in_log);
    let whole: Vec<_> = ["", "-wal"]
        .into_iter()
        .filter_map(|end| {
            let bytes = std::fs::read(format!("{}{end}", folder.store().display())).ok()?;
            Some((end, bytes))
        })
        .collect();
    let intact = content(&folder.store()).expect("it is intact");
    assert_eq!((intact.0.len() as u64, intact.1.len(), intact.2.len()), (RUNS, 40, 40));
    let length = whole.iter().find(|(other, _)| *other == end).map_or(0, |(_, bytes)| bytes.len());
    let (mut noticed, mut all) = (0, 0);
    for change in changes(length) {
        let target = Folder::in_memory();
        for (other, bytes) in &whole {
            let mut bytes = bytes.clone();
            if *other == end {
                change.apply(&mut bytes);
            }
            std::fs::write(format!("{}{other}", target.store().display()), bytes)
                .expect("it is written");
        }
        all += 1;
        match content(&target.store()) {
            Ok(found) => assert!(found == intact, "{change:?} went unnoticed"),
            Err(_) => noticed += 1,
        }
    }
    (noticed, all)
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Flip { at: usize, mask: u8 },
    Zero { at: usize, length: usize },
    Cut { at: usize },
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { at, mask } => bytes[at] ^= mask,
            Self::Zero { at, length } => {
                let end = (at + length).min(bytes.len());
                bytes[at..end].fill(0);
            }
            Self::Cut { at } => bytes.truncate(at),
        }
    }
}

/// Places all over a file: its beginning densely, the rest with a step that is prime.
fn places(length: usize, step: usize) -> impl Iterator<Item = usize> {
    (0..100.min(length)).chain((100..length).step_by(step))
}

#[test]
fn flipped_bytes_of_the_file_are_found() {
    let (noticed, all) = damage(false, "", &|length| {
        places(length, 307).map(|at| Change::Flip { at, mask: 1 << (at % 8) }).collect()
    });
    assert!(noticed > all / 3, "{noticed} of {all}");
}

#[test]
fn flipped_bytes_of_the_log_are_found() {
    let (noticed, all) = damage(true, "-wal", &|length| {
        places(length, 6_007).map(|at| Change::Flip { at, mask: 1 << (at % 8) }).collect()
    });
    assert!(noticed > all / 3, "{noticed} of {all}");
}

#[test]
fn what_is_cut_off_or_blanked_is_found() {
    let cuts = |step| move |length| places(length, step).map(|at| Change::Cut { at }).collect();
    let (noticed, all) = damage(false, "", &cuts(997));
    assert_eq!(noticed, all, "no end of the file is dispensable");
    let (noticed, all) = damage(true, "-wal", &cuts(8_209));
    assert!(noticed > all / 2, "{noticed} of {all}");
    let zeros = |length| {
        places(length, 1_021).map(|at| Change::Zero { at, length: 512 }).collect::<Vec<_>>()
    };
    let (noticed, all) = damage(false, "", &zeros);
    assert!(noticed > all / 2, "{noticed} of {all}");
}
