//! The four timeouts of a step.

use penstock_engine::{CancelCause, Cause, Config, Event, Hedge, Outcome, Place, QueueModel};

use crate::harness::{MS, SECOND, World, step};

fn failed(cause: Cause, attempts: u32) -> Outcome {
    Outcome::Failed { node: Place(0), attempts, cause }
}

#[test]
fn an_attempt_is_told_to_stop_at_its_timeout_and_is_retried() {
    let mut world = World::new();
    let plan = world.single(step(&[]).attempts(2).timeout(3 * SECOND));
    let run = world.accept(plan);
    let first = world.suspended();
    world.advance(3 * SECOND - 1);
    assert!(world.take_cancels().is_empty());
    world.advance(1);
    assert_eq!(world.take_cancels(), [(first.attempt, CancelCause::Timeout)]);
    assert_eq!(world.engine.running(), 1, "its slot is taken until it ends");
    world.end_cancelled(first);
    world.advance(SECOND);
    let second = world.suspended();
    assert_eq!(second.number, 2);
    world.advance(3 * SECOND);
    world.end_cancelled(second);
    assert_eq!(world.outcome(run), Some(failed(Cause::Timeout, 2)));
}

#[test]
fn a_timeout_counts_from_the_start_not_from_the_suspension() {
    let mut world = World::new();
    let plan = world.single(step(&[]).timeout(SECOND));
    world.accept(plan);
    let start = world.started();
    world.advance(SECOND - MS);
    world.handle(Event::Suspended { attempt: start.attempt });
    world.advance(MS);
    assert_eq!(world.take_cancels(), [(start.attempt, CancelCause::Timeout)]);
}

#[test]
fn timeouts_are_final_where_the_policy_says_so() {
    let mut world = World::new();
    let step = step(&[]).attempts(5).timeout(SECOND);
    let plan = world.single(step.policy(|policy| policy.retry_timeouts = false));
    let run = world.accept(plan);
    let start = world.suspended();
    world.advance(SECOND);
    world.end_cancelled(start);
    assert_eq!(world.outcome(run), Some(failed(Cause::Timeout, 1)));
}

#[test]
fn what_an_attempt_returns_after_its_timeout_is_dropped() {
    let mut world = World::new();
    let plan = world.single(step(&[]).timeout(SECOND));
    let run = world.accept(plan);
    let start = world.suspended();
    world.advance(SECOND);
    let value = world.done(start);
    assert!(!world.is_kept(value));
    assert_eq!(world.outcome(run), Some(failed(Cause::Timeout, 1)));
}

#[test]
fn an_attempt_that_ends_in_time_is_never_cancelled() {
    let mut world = World::new();
    let plan = world.single(step(&[]).timeout(SECOND));
    world.accept(plan);
    let start = world.suspended();
    world.done(start);
    assert_eq!(world.engine.next_deadline_ns(), None);
    world.advance(2 * SECOND);
    assert!(world.take_cancels().is_empty());
}

#[test]
fn total_timeout_covers_attempts_and_waits() {
    let mut world = World::new();
    let step = step(&[]).attempts(100);
    let plan = world.single(step.policy(|policy| policy.total_timeout_ns = 5 * SECOND / 2));
    let run = world.accept(plan);
    for _ in 0..3 {
        let start = world.started();
        world.fail(start);
        world.advance(SECOND);
    }
    assert_eq!(world.outcome(run), Some(failed(Cause::TotalTimeout, 3)), "it ends while it waits");
}

#[test]
fn total_timeout_stops_a_running_attempt_for_good() {
    let mut world = World::new();
    let step = step(&[]).attempts(100);
    let plan = world.single(step.policy(|policy| policy.total_timeout_ns = SECOND));
    let run = world.accept(plan);
    let start = world.suspended();
    world.advance(SECOND);
    assert_eq!(world.take_cancels(), [(start.attempt, CancelCause::TotalTimeout)]);
    world.end_cancelled(start);
    assert_eq!(world.outcome(run), Some(failed(Cause::TotalTimeout, 1)));
}

#[test]
fn total_timeout_overrules_the_retry_of_an_attempt_that_is_timing_out() {
    let mut world = World::new();
    let step = step(&[]).attempts(100).timeout(SECOND);
    let plan = world.single(step.policy(|policy| policy.total_timeout_ns = 2 * SECOND));
    let run = world.accept(plan);
    let start = world.suspended();
    world.advance(2 * SECOND);
    assert_eq!(world.take_cancels(), [(start.attempt, CancelCause::Timeout)]);
    world.end_cancelled(start);
    assert_eq!(world.outcome(run), Some(failed(Cause::TotalTimeout, 1)));
}

