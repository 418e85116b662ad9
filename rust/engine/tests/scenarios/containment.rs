//! How far a failure goes: to the innermost construct that contains it.

use penstock_engine::NodeState::{Cancelled, Failed, Skipped, Succeeded};
use penstock_engine::{Base, Cause, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

/// `(a | b)` races `c`: a race inside a race, with `first` before the inner one.
fn nested() -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let [a, b] = ["a", "b"].map(|path| sketch.step(path, &[first]));
    let inner = sketch.race("inner", &[a, b]);
    let then = sketch.step("then", &[inner]);
    let c = sketch.step("c", &[]);
    sketch.race("outer", &[then, c]);
    sketch
}

#[test]
fn the_inner_race_goes_on_without_its_branch() {
    let mut play = Play::new(nested());
    play.done("first");
    play.fail("a");
    play.done("b");
    let value = play.done("then");
    play.stops("c");
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn when_the_inner_race_has_failed_its_branch_of_the_outer_has() {
    let mut play = Play::new(nested());
    play.done("first");
    play.fail("a");
    play.fail("b");
    assert_eq!(play.states(["inner", "then"]), [Failed, Cancelled]);
    let value = play.done("c");
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn what_both_inner_branches_need_is_the_outer_branchs() {
    let mut play = Play::new(nested());
    play.fail("first");
    assert_eq!(play.states(["a", "b", "inner", "then"]), [Cancelled; 4]);
    play.done("c");
    assert!(play.has_succeeded());
}

#[test]
fn the_first_error_of_the_inner_race_is_the_outer_ones_too() {
    let mut play = Play::new(nested());
    play.done("first");
    let error = play.fail("b");
    play.fail("a");
    play.fail("c");
    assert_eq!(play.blame(), Some(("b".into(), Cause::Error(error))));
}

#[test]
fn two_that_fail_in_one_branch_fail_it_once() {
    let mut sketch = Sketch::new();
    let [a, b] = ["a", "b"].map(|path| sketch.step(path, &[]));
    let both = sketch.collect("both", &[a, b]);
    let [c, d] = ["c", "d"].map(|path| sketch.step(path, &[]));
    sketch.node("some", NodeKind::Collect { need: 2, cancel_rest: false }, &[both, c, d]);
    let mut play = Play::new(sketch);
    play.fail("a");
    assert_eq!(play.told(), ["b"]);
    play.fail("b");
    play.all_done(&["c", "d"]);
    assert!(play.has_succeeded());
    assert_eq!(play.states(["a", "b", "both"]), [Failed, Failed, Cancelled]);
}

#[test]
fn what_somebody_else_needs_too_is_nobodys_branch() {
    let mut sketch = Sketch::new();
    let [a, b] = ["a", "b"].map(|path| sketch.step(path, &[]));
    let race = sketch.race("race", &[a, b]);
    let other = sketch.step("other", &[a]);
    sketch.collect("all", &[race, other]);
    let mut play = Play::new(sketch);
    let error = play.fail("a");
    play.stops("b");
    assert_eq!(play.blame(), Some(("a".into(), Cause::Error(error))));
}

#[test]
fn what_was_waited_for_only_is_nobodys_branch_either() {
    let mut sketch = Sketch::new();
    let [a, b] = ["a", "b"].map(|path| sketch.step(path, &[]));
    let race = sketch.race("race", &[a, b]);
    let other = sketch.step("other", &[]);
    sketch.after(other, &[a]);
    sketch.collect("all", &[race, other]);
    let mut play = Play::new(sketch);
    play.fail("a");
    play.stops("b");
    assert!(play.blame().is_some());
}

/// A call drawn in a race's branch, whose side effect feeds nothing.
fn leafy() -> Sketch {
    let mut sketch = Sketch::new();
    let (_, given) = sketch.call(|sketch| {
        let a = sketch.step("a", &[]);
        let leaf = sketch.step("leaf", &[a]);
        sketch.step("leaf2", &[leaf]);
        sketch.step("b", &[a])
    });
    let c = sketch.step("c", &[]);
    sketch.node("race", NodeKind::Race { cancel_rest: false }, &[given, c]);
    sketch
}

#[test]
fn a_leaf_of_a_call_fails_the_branch_that_the_call_is() {
    let mut play = Play::new(leafy());
    play.done("a");
    play.fail("leaf");
    assert_eq!(play.told(), ["b"]);
    play.stops("b");
    let value = play.done("c");
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn a_leaf_that_fails_after_its_call_has_won_is_lost_alone() {
    let mut play = Play::new(leafy());
    play.done("a");
    let value = play.done("b");
    play.fail("leaf");
    assert_eq!(play.states(["leaf", "leaf2"]), [Failed, Skipped]);
    play.done("c");
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn a_leaf_of_the_workflow_itself_fails_the_run() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.step("leaf", &[a]);
    sketch.gives(a);
    let mut play = Play::new(sketch);
    play.done("a");
    let error = play.fail("leaf");
    assert_eq!(play.blame(), Some(("leaf".into(), Cause::Error(error))));
}

/// A branch whose end was withdrawn with a scope failed further up: its edge was resolved twice.
#[test]
fn a_branch_that_is_withdrawn_already_fails_for_nobody() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    let (scope, b) = sketch.scope(|sketch| sketch.step("b", &[a]));
    let stop = sketch.step("stop", &[]);
    sketch.node("cancel", NodeKind::Cancel { scope }, &[stop]);
    let [c, d] = ["c", "d"].map(|path| sketch.step(path, &[]));
    sketch.node("some", NodeKind::Collect { need: 1, cancel_rest: false }, &[b, c, d]);
    let mut play = Play::new(sketch);
    play.done("stop");
    play.fail("a");
    play.fail("c");
    play.done("d");
    assert!(play.has_succeeded());
    assert_eq!(play.world.lists["some"], ["d"]);
}

/// A fallback: `a` in a call, then `b` if that fails.
fn fallback(inside: impl FnOnce(&mut Sketch) -> u32) -> Sketch {
    let mut sketch = Sketch::new();
    let (contains, a) = sketch.call(inside);
    let accept = NodeKind::Accept { contains, computed: false, explore: 0 };
    let accept = sketch.node("accepted", accept, &[a]);
    let no = sketch.case("no", accept, &[0]);
    let yes = sketch.case("yes", accept, &[1, 2]);
    let b = sketch.step("b", &[]);
    sketch.gates(b, &[no]);
    sketch.node("result", NodeKind::Merge, &[yes, b]);
    sketch
}

#[test]
fn a_fallback_runs_only_after_a_failure() {
    let mut play = Play::new(fallback(|sketch| sketch.step("a", &[])));
    let value = play.done("a");
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.state("b"), Skipped);

    let mut play = Play::new(fallback(|sketch| sketch.step("a", &[])));
    play.fail("a");
    let value = play.done("b");
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.states(["a", "accepted"]), [Failed, Succeeded]);
}

