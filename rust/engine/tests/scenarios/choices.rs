//! Choices: what is not chosen is skipped, as far as it leads, and nothing more.

use penstock_engine::NodeKind;
use penstock_engine::NodeState::{Skipped, Succeeded, Waiting};

use crate::play::Play;
use crate::sketch::Sketch;

/// `key` chooses between `a -> b`, `c` and, as the last outcome, the default `d`.
fn switch() -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let key = sketch.node("key", NodeKind::Switch { outcomes: 3 }, &[first]);
    let cases = [0, 1, 2].map(|outcome| sketch.case(&format!("key[{outcome}]"), key, &[outcome]));
    let a = sketch.step("a", &[cases[0]]);
    let b = sketch.step("b", &[a]);
    let c = sketch.step("c", &[cases[1]]);
    let d = sketch.step("d", &[cases[2], first]);
    sketch.node("merged", NodeKind::Merge, &[b, c, d]);
    sketch
}

#[test]
fn only_the_chosen_branch_runs_and_its_value_is_the_result() {
    for (outcome, branch) in [&["a", "b"][..], &["c"], &["d"]].into_iter().enumerate() {
        let mut play = Play::scripted(switch(), &[("key", &[outcome as u64])]);
        play.done("first");
        let mut last = None;
        for step in branch {
            assert_eq!(play.running(), [*step]);
            last = Some(play.done(step));
        }
        assert!(play.has_succeeded());
        assert_eq!(play.result(), last.map(penstock_engine::Base::Value));
        for path in ["a", "b", "c", "d"] {
            let state = if branch.contains(&path) { Succeeded } else { Skipped };
            assert_eq!(play.state(path), state, "{path} after outcome {outcome}");
        }
    }
}

#[test]
fn a_merge_does_not_wait_for_what_the_other_cases_lead_to() {
    let mut play = Play::scripted(switch(), &[("key", &[1])]);
    play.done("first");
    assert_eq!(play.states(["a", "b", "d", "merged"]), [Skipped, Skipped, Skipped, Waiting]);
}

#[test]
fn when_passes_its_value_or_skips() {
    for (outcome, state) in [(1, Succeeded), (0, Skipped)] {
        let mut sketch = Sketch::new();
        let first = sketch.step("first", &[]);
        let when = sketch.node("when", NodeKind::When, &[first]);
        let more = sketch.step("more", &[when]);
        sketch.optional("maybe", more);
        let mut play = Play::scripted(sketch, &[("when", &[outcome])]);
        play.done("first");
        if outcome == 1 {
            play.done("more");
        }
        assert!(play.has_succeeded());
        assert_eq!(play.states(["when", "more", "maybe"]), [state, state, Succeeded]);
    }
}

#[test]
fn a_skipped_input_made_optional_is_nothing() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let when = sketch.node("when", NodeKind::When, &[first]);
    sketch.optional("maybe", when);
    let mut play = Play::scripted(sketch, &[("when", &[0])]);
    play.done("first");
    assert_eq!(play.result(), Some(penstock_engine::Base::Nothing));
}

#[test]
fn a_value_passed_through_many_nodes_is_the_same_value() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let key = sketch.node("key", NodeKind::Switch { outcomes: 2 }, &[first]);
    let [yes, no] = [0, 1].map(|outcome| sketch.case(&format!("key[{outcome}]"), key, &[outcome]));
    let merged = sketch.node("merged", NodeKind::Merge, &[yes, no]);
    let raced = sketch.race("raced", &[merged]);
    sketch.optional("maybe", raced);
    let mut play = Play::scripted(sketch, &[("key", &[1])]);
    let value = play.done("first");
    assert_eq!(play.result(), Some(penstock_engine::Base::Value(value)));
}

#[test]
fn what_comes_after_a_node_runs_however_that_ends() {
    for outcome in [0, 1] {
        let mut sketch = Sketch::new();
        let first = sketch.step("first", &[]);
        let when = sketch.node("when", NodeKind::When, &[first]);
        let maybe = sketch.step("maybe", &[when]);
        let last = sketch.step("last", &[first]);
        sketch.after(last, &[maybe]);
        let mut play = Play::scripted(sketch, &[("when", &[outcome])]);
        play.done("first");
        if outcome == 1 {
            assert_eq!(play.running(), ["maybe"], "the last one waits");
            play.done("maybe");
        }
        play.done("last");
        assert!(play.has_succeeded());
    }
}

/// A merge of one input that is only taken where `key` has outcome 0, and one that is otherwise.
fn gated_merge() -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let slow = sketch.step("slow", &[]);
    let key = sketch.node("key", NodeKind::Switch { outcomes: 2 }, &[slow]);
    let [zero, one] =
        [0, 1].map(|outcome| sketch.case(&format!("key[{outcome}]"), key, &[outcome]));
    let gated = sketch.node("gated", NodeKind::Merge, &[first]);
    sketch.gates(gated, &[zero]);
    sketch.node("merged", NodeKind::Merge, &[gated, one]);
    sketch
}

#[test]
fn a_merge_waits_for_its_gate() {
    for outcome in [0, 1] {
        let mut play = Play::scripted(gated_merge(), &[("key", &[outcome])]);
        let value = play.done("first");
        assert_eq!(play.state("gated"), Waiting);
        let other = play.done("slow");
        let expected = if outcome == 0 { value } else { other };
        assert_eq!(play.result(), Some(penstock_engine::Base::Value(expected)));
    }
}

#[test]
fn a_gate_that_is_skipped_in_the_same_event_as_the_input_comes_still_skips() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let key = sketch.node("key", NodeKind::Switch { outcomes: 3 }, &[first]);
    // With outcome 1, the input is taken before the race hears that its gate is skipped.
    let input = sketch.case("input", key, &[1, 2]);
    let gate = sketch.case("gate", key, &[0, 2]);
    let gated = sketch.race("gated", &[input]);
    sketch.gates(gated, &[gate]);
    let maybe = sketch.optional("maybe", gated);
    sketch.collect("all", &[maybe, input]);
    let mut play = Play::scripted(sketch, &[("key", &[1])]);
    play.world.nothing.insert("maybe".into());
    play.done("first");
    assert_eq!(play.state("gated"), Skipped);
    assert!(play.has_succeeded());
}
