//! Recursion: a workflow inside itself, as deep as it may go.

use penstock_engine::{Base, Cause, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

/// `r` opens a body of one step and, as long as `deeper` says so, itself.
fn recursive(limit: u32) -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.node("r", NodeKind::Recurse { body: 1, limit: 0 }, &[first]);
    sketch.body("w");
    let value = sketch.input("w/value");
    let step = sketch.step("w/step", &[value]);
    let deeper = sketch.node("w/deeper", NodeKind::When, &[step]);
    let inner = sketch.node("w/r", NodeKind::Recurse { body: 1, limit }, &[deeper]);
    let maybe = sketch.optional("w/maybe", inner);
    sketch.collect("w/both", &[step, maybe]);
    sketch
}

#[test]
fn each_level_gives_its_result_to_the_one_above() {
    let script = [("r/deeper", &[1][..]), ("r/r/deeper", &[1])];
    let mut play = Play::scripted(recursive(5), &script);
    play.world.nothing.insert("r/r/r/maybe".into());
    play.all_done(&["first", "r/step", "r/r/step"]);
    assert_eq!(play.running(), ["r/r/r/step"]);
    play.done("r/r/r/step");
    assert!(play.has_succeeded());
    assert_eq!(play.world.lists["r/both"], ["r/step", "r/maybe"]);
}

#[test]
fn it_fails_where_it_is_too_deep() {
    let deeper: Vec<String> = (1..9).map(|depth| format!("{}deeper", "r/".repeat(depth))).collect();
    let script: Vec<(&str, &[u64])> = deeper.iter().map(|path| (&**path, &[1][..])).collect();
    let mut play = Play::scripted(recursive(2), &script);
    play.all_done(&["first", "r/step", "r/r/step", "r/r/r/step"]);
    assert_eq!(play.blame(), Some(("r/r/r/r".into(), Cause::Exhausted)));
}

#[test]
fn a_recursive_call_of_a_value_gives_that_value() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.node("r", NodeKind::Recurse { body: 1, limit: 3 }, &[first]);
    sketch.body("w");
    sketch.input("w/value");
    let mut play = Play::new(sketch);
    let value = play.done("first");
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn a_failure_deep_down_is_the_runs() {
    let mut play = Play::scripted(recursive(5), &[("r/deeper", &[1])]);
    play.all_done(&["first", "r/step"]);
    let error = play.fail("r/r/step");
    assert_eq!(play.blame(), Some(("r/r/step".into(), Cause::Error(error))));
}
