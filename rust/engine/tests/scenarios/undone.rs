//! Compensation of what is not needed any more, while the run goes on.

use penstock_engine::NodeState::{Compensated, Compensating, Succeeded};
use penstock_engine::{Base, NodeKind, RunStatus};

use crate::play::Play;
use crate::sketch::{Sketch, map};

/// A race of `a -> b` against `c`, and `last`.
fn race() -> Sketch {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let b = sketch.effect("b", &[a]);
    let c = sketch.effect("c", &[]);
    let race = sketch.race("race", &[b, c]);
    let last = sketch.step("last", &[race]);
    sketch.gives(last);
    sketch
}

#[test]
fn a_losers_completed_effect_is_undone_and_the_run_waits_for_that() {
    let mut play = Play::new(race());
    play.all_done(&["a", "c"]);
    assert_eq!(play.running(), ["b", "last"]);
    let value = play.done("last");
    play.stops("b");
    assert_eq!(play.running(), ["b/undo"]);
    play.all_done(&["b/undo", "a/undo"]);
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.states(["a", "b", "c"]), [Compensated, Compensated, Succeeded]);
}

#[test]
fn a_branch_that_fails_is_undone_while_the_run_goes_on() {
    let mut play = Play::new(race());
    play.done("a");
    play.fail("b");
    assert_eq!(play.running(), ["b/undo", "c"]);
    play.done("c");
    assert_eq!(play.running(), ["b/undo", "last"]);
    play.all_done(&["b/undo", "a/undo", "last"]);
    assert!(play.has_succeeded());
}

