//! Steps that may run at most once: what was cut off is unknown until somebody finds out.

use penstock_engine::NodeState::{
    Cancelled, Compensated, CompensationFailed, Ready, Skipped, Succeeded, Unknown,
};
use penstock_engine::{Base, Cause, Config, NodeKind, Outcome, Resolution, RunStatus};

use crate::harness::SECOND;
use crate::play::Play;
use crate::sketch::Sketch;

const GRACE: u64 = 5 * SECOND;

fn once(sketch: &mut Sketch, path: &str, inputs: &[u32]) -> u32 {
    let step = sketch.step(path, inputs);
    sketch.policy(step, |policy| policy.once = true);
    step
}

/// `a`, which may run at most once and has every limit, then `b`.
fn chain() -> Sketch {
    let mut sketch = Sketch::new();
    let a = once(&mut sketch, "a", &[]);
    sketch.policy(a, |policy| {
        policy.timeout_ns = SECOND;
        policy.total_timeout_ns = 60 * SECOND;
    });
    sketch.step("b", &[a]);
    sketch
}

/// `chain`, cut off by its timeout.
fn cut_off() -> Play {
    let mut play = Play::new(chain());
    play.advance(SECOND);
    play.stops("a");
    play
}

#[test]
fn every_way_to_be_cut_off_leaves_it_unknown_and_the_run_paused() {
    type Cut = fn(&mut Play);
    let ways: [(&str, Cut); 7] = [
        ("timeout", |play| {
            play.advance(SECOND);
            play.stops("a");
        }),
        ("no end in time after the timeout", |play| {
            play.advance(SECOND + GRACE);
            play.stops("a");
        }),
        ("heartbeat", |play| {
            play.advance(SECOND / 2);
            play.stops("a");
        }),
        ("total timeout", |play| {
            play.advance(SECOND / 4);
            play.stops("a");
        }),
        ("cancelled by itself", |play| play.stops("a")),
        ("interrupt", |play| {
            play.world.interrupt();
            play.stops("a");
        }),
        ("crash", |play| play.crash(SECOND)),
    ];
    for (way, cut) in ways {
        let mut sketch = chain();
        sketch.policy(0, |policy| match way {
            "heartbeat" => policy.heartbeat_timeout_ns = SECOND / 2,
            "total timeout" => policy.total_timeout_ns = SECOND / 4,
            _ => {}
        });
        let mut play = Play::new(sketch);
        cut(&mut play);
        assert_eq!(play.state("a"), Unknown, "{way}");
        assert_eq!(play.world.engine.status(play.run), Some(RunStatus::Paused), "{way}");
        assert_eq!(play.world.bodies(play.run).last(), Some(&"unknown"), "{way}");
        let node = play.world.place(play.run, "a");
        assert_eq!(play.world.stalled, [(play.run, node)], "{way}");
        let stalled = play.world.engine.stalled(play.run).expect("it stands still");
        assert_eq!((stalled.node, stalled.cause), (node, Cause::OutcomeUnknown), "{way}");
        assert!(play.running().is_empty() && !play.resume(), "{way}");
        let value = play.resolve_done("a");
        assert_eq!((play.running(), play.world.is_kept(value)), (vec!["b"], true), "{way}");
        play.done("b");
        assert!(play.has_succeeded(), "{way}");
    }
}

#[test]
fn what_is_given_up_at_the_runtimes_end_is_unknown() {
    let mut play = Play::new(chain());
    play.world.give_up();
    assert_eq!(play.state("a"), Unknown);
    assert_eq!(play.world.bodies(play.run), ["accepted", "started", "abandoned", "unknown"]);
}

#[test]
fn an_exception_means_failed_and_an_end_in_spite_of_the_cancellation_counts() {
    let mut play = Play::new(chain());
    let error = play.fail("a");
    assert_eq!(play.blame(), Some(("a".into(), Cause::Error(error))));

    let mut play = Play::new(chain());
    play.advance(SECOND);
    play.done("a");
    assert_eq!((play.state("a"), play.running()), (Succeeded, vec!["b"]));

    let mut play = Play::new(chain());
    play.advance(SECOND);
    let error = play.fail("a");
    assert_eq!(play.blame(), Some(("a".into(), Cause::Error(error))));
}

