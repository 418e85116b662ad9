//! What queues hold back, and how it comes back.

use penstock_engine::{
    Body, BudgetModel, Cause, Config, Denial, Event, Failure, Limits, NodeState, OnDenial, Outcome,
    Place, QueueId, QueueModel, Rate, RunStatus, Start, Then,
};

use crate::harness::{MS, SECOND, World, step};

fn budget(on_denial: OnDenial) -> QueueModel {
    let budget = BudgetModel {
        ratio_ppm: 0,
        floor_ppm: 1,
        stored_ppm: 1_000_000,
        window_ns: 10 * SECOND,
        on_denial,
    };
    QueueModel { budget: Some(budget), ..QueueModel::default() }
}

/// A queue whose budget has paid for its only retry.
fn spent(world: &mut World, on_denial: OnDenial) -> QueueId {
    let queue = world.engine.add_queue(budget(on_denial));
    world.engine.set_tokens(world.engine.now_ns(), queue, 0);
    queue
}

const FAILED: Failure = Failure { retryable: true, ..Failure::FINAL };

/// Limits enter by one event, so that several hosts can share them: here, half of what the model says.
#[test]
fn a_share_of_the_limits_holds_from_then_on_and_stops_nothing_that_runs() {
    let mut world = World::new();
    let rate = Rate { gap_ps: 1_000_000_000_000, burst: 1 };
    let model = QueueModel { concurrency: 4, requests: None, ..QueueModel::default() };
    let queue = world.engine.add_queue(model);
    let rated =
        world.engine.add_queue(QueueModel { requests: Some(rate), ..QueueModel::default() });
    let plan = world.single(step(&[]).queue(queue));
    (0..6).for_each(|_| _ = world.accept(plan));
    let running = world.start_all();
    assert_eq!(running.len(), 4);
    let half = Limits { concurrency: 2, floor_ppm: 0, requests_gap_ps: 0, tokens_gap_ps: 0 };
    world.handle(Event::Limits { queue, limits: half });
    assert_eq!(world.engine.queue(queue).running, 4);
    for start in &running[..2] {
        world.done(*start);
    }
    assert_eq!(world.start_all().len(), 0);
    world.done(running[2]);
    assert_eq!(world.start_all().len(), 1);

    // Twice the time between two attempts.
    let slow = Limits { concurrency: u32::MAX, requests_gap_ps: 2 * rate.gap_ps, ..half };
    world.handle(Event::Limits { queue: rated, limits: slow });
    let plan = world.single(step(&[]).queue(rated));
    (0..3).for_each(|_| _ = world.accept(plan));
    let mut starts = Vec::new();
    for second in 0..6 {
        starts.extend(world.start_all().iter().map(|_| second));
        world.advance(SECOND);
    }
    assert_eq!(starts, [0, 2, 4]);
}

#[test]
fn what_is_parked_is_on_record_and_needs_no_slot() {
    let mut world = World::new();
    let queue = spent(&mut world, OnDenial::Park);
    let plan = world.single(step(&[]).attempts(3).queue(queue));
    let run = world.accept(plan);
    let start = world.started();
    world.fail_with(start, FAILED);
    assert_eq!(world.engine.node_state(run, Place(0)), Some(NodeState::Parked));
    let last = world.records.last().expect("a record").body;
    assert!(
        matches!(last, Body::Failed { then: Then::Park { denial: Denial::Budget, .. }, .. }),
        "{last:?}"
    );
    let view = world.engine.queue(queue);
    assert_eq!((view.running, view.waiting, view.parked), (0, 0, 1));
    // Nothing else shows how the queue fares, so one comes back to see.
    world.advance(2 * SECOND);
    let probe = world.started();
    assert_eq!((probe.number, world.engine.queue(queue).parked), (2, 0));
    world.done(probe);
    assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
}

