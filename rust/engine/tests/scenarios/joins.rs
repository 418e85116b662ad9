//! Collecting what is taken, all of it or as much as is needed.

use penstock_engine::NodeState::{Cancelled, Failed, Skipped, Succeeded};
use penstock_engine::{Cause, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

const PATHS: [&str; 3] = ["a", "b", "c"];

fn some(need: u32, cancel_rest: bool) -> Sketch {
    let mut sketch = Sketch::new();
    let steps = PATHS.map(|path| sketch.step(path, &[]));
    sketch.node("some", NodeKind::Collect { need, cancel_rest }, &steps);
    sketch
}

/// Three steps, each behind a predicate.
fn guarded(need: u32) -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let steps = PATHS.map(|path| {
        let when = sketch.node(&format!("{path}?"), NodeKind::When, &[first]);
        sketch.step(path, &[when])
    });
    let some = sketch.node("some", NodeKind::Collect { need, cancel_rest: false }, &steps);
    sketch.optional("maybe", some);
    sketch
}

#[test]
fn all_are_collected_in_the_order_of_the_arguments() {
    let mut play = Play::new(some(0, false));
    play.all_done(&["c", "a"]);
    assert!(!play.has_succeeded());
    play.done("b");
    assert_eq!(play.world.lists["some"], PATHS);
    assert!(play.has_succeeded());
}

#[test]
fn what_is_skipped_is_left_out() {
    for (taken, list) in [([1, 0, 1], &["a", "c"][..]), ([0, 0, 0], &[])] {
        let script = [("a?", &taken[..1]), ("b?", &taken[1..2]), ("c?", &taken[2..])];
        let mut play = Play::scripted(guarded(0), &script);
        play.done("first");
        play.all_done(list);
        assert_eq!(play.world.lists["some"], list);
        assert!(play.has_succeeded());
    }
}

#[test]
fn a_failure_fails_a_join_that_needs_all() {
    let mut play = Play::new(some(0, false));
    let error = play.fail("b");
    assert_eq!(play.told(), ["a", "c"]);
    play.stops("a");
    play.stops("c");
    assert_eq!(play.blame(), Some(("b".into(), Cause::Error(error))));
}

#[test]
fn it_fires_at_as_many_as_it_needs_and_the_run_waits_for_the_rest() {
    let mut play = Play::new(some(2, false));
    play.all_done(&["c", "a"]);
    assert_eq!(play.world.lists["some"], ["a", "c"]);
    assert!(play.told().is_empty() && !play.has_succeeded(), "b may go on");
    play.done("b");
    assert!(play.has_succeeded());
}

#[test]
fn the_rest_is_cancelled_and_awaited_where_it_says_so() {
    let mut play = Play::new(some(2, true));
    play.all_done(&["c", "a"]);
    assert_eq!(play.told(), ["b"]);
    assert!(!play.has_succeeded(), "b is awaited");
    play.stops("b");
    assert!(play.has_succeeded());
    assert_eq!(play.states(["a", "b", "c"]), [Succeeded, Cancelled, Succeeded]);
}

#[test]
fn a_failure_that_leaves_enough_is_contained() {
    let mut play = Play::new(some(2, false));
    play.fail("a");
    assert_eq!(play.running(), ["b", "c"]);
    play.all_done(&["c", "b"]);
    assert!(play.has_succeeded());
    assert_eq!(play.world.lists["some"], ["b", "c"]);
}

#[test]
fn too_few_fail_it_with_the_first_error_and_stop_what_is_left() {
    let mut play = Play::new(some(2, false));
    let first = play.fail("b");
    play.fail("c");
    assert_eq!(play.told(), ["a"]);
    play.stops("a");
    assert_eq!(play.blame(), Some(("b".into(), Cause::Error(first))));
    assert_eq!(play.state("some"), Failed);
}

#[test]
fn too_few_that_were_taken_fail_it_without_an_error() {
    let mut play = Play::scripted(guarded(2), &[("a?", &[1])]);
    play.done("first");
    play.done("a");
    assert_eq!(play.blame(), Some(("some".into(), Cause::NotEnough)));
}

/// It failed the run, though the whole branch it stood in was not taken.
#[test]
fn one_that_needs_some_is_skipped_where_all_are() {
    let mut play = Play::scripted(guarded(2), &[]);
    play.done("first");
    assert_eq!((play.state("some"), play.has_succeeded()), (Skipped, true));
}

#[test]
fn a_failure_and_a_skip_together_can_be_too_few() {
    let mut play = Play::scripted(guarded(2), &[("a?", &[1]), ("b?", &[1])]);
    play.done("first");
    let error = play.fail("a");
    assert_eq!(play.told(), ["b"]);
    play.stops("b");
    assert_eq!(play.blame(), Some(("a".into(), Cause::Error(error))));
    assert_eq!(play.state("c"), Skipped);
}

/// One that was not needed any more failed, and took the run with it.
#[test]
fn one_that_fails_when_it_is_not_needed_any_more_harms_nobody() {
    let mut play = Play::new(some(2, false));
    play.all_done(&["a", "b"]);
    play.fail("c");
    assert!(play.has_succeeded());
    assert_eq!(play.state("c"), Failed);
}
