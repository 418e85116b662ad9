//! The first success wins; what lost is cancelled and awaited.

use penstock_engine::NodeState::{Cancelled, Failed, Skipped, Succeeded};
use penstock_engine::{Base, Cause, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

/// `a` and `b -> c` race; `last` takes the value.
fn race(cancel_rest: bool) -> Sketch {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    let b = sketch.step("b", &[]);
    let c = sketch.step("c", &[b]);
    let race = sketch.node("race", NodeKind::Race { cancel_rest }, &[a, c]);
    sketch.step("last", &[race]);
    sketch
}

#[test]
fn the_first_success_goes_on_at_once_and_the_run_awaits_the_losers() {
    let mut play = Play::new(race(true));
    play.done("a");
    assert_eq!(play.told(), ["b"]);
    assert_eq!(play.running(), ["b", "last"]);
    play.done("last");
    assert!(!play.has_succeeded(), "b is awaited");
    play.stops("b");
    assert!(play.has_succeeded());
    assert_eq!(play.states(["b", "c"]), [Cancelled, Cancelled]);
}

#[test]
fn a_loser_that_finishes_all_the_same_leads_nowhere() {
    let mut play = Play::new(race(true));
    play.done("a");
    let value = play.done("b");
    assert!(!play.world.is_kept(value));
    assert_eq!(play.states(["b", "c"]), [Succeeded, Cancelled]);
    play.done("last");
    assert!(play.has_succeeded());
}

#[test]
fn losers_go_on_where_the_race_says_so_and_come_too_late() {
    let mut play = Play::new(race(false));
    let winner = play.done("a");
    assert!(play.told().is_empty());
    play.all_done(&["b", "c"]);
    assert!(play.world.is_kept(winner), "last still needs it");
    play.done("last");
    assert!(play.has_succeeded());
}

/// A loser that was let go on failed, and took the run with it.
#[test]
fn a_loser_that_fails_after_the_race_harms_nobody() {
    let mut play = Play::new(race(false));
    play.done("a");
    play.fail("b");
    play.done("last");
    assert!(play.has_succeeded());
    assert_eq!(play.states(["b", "c"]), [Failed, Cancelled]);
}

#[test]
fn a_failure_only_takes_its_branch_out() {
    let mut play = Play::new(race(true));
    play.fail("b");
    assert_eq!(play.state("c"), Cancelled);
    let value = play.done("a");
    assert!(play.world.is_kept(value));
    play.done("last");
    assert!(play.has_succeeded());
}

#[test]
fn if_all_fail_the_first_error_is_the_races() {
    let mut play = Play::new(race(true));
    let first = play.fail("b");
    play.fail("a");
    assert_eq!(play.blame(), Some(("b".into(), Cause::Error(first))));
}

fn guarded_race() -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let branches = ["a", "b"].map(|path| {
        let when = sketch.node(&format!("{path}?"), NodeKind::When, &[first]);
        sketch.step(path, &[when])
    });
    let race = sketch.race("race", &branches);
    sketch.optional("maybe", race);
    sketch
}

#[test]
fn if_all_are_skipped_so_is_the_race() {
    let mut play = Play::new(guarded_race());
    play.done("first");
    assert_eq!(play.state("race"), Skipped);
    assert_eq!(play.result(), Some(Base::Nothing));
}

#[test]
fn a_skip_and_a_failure_are_a_failure() {
    let mut play = Play::scripted(guarded_race(), &[("a?", &[1])]);
    play.done("first");
    let error = play.fail("a");
    assert_eq!(play.blame(), Some(("a".into(), Cause::Error(error))));
}

/// Of two that had come while the race waited for its key, the second won.
#[test]
fn the_first_of_two_that_came_before_the_gate_opened_wins() {
    let mut sketch = Sketch::new();
    let [a, b] = ["a", "b"].map(|path| sketch.effect(path, &[]));
    let gate = sketch.step("gate", &[]);
    let race = sketch.race("race", &[a, b]);
    sketch.gates(race, &[gate]);
    sketch.gives(race);
    let mut play = Play::new(sketch);
    let first = play.done("b");
    play.done("a");
    play.done("gate");
    assert_eq!(play.running(), ["a/undo"], "what the loser did is undone");
    play.done("a/undo");
    assert_eq!(play.result(), Some(Base::Value(first)));
}

#[test]
fn a_race_of_inputs_is_won_before_the_rest_begins() {
    let mut sketch = Sketch::new();
    let input = sketch.input("input");
    let a = sketch.step("a", &[input]);
    sketch.race("race", &[a, input]);
    let play = Play::new(sketch);
    assert!(play.has_succeeded() && play.running().is_empty());
    assert_eq!(play.state("a"), Cancelled);
}
