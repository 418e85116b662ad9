//! Compensation of a whole run: what was started is undone, the last first.

use penstock_engine::NodeState::{
    Compensated, Compensating, CompensationFailed, Skipped, Succeeded,
};
use penstock_engine::{Base, Cause, Config, NodeKind, RunStatus};

use crate::harness::SECOND;
use crate::play::Play;
use crate::sketch::Sketch;

/// A diamond of effects, and `last` after it.
fn diamond() -> Sketch {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let [b, c] = ["b", "c"].map(|path| sketch.effect(path, &[a]));
    let d = sketch.effect("d", &[b, c]);
    let last = sketch.step("last", &[d]);
    sketch.gives(last);
    sketch
}

fn failed() -> Play {
    let mut play = Play::new(diamond());
    play.all_done(&["a", "b", "c", "d"]);
    play.fail("last");
    play
}

#[test]
fn the_last_is_undone_first_and_branches_at_the_same_time() {
    let mut play = failed();
    assert_eq!(play.world.engine.status(play.run), Some(RunStatus::Compensating));
    assert_eq!(play.running(), ["d/undo"]);
    play.done("d/undo");
    assert_eq!(play.running(), ["b/undo", "c/undo"]);
    play.done("c/undo");
    assert_eq!(play.running(), ["b/undo"]);
    play.done("b/undo");
    play.done("a/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
    assert_eq!(play.blame().map(|(path, _)| path), Some("last".into()), "the cause is kept");
    assert_eq!(play.states(["a", "b", "c", "d"]), [Compensated; 4]);
}

#[test]
fn a_run_that_succeeds_undoes_nothing() {
    let mut play = Play::new(diamond());
    play.all_done(&["a", "b", "c", "d"]);
    let value = play.done("last");
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.state("d/undo"), Skipped);
}

#[test]
fn what_never_started_is_not_undone_and_what_failed_is() {
    let mut play = Play::new(diamond());
    play.done("a");
    play.fail("b");
    assert_eq!(play.told(), ["c"]);
    assert_eq!(play.running(), ["c"], "siblings are awaited first");
    play.stops("c");
    assert_eq!(play.running(), ["b/undo", "c/undo"]);
    let result = play.world.place(play.run, "b");
    assert_eq!(play.world.engine.value(play.run, result), Some(penstock_engine::ValueId::NONE));
    play.all_done(&["b/undo", "c/undo", "a/undo"]);
    assert_eq!(play.status(), Some(RunStatus::Compensated));
    assert_eq!(play.state("d/undo"), Skipped);
}

