//! Loops: the body at least once, with the value of the last time, until the driver says so.

use penstock_engine::NodeState::{Cancelled, Failed};
use penstock_engine::{Base, Cause, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

fn over_step(limit: u32, fail: bool) -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let shared = sketch.step("shared", &[]);
    sketch.node("l", NodeKind::Loop { body: 1, limit, fail }, &[first, shared]);
    sketch.body("l[]");
    let value = sketch.input("l[]/value");
    let other = sketch.input("l[]/shared");
    sketch.step("l[]", &[value, other]);
    sketch
}

fn begun(limit: u32, fail: bool, until: &[u64]) -> Play {
    let mut play = Play::scripted(over_step(limit, fail), &[("l", until)]);
    play.all_done(&["first", "shared"]);
    play
}

#[test]
fn it_goes_on_with_the_last_value_until_the_driver_says_so() {
    let mut play = begun(5, true, &[0, 0, 1]);
    let mut before = None;
    for iteration in 0..3 {
        let path = format!("l[{iteration}]");
        assert_eq!(play.running(), [&path]);
        if let Some(before) = before {
            let value = play.world.place(play.run, &format!("{path}/value"));
            assert_eq!(play.world.engine.value(play.run, value), Some(before));
        }
        before = Some(play.done(&path));
    }
    assert_eq!(play.result(), before.map(Base::Value));
}

#[test]
fn values_of_iterations_that_are_over_are_dropped() {
    let mut play = begun(9, true, &[0; 8]);
    let mut values = Vec::new();
    for iteration in 0..5 {
        values.push(play.done(&format!("l[{iteration}]")));
    }
    let kept: Vec<bool> = values.iter().map(|value| play.world.is_kept(*value)).collect();
    assert_eq!(kept, [false, false, false, false, true]);
}

#[test]
fn it_fails_at_its_limit() {
    let mut play = begun(2, true, &[0, 0]);
    play.all_done(&["l[0]", "l[1]"]);
    assert_eq!(play.blame(), Some(("l".into(), Cause::Exhausted)));
}

#[test]
fn it_succeeds_if_it_is_over_at_its_limit() {
    let mut play = begun(2, true, &[0, 1]);
    play.all_done(&["l[0]", "l[1]"]);
    assert!(play.has_succeeded());
}

#[test]
fn it_gives_the_last_value_at_its_limit_where_it_says_so() {
    let mut play = begun(2, false, &[0, 0]);
    play.done("l[0]");
    let last = play.done("l[1]");
    assert_eq!(play.result(), Some(Base::Value(last)));
}

#[test]
fn a_failing_body_fails_the_loop() {
    let mut play = begun(3, true, &[0]);
    play.done("l[0]");
    let error = play.fail("l[1]");
    assert_eq!(play.blame(), Some(("l[1]".into(), Cause::Error(error))));
    assert_eq!(play.state("l"), Failed);
}

#[test]
fn a_body_that_returns_its_input_keeps_it() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.node("l", NodeKind::Loop { body: 1, limit: 9, fail: true }, &[first]);
    sketch.body("l[]");
    let value = sketch.input("l[]/value");
    sketch.step("l[]/effect", &[value]);
    sketch.gives(value);
    let mut play = Play::scripted(sketch, &[("l", &[0, 0, 0, 1])]);
    let value = play.done("first");
    for iteration in 0..4 {
        assert!(play.world.is_kept(value));
        play.done(&format!("l[{iteration}]/effect"));
    }
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn a_body_that_only_sometimes_changes_its_value() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.node("l", NodeKind::Loop { body: 1, limit: 9, fail: true }, &[first]);
    sketch.body("l[]");
    let value = sketch.input("l[]/value");
    let key = sketch.node("l[]/key", NodeKind::Switch { outcomes: 2 }, &[value]);
    let [same, other] = [0, 1].map(|it| sketch.case(&format!("l[]/key[{it}]"), key, &[it]));
    let changed = sketch.step("l[]/changed", &[other]);
    sketch.node("l[]/merged", NodeKind::Merge, &[same, changed]);
    let script =
        [("l", &[0, 0, 0, 0, 1][..]), ("l[1]/key", &[1]), ("l[2]/key", &[0]), ("l[4]/key", &[1])];
    let mut play = Play::scripted(sketch, &script);
    let first = play.done("first");
    let second = play.done("l[1]/changed");
    assert!(!play.world.is_kept(first) || play.running() == ["l[4]/changed"]);
    assert!(play.world.is_kept(second));
    let last = play.done("l[4]/changed");
    assert_eq!(play.result(), Some(Base::Value(last)));
}

#[test]
fn an_iteration_is_withdrawn_with_its_loop() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let fast = sketch.step("fast", &[]);
    let looped = sketch.node("l", NodeKind::Loop { body: 1, limit: 9, fail: true }, &[first]);
    sketch.race("race", &[looped, fast]);
    sketch.body("l[]");
    let value = sketch.input("l[]/value");
    sketch.step("l[]", &[value]);
    let mut play = Play::scripted(sketch, &[("l", &[0, 0])]);
    play.all_done(&["first", "l[0]", "fast"]);
    assert_eq!(play.told(), ["l[1]"]);
    play.stops("l[1]");
    assert!(play.has_succeeded());
    assert_eq!(play.states(["l", "l[1]"]), [Cancelled; 2]);
}
