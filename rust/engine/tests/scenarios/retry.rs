//! Retries: how often, how soon, and never after a failure that is final.

use std::num::NonZeroU32;

use penstock_engine::{Base, Cause, Config, Failure, Jitter, NodeState, Outcome, RetryPolicy};

use crate::harness::{MS, SECOND, World, input, step};

const BACKOFF: RetryPolicy = RetryPolicy {
    attempts_max: NonZeroU32::new(5).unwrap(),
    initial_ns: SECOND,
    coefficient: 2.0,
    max_ns: 3 * SECOND,
    jitter: Jitter::None,
};

#[test]
fn a_step_that_fails_twice_and_then_succeeds_succeeds() {
    let mut world = World::new();
    let plan = world.plan(vec![input(), step(&[0]).attempts(3)]);
    let run = world.accept(plan);
    for number in 1..=2 {
        let start = world.started();
        assert_eq!(start.number, number);
        world.fail(start);
        assert!(world.start().is_none(), "the retry is not due");
        assert_eq!(world.engine.running(), 0, "a waiting retry holds no slot");
        world.advance(SECOND);
    }
    let start = world.started();
    let value = world.done(start);
    assert_eq!(world.outcome(run), Some(Outcome::Succeeded(Base::Value(value))));
    assert_eq!(world.bodies(run), ["accepted", "failed", "failed", "done", "ended"]);
}

#[test]
fn the_last_attempt_fails_the_run_with_its_own_error() {
    let mut world = World::new();
    let plan = world.single(step(&[]).attempts(2));
    let run = world.accept(plan);
    let first = world.started();
    let lost = world.fail(first);
    world.advance(SECOND);
    let second = world.started();
    let error = world.fail(second);
    let cause = Cause::Error(error);
    assert_eq!(world.outcome(run), Some(Outcome::Failed { node: second.node, attempts: 2, cause }));
    assert!(!world.is_kept(lost) && world.is_kept(error));
    world.advance(60 * SECOND);
    assert!(world.start().is_none());
}

#[test]
fn a_final_failure_is_not_retried() {
    let mut world = World::new();
    let plan = world.single(step(&[]).attempts(5));
    let run = world.accept(plan);
    let start = world.started();
    world.fail_with(start, Failure::FINAL);
    assert!(matches!(world.outcome(run), Some(Outcome::Failed { attempts: 1, .. })));
}

#[test]
fn waits_grow_to_the_cap() {
    let mut world = World::new();
    let plan = world.single(step(&[]).retry(BACKOFF));
    world.accept(plan);
    for _ in 0..5 {
        let start = world.started();
        world.fail(start);
        world.advance(10 * SECOND);
    }
    assert_eq!(world.waits_ns(), [SECOND, 2 * SECOND, 3 * SECOND, 3 * SECOND]);
}

#[test]
fn retry_after_wins_when_it_is_later_and_only_then() {
    let mut world = World::new();
    let plan = world.single(step(&[]).retry(BACKOFF));
    world.accept(plan);
    for after_ns in [MS, 60 * SECOND] {
        let start = world.started();
        world.fail_with(
            start,
            Failure { retryable: true, retry_after_ns: Some(after_ns), ..Failure::FINAL },
        );
        world.advance(60 * SECOND);
    }
    assert_eq!(world.waits_ns(), [SECOND, 60 * SECOND]);
}

#[test]
fn full_jitter_spreads_a_herd_and_depends_on_the_seed_alone() {
    let waits = |seed: u64| {
        let mut world = World::with(Config { seed, ..Config::default() });
        let plan = world.single(step(&[]).retry(RetryPolicy { jitter: Jitter::Full, ..BACKOFF }));
        (0..100).for_each(|_| _ = world.accept(plan));
        for start in world.start_all() {
            world.fail(start);
        }
        world.waits_ns()
    };
    let first = waits(7);
    assert_eq!(first, waits(7));
    assert_ne!(first, waits(8));
    assert!(first.iter().all(|&wait| wait < SECOND));
    let early = first.iter().filter(|&&wait| wait < SECOND / 2).count();
    assert!((30..=70).contains(&early), "{early} of 100 in the first half");
}

#[test]
fn a_retry_without_a_wait_is_ready_at_once() {
    let mut world = World::new();
    let policy = RetryPolicy { initial_ns: 0, max_ns: 0, ..BACKOFF };
    let plan = world.single(step(&[]).retry(policy));
    let run = world.accept(plan);
    let start = world.started();
    world.fail(start);
    assert_eq!(world.engine.node_state(run, start.node), Some(NodeState::Ready));
    assert_eq!(world.started().number, 2);
}

#[test]
fn a_second_failure_folds_although_the_retry_coming_due_is_not_recorded() {
    // A fold left the node in backoff, from where a failure or a result was an illegal move.
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]).attempts(3), step(&[0])]);
    world.accept(plan);
    for _ in 0..2 {
        let start = world.started();
        world.fail(start);
        world.advance(SECOND);
    }
    let start = world.started();
    world.done(start);
    assert_eq!(world.started().number, 1);
}
