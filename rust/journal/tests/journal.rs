//! What is handed to the journal is in the store, once, in order, for one owner at a time.

mod harness;

use std::time::Duration;

use harness::{Folder, ended, new_run, open, started};
use penstock_engine::RunStatus;
use penstock_journal::{
    Batch, CommandDone, Filter, Head, Interface, Journal, NewCommand, Options, Reader, StoreError,
};

const SOON: Duration = Duration::from_secs(20);

/// The journal is shared by threads; a reader goes from one to another.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn sent<T: Send>() {}
    shared::<Journal>();
    sent::<Reader>();
};

#[test]
fn what_was_committed_is_there_after_reopening() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    assert_eq!((journal.last_lsn(), journal.last_run(), journal.last_at_ns()), (0, 0, 0));
    for run in 1..=50 {
        journal.submit(started(run));
    }
    journal.submit(ended(50, 101, 2));
    assert!(journal.wait(101, SOON).expect("it lives"));
    assert_eq!((journal.synced(), journal.is_ahead(), journal.backlog()), (101, false, (0, 0)));
    journal.close().expect("it closes");

    let journal = open(&folder.store());
    assert_eq!((journal.last_lsn(), journal.last_run()), (101, 50));
    assert_eq!(journal.last_at_ns(), 1_700_000_000_000_000_101);
    let reader = Reader::open(&folder.store()).expect("a reader");
    let mut expected = started(50).lines;
    expected.extend(ended(50, 101, 2).lines);
    assert_eq!(reader.lines(50).expect("they read"), expected);
    let row = reader.run("run-50").expect("it reads").expect("it is there");
    assert_eq!((row.status, row.ended_ns), (RunStatus::Succeeded, Some(expected[2].record.at_ns)));
    assert_eq!((row.tags, row.parent.as_deref()), (new_run(50).tags, Some("run-1")));
    let mut unfinished = 0;
    reader
        .unfinished(&mut |row, lines| {
            unfinished += 1;
            assert_eq!((row.run, lines), (unfinished, started(unfinished).lines));
            Ok(())
        })
        .expect("they read");
    assert_eq!(unfinished, 49);
    assert_eq!(
        reader.counts().expect("they read"),
        [("running".to_owned(), 49), ("succeeded".to_owned(), 1)]
    );
    assert_eq!(reader.verify().expect("it reads"), [""; 0]);
}

#[test]
fn the_same_batch_twice_changes_nothing_and_another_one_in_its_place_is_refused() {
    let folder = Folder::new();
    let journal = Journal::open(&folder.store(), Options { inline: true, ..Options::default() })
        .expect("the store opens");
    journal.submit(started(1));
    journal.submit(started(1));
    assert_eq!((journal.failure(), journal.synced()), (None, 2));
    let mut other = started(1);
    other.accepts.clear();
    other.lines[1].payload = Some(b"2".to_vec().into());
    journal.submit(other);
    let failure = journal.failure().expect("a contradiction");
    assert!(failure.contains("journal lsn 2 (run 1, seq 1)"), "{failure}");
}

#[test]
fn a_second_owner_is_refused_until_the_first_lets_go() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    let refused = Journal::open(&folder.store(), Options::default()).expect_err("one owner");
    let path = std::fs::canonicalize(folder.store()).expect("it is there");
    assert_eq!(refused, StoreError::Locked { path, pid: Some(std::process::id()) });
    assert_eq!(penstock_journal::owner(&folder.store()), Some(Some(std::process::id())));
    drop(journal);
    assert_eq!(penstock_journal::owner(&folder.store()), None);
    open(&folder.store());
}

#[test]
fn a_command_reaches_the_owner_once_and_its_outcome_comes_back() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    journal.submit(started(1));
    assert!(journal.flush(SOON).expect("it lives"));
    let reader = Reader::open(&folder.store()).expect("a reader");
    let pause = NewCommand {
        cmd: "c1",
        run_id: "run-1",
        verb: "pause",
        args: "{}",
        actor: "ops",
        at_ns: 9,
    };
    let id = reader.command(&pause).expect("it is left");
    assert_eq!(reader.command(&pause), Ok(id), "the same key is the same command");
    let other = NewCommand { verb: "cancel", ..pause };
    assert!(matches!(reader.command(&other), Err(StoreError::Conflict { .. })));
    let commands = commands(&journal);
    assert_eq!(commands.len(), 1);
    assert_eq!((commands[0].id, commands[0].verb.as_str()), (id, "pause"));
    assert_eq!(reader.outcome(id), Ok(None));
    let done = CommandDone { id, at_ns: 10, outcome: "done".to_owned() };
    journal.submit(Batch { done: vec![done], ..Batch::default() });
    assert!(journal.flush(SOON).expect("it lives"));
    assert_eq!(reader.outcome(id), Ok(Some("done".to_owned())));
    assert_eq!(journal.take_commands(), []);
    // Those done with are not given to the next owner, those open are.
    let id = reader.command(&NewCommand { cmd: "c2", ..pause }).expect("it is left");
    journal.close().expect("it closes");
    let ids: Vec<_> = self::commands(&open(&folder.store())).iter().map(|c| c.id).collect();
    assert_eq!(ids, [id]);
}

