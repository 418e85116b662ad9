//! When a value is given up: with its last consumer, and never twice (the harness checks the latter).

use penstock_engine::{Base, Config, Event, Failure, NodeId, Outcome};

use crate::harness::{World, apply, constant, input, step};

#[test]
fn a_value_goes_with_its_last_consumer() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0]), step(&[0, 0]), step(&[1, 2])]);
    world.accept(plan);
    let first = world.started();
    let value = world.done(first);
    let (one, two) = (world.started(), world.started());
    world.done(one);
    assert!(world.is_kept(value), "a consumer is still under way");
    world.done(two);
    assert!(!world.is_kept(value));
}

#[test]
fn a_value_is_kept_for_the_retry_of_its_consumer() {
    let mut world = World::new();
    let plan = world.plan(vec![input(), step(&[0]).attempts(2)]);
    world.accept(plan);
    let start = world.started();
    let kept = world.values_kept();
    world.fail(start);
    assert_eq!(world.values_kept(), kept, "the error is dropped, the input is not");
}

#[test]
fn a_value_nobody_takes_goes_at_once() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[]).after(&[0])]);
    world.accept(plan);
    let start = world.started();
    let value = world.done(start);
    assert!(!world.is_kept(value));
}

#[test]
fn the_output_passes_to_the_driver_even_if_others_use_it() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0]), apply(&[0])]);
    let run = world.accept(plan);
    let start = world.started();
    world.done(start);
    let start = world.started();
    world.done(start);
    let Some(Outcome::Succeeded(Base::Value(value))) = world.outcome(run) else {
        panic!("it succeeded")
    };
    assert!(world.is_kept(value));
    assert_eq!(world.values_kept(), 1);
}

#[test]
fn an_input_that_is_the_output_survives() {
    let mut world = World::new();
    let plan = world.plan_giving(vec![input(), step(&[])], 0);
    let run = world.accept(plan);
    let start = world.started();
    world.done(start);
    let Some(Outcome::Succeeded(Base::Value(value))) = world.outcome(run) else {
        panic!("it succeeded")
    };
    assert!(world.is_kept(value) && world.values_kept() == 1);
}

#[test]
fn a_constant_output_has_no_handle() {
    let mut world = World::new();
    let plan = world.plan(vec![input(), constant()]);
    let run = world.accept(plan);
    assert_eq!(world.outcome(run), Some(Outcome::Succeeded(Base::Constant(NodeId(1)))));
    assert_eq!(world.values_kept(), 0);
}

#[test]
fn a_failed_run_keeps_only_its_error() {
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let plan = world.plan(vec![input(), step(&[0]), step(&[0]), step(&[1, 2])]);
    world.accept(plan);
    let start = world.started();
    world.done(start);
    let start = world.started();
    let error = world.fail_with(start, Failure::FINAL);
    assert!(world.is_kept(error) && world.values_kept() == 1);
}

#[test]
fn an_inline_failure_is_the_runs() {
    let mut world = World::new();
    world.manual = true;
    let plan = world.plan(vec![input(), apply(&[0]), step(&[1])]);
    world.accept(plan);
    let (run, node) = world.to_evaluate.pop_front().expect("an inline node");
    let error = world.value();
    world.handle(Event::DecidedFailed { run, node, error, refusal: None });
    let cause = penstock_engine::Cause::Error(error);
    assert_eq!(world.outcome(run), Some(Outcome::Failed { node, attempts: 0, cause }));
    assert_eq!(world.values_kept(), 1);
}