#[test]
fn it_can_be_done_have_failed_or_be_tried_again() {
    let mut play = cut_off();
    let error = play.resolve_failed("a");
    assert_eq!(play.blame(), Some(("a".into(), Cause::Error(error))));

    let mut play = cut_off();
    assert!(play.resolve_retry("a") && !play.resolve_retry("a"));
    assert_eq!(play.running(), ["a"]);
    play.all_done(&["a", "b"]);
    assert!(play.has_succeeded());
    let bodies = play.world.bodies(play.run);
    assert_eq!(bodies[1..6], ["started", "unknown", "resolved", "resumed", "started"]);
}

#[test]
fn only_what_is_unknown_can_be_resolved() {
    let mut play = Play::new(chain());
    assert!(!play.resolve_retry("a") && !play.resolve_retry("b"));
    play.all_done(&["a", "b"]);
    assert!(play.has_succeeded());
}

/// An attempt that was given up said what had become of it, and its run stood still for ever.
#[test]
fn the_late_end_of_an_abandoned_attempt_says_what_nobody_knew() {
    let mut play = Play::new(chain());
    play.advance(SECOND + GRACE);
    assert_eq!(play.state("a"), Unknown);
    play.done("a");
    assert_eq!((play.state("a"), play.running()), (Succeeded, vec!["b"]));
    play.done("b");
    assert!(play.has_succeeded());

    let mut play = Play::new(chain());
    play.advance(SECOND + GRACE);
    let error = play.fail("a");
    assert_eq!(play.blame(), Some(("a".into(), Cause::Error(error))));

    let mut play = Play::new(chain());
    play.advance(SECOND + GRACE);
    play.stops("a");
    assert_eq!(play.state("a"), Unknown);
    play.resolve_done("a");
    assert_eq!(play.running(), ["b"]);
}

#[test]
fn one_that_is_tried_again_waits_for_the_end_of_the_one_before() {
    let mut play = Play::new(chain());
    play.advance(SECOND + GRACE);
    let late = play.running().len();
    assert!(play.resolve_retry("a"));
    assert_eq!((late, play.state("a")), (1, Ready));
    play.stops("a");
    assert_eq!(play.running(), ["a"]);
    play.all_done(&["a", "b"]);
    assert!(play.has_succeeded());
}

#[test]
fn siblings_under_way_go_on_and_nothing_new_starts() {
    let config = Config { concurrency: 2, ..Config::default() };
    let mut sketch = Sketch::new();
    let a = once(&mut sketch, "a", &[]);
    let [b, c] = ["b", "c"].map(|path| sketch.step(path, &[]));
    sketch.collect("all", &[a, b, c]);
    let mut play = Play::with(config, sketch, &[], |_| ());
    assert_eq!(play.running(), ["a", "b"]);
    play.stops("a");
    play.done("b");
    assert!(play.running().is_empty(), "c has left its line");
    play.resolve_done("a");
    assert_eq!(play.running(), ["c"]);
    play.done("c");
    assert!(play.has_succeeded());
}

#[test]
fn the_run_goes_on_when_the_last_outcome_is_known_unless_an_operator_paused_it() {
    let two = || {
        let mut sketch = Sketch::new();
        let both = ["a", "b"].map(|path| once(&mut sketch, path, &[]));
        sketch.step("c", &both);
        Play::new(sketch)
    };
    let mut play = two();
    play.stops("a");
    play.stops("b");
    play.resolve_done("a");
    assert!(!play.resume() && play.running().is_empty());
    play.resolve_done("b");
    assert_eq!(play.running(), ["c"]);

    let mut play = two();
    play.pause();
    play.stops("a");
    play.done("b");
    play.resolve_done("a");
    assert!(play.running().is_empty());
    assert!(play.resume());
    assert_eq!(play.running(), ["c"]);
}