#[test]
fn a_branch_that_can_not_be_undone_stalls_the_run_when_all_else_is_done() {
    let mut play = Play::new(race());
    play.done("a");
    play.fail("b");
    play.fail("b/undo");
    play.all_done(&["c"]);
    assert!(play.world.stalled.is_empty());
    let value = play.done("last");
    assert_eq!(play.world.stalled.len(), 1);
    play.resume();
    play.all_done(&["b/undo", "a/undo"]);
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn a_failure_of_the_run_undoes_the_rest_after_what_is_being_undone() {
    let mut play = Play::new(race());
    play.done("a");
    play.fail("b");
    play.done("c");
    play.fail("last");
    assert_eq!(play.running(), ["b/undo"]);
    play.all_done(&["b/undo", "a/undo"]);
    assert_eq!(play.running(), ["c/undo"]);
    play.done("c/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn a_cancel_while_losers_are_awaited_undoes_each_once() {
    let mut play = Play::new(race());
    play.all_done(&["a", "c"]);
    play.cancel();
    play.stops("b");
    play.stops("last");
    assert_eq!(play.running(), ["b/undo", "c/undo"]);
    play.all_done(&["b/undo", "a/undo", "c/undo"]);
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

/// A branch that failed did not wait for what a race inside of it had withdrawn before: what came before
/// both was undone too early.
#[test]
fn an_outer_branch_awaits_what_an_inner_one_has_withdrawn() {
    let mut sketch = Sketch::new();
    let shield = sketch.shielded("shield", |sketch| {
        let first = sketch.effect("first", &[]);
        let [a, b] = ["a", "b"].map(|path| sketch.effect(path, &[first]));
        let race = sketch.race("race", &[a, b]);
        sketch.step("then", &[race])
    });
    sketch.optional("maybe", shield);
    let mut play = Play::new(sketch);
    play.all_done(&["first", "a"]);
    play.fail("then");
    assert_eq!(play.running(), ["b"], "b is awaited");
    play.stops("b");
    assert_eq!(play.running(), ["a/undo", "b/undo"]);
    play.done("a/undo");
    assert_eq!(play.running(), ["b/undo"]);
    play.all_done(&["b/undo", "first/undo"]);
    assert_eq!(play.result(), Some(Base::Nothing));
}

/// The same, but the inner one is being undone when the outer one begins to be.
#[test]
fn an_outer_branch_is_undone_after_an_inner_one_that_has_begun() {
    let mut sketch = Sketch::new();
    let shield = sketch.shielded("shield", |sketch| {
        let first = sketch.effect("first", &[]);
        let [a, b] = ["a", "b"].map(|path| sketch.effect(path, &[first]));
        let race = sketch.race("race", &[a, b]);
        sketch.step("then", &[race])
    });
    sketch.optional("maybe", shield);
    let mut play = Play::new(sketch);
    play.all_done(&["first", "a"]);
    play.stops("b");
    assert_eq!(play.running(), ["b/undo", "then"]);
    play.fail("then");
    assert_eq!(play.running(), ["a/undo", "b/undo"]);
    play.done("a/undo");
    assert_eq!((play.running(), play.state("b")), (vec!["b/undo"], Compensating));
    play.all_done(&["b/undo", "first/undo"]);
    assert!(play.has_succeeded());
}

fn over_effect(kind: NodeKind) -> Sketch {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    sketch.node("m", kind, &[items]);
    sketch.body("m[]");
    let item = sketch.input("m[]/item");
    let a = sketch.effect("m[]/a", &[item]);
    let b = sketch.step("m[]/b", &[a]);
    sketch.gives(b);
    sketch
}

/// The effects of an item that failed, and was tolerated, stayed.
#[test]
fn a_tolerated_item_is_undone() {
    let kind =
        NodeKind::Map { body: 1, concurrency: 0, need: 0, tolerated: Some(1), cancel_rest: false };
    let mut play = Play::scripted(over_effect(kind), &[("m", &[2])]);
    play.all_done(&["items", "m[0]/a"]);
    play.fail("m[0]/b");
    assert_eq!(play.running(), ["m[0]/a/undo", "m[1]/a"]);
    play.all_done(&["m[1]/a", "m[1]/b"]);
    assert_eq!(play.world.lists["m"], ["!m[0]/b", "m[1]/b"]);
    play.done("m[0]/a/undo");
    assert!(play.has_succeeded());
}

/// The effects of items that were not needed any more stayed.
#[test]
fn items_that_are_not_needed_are_undone_once_they_have_ended() {
    let kind =
        NodeKind::Map { body: 1, concurrency: 0, need: 1, tolerated: None, cancel_rest: true };
    let mut play = Play::scripted(over_effect(kind), &[("m", &[3])]);
    play.all_done(&["items", "m[0]/a", "m[1]/a", "m[0]/b"]);
    assert_eq!(play.told(), ["m[1]/b", "m[2]/a"]);
    play.stops("m[2]/a");
    play.stops("m[1]/b");
    assert_eq!(play.running(), ["m[1]/a/undo", "m[2]/a/undo"]);
    play.all_done(&["m[1]/a/undo", "m[2]/a/undo"]);
    assert!(play.has_succeeded());
}

#[test]
fn a_failing_item_fails_the_map_and_everything_is_undone_together() {
    let mut play = Play::scripted(over_effect(map(1)), &[("m", &[2])]);
    play.all_done(&["items", "m[0]/a", "m[1]/a"]);
    play.fail("m[0]/b");
    assert_eq!(play.running(), ["m[1]/b"], "siblings are awaited first");
    play.stops("m[1]/b");
    play.all_done(&["m[0]/a/undo", "m[1]/a/undo"]);
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn a_side_effect_that_failed_after_its_call_gave_its_value_is_undone_alone() {
    let mut sketch = Sketch::new();
    let shield = sketch.shielded("shield", |sketch| {
        let a = sketch.effect("a", &[]);
        sketch.effect("leaf", &[a]);
        sketch.step("b", &[a])
    });
    sketch.optional("maybe", shield);
    let mut play = Play::new(sketch);
    play.done("a");
    play.done("b");
    play.fail("leaf");
    assert_eq!(play.running(), ["leaf/undo"]);
    play.done("leaf/undo");
    assert!(play.has_succeeded());
    assert_eq!(play.states(["a", "leaf"]), [Succeeded, Compensated]);
}

#[test]
fn a_total_timeout_does_not_reach_a_step_that_is_being_undone() {
    let mut sketch = race();
    sketch.policy(0, |policy| policy.total_timeout_ns = crate::harness::SECOND);
    let mut play = Play::new(sketch);
    play.done("a");
    play.fail("b");
    play.done("b/undo");
    assert_eq!(play.state("a"), Compensating);
    play.advance(2 * crate::harness::SECOND);
    play.all_done(&["a/undo", "c", "last"]);
    assert!(play.has_succeeded());
}