#[test]
fn a_step_that_waits_for_its_retry_has_started() {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    sketch.policy(a, |policy| {
        policy.retry.attempts_max = std::num::NonZeroU32::MAX;
        policy.retry.initial_ns = SECOND;
        policy.retry.max_ns = SECOND;
    });
    let mut play = Play::new(sketch);
    play.trip("a");
    play.cancel();
    play.done("a/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn a_run_without_effects_that_started_just_fails() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.effect("a", &[first]);
    let mut play = Play::new(sketch);
    play.fail("first");
    assert_eq!(play.status(), Some(RunStatus::Failed));
}

#[test]
fn it_undoes_after_a_cancel_and_after_a_deadline() {
    let mut play = Play::new(diamond());
    play.done("a");
    play.cancel();
    play.stops("b");
    play.done("c");
    assert!(!play.cancel(), "there is nothing more to cancel");
    play.all_done(&["b/undo", "c/undo", "a/undo"]);
    assert_eq!(play.status(), Some(RunStatus::Compensated));
    assert_eq!(play.outcome(), Some(penstock_engine::Outcome::Cancelled));

    let late = |accept: &mut penstock_engine::Accept<'_>| accept.deadline_ns = Some(SECOND);
    let mut play = Play::with(Config::default(), diamond(), &[], late);
    play.advance(SECOND);
    play.stops("a");
    play.done("a/undo");
    assert_eq!(play.outcome(), Some(penstock_engine::Outcome::DeadlineExceeded));
}

#[test]
fn values_are_kept_for_compensation_and_dropped_at_the_end() {
    let mut play = Play::new(diamond());
    let a = play.done("a");
    let [b, c, d] = ["b", "c", "d"].map(|path| play.done(path));
    play.fail("last");
    play.all_done(&["d/undo", "c/undo", "b/undo"]);
    assert!(play.world.is_kept(a));
    play.done("a/undo");
    assert!([a, b, c, d].iter().all(|value| !play.world.is_kept(*value)));
}

#[test]
fn a_compensation_is_retried_by_its_own_policy() {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let last = sketch.step("last", &[a]);
    sketch.gives(last);
    sketch.policy(a + 1, |policy| policy.retry.attempts_max = std::num::NonZeroU32::MAX);
    let mut play = Play::new(sketch);
    play.done("a");
    play.fail("last");
    play.trip("a/undo");
    assert_eq!(play.state("a"), Compensating);
    play.done("a/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn one_that_fails_stops_what_came_before_it_until_somebody_resumes() {
    let mut play = failed();
    play.done("d/undo");
    let error = play.fail("b/undo");
    assert!(play.world.stalled.is_empty(), "c is still being undone");
    play.done("c/undo");
    let stalled: Vec<String> =
        play.world.stalled.iter().map(|(run, node)| play.world.path(*run, *node)).collect();
    assert_eq!(stalled, ["b/undo"]);
    assert_eq!(play.world.engine.status(play.run), Some(RunStatus::CompensationFailed));
    let left: Vec<String> = play
        .world
        .engine
        .left_to_undo(play.run)
        .into_iter()
        .map(|node| play.world.path(play.run, node))
        .collect();
    assert_eq!(left, ["a", "b"]);
    assert_eq!(play.states(["a", "b", "c"]), [Succeeded, CompensationFailed, Compensated]);
    assert!(play.world.is_kept(error));
    assert!(!play.cancel() && !play.pause() && play.send(0, true).is_none());
    assert!(play.resume() && !play.resume());
    assert!(!play.world.is_kept(error));
    assert_eq!(play.running(), ["b/undo"]);
    play.fail("b/undo");
    play.resume();
    play.all_done(&["b/undo", "a/undo"]);
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn a_deadline_does_not_move_a_run_that_stalled() {
    let mut sketch = Sketch::new();
    let shield = sketch.shielded("shield", |sketch| {
        let a = sketch.effect("a", &[]);
        sketch.step("b", &[a])
    });
    sketch.optional("maybe", shield);
    let late = |accept: &mut penstock_engine::Accept<'_>| accept.deadline_ns = Some(SECOND);
    let mut play = Play::with(Config::default(), sketch, &[], late);
    play.done("a");
    play.fail("b");
    play.fail("a/undo");
    play.advance(2 * SECOND);
    play.resume();
    play.done("a/undo");
    assert!(play.has_succeeded(), "all it had to do was done in time");
}

#[test]
fn a_late_end_of_a_withdrawn_attempt_is_undone_with_its_value_dropped() {
    let mut play = Play::new(diamond());
    play.done("a");
    play.cancel();
    let value = play.done("b");
    assert!(play.world.is_kept(value), "its compensation takes it");
    assert_eq!(play.state("b"), Succeeded);
    play.fail("c");
    assert_eq!(play.states(["b", "c"]), [Compensating; 2]);
    play.all_done(&["b/undo", "c/undo", "a/undo"]);
    assert_eq!(play.status(), Some(RunStatus::Compensated));
    assert!(!play.world.is_kept(value));
}

#[test]
fn an_attempt_that_never_ends_is_given_up_and_undone() {
    let mut play = Play::new(diamond());
    play.cancel();
    play.advance(Config::default().cancel_grace_ns);
    assert_eq!(play.running(), ["a", "a/undo"]);
    play.done("a/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
    let value = play.done("a");
    assert!(!play.world.is_kept(value));
}

#[test]
fn map_items_are_undone_at_the_same_time_and_iterations_in_reverse() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let looped = sketch.node("l", NodeKind::Loop { body: 1, limit: 9, fail: true }, &[first]);
    let after = sketch.effect("after", &[looped]);
    let last = sketch.step("last", &[after]);
    sketch.gives(last);
    sketch.body("l[]");
    let value = sketch.input("l[]/value");
    sketch.map("l[]/m", 2, &[value]);
    sketch.body("l[]/m[]");
    let item = sketch.input("l[]/m[]/item");
    let a = sketch.effect("l[]/m[]/a", &[item]);
    sketch.effect("l[]/m[]/b", &[a]);
    let script = [("l", &[0, 1][..]), ("l[0]/m", &[2]), ("l[1]/m", &[1])];
    let mut play = Play::scripted(sketch, &script);
    play.done("first");
    play.all_done(&["l[0]/m[0]/a", "l[0]/m[0]/b", "l[0]/m[1]/a", "l[0]/m[1]/b"]);
    play.all_done(&["l[1]/m[0]/a", "l[1]/m[0]/b", "after"]);
    play.fail("last");
    for undo in ["after/undo", "l[1]/m[0]/b/undo", "l[1]/m[0]/a/undo"] {
        assert_eq!(play.running(), [undo]);
        play.done(undo);
    }
    assert_eq!(play.running(), ["l[0]/m[0]/b/undo", "l[0]/m[1]/b/undo"]);
    play.done("l[0]/m[0]/b/undo");
    assert_eq!(play.running(), ["l[0]/m[0]/a/undo", "l[0]/m[1]/b/undo"]);
    play.all_done(&["l[0]/m[0]/a/undo", "l[0]/m[1]/b/undo", "l[0]/m[1]/a/undo"]);
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn levels_of_a_recursion_are_undone_from_the_deepest() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let called = sketch.node("r", NodeKind::Recurse { body: 1, limit: 0 }, &[first]);
    let last = sketch.step("last", &[called]);
    sketch.gives(last);
    sketch.body("w");
    let value = sketch.input("w/value");
    let a = sketch.effect("w/a", &[value]);
    let deeper = sketch.node("w/deeper", NodeKind::When, &[a]);
    let inner = sketch.node("w/r", NodeKind::Recurse { body: 1, limit: 9 }, &[deeper]);
    let maybe = sketch.optional("w/maybe", inner);
    sketch.gives(maybe);
    let mut play = Play::scripted(sketch, &[("r/deeper", &[1])]);
    play.world.nothing.extend(["r", "r/maybe"].map(String::from));
    play.all_done(&["first", "r/a", "r/r/a"]);
    let error = play.fail("last");
    play.all_done(&["r/r/a/undo", "r/a/undo"]);
    assert_eq!(play.blame(), Some(("last".into(), Cause::Error(error))));
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

/// The limit of all attempts and waits went on from the first try, and cut the next one off early.
#[test]
fn a_compensation_that_is_resumed_has_all_of_its_time() {
    for (wait_ns, crash) in [(0, false), (5 * SECOND, false), (5 * SECOND, true)] {
        let mut sketch = Sketch::new();
        let a = sketch.effect("a", &[]);
        sketch.policy(a + 1, |policy| policy.total_timeout_ns = 10 * SECOND);
        let b = sketch.step("b", &[a]);
        sketch.gives(b);
        let mut play = Play::new(sketch);
        play.done("a");
        play.fail("b");
        play.advance(2 * SECOND);
        play.fail("a/undo");
        if wait_ns > 0 {
            play.advance(wait_ns);
        }
        play.resume();
        if crash {
            play.crash(0);
        }
        play.advance(10 * SECOND - 1);
        assert!(play.told().is_empty());
        play.advance(1);
        assert_eq!(play.told(), ["a/undo"]);
    }
}