#[test]
fn a_map_that_fails_in_a_tier_takes_its_frames_with_it() {
    let mut sketch = fallback(|sketch| {
        let items = sketch.step("items", &[]);
        sketch.map("m", 1, &[items])
    });
    sketch.body("m[]");
    let item = sketch.input("m[]/item");
    let [left, right] = ["left", "right"].map(|it| sketch.step(&format!("m[]/{it}"), &[item]));
    sketch.race("m[]/race", &[left, right]);
    let mut play = Play::scripted(sketch, &[("m", &[2])]);
    play.done("items");
    play.fail("m[0]/left");
    assert!(play.told().is_empty(), "the race in the item contains it");
    play.fail("m[0]/right");
    assert_eq!(play.told(), ["m[1]/left", "m[1]/right"]);
    assert!(play.running().contains(&"b"));
    play.all_done(&["m[1]/left"]);
    play.stops("m[1]/right");
    play.done("b");
    assert!(play.has_succeeded());
}

#[test]
fn a_map_in_a_loop_in_a_recursion_in_a_race_that_loses() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let called = sketch.node("w", NodeKind::Recurse { body: 1, limit: 0 }, &[first]);
    let fast = sketch.step("fast", &[first]);
    sketch.race("race", &[called, fast]);
    sketch.body("w");
    let value = sketch.input("w/value");
    sketch.node("w/l", NodeKind::Loop { body: 2, limit: 9, fail: true }, &[value]);
    sketch.body("w/l[]");
    let value = sketch.input("w/l[]/value");
    sketch.map("w/l[]/m", 3, &[value]);
    sketch.body("w/l[]/m[]");
    let item = sketch.input("w/l[]/m[]/item");
    sketch.effect("w/l[]/m[]/step", &[item]);
    let script = [("w/l", &[0, 0][..]), ("w/l[0]/m", &[2]), ("w/l[1]/m", &[2])];
    let mut play = Play::scripted(sketch, &script);
    play.all_done(&["first", "w/l[0]/m[0]/step", "w/l[0]/m[1]/step", "w/l[1]/m[1]/step"]);
    let value = play.done("fast");
    assert_eq!(play.told(), ["w/l[1]/m[0]/step"]);
    assert_eq!(play.running(), ["w/l[1]/m[0]/step"], "it is awaited");
    play.stops("w/l[1]/m[0]/step");
    let undo = |it: &str| format!("w/l{it}/step/undo");
    assert_eq!(play.running(), [undo("[1]/m[0]"), undo("[1]/m[1]")]);
    play.done(&undo("[1]/m[0]"));
    assert!(!play.running().contains(&&*undo("[0]/m[0]")), "the last iteration first");
    play.done(&undo("[1]/m[1]"));
    play.all_done(&[&undo("[0]/m[1]"), &undo("[0]/m[0]")]);
    assert_eq!(play.result(), Some(Base::Value(value)));
}