/// A parked step that took too long left its queue thinking that it was still parked: the queue looked for it
/// for ever.
#[test]
fn a_parked_step_that_takes_too_long_fails_and_leaves_nothing_behind() {
    let mut world = World::new();
    let queue = spent(&mut world, OnDenial::Park);
    let timed = step(&[]).attempts(3).queue(queue);
    let plan = world.single(timed.policy(|it| it.total_timeout_ns = 500 * MS));
    let run = world.accept(plan);
    let start = world.started();
    world.fail_with(start, FAILED);
    world.advance(500 * MS);
    let outcome = world.outcome(run);
    assert!(
        matches!(outcome, Some(Outcome::Failed { cause: Cause::TotalTimeout, .. })),
        "{outcome:?}"
    );
    assert_eq!(world.engine.queue(queue).parked, 0);
    world.advance(SECOND);
    assert_eq!(world.engine.next_deadline_ns(), None);
}

fn dead_letter(world: &mut World) -> (penstock_engine::RunKey, Start) {
    let queue = spent(world, OnDenial::DeadLetter);
    let plan = world.single(step(&[]).attempts(3).queue(queue));
    let run = world.accept(plan);
    (run, world.started())
}

#[test]
fn a_dead_letter_stands_still_until_somebody_resumes_it() {
    let mut world = World::new();
    let (run, start) = dead_letter(&mut world);
    world.fail_with(start, FAILED);
    assert_eq!(world.engine.status(run), Some(RunStatus::Paused));
    let stalled = world.engine.stalled(run).expect("it waits for somebody");
    assert_eq!((stalled.node, stalled.cause), (Place(0), Cause::RetryDenied));
    world.advance(1_000 * SECOND);
    assert!(world.start().is_none());
    assert!(world.resume(run));
    let again = world.started();
    assert_eq!(again.number, 2);
    world.done(again);
    assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
}

/// The process went down between the two records of a dead letter, and the run went on by itself, parked where
/// nothing would release it.
#[test]
fn a_dead_letter_that_was_torn_stands_still_all_the_same() {
    let mut world = World::with(Config { journaled: true, ..Config::default() });
    let queue = world.engine.add_queue(budget(OnDenial::DeadLetter));
    let plan = world.single(step(&[]).attempts(3).queue(queue));
    let run = world.accept(plan);
    world.sync(world.engine.lsn());
    world.engine.set_tokens(world.engine.now_ns(), queue, 0);
    let start = world.started();
    world.fail_with(start, FAILED);
    let paused = world.records.last().expect("a record");
    assert_eq!(paused.body, Body::Paused);
    world.sync(penstock_engine::Lsn(paused.lsn.0 - 1));
    let moved = world.crash(SECOND, &[]);
    let run = moved[&run];
    assert_eq!(world.engine.status(run), Some(RunStatus::Paused));
    world.sync(world.engine.lsn());
    world.advance(1_000 * SECOND);
    assert!(world.start().is_none());
    assert!(world.resume(run));
    world.sync(world.engine.lsn());
    assert_eq!(world.started().number, 2);
}

/// Found by simulation: a node was parked while another stood in line for the only slot, and that one was turned
/// away as it could not end in time. Nothing woke the queue then, and what was parked stayed for ever.
#[test]
fn what_is_parked_comes_back_though_who_stood_before_it_was_turned_away() {
    let mut world = World::new();
    let model = QueueModel { concurrency: 1, ..budget(OnDenial::Park) };
    let queue = world.engine.add_queue(model);
    let plan = world.single(step(&[]).queue(queue).attempts(3));
    for _ in 0..40 {
        world.accept(plan);
        let known = world.suspended();
        world.advance(10 * SECOND);
        world.done(known);
    }
    world.engine.set_tokens(world.engine.now_ns(), queue, 0);
    let run = world.accept(plan);
    let start = world.suspended();
    let deadline_ns = world.now_ns + 15 * SECOND;
    let late = world.accept_with(plan, |accept| accept.deadline_ns = Some(deadline_ns));
    world.advance(10 * SECOND);
    world.fail_with(start, FAILED);
    assert_eq!(world.engine.node_state(run, Place(0)), Some(NodeState::Parked));
    assert!(world.start().is_none());
    world.advance(0);
    assert!(world.outcome(late).is_some());
    world.advance(60 * SECOND);
    assert_eq!(world.started().run, run);
}