#[test]
fn a_run_that_is_cancelled_ends_once_it_is_known_what_it_did() {
    for effect in [true, false] {
        let mut sketch = Sketch::new();
        let a = sketch.effect("a", &[]);
        sketch.policy(a, |policy| policy.once = true);
        let mut play = Play::new(sketch);
        play.stops("a");
        assert!(play.cancel() && !play.cancel());
        assert_eq!((play.status(), play.state("a")), (None, Unknown));
        if effect {
            play.resolve_done("a");
        } else {
            assert!(play.resolve_retry("a"));
            assert_eq!(play.state("a"), penstock_engine::NodeState::Compensating);
        }
        assert_eq!(play.running(), ["a/undo"]);
        play.done("a/undo");
        assert_eq!(play.status(), Some(RunStatus::Compensated));
    }
    let mut play = cut_off();
    play.cancel();
    assert!(play.resolve_retry("a"));
    assert_eq!((play.status(), play.state("a")), (Some(RunStatus::Cancelled), Cancelled));
    let mut play = cut_off();
    play.cancel();
    let error = play.resolve_failed("a");
    assert!(!play.world.is_kept(error));
    assert_eq!(play.status(), Some(RunStatus::Cancelled));
}

#[test]
fn a_cancellation_cuts_it_off_too() {
    let mut play = Play::new(chain());
    play.cancel();
    assert_eq!(play.told(), ["a"]);
    play.stops("a");
    assert_eq!((play.state("a"), play.status()), (Unknown, None));
    play.resolve_done("a");
    assert_eq!((play.state("a"), play.status()), (Succeeded, Some(RunStatus::Cancelled)));
}

#[test]
fn the_deadline_ends_a_run_once_it_is_known_what_it_did() {
    let late = |accept: &mut penstock_engine::Accept<'_>| accept.deadline_ns = Some(10 * SECOND);
    let mut play = Play::with(Config::default(), chain(), &[], late);
    play.advance(SECOND);
    play.stops("a");
    play.advance(20 * SECOND);
    assert_eq!((play.state("a"), play.status()), (Unknown, None));
    play.resolve_done("a");
    assert_eq!(play.outcome(), Some(Outcome::DeadlineExceeded));
}

/// A race of `a`, which may run at most once, against `b`, and `last`.
fn race() -> Play {
    let mut sketch = Sketch::new();
    let a = once(&mut sketch, "a", &[]);
    let b = sketch.step("b", &[]);
    let race = sketch.race("race", &[a, b]);
    sketch.step("last", &[race]);
    Play::new(sketch)
}

#[test]
fn a_withdrawn_branch_must_be_found_out_about_and_is_not_tried_again() {
    let mut play = race();
    play.done("b");
    assert_eq!(play.running(), ["a", "last"]);
    play.stops("a");
    assert_eq!(play.world.engine.status(play.run), Some(RunStatus::Paused));
    let value = play.done("last");
    assert_eq!((play.status(), play.state("a")), (None, Unknown));
    assert!(play.resolve_retry("a"));
    assert_eq!((play.state("a"), play.result()), (Cancelled, Some(Base::Value(value))));

    let mut play = race();
    play.done("b");
    play.stops("a");
    let value = play.resolve_done("a");
    assert!(!play.world.is_kept(value), "nobody needs it any more");
    play.done("last");
    assert!(play.has_succeeded());
}

#[test]
fn a_branch_that_is_unknown_can_lose_its_race_or_win_it() {
    let mut play = race();
    play.stops("a");
    play.done("b");
    assert_eq!(play.running(), Vec::<&str>::new());
    let error = play.resolve_failed("a");
    assert!(!play.world.is_kept(error));
    play.done("last");
    assert!(play.has_succeeded());

    let mut play = race();
    play.stops("a");
    play.resolve_done("a");
    assert_eq!((play.told(), play.running()), (vec!["b".to_owned()], vec!["b", "last"]));
    play.stops("b");
    play.done("last");
    assert!(play.has_succeeded());
}

