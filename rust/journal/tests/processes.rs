//! A store and several processes: one owner, who may die; anybody may leave commands.

mod harness;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Folder, open, started};
use penstock_journal::{Journal, NewCommand, Options, Reader, StoreError};

const SOON: Duration = Duration::from_secs(20);
const STORE: &str = "PENSTOCK_TEST_STORE";

/// This test binary again, running one test of it as another process.
fn process(test: &str, folder: &Folder) -> Child {
    Command::new(std::env::current_exe().expect("a binary"))
        .args(["--exact", test, "--nocapture"])
        .env(STORE, folder.store())
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .expect("a process")
}

#[test]
fn what_a_killed_owner_acknowledged_is_there_and_the_store_is_free() {
    if let Some(path) = std::env::var_os(STORE) {
        let journal = open(path.as_ref());
        for run in 1..=1_000_000 {
            journal.submit(started(run));
            println!("acked {}", journal.synced());
        }
        unreachable!("it is killed before");
    }
    let folder = Folder::new();
    let mut owner =
        process("what_a_killed_owner_acknowledged_is_there_and_the_store_is_free", &folder);
    let mut output = BufReader::new(owner.stdout.take().expect("a pipe"));
    let acked_in = |line: &str| line.strip_prefix("acked ").and_then(|lsn| lsn.trim().parse().ok());
    let mut acked = 0;
    while acked < 1_000 {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).expect("it reads"), 0, "it died: {acked}");
        acked = acked_in(&line).unwrap_or(acked);
    }
    let refused = Journal::open(&folder.store(), Options::default()).expect_err("it is owned");
    assert!(matches!(refused, StoreError::Locked { pid, .. } if pid == Some(owner.id())));
    owner.kill().expect("it is ours");
    owner.wait().expect("it ends");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("it reads");
    // The last line may be cut off.
    let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
    acked = whole.lines().filter_map(acked_in).next_back().unwrap_or(acked);
    let options = Options { acked_lsn: acked, ..Options::default() };
    let journal = Journal::open(&folder.store(), options).expect("it is free, and nothing is lost");
    let reader = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(reader.verify(), Ok(vec![]));
    assert_eq!(journal.last_lsn(), 2 * journal.last_run());
}

#[test]
fn commands_get_through_while_commits_go_back_to_back() {
    const COMMANDS: usize = 40;
    if let Some(path) = std::env::var_os(STORE) {
        let reader = Reader::open(path.as_ref()).expect("a reader");
        for number in 0..COMMANDS {
            let cmd = format!("c{number}");
            let begun = Instant::now();
            let command = NewCommand {
                cmd: &cmd,
                run_id: "run-1",
                verb: "pause",
                args: "{}",
                actor: "ops",
                at_ns: 1,
            };
            reader.command(&command).expect("it is left");
            println!("left after {}", begun.elapsed().as_micros());
        }
        return;
    }
    let folder = Folder::new();
    let journal = open(&folder.store());
    journal.submit(started(1));
    assert!(journal.flush(SOON).expect("it lives"));
    let mut other = process("commands_get_through_while_commits_go_back_to_back", &folder);
    let (mut run, mut seen) = (1, Vec::new());
    while seen.len() < COMMANDS {
        run += 1;
        journal.submit(started(run));
        if journal.backlog().0 > 2_000 {
            assert!(journal.wait(2 * run - 1_000, SOON).expect("it lives"));
        }
        seen.extend(journal.take_commands());
    }
    assert!(other.wait().expect("it ends").success());
    let mut output = String::new();
    other.stdout.take().expect("a pipe").read_to_string(&mut output).expect("it reads");
    let mut waits: Vec<u64> = output
        .lines()
        .filter_map(|line| line.split_once("left after ")?.1.trim().parse().ok())
        .collect();
    waits.sort_unstable();
    assert_eq!(waits.len(), COMMANDS);
    let ids: Vec<_> = seen.iter().map(|command| command.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "each once, in order: {ids:?}");
    // Half of them: one may wait longer on a busy machine, starving ones all wait for seconds.
    assert!(waits[COMMANDS / 2] < 100_000, "µs: {waits:?}");
}
