//! Scopes: what was drawn in one is withdrawn as one.

use penstock_engine::NodeState::{Cancelled, Compensated, Skipped, Succeeded};
use penstock_engine::{Base, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

/// `a -> b` in a scope, withdrawn when `stop?` says so after `stop`.
fn scoped() -> Sketch {
    let mut sketch = Sketch::new();
    let (scope, b) = sketch.scope(|sketch| {
        let a = sketch.effect("a", &[]);
        sketch.step("b", &[a])
    });
    let stop = sketch.step("stop", &[]);
    let when = sketch.node("stop?", NodeKind::When, &[stop]);
    sketch.node("cancel", NodeKind::Cancel { scope }, &[when]);
    sketch.optional("maybe", b);
    sketch
}

#[test]
fn nothing_happens_to_a_scope_that_is_not_withdrawn() {
    let mut play = Play::scripted(scoped(), &[("stop?", &[0])]);
    play.all_done(&["stop", "a", "b"]);
    assert!(play.has_succeeded());
    assert_eq!(play.state("cancel"), Skipped);
}

#[test]
fn what_has_not_ended_is_cancelled_and_awaited_and_skipped_for_those_outside() {
    let mut play = Play::scripted(scoped(), &[("stop?", &[1])]);
    play.done("stop");
    assert_eq!(play.told(), ["a"]);
    assert_eq!(play.states(["b", "cancel", "maybe"]), [Cancelled, Succeeded, Succeeded]);
    play.stops("a");
    play.done("a/undo");
    assert_eq!(play.result(), Some(Base::Nothing));
}

#[test]
fn what_it_did_is_undone_while_the_run_goes_on() {
    let mut play = Play::scripted(scoped(), &[("stop?", &[1])]);
    play.all_done(&["a", "stop"]);
    assert_eq!(play.told(), ["b"]);
    assert_eq!(play.running(), ["b"], "it is awaited");
    play.stops("b");
    assert_eq!(play.running(), ["a/undo"]);
    play.fail("a/undo");
    assert_eq!(play.world.stalled.len(), 1);
    play.resume();
    play.done("a/undo");
    assert_eq!(play.result(), Some(Base::Nothing));
}

#[test]
fn a_scope_that_is_over_is_undone_all_the_same() {
    let mut play = Play::scripted(scoped(), &[("stop?", &[1])]);
    play.all_done(&["a", "b", "stop"]);
    play.done("a/undo");
    assert!(play.has_succeeded());
    assert_eq!(play.states(["a", "b"]), [Compensated, Succeeded]);
}

#[test]
fn a_scope_withdraws_those_inside_it_and_what_they_opened() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    let stop = sketch.step("stop", &[]);
    let (outer, given) =
        sketch.scope(|sketch| sketch.scope(|sketch| sketch.map("m", 1, &[items])).1);
    sketch.node("cancel", NodeKind::Cancel { scope: outer }, &[stop]);
    sketch.optional("maybe", given);
    sketch.body("m[]");
    let item = sketch.input("m[]/item");
    sketch.step("m[]", &[item]);
    let mut play = Play::scripted(sketch, &[("m", &[2])]);
    play.all_done(&["items", "m[1]", "stop"]);
    assert_eq!(play.told(), ["m[0]"]);
    play.stops("m[0]");
    assert!(play.has_succeeded());
    assert_eq!(play.states(["m", "m[0]", "m[1]"]), [Cancelled, Cancelled, Succeeded]);
}

/// Two scopes share a step by being one inside the other, and both are withdrawn: its edges were resolved
/// twice.
#[test]
fn a_scope_inside_another_that_are_both_withdrawn() {
    let mut sketch = Sketch::new();
    let [first, second] = ["first", "second"].map(|path| sketch.step(path, &[]));
    let mut inner = 0;
    let (outer, step) = sketch.scope(|sketch| {
        let (scope, step) = sketch.scope(|sketch| sketch.step("step", &[]));
        inner = scope;
        step
    });
    sketch.node("cancel1", NodeKind::Cancel { scope: inner }, &[first]);
    sketch.node("cancel2", NodeKind::Cancel { scope: outer }, &[second]);
    let last = sketch.step("last", &[]);
    sketch.node("some", NodeKind::Collect { need: 1, cancel_rest: false }, &[step, last]);
    let mut play = Play::new(sketch);
    play.all_done(&["first", "second"]);
    play.done("last");
    play.stops("step");
    assert!(play.has_succeeded());
}
