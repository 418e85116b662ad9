//! A paused run starts no step until it is resumed.

use penstock_engine::NodeState::{Ready, Waiting};
use penstock_engine::{Config, NodeKind, RunStatus};

use crate::harness::SECOND;
use crate::play::Play;
use crate::sketch::Sketch;

fn chain() -> Sketch {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    let slept = sketch.node("slept", NodeKind::Sleep { duration_ns: SECOND }, &[a]);
    sketch.step("b", &[slept]);
    sketch
}

#[test]
fn what_runs_goes_on_and_what_follows_waits() {
    let mut play = Play::new(chain());
    assert!(play.pause() && !play.pause());
    play.done("a");
    play.advance(SECOND);
    assert!(play.running().is_empty());
    assert_eq!(play.state("b"), Ready);
    assert!(play.resume() && !play.resume());
    play.done("b");
    assert!(play.has_succeeded());
}

#[test]
fn what_stands_in_line_leaves_it() {
    let config = Config { concurrency: 1, ..Config::default() };
    let mut sketch = Sketch::new();
    let [a, b] = ["a", "b"].map(|path| sketch.step(path, &[]));
    sketch.collect("all", &[a, b]);
    let mut play = Play::with(config, sketch, &[], |_| ());
    play.pause();
    play.done("a");
    assert!(play.running().is_empty());
    play.resume();
    play.done("b");
    assert!(play.has_succeeded());
}

#[test]
fn a_run_whose_last_step_ends_while_it_is_paused_ends_when_it_is_resumed() {
    let mut sketch = Sketch::new();
    sketch.step("a", &[]);
    let mut play = Play::new(sketch);
    play.pause();
    play.done("a");
    assert_eq!(play.status(), None);
    play.resume();
    assert!(play.has_succeeded());
}

#[test]
fn a_retry_that_comes_due_waits_for_the_resumption() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.policy(a, |policy| {
        policy.retry.attempts_max = std::num::NonZeroU32::MAX;
        policy.retry.initial_ns = SECOND;
        policy.retry.max_ns = SECOND;
    });
    let mut play = Play::new(sketch);
    play.trip("a");
    play.pause();
    play.advance(SECOND);
    assert!(play.running().is_empty());
    play.resume();
    assert_eq!(play.running(), ["a"]);
}

#[test]
fn it_can_be_cancelled_or_run_late() {
    let mut play = Play::new(chain());
    play.pause();
    play.cancel();
    play.stops("a");
    assert_eq!(play.status(), Some(RunStatus::Cancelled));

    let late = |accept: &mut penstock_engine::Accept<'_>| accept.deadline_ns = Some(SECOND);
    let mut play = Play::with(Config::default(), chain(), &[], late);
    play.pause();
    play.advance(SECOND);
    play.stops("a");
    assert_eq!(play.status(), Some(RunStatus::Failed));
}

#[test]
fn what_it_did_is_undone_although_it_was_paused() {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let b = sketch.step("b", &[a]);
    sketch.gives(b);
    let mut play = Play::new(sketch);
    play.pause();
    play.done("a");
    play.cancel();
    play.done("a/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

/// The compensation of a branch stood still with its run, and the cancellation waited for it for ever.
#[test]
fn a_branch_that_was_being_undone_goes_on_when_the_run_is_cancelled() {
    for succeeds in [true, false] {
        let mut sketch = Sketch::new();
        let shield = sketch.shielded("shield", |sketch| {
            let a = sketch.effect("a", &[]);
            sketch.step("b", &[a])
        });
        let last = sketch.step("last", &[]);
        let maybe = sketch.optional("maybe", shield);
        sketch.collect("all", &[maybe, last]);
        let mut play = Play::new(sketch);
        play.done("a");
        play.pause();
        play.fail("b");
        assert_eq!((play.running(), play.state("a/undo")), (vec!["last"], Ready));
        play.cancel();
        assert_eq!(play.running(), ["a/undo", "last"]);
        play.stops("last");
        if succeeds {
            play.done("a/undo");
            assert_eq!(play.status(), Some(RunStatus::Cancelled));
        } else {
            play.fail("a/undo");
            assert_eq!(play.world.engine.status(play.run), Some(RunStatus::CompensationFailed));
            play.resume();
            play.done("a/undo");
            assert_eq!(play.status(), Some(RunStatus::Compensated));
        }
    }
}

#[test]
fn a_step_whose_record_is_not_on_disk_does_not_start_by_a_resumption() {
    let config = Config { journaled: true, ..Config::default() };
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.step("b", &[a]);
    let mut play = Play::with(config, sketch, &[], |_| ());
    let sync = |play: &mut Play| {
        let lsn = play.world.records.last().expect("a record").lsn;
        play.world.sync(lsn);
        play.go_on();
    };
    sync(&mut play);
    play.done("a");
    play.pause();
    play.resume();
    assert!(play.running().is_empty(), "a's result is not on disk");
    sync(&mut play);
    assert_eq!(play.running(), ["b"]);
}

#[test]
fn decisions_and_signals_are_taken_in_all_the_same() {
    let mut sketch = Sketch::new();
    let signal = sketch.signal("wait", "approval", 0, true);
    let apply = sketch.node("apply", NodeKind::Apply, &[signal]);
    sketch.step("last", &[apply]);
    let mut play = Play::new(sketch);
    play.pause();
    assert_eq!(play.state("last"), Waiting);
    play.signal(0);
    assert_eq!(play.state("last"), Ready);
    play.resume();
    play.done("last");
    assert!(play.has_succeeded());
}
