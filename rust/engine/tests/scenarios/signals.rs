//! Signals from outside, and sleep.

use penstock_engine::NodeState::{Awaiting, Cancelled, Skipped};
use penstock_engine::{Base, Cause, NodeKind};

use crate::harness::SECOND;
use crate::play::Play;
use crate::sketch::Sketch;

fn waiting(timeout_ns: u64, fail: bool) -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let signal = sketch.signal("wait", "approval", timeout_ns, fail);
    sketch.after(signal, &[first]);
    if !fail {
        sketch.optional("maybe", signal);
    }
    sketch
}

#[test]
fn what_the_signal_brings_is_the_value() {
    let mut play = Play::new(waiting(0, true));
    play.done("first");
    assert_eq!(play.state("wait"), Awaiting);
    assert_eq!(play.world.engine.awaiting(play.run).len(), 1);
    let value = play.signal(0);
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn an_early_signal_is_kept() {
    let mut play = Play::new(waiting(SECOND, true));
    let value = play.signal(0);
    play.done("first");
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.world.engine.next_deadline_ns(), None, "no timer is left");
}

#[test]
fn a_transient_signal_is_only_taken_by_who_waits() {
    let mut play = Play::new(waiting(0, true));
    assert_eq!(play.send(0, false), None);
    play.done("first");
    assert!(play.send(0, false).is_some() && play.has_succeeded());
}

#[test]
fn each_signal_goes_to_one_that_waits_longest_first() {
    let mut sketch = Sketch::new();
    let [one, two] = ["one", "two"].map(|path| sketch.signal(path, "approval", 0, true));
    let other = sketch.signal("other", "rejection", 0, true);
    sketch.collect("all", &[one, two, other]);
    let mut play = Play::new(sketch);
    play.signal(0);
    assert_ne!(play.state("one"), Awaiting);
    assert_eq!(play.states(["two", "other"]), [Awaiting; 2]);
    play.signal(1);
    assert_eq!(play.state("two"), Awaiting);
    play.signal(0);
    assert!(play.has_succeeded());
}

#[test]
fn two_early_signals_serve_two_waits_in_their_order() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let one = sketch.signal("one", "approval", 0, true);
    sketch.after(one, &[first]);
    let two = sketch.signal("two", "approval", 0, true);
    sketch.after(two, &[one]);
    let mut play = Play::new(sketch);
    play.signal(0);
    let last = play.signal(0);
    play.signal(0);
    play.done("first");
    assert_eq!(play.result(), Some(Base::Value(last)), "and the third is dropped");
}

#[test]
fn too_late_it_fails_or_is_skipped() {
    let mut play = Play::new(waiting(SECOND, true));
    play.done("first");
    play.advance(SECOND);
    assert_eq!(play.blame(), Some(("wait".into(), Cause::SignalTimeout)));

    let mut play = Play::new(waiting(SECOND, false));
    play.done("first");
    play.advance(SECOND);
    assert_eq!(play.result(), Some(Base::Nothing));
    assert_eq!(play.state("wait"), Skipped);
}

#[test]
fn a_signal_after_the_time_is_kept_for_nobody() {
    let mut sketch = waiting(SECOND, false);
    sketch.step("last", &[]);
    let mut play = Play::new(sketch);
    play.done("first");
    play.advance(SECOND);
    let value = play.signal(0);
    play.done("last");
    assert!(play.has_succeeded() && !play.world.is_kept(value));
    assert_eq!(play.send(0, true), None, "the run is over");
}

#[test]
fn a_signal_and_a_timer_race() {
    for in_time in [true, false] {
        let mut sketch = Sketch::new();
        let first = sketch.step("first", &[]);
        let sleep = sketch.node("sleep", NodeKind::Sleep { duration_ns: SECOND }, &[first]);
        let signal = sketch.signal("wait", "approval", 2 * SECOND, true);
        sketch.race("race", &[sleep, signal]);
        let mut play = Play::new(sketch);
        let slept = play.done("first");
        let value = if in_time { play.signal(0) } else { slept };
        play.advance(SECOND);
        assert_eq!(play.result(), Some(Base::Value(value)));
        let loser = if in_time { "sleep" } else { "wait" };
        assert_eq!(play.state(loser), Cancelled);
    }
}

#[test]
fn a_sleep_passes_its_value_on_when_it_is_over() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.node("sleep", NodeKind::Sleep { duration_ns: SECOND }, &[first]);
    let mut play = Play::new(sketch);
    let value = play.done("first");
    play.advance(SECOND - 1);
    assert_eq!(play.state("sleep"), Awaiting);
    play.advance(1);
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn what_waits_is_cancelled_with_its_run() {
    let mut play = Play::new(waiting(SECOND, true));
    play.done("first");
    assert!(play.cancel());
    assert_eq!(play.state("wait"), Cancelled);
    assert_eq!(play.world.engine.next_deadline_ns(), None);
    assert_eq!(play.send(0, true), None);
}