#[test]
fn a_scope_can_be_withdrawn_although_an_outcome_in_it_is_not_known() {
    let mut sketch = Sketch::new();
    let (scope, a) = sketch.scope(|sketch| once(sketch, "a", &[]));
    let stop = sketch.step("stop", &[]);
    sketch.node("cancel", NodeKind::Cancel { scope }, &[stop]);
    let maybe = sketch.optional("maybe", a);
    sketch.gives(maybe);
    let mut play = Play::new(sketch);
    play.stops("a");
    play.done("stop");
    assert_eq!((play.state("a"), play.status()), (Unknown, None));
    assert!(play.resolve_retry("a"));
    assert_eq!((play.state("a"), play.result()), (Cancelled, Some(Base::Nothing)));
}

/// The limit of all attempts and waits passed while nobody knew, and the step counted as failed.
#[test]
fn what_it_did_is_not_known_any_better_for_having_taken_too_long() {
    let mut play = cut_off();
    play.advance(100 * SECOND);
    assert_eq!(play.state("a"), Unknown);
    play.resolve_done("a");
    play.done("b");
    assert!(play.has_succeeded());
}

/// The limit of all attempts and waits went on from the first try, and cut the next one off early.
#[test]
fn one_that_is_tried_again_has_all_of_its_time() {
    let long = || {
        let mut sketch = chain();
        sketch.policy(0, |policy| policy.timeout_ns = 0);
        sketch
    };
    for (wait_ns, crash) in [(0, false), (49 * SECOND, false), (49 * SECOND, true)] {
        let mut play = Play::new(long());
        play.advance(SECOND);
        play.stops("a");
        if wait_ns > 0 {
            play.advance(wait_ns);
        }
        let node = play.world.place(play.run, "a");
        assert!(play.world.resolve(play.run, node, Resolution::Retry));
        if crash {
            play.crash(0);
        } else {
            play.go_on();
        }
        play.advance(59 * SECOND);
        assert!(play.told().is_empty());
        play.advance(SECOND);
        assert_eq!(play.told(), ["a"]);
    }
}

/// The others stood still with the one that nobody knew of, and for ever.
#[test]
fn other_compensations_go_on_while_the_outcome_of_one_is_not_known() {
    let config = Config { concurrency: 1, ..Config::default() };
    let mut sketch = Sketch::new();
    let [a, b] = ["a", "b"].map(|path| sketch.effect(path, &[]));
    sketch.policy(b + 1, |policy| policy.once = true);
    sketch.step("c", &[a, b]);
    let mut play = Play::with(config, sketch, &[], |_| ());
    play.all_done(&["a", "b"]);
    play.fail("c");
    assert_eq!(play.running(), ["b/undo"]);
    play.stops("b/undo");
    assert_eq!(play.world.engine.status(play.run), Some(RunStatus::Compensating));
    assert_eq!(play.running(), ["a/undo"]);
    play.done("a/undo");
    assert_eq!((play.status(), play.resume()), (None, false));
    play.resolve_failed("b/undo");
    assert_eq!(play.states(["a", "b"]), [Compensated, CompensationFailed]);
    assert!(play.resume());
    play.stops("b/undo");
    play.resolve_done("b/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn what_follows_a_failure_that_was_found_out_is_as_for_any_other() {
    let mut sketch = Sketch::new();
    let shield = sketch.shielded("shield", |sketch| once(sketch, "a", &[]));
    let maybe = sketch.optional("maybe", shield);
    sketch.step("last", &[maybe]);
    let mut play = Play::new(sketch);
    play.world.nothing.insert("maybe".into());
    play.stops("a");
    play.resolve_failed("a");
    assert_eq!((play.state("shield"), play.running()), (Skipped, vec!["last"]));
    play.done("last");
    assert!(play.has_succeeded());
}
