//! The power goes at every write and every sync of a store, and each of these fails in turn: what is there
//! afterwards is what the first so many batches make, among them all that were acknowledged.

mod disk;
#[path = "../harness/mod.rs"]
mod harness;
mod vfs;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use disk::{Disk, Image, Rest};
use harness::{Folder, ended, every_kind, started};
use penstock_engine::RunStatus;
use penstock_journal::{Batch, Filter, Journal, Line, Options, Reader};
use vfs::{Fault, Op};

/// There is one recorder in the process.
static ONE: Mutex<()> = Mutex::new(());

/// The batches: runs that start and end, payloads of all sizes, and runs that are forgotten again.
fn batches() -> Vec<Batch> {
    let mut batches: Vec<_> = (1..=6).map(started).collect();
    let mut large = started(7);
    large.lines[1].payload = Some(format!("\"{}\"", "z".repeat(30_000)).into_bytes().into());
    batches.push(large);
    let mut lsn = 14;
    for run in [2, 4, 7] {
        lsn += 1;
        batches.push(ended(run, lsn, 2));
    }
    batches.push(Batch { deleted: vec![2, 7], ..Batch::default() });
    let every_kind = every_kind(8, lsn + 1);
    lsn += every_kind.lines.len() as u64;
    batches.push(every_kind);
    let mut both = ended(1, lsn + 1, 2);
    both.deleted = vec![4];
    batches.push(both);
    batches.push(ended(3, lsn + 2, 2));
    batches
}

/// What a store holds: each run's status and records.
type State = BTreeMap<u64, (RunStatus, Vec<Line>)>;

/// The state after each number of batches.
fn states(batches: &[Batch]) -> Vec<State> {
    let mut state = State::new();
    let mut states = vec![state.clone()];
    for batch in batches {
        for run in &batch.accepts {
            state.insert(run.run, (RunStatus::Running, Vec::new()));
        }
        for line in &batch.lines {
            state.get_mut(&line.run).expect("it was accepted").1.push(line.clone());
        }
        for head in &batch.heads {
            state.get_mut(&head.run).expect("it was accepted").0 = head.status;
        }
        for run in &batch.deleted {
            state.remove(run);
        }
        states.push(state.clone());
    }
    states
}

fn open(store: &Path, sync: bool, acked_lsn: u64) -> Result<Journal, penstock_journal::StoreError> {
    let close_within = Duration::ZERO;
    let options = Options { sync, inline: true, acked_lsn, close_within, ..Options::default() };
    Journal::open(store, options)
}

/// Writes the batches with checkpoints and a restart in between; gives what happened to the files. After
/// a fault it goes on as the runtime does.
fn run(folder: &Folder, fault: Option<Fault>) -> (Vec<Op>, usize, usize) {
    let store = std::fs::canonicalize(folder.path()).expect("it is there").join("runs.db");
    vfs::record(store.to_str().expect("a plain name"), fault);
    let patient = || {
        let mut tries = (0..5).map(|_| open(&store, true, 0));
        tries.find_map(Result::ok).expect("one fault is over by then")
    };
    let mut journal = patient();
    let checkpoint = |mode: &str| {
        let other = rusqlite::Connection::open(&store).expect("it opens");
        // One that fails leaves the log as it is.
        let _ = other.execute_batch(&format!("PRAGMA wal_checkpoint({mode})"));
    };
    for (at, batch) in batches().into_iter().enumerate() {
        match at {
            3 => checkpoint("PASSIVE"),
            5 => checkpoint("RESTART"),
            8 => {
                // What can't be moved at the end is still in the log.
                let _ = journal.close();
                journal = patient();
            }
            11 => checkpoint("TRUNCATE"),
            _ => {}
        }
        journal.submit(batch);
        let is_written = (0..5).any(|_| journal.flush(Duration::ZERO) == Ok(true));
        assert!(is_written, "{fault:?} at batch {at}: {:?}", journal.failure());
        vfs::acked(at + 1);
    }
    let _ = journal.close();
    vfs::recorded()
}

/// What can be read from an image; it must be whole.
fn content(image: &Image, acked_lsn: u64, what: &dyn Fn() -> String) -> State {
    let folder = Folder::in_memory();
    disk::write(image, &folder.store());
    let journal = open(&folder.store(), false, acked_lsn)
        .unwrap_or_else(|error| panic!("{}: {error}", what()));
    let reader = Reader::open(&folder.store()).expect("it is open already");
    assert_eq!(reader.verify(), Ok(vec![]), "{}", what());
    let rows = reader.runs(&Filter::default()).expect("they read");
    let state = rows
        .iter()
        .map(|row| (row.run, (row.status, reader.lines(row.run).expect("they read"))))
        .collect();
    drop(reader);
    journal.close().expect("it closes");
    state
}