#[test]
fn queue_timeout_fails_what_waits_for_too_long_and_only_that() {
    let mut world = World::new();
    let limits = QueueModel { concurrency: 1, ..QueueModel::default() };
    let queue = world.engine.add_queue(limits);
    let patient = step(&[]).queue(queue).policy(|policy| policy.queue_timeout_ns = SECOND);
    let plan = world.single(patient);
    let (running, waiting) = (world.accept(plan), world.accept(plan));
    let start = world.started();
    assert_eq!(start.run, running);
    world.advance(SECOND);
    assert_eq!(world.outcome(waiting), Some(failed(Cause::QueueTimeout, 0)));
    assert_eq!(world.engine.queue(queue).waiting, 0);
    world.advance(SECOND);
    world.done(start);
    assert!(matches!(world.outcome(running), Some(Outcome::Succeeded(_))));
    assert!(world.start().is_none());
}

#[test]
fn queue_timeout_starts_anew_after_an_interruption() {
    // The timer of the first wait was still pending and ended the second one early.
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let plan = world.single(step(&[]).policy(|policy| policy.queue_timeout_ns = 2 * SECOND));
    let run = world.accept(plan);
    let start = world.started();
    world.advance(SECOND);
    world.handle(Event::Interrupted { attempt: start.attempt });
    world.advance(2 * SECOND - 1);
    assert_eq!(world.outcome(run), None);
    world.advance(1);
    assert_eq!(world.outcome(run), Some(failed(Cause::QueueTimeout, 0)));
}

#[test]
fn a_silent_attempt_is_stopped_and_a_lively_one_is_not() {
    let mut world = World::new();
    let silent = step(&[]).policy(|policy| policy.heartbeat_timeout_ns = SECOND);
    let plan = world.single(silent);
    let run = world.accept(plan);
    let start = world.suspended();
    for _ in 0..10 {
        world.advance(SECOND - 1);
        world.handle(Event::Heartbeat { attempt: start.attempt });
    }
    assert!(world.take_cancels().is_empty());
    world.advance(SECOND);
    assert_eq!(world.take_cancels(), [(start.attempt, CancelCause::HeartbeatTimeout)]);
    world.end_cancelled(start);
    assert_eq!(world.outcome(run), Some(failed(Cause::HeartbeatTimeout, 1)));
}

#[test]
fn a_cancellation_nobody_asked_for_fails_the_node() {
    let mut world = World::new();
    let plan = world.single(step(&[]).attempts(5));
    let run = world.accept(plan);
    let start = world.suspended();
    world.end_cancelled(start);
    let outcome = world.outcome(run);
    assert!(matches!(outcome, Some(Outcome::Failed { cause: Cause::Error(_), .. })));
}

#[test]
fn timers_of_ended_steps_do_not_pile_up_behind_one_that_is_far_away() {
    // Timers of ended nodes were not counted as stale, so a long total_timeout kept each for its whole time.
    let mut world = World::new();
    let day = 86_400 * SECOND;
    let slow = world.single(step(&[]).policy(|policy| policy.total_timeout_ns = day));
    world.accept(slow);
    let keeps_the_head_live = world.suspended();
    for _ in 0..20_000 {
        world.accept(slow);
        let start = world.started();
        world.done(start);
        world.engine.next_deadline_ns();
    }
    assert!(world.engine.timer_count() < 5_000, "{} timers", world.engine.timer_count());
    world.done(keeps_the_head_live);
}

/// Found by simulation: a run that ended while the first of two copies was out of time left the second running.
#[test]
fn both_copies_of_an_attempt_are_told_to_stop_though_one_was_already() {
    let mut world = World::new();
    let plan = world.single(step(&[]).timeout(10 * SECOND).policy(|policy| {
        policy.hedge = Some(Hedge::After(5 * SECOND));
    }));
    let run = world.accept(plan);
    let first = world.suspended();
    world.advance(5 * SECOND);
    let copy = world.suspended();
    world.advance(5 * SECOND);
    assert_eq!(world.take_cancels(), [(first.attempt, CancelCause::Timeout)]);
    world.cancel(run);
    assert_eq!(world.take_cancels(), [(copy.attempt, CancelCause::Withdrawn)]);
    world.end_cancelled(copy);
    world.end_cancelled(first);
    assert_eq!(world.outcome(run), Some(Outcome::Cancelled));
}