fn commands(journal: &Journal) -> Vec<penstock_journal::Command> {
    let until = std::time::Instant::now() + SOON;
    loop {
        let commands = journal.take_commands();
        if !commands.is_empty() || std::time::Instant::now() > until {
            return commands;
        }
        std::thread::yield_now();
    }
}

#[test]
fn runs_are_found_by_what_is_known_of_them() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    for run in 1..=40 {
        journal.submit(started(run));
    }
    for run in 1..=20 {
        journal.submit(ended(run, 80 + run, 2));
    }
    let held = Head {
        run: 30,
        status: RunStatus::Held,
        ended_ns: None,
        generation: Some(1),
        recoveries: Some(2),
        held: Some("unregistered".to_owned()),
    };
    journal.submit(Batch { heads: vec![held], ..Batch::default() });
    assert!(journal.flush(SOON).expect("it lives"));
    let reader = Reader::open(&folder.store()).expect("a reader");
    let found = |filter: &Filter| -> Vec<u64> {
        reader.runs(filter).expect("they read").iter().map(|row| row.run).collect()
    };
    let all = Filter::default();
    assert_eq!(found(&all), (1..=40).rev().collect::<Vec<_>>());
    let page = Filter { before_run: Some(10), limit: 3, ..all.clone() };
    assert_eq!(found(&page), [9, 8, 7]);
    let of = |statuses: &[RunStatus]| Filter { statuses: statuses.to_vec(), ..all.clone() };
    assert_eq!(found(&of(&[RunStatus::Held])), [30]);
    assert_eq!(found(&of(&[RunStatus::Succeeded])).len(), 20);
    assert_eq!(found(&of(&[RunStatus::Running, RunStatus::Held])).len(), 20);
    assert_eq!(found(&of(&[RunStatus::Failed])), [0; 0]);
    let tags = vec![("customer".to_owned(), "c3".to_owned())];
    let tagged = Filter { tags, tenant: None, before_run: Some(36), ..of(&[RunStatus::Running]) };
    assert_eq!(found(&tagged), [35, 31, 27, 23]);
    let late = Filter { accepted_after_ns: Some(1_700_000_000_000_000_039), ..all.clone() };
    assert_eq!(found(&late), [40, 39]);
    let other = Filter { workflow: Some("other".to_owned()), ..all.clone() };
    assert_eq!(found(&other), [0; 0]);
    let row = reader.run("run-30").expect("it reads").expect("it is there");
    assert_eq!((row.generation, row.recoveries), (1, 2));
    assert_eq!(row.held.as_deref(), Some("unregistered"));
}

#[test]
fn the_first_sight_of_an_interface_is_kept() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    let interface = |at_ns| Interface {
        kind: "step".to_owned(),
        name: "fetch".to_owned(),
        version: "1".to_owned(),
        digest: "ab".to_owned(),
        content: "{}".to_owned(),
        at_ns,
    };
    for at_ns in [5, 6] {
        journal.submit(Batch { interfaces: vec![interface(at_ns)], ..Batch::default() });
    }
    assert!(journal.flush(SOON).expect("it lives"));
    let reader = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(reader.interfaces(None), Ok(vec![interface(5)]));
    assert_eq!(reader.interfaces(Some("workflow")), Ok(vec![]));
}

#[test]
fn numbers_of_deleted_runs_are_not_used_again() {
    // Deleting the newest run gave its positions to the next one.
    let folder = Folder::new();
    let journal = open(&folder.store());
    journal.submit(started(1));
    journal.submit(started(2));
    journal.submit(ended(2, 5, 2));
    journal.submit(Batch { deleted: vec![2], ..Batch::default() });
    assert!(journal.flush(SOON).expect("it lives"));
    journal.close().expect("it closes");
    let journal = open(&folder.store());
    assert_eq!((journal.last_lsn(), journal.last_run()), (5, 2));
    assert_eq!(journal.last_at_ns(), 1_700_000_000_000_000_005);
    let reader = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(reader.run("run-2"), Ok(None));
    assert_eq!(reader.verify(), Ok(vec![]));
}