/// Looks at what power cuts leave along a recording: after the steps that `at` names.
struct Checker {
    states: Vec<State>,
    lsns: Vec<u64>,
    seen: HashSet<u64>,
}

impl Checker {
    fn new() -> Self {
        let batches = batches();
        let mut lsns = vec![0];
        for batch in &batches {
            lsns.push(batch.lsn().max(lsns[lsns.len() - 1]));
        }
        Self { states: states(&batches), lsns, seen: HashSet::new() }
    }

    fn check(&mut self, disk: &Disk, rest: Rest, what: &dyn Fn() -> String) {
        let image = disk.image(rest);
        let mut hasher = DefaultHasher::new();
        (&image, disk.acked).hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return;
        }
        let what = || format!("{}, the rest {rest:?}, {} acknowledged", what(), disk.acked);
        let state = content(&image, self.lsns[disk.acked], &what);
        let is_prefix = self.states[disk.acked..].contains(&state);
        assert!(is_prefix, "{}: it holds {:?}", what(), state.keys());
    }
}

#[test]
fn after_a_power_cut_at_any_moment_the_first_batches_are_there() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (ops, syncs, writes) = run(&Folder::in_memory(), None);
    assert!(syncs > 20 && writes > 100, "{syncs} syncs, {writes} writes");
    let mut checker = Checker::new();
    let mut disk = Disk::default();
    for (at, op) in ops.iter().enumerate() {
        disk.apply(op);
        let seed = at as u64;
        for rest in [Rest::Lost, Rest::Kept, Rest::Torn, Rest::Sectors(seed), Rest::Sectors(!seed)]
        {
            checker.check(&disk, rest, &|| format!("after step {at}"));
        }
    }
    assert!(checker.seen.len() > 500, "{} states of the disk", checker.seen.len());
}

#[test]
fn what_a_new_owner_finds_is_on_disk_before_it_relies_on_it() {
    // A killed process leaves what it wrote to the system, synced or not. The next owner took that for
    // what was on disk, and a power cut then took it back.
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (ops, ..) = run(&Folder::in_memory(), None);
    let mut checker = Checker::new();
    let mut before = Disk::default();
    for (at, op) in ops.iter().enumerate() {
        before.apply(op);
        let folder = Folder::in_memory();
        let store = std::fs::canonicalize(folder.path()).expect("it is there").join("runs.db");
        let image = before.image(Rest::Kept);
        if image.values().all(Vec::is_empty) {
            continue;
        }
        disk::write(&image, &store);
        vfs::record(store.to_str().expect("a plain name"), None);
        let journal = open(&store, true, 0).expect("it opens");
        let found = journal.last_lsn();
        let (opening, ..) = vfs::recorded();
        drop(journal);
        let mut disk = before.clone();
        for op in &opening {
            disk.apply(op);
        }
        disk.acked = checker.lsns.iter().position(|lsn| *lsn == found).expect("of some batch");
        checker.check(&disk, Rest::Lost, &|| format!("after step {at} and a new owner"));
    }
}

#[test]
fn when_any_sync_fails_nothing_is_acknowledged_that_is_not_on_disk() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, syncs, _) = run(&Folder::in_memory(), None);
    let mut checker = Checker::new();
    for nth in 0..syncs {
        check_acknowledged(&mut checker, Fault::Sync(nth));
        check_acknowledged(&mut checker, Fault::ThreeSyncs(nth));
    }
}

#[test]
fn when_any_write_fails_nothing_is_acknowledged_that_is_not_on_disk() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, _, writes) = run(&Folder::in_memory(), None);
    let mut checker = Checker::new();
    for nth in 0..writes {
        let fault = if nth % 2 == 0 { Fault::WriteFull(nth) } else { Fault::WriteTorn(nth) };
        check_acknowledged(&mut checker, fault);
    }
}

/// A power cut after acknowledgements that follow a fault: thoroughly after the first one.
fn check_acknowledged(checker: &mut Checker, fault: Fault) {
    let (ops, ..) = run(&Folder::in_memory(), Some(fault));
    let mut disk = Disk::default();
    let mut since = None;
    for op in &ops {
        disk.apply(op);
        match (op, &mut since) {
            (Op::SyncFailed { .. } | Op::WriteFailed, _) => since = Some(0),
            (Op::Acked(_), Some(since)) => {
                *since += 1;
                let all = [Rest::Lost, Rest::Kept, Rest::Sectors(disk.acked as u64)];
                let rests = if *since == 1 { &all[..] } else { &all[..1] };
                if *since < 4 {
                    for rest in rests {
                        checker.check(&disk, *rest, &|| format!("{fault:?}"));
                    }
                }
            }
            _ => {}
        }
    }
}
