//! Ladders: what fails or is not accepted goes to the next tier; and calls whose failure is skipped.

use penstock_engine::NodeState::{Cancelled, Failed, Skipped, Succeeded};
use penstock_engine::{Base, Cause, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

/// `tier0` then `tier1` then `tier2`, each accepted or not, the last as it is.
fn cascade() -> Sketch {
    let mut sketch = Sketch::new();
    let input = sketch.input("input");
    let mut gates = Vec::new();
    let mut results = Vec::new();
    for tier in 0..2 {
        let (contains, output) = sketch.call(|sketch| {
            let step = sketch.step(&format!("tier{tier}"), &[input]);
            sketch.gates(step, &gates);
            step
        });
        let kind = NodeKind::Accept { contains, computed: true, explore: 0 };
        let accept = sketch.node(&format!("accept{tier}"), kind, &[output]);
        sketch.gates(accept, &gates);
        gates = vec![sketch.case(&format!("no{tier}"), accept, &[0])];
        results.push(sketch.case(&format!("yes{tier}"), accept, &[1, 2]));
    }
    let last = sketch.step("tier2", &[input]);
    sketch.gates(last, &gates);
    results.push(last);
    sketch.node("result", NodeKind::Merge, &results);
    sketch
}

#[test]
fn an_accepted_tier_ends_the_ladder() {
    let mut play = Play::scripted(cascade(), &[("accept0", &[1])]);
    let value = play.done("tier0");
    assert!(play.has_succeeded());
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.states(["tier1", "accept1", "tier2"]), [Skipped; 3]);
}

#[test]
fn what_is_not_accepted_goes_to_the_next_tier_and_its_value_is_dropped() {
    let mut play = Play::scripted(cascade(), &[("accept0", &[0]), ("accept1", &[0])]);
    let first = play.done("tier0");
    assert_eq!(play.running(), ["tier1"]);
    assert!(!play.world.is_kept(first));
    play.done("tier1");
    let last = play.done("tier2");
    assert_eq!(play.result(), Some(Base::Value(last)));
}

#[test]
fn a_tier_that_fails_goes_to_the_next_which_may_look_at_the_failure() {
    let mut play = Play::scripted(cascade(), &[("accept1", &[1])]);
    let error = play.fail("tier0");
    assert_eq!(play.running(), ["tier1"]);
    let start = play.world.engine.runs().next().expect("one run");
    let tier1 = play.world.place(start, "tier1");
    let before = play.world.engine.failure_before(start, tier1).expect("a failure");
    assert_eq!(before.cause, Cause::Error(error));
    assert!(play.world.is_kept(error));
    play.done("tier1");
    assert!(play.has_succeeded() && !play.world.is_kept(error));
    assert_eq!(play.states(["tier0", "accept0", "tier2"]), [Failed, Succeeded, Skipped]);
}

#[test]
fn the_last_tier_fails_for_all() {
    let mut play = Play::new(cascade());
    play.fail("tier0");
    play.fail("tier1");
    let last = play.fail("tier2");
    assert_eq!(play.blame(), Some(("tier2".into(), Cause::Error(last))));
}

#[test]
fn a_share_of_accepted_values_is_explored() {
    let mut sketch = Sketch::new();
    let input = sketch.input("input");
    let (contains, cheap) = sketch.call(|sketch| sketch.step("cheap", &[input]));
    let kind = NodeKind::Accept { contains, computed: true, explore: u32::MAX };
    let accept = sketch.node("accept", kind, &[cheap]);
    let [no, yes, explored] = [("no", &[0][..]), ("yes", &[1, 2]), ("explored", &[2])]
        .map(|(path, outcomes)| sketch.case(path, accept, outcomes));
    let good = sketch.step("good", &[input]);
    sketch.gates(good, &[no]);
    sketch.shielded("shield", |sketch| {
        let copy = sketch.step("copy", &[input]);
        sketch.gates(copy, &[explored]);
        copy
    });
    let result = sketch.node("result", NodeKind::Merge, &[yes, good]);
    sketch.gives(result);
    let mut play = Play::scripted(sketch, &[("accept", &[1])]);
    let value = play.done("cheap");
    assert_eq!(play.running(), ["copy"]);
    play.fail("copy");
    assert_eq!(play.result(), Some(Base::Value(value)), "what is explored harms nobody");
}

/// A shielded call of `a -> b`, with a side effect `leaf` after `a`.
fn shielded() -> Sketch {
    let mut sketch = Sketch::new();
    let shield = sketch.shielded("shield", |sketch| {
        let a = sketch.step("a", &[]);
        sketch.step("leaf", &[a]);
        sketch.step("b", &[a])
    });
    sketch.optional("maybe", shield);
    sketch
}

#[test]
fn a_shielded_call_that_succeeds_gives_its_value() {
    let mut play = Play::new(shielded());
    play.done("a");
    let value = play.done("b");
    play.done("leaf");
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn its_failure_is_skipped_and_the_rest_of_the_call_withdrawn() {
    let mut play = Play::new(shielded());
    play.done("a");
    play.fail("b");
    assert_eq!(play.told(), ["leaf"]);
    play.stops("leaf");
    assert_eq!(play.result(), Some(Base::Nothing));
    assert_eq!(play.states(["b", "leaf", "shield"]), [Failed, Cancelled, Skipped]);
}

#[test]
fn a_side_effect_that_fails_fails_the_call_it_is_part_of() {
    let mut play = Play::new(shielded());
    play.done("a");
    play.fail("leaf");
    play.stops("b");
    assert_eq!(play.result(), Some(Base::Nothing));
}

/// A side effect of a shielded call failed after the call had given its value, and took the run with it.
#[test]
fn a_side_effect_that_fails_after_the_call_gave_its_value_is_contained_too() {
    let mut play = Play::new(shielded());
    play.done("a");
    let value = play.done("b");
    play.fail("leaf");
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.state("leaf"), Failed);
}

#[test]
fn a_call_that_gives_its_input_on_can_be_shielded() {
    let mut sketch = Sketch::new();
    let input = sketch.step("input", &[]);
    let shield = sketch.shielded("shield", |sketch| {
        sketch.step("leaf", &[input]);
        sketch.node("same", NodeKind::Sleep { duration_ns: 1 }, &[input])
    });
    sketch.optional("maybe", shield);
    let mut play = Play::new(sketch);
    let value = play.done("input");
    play.advance(1);
    play.done("leaf");
    assert_eq!(play.result(), Some(Base::Value(value)));
}
