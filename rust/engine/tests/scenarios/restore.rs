//! A process goes down, and the next one goes on with what is on disk.

use std::num::NonZeroU32;

use penstock_engine::NodeState::{
    Awaiting, Backoff, Compensated, CompensationFailed, Parked, Ready, Running, Succeeded, Unknown,
};
use penstock_engine::{
    Accept, Base, Cause, Config, Event, Lsn, NodeKind, Outcome, QueueModel, RunKey, RunStatus,
};

use crate::harness::{MS, SECOND, World, step};
use crate::play::Play;
use crate::sketch::Sketch;

fn journaled() -> Config {
    Config { journaled: true, ..Config::default() }
}

/// A step of three attempts, ten seconds apart, and `last`.
fn retried() -> Sketch {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.policy(a, |policy| {
        policy.retry.attempts_max = NonZeroU32::MIN.saturating_add(2);
        policy.retry.initial_ns = 10 * SECOND;
        policy.retry.max_ns = 10 * SECOND;
    });
    sketch.step("last", &[a]);
    sketch
}

// What is on disk.

#[test]
fn what_is_done_is_not_done_again_and_what_was_under_way_is() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    let b = sketch.step("b", &[a]);
    sketch.step("c", &[b]);
    let mut play = Play::new(sketch);
    let kept = play.done("a");
    play.crash(SECOND);
    assert_eq!(play.running(), ["b"]);
    assert!(play.world.is_kept(kept));
    let value = play.done("b");
    assert_eq!((play.world.is_kept(kept), play.world.is_kept(value)), (false, true));
    play.crash(SECOND);
    assert_eq!(play.running(), ["c"]);
    let value = play.done("c");
    assert_eq!(play.result(), Some(Base::Value(value)));
}

#[test]
fn a_run_whose_acceptance_is_not_on_disk_has_never_been() {
    let mut play = Play::with(journaled(), retried(), &[], |_| ());
    play.crash(SECOND);
    assert_eq!((play.world.engine.run_count(), play.world.values_kept()), (0, 0));
}

#[test]
fn a_result_that_is_not_on_disk_is_asked_for_again() {
    let mut play = Play::with(journaled(), retried(), &[], |_| ());
    play.sync();
    play.done("a");
    play.crash(SECOND);
    assert_eq!(play.running(), ["a"]);
    play.done("a");
    play.sync();
    play.crash(SECOND);
    assert_eq!(play.running(), ["last"]);
}

#[test]
fn an_end_that_is_not_on_disk_comes_again() {
    let mut play = Play::with(journaled(), retried(), &[], |_| ());
    play.sync();
    play.done("a");
    play.sync();
    let value = play.done("last");
    let ended = play.world.engine.lsn();
    assert!(play.has_succeeded());
    play.world.sync(Lsn(ended.0 - 1));
    play.crash(SECOND);
    assert_eq!(play.world.engine.run_count(), 0, "its result was on disk");
    let outcome = play.world.ended.values().next();
    assert_eq!(outcome, Some(&(RunStatus::Succeeded, Outcome::Succeeded(Base::Value(value)))));
}

#[test]
fn records_and_runs_are_counted_on() {
    let mut play = Play::new(retried());
    play.done("a");
    let lsn = play.world.engine.lsn();
    play.crash(SECOND);
    assert_eq!(play.world.engine.lsn(), lsn);
    let second = play.another();
    assert_eq!(play.world.engine.number(second), Some(1));
    assert_eq!(play.world.records.last().map(|record| record.lsn), Some(Lsn(lsn.0 + 1)));
    assert_eq!(play.running(), ["1:a", "last"]);
}

// Time.

#[test]
fn a_retry_keeps_its_time_and_its_number() {
    let mut play = Play::new(retried());
    play.trip("a");
    play.advance(4 * SECOND);
    play.crash(SECOND);
    assert_eq!(play.state("a"), Backoff);
    play.advance(5 * SECOND - 1);
    assert!(play.running().is_empty());
    play.advance(1);
    assert_eq!(play.attempt("a").number, 2);
    play.crash(SECOND);
    assert_eq!(play.attempt("a").number, 2, "one that was cut off does not count");
    play.trip("a");
    play.crash(100 * SECOND);
    assert_eq!(play.attempt("a").number, 3, "due while nobody was there");
    play.trip("a");
    assert!(matches!(play.blame(), Some((path, _)) if path == "a"));
}

#[test]
fn sleeps_and_waits_for_signals_end_when_they_would_have() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let slept = sketch.node("slept", NodeKind::Sleep { duration_ns: 10 * SECOND }, &[first]);
    let signal = sketch.signal("signal", "approval", 20 * SECOND, false);
    sketch.after(signal, &[first]);
    let maybe = sketch.optional("maybe", signal);
    sketch.collect("all", &[slept, maybe]);
    let mut play = Play::new(sketch);
    play.world.nothing.insert("maybe".into());
    play.done("first");
    play.advance(4 * SECOND);
    play.crash(3 * SECOND);
    play.advance(3 * SECOND - 1);
    assert_eq!(play.state("slept"), Awaiting);
    play.advance(1);
    assert_eq!(play.state("slept"), Succeeded);
    play.crash(0);
    play.advance(10 * SECOND - 1);
    assert_eq!(play.status(), None);
    play.advance(1);
    assert!(play.has_succeeded());

    let mut play = Play::new(pauses());
    play.done("a");
    play.crash(100 * SECOND);
    assert_eq!(play.running(), ["b"], "over while nobody was there");
}

fn pauses() -> Sketch {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    let slept = sketch.node("slept", NodeKind::Sleep { duration_ns: SECOND }, &[a]);
    sketch.step("b", &[slept]);
    sketch
}

#[test]
fn all_attempts_and_waits_together_are_limited_over_processes() {
    let limited = || {
        let mut sketch = retried();
        sketch.policy(0, |policy| policy.total_timeout_ns = 15 * SECOND);
        Play::new(sketch)
    };
    let mut play = limited();
    play.trip("a");
    play.crash(10 * SECOND);
    play.advance(5 * SECOND - 1);
    assert!(play.told().is_empty());
    play.advance(1);
    assert_eq!(play.told(), ["a"]);

    let mut play = limited();
    play.crash(15 * SECOND);
    assert_eq!(play.world.ended.len(), 1, "too late to begin");
}

fn late(at_ns: u64) -> impl FnOnce(&mut Accept<'_>) {
    move |accept| accept.deadline_ns = Some(at_ns)
}

/// What was eligible started first, and was told to stop at once.
#[test]
fn a_deadline_that_passed_while_nobody_was_there_lets_nothing_start() {
    let mut play = Play::with(Config::default(), retried(), &[], late(10 * SECOND));
    play.crash(9 * SECOND);
    assert_eq!(play.running(), ["a"]);
    play.advance(SECOND);
    assert_eq!(play.told(), ["a"]);

    let mut play = Play::with(Config::default(), retried(), &[], late(10 * SECOND));
    play.crash(10 * SECOND);
    assert!(play.running().is_empty());
    let ended = play.world.ended.values().next();
    assert_eq!(ended, Some(&(RunStatus::Failed, Outcome::DeadlineExceeded)));
}

// Lines.

#[test]
fn steps_stand_in_line_as_they_became_eligible_and_suspects_come_last() {
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let plan = world.single(step(&[]));
    let runs: Vec<RunKey> = (0..4)
        .map(|_| {
            world.advance(MS);
            world.accept(plan)
        })
        .collect();
    world.started();
    world.crash(SECOND, &[(0, 1), (2, 3)]);
    let order: Vec<u64> = (0..4)
        .map(|_| {
            let start = world.started();
            let number = world.number(start.run);
            world.done(start);
            number
        })
        .collect();
    assert_eq!(order, [1, 3, 0, 2]);
    assert_eq!(runs.len(), 4);
    let counts = world.records.iter().filter_map(|record| match record.body {
        penstock_engine::Body::Recovered { count } => Some(count),
        _ => None,
    });
    assert_eq!(counts.collect::<Vec<u32>>(), [1, 3]);
}

/// A retry that came due while nobody was there stood behind what had become eligible later, and behind those
/// that may have brought the process down.
#[test]
fn a_retry_stands_in_line_since_it_was_due() {
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let again = world.single(step(&[]).attempts(2));
    let plan = world.single(step(&[]));
    world.accept(again);
    let start = world.started();
    world.fail(start);
    world.advance(SECOND / 2);
    world.accept(plan);
    world.started();
    world.advance(SECOND / 4);
    world.accept(plan);
    world.now_ns += SECOND;
    world.accept(plan);
    world.crash(0, &[(1, 1)]);
    let order: Vec<u64> = (0..4)
        .map(|_| {
            let start = world.started();
            let number = world.number(start.run);
            world.done(start);
            number
        })
        .collect();
    assert_eq!(order, [2, 0, 3, 1]);
}

#[test]
fn priorities_and_queues_hold_as_before() {
    let mut world = World::with(Config { concurrency: 1, ..Config::default() });
    let limits = QueueModel { concurrency: 1, ..QueueModel::default() };
    let queue = world.engine.add_queue(limits);
    let plan = world.single(step(&[]).queue(queue));
    for priority in [3, 5, 1] {
        world.accept_with(plan, |accept| accept.priority = Some(priority));
    }
    world.crash(SECOND, &[]);
    let start = world.started();
    assert_eq!((world.number(start.run), world.engine.queue(queue).waiting), (2, 2));
    assert!(world.start().is_none());
}

// Runs that stood still, or were ending.

#[test]
fn a_paused_run_stays_paused() {
    let mut play = Play::new(retried());
    play.trip("a");
    play.pause();
    play.crash(100 * SECOND);
    assert!(play.running().is_empty());
    assert_eq!((play.state("a"), play.pause()), (Ready, false));
    assert!(play.resume());
    assert_eq!(play.attempt("a").number, 2);
}

#[test]
fn a_run_that_was_cancelled_ends_without_those_that_died_with_the_process() {
    let mut play = Play::new(retried());
    play.cancel();
    assert_eq!(play.told(), ["a"]);
    play.crash(SECOND);
    let ended = play.world.ended.values().next();
    assert_eq!(ended, Some(&(RunStatus::Cancelled, Outcome::Cancelled)));
}

#[test]
fn compensation_goes_on_where_it_was() {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let b = sketch.effect("b", &[a]);
    let c = sketch.effect("c", &[b]);
    let d = sketch.step("d", &[c]);
    sketch.gives(d);
    let mut play = Play::new(sketch);
    play.all_done(&["a", "b", "c"]);
    play.fail("d");
    play.done("c/undo");
    assert_eq!(play.running(), ["b/undo"]);
    play.crash(SECOND);
    assert_eq!(play.running(), ["b/undo"]);
    play.done("b/undo");
    play.crash(SECOND);
    play.done("a/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
    assert!(matches!(play.blame(), Some((path, Cause::Error(_))) if path == "d"));
}

#[test]
fn a_step_that_had_started_is_undone_although_it_did_not_start_again() {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let b = sketch.step("b", &[]);
    sketch.collect("all", &[a, b]);
    let mut play = Play::new(sketch);
    play.fail("b");
    assert_eq!(play.told(), ["a"]);
    play.crash(SECOND);
    assert_eq!(play.running(), ["a/undo"]);
    play.done("a/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn what_could_not_be_undone_can_be_tried_again_in_the_next_process() {
    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let b = sketch.step("b", &[a]);
    sketch.gives(b);
    let mut play = Play::new(sketch);
    play.done("a");
    play.fail("b");
    play.fail("a/undo");
    play.crash(SECOND);
    assert_eq!(play.state("a"), CompensationFailed);
    assert_eq!(play.world.engine.status(play.run), Some(RunStatus::CompensationFailed));
    assert!(play.world.engine.stalled(play.run).is_some() && play.running().is_empty());
    assert!(play.resume());
    play.crash(SECOND);
    play.done("a/undo");
    assert_eq!((play.status(), play.state("a")), (Some(RunStatus::Compensated), Compensated));
}

#[test]
fn an_unknown_outcome_stays_unknown_and_is_not_told_twice() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.policy(a, |policy| policy.once = true);
    let mut play = Play::new(sketch);
    play.stops("a");
    play.crash(SECOND);
    assert_eq!((play.state("a"), play.world.stalled.len()), (Unknown, 0));
    assert!(play.world.engine.stalled(play.run).is_some() && !play.resume());
    play.resolve_done("a");
    assert!(play.has_succeeded());
}

#[test]
fn what_an_unknown_attempt_has_spent_is_not_cut_off() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.policy(a, |policy| policy.once = true);
    let mut play = Play::new(sketch);
    let attempt = play.attempt("a").attempt;
    let resource = penstock_engine::ResourceId(0);
    play.world.handle(penstock_engine::Event::Spent {
        attempt,
        resource,
        units: 1,
        nanos: Some(7),
    });
    play.crash(SECOND);
    assert_eq!(play.state("a"), Unknown);
    let run = play.world.engine.run(play.run).expect("it goes on");
    let entries = run.ledger().expect("it has spent").entries();
    let cut: Vec<_> = entries.iter().map(|entry| entry.cut).collect();
    assert_eq!(cut, [false], "what comes of it may be found out");
    play.resolve_done("a");
    assert!(play.has_succeeded());
}

#[test]
fn a_once_step_of_a_run_that_was_ending_or_a_branch_that_was_lost_is_unknown_too() {
    for race in [true, false] {
        let mut sketch = Sketch::new();
        let a = sketch.step("a", &[]);
        sketch.policy(a, |policy| policy.once = true);
        let b = sketch.step("b", &[]);
        let race_of = sketch.race("race", &[a, b]);
        sketch.step("last", &[race_of]);
        let mut play = Play::new(sketch);
        if race {
            play.done("b");
        } else {
            play.cancel();
        }
        play.crash(SECOND);
        assert_eq!((play.state("a"), play.running()), (Unknown, vec![]));
        assert!(play.resolve_retry("a"));
        if race {
            play.done("last");
        }
        let status = if race { RunStatus::Succeeded } else { RunStatus::Cancelled };
        assert_eq!(play.status(), Some(status));
    }
}

// Keys and signals.

/// `a` under a key.
fn section() -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let key = sketch.node("key", NodeKind::Acquire { key: Some(7) }, &[first]);
    let a = sketch.step("a", &[first]);
    sketch.holds(a, key);
    sketch
}

/// A run that asked for a key was restored before the one that held it, and got it too.
#[test]
fn a_key_stays_with_its_holder_and_the_others_wait_in_their_order() {
    let mut play = Play::new(section());
    for _ in 0..3 {
        play.another();
    }
    play.done("3:first");
    play.advance(MS);
    play.done("2:first");
    play.advance(MS);
    play.done("first");
    play.advance(MS);
    play.done("1:first");
    assert_eq!((play.running(), play.state("key")), (vec!["3:a"], Parked));
    play.crash(SECOND);
    assert_eq!((play.running(), play.state("key")), (vec!["3:a"], Parked));
    play.done("3:a");
    assert_eq!(play.running(), ["2:a"]);
    play.crash(SECOND);
    assert_eq!(play.running(), ["2:a"]);
    play.done("2:a");
    assert_eq!(play.running(), ["a"]);
    play.done("a");
    assert_eq!(play.running(), ["1:a"]);
    play.done("1:a");
    assert_eq!(play.world.engine.run_count(), 0);
}

#[test]
fn a_key_that_only_paused_runs_ask_for_is_free() {
    let mut play = Play::new(section());
    play.another();
    play.done("1:first");
    play.done("first");
    play.pause();
    play.crash(SECOND);
    play.done("1:a");
    let third = play.another();
    play.done("2:first");
    assert_eq!(play.world.engine.number(third), Some(2));
    assert_eq!(play.running(), ["2:a"]);
    play.resume();
    play.done("2:a");
    assert_eq!(play.running(), ["a"]);
}

#[test]
fn early_signals_are_kept_and_who_waited_longest_is_served_first() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let [one, two] = ["one", "two"].map(|path| sketch.signal(path, "approval", 0, true));
    sketch.after(one, &[first]);
    let early = sketch.signal("early", "rejection", 0, true);
    sketch.after(early, &[first]);
    sketch.collect("all", &[one, two, early]);
    let mut play = Play::new(sketch);
    let kept = play.signal(1);
    play.crash(SECOND);
    assert!(play.world.is_kept(kept));
    play.done("first");
    assert_eq!(play.states(["one", "two", "early"]), [Awaiting, Awaiting, Succeeded]);
    play.crash(SECOND);
    play.signal(0);
    assert_eq!(play.states(["one", "two"]), [Awaiting, Succeeded]);
    play.signal(0);
    assert!(play.has_succeeded());
}

// Frames, and questions that nobody had answered.

#[test]
fn a_map_goes_on_with_the_items_that_are_left() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    let kind =
        NodeKind::Map { body: 1, concurrency: 2, need: 0, tolerated: Some(1), cancel_rest: false };
    sketch.node("m", kind, &[items]);
    sketch.body("m[]");
    let item = sketch.input("m[]/item");
    sketch.step("m[]/a", &[item]);
    let mut play = Play::scripted(sketch, &[("m", &[4])]);
    play.done("items");
    play.fail("m[0]/a");
    play.done("m[1]/a");
    assert_eq!(play.running(), ["m[2]/a", "m[3]/a"]);
    play.crash(SECOND);
    assert_eq!((play.state("m"), play.running()), (Running, vec!["m[2]/a", "m[3]/a"]));
    play.done("m[3]/a");
    play.crash(SECOND);
    play.done("m[2]/a");
    assert_eq!(play.world.lists["m"], ["!m[0]/a", "m[1]/a", "m[2]/a", "m[3]/a"]);
    assert!(play.has_succeeded());
}

#[test]
fn a_loop_and_a_recursion_go_on_where_they_were() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.node("l", NodeKind::Loop { body: 1, limit: 9, fail: true }, &[first]);
    sketch.body("l[]");
    let last = sketch.input("l[]/last");
    sketch.step("l[]/a", &[last]);
    let mut play = Play::scripted(sketch, &[("l", &[0, 0, 1])]);
    play.all_done(&["first", "l[0]/a", "l[1]/a"]);
    play.crash(SECOND);
    assert_eq!(play.running(), ["l[2]/a"]);
    let value = play.done("l[2]/a");
    assert_eq!(play.result(), Some(Base::Value(value)));

    let mut sketch = Sketch::new();
    let input = sketch.step("in", &[]);
    sketch.node("r", NodeKind::Recurse { body: 1, limit: 0 }, &[input]);
    sketch.body("r");
    let input = sketch.input("r/in");
    let a = sketch.step("r/a", &[input]);
    let when = sketch.node("r/when", NodeKind::When, &[a]);
    let deeper = sketch.node("r/r", NodeKind::Recurse { body: 1, limit: 5 }, &[when]);
    sketch.optional("r/maybe", deeper);
    let script: &[(&str, &[u64])] = &[("r/when", &[1]), ("r/r/when", &[1]), ("r/r/r/when", &[0])];
    let mut play = Play::scripted(sketch, script);
    play.all_done(&["in", "r/a", "r/r/a"]);
    play.crash(SECOND);
    assert_eq!(play.running(), ["r/r/r/a"]);
    play.done("r/r/r/a");
    assert_eq!(play.result(), Some(Base::Nothing));
}

#[test]
fn questions_that_nobody_had_answered_are_asked_again() {
    let mut sketch = Sketch::new();
    let items = sketch.node("items", NodeKind::Apply, &[]);
    let m = sketch.map("m", 1, &[items]);
    let l = sketch.node("l", NodeKind::Loop { body: 2, limit: 9, fail: true }, &[m]);
    let when = sketch.node("when", NodeKind::When, &[l]);
    let maybe = sketch.optional("maybe", when);
    let key = sketch.node("key", NodeKind::Acquire { key: None }, &[maybe]);
    let last = sketch.node("last", NodeKind::Apply, &[maybe]);
    sketch.gates(last, &[key]);
    sketch.body("m[]");
    let item = sketch.input("m[]/item");
    sketch.node("m[]/a", NodeKind::Apply, &[item]);
    sketch.body("l[]");
    let value = sketch.input("l[]/value");
    sketch.node("l[]/b", NodeKind::Apply, &[value]);
    let script: &[(&str, &[u64])] = &[("m", &[2]), ("l", &[0, 1]), ("when", &[1]), ("key", &[7])];
    let mut play = Play::with(Config::default(), sketch, script, |_| ());
    assert!(play.has_succeeded());

    // The same again, one answer at a time.
    for (path, answers) in script {
        play.world.script.insert((*path).to_owned(), answers.iter().copied().collect());
    }
    play.world.manual = true;
    let mut run = play.world.accept(play.plan);
    let mut asked = Vec::new();
    while !play.world.to_evaluate.is_empty() {
        let before: Vec<String> =
            play.world.to_evaluate.iter().map(|(_, node)| play.world.path(run, *node)).collect();
        run = play.world.crash(SECOND, &[])[&run];
        let mut after: Vec<String> =
            play.world.to_evaluate.iter().map(|(_, node)| play.world.path(run, *node)).collect();
        after.sort_unstable();
        let mut expected = before;
        expected.sort_unstable();
        assert_eq!(after, expected);
        asked.push(after[0].clone());
        play.world.answer_next();
    }
    assert_eq!(asked.len(), 12, "{asked:?}");
    assert!(matches!(play.world.outcome(run), Some(Outcome::Succeeded(_))));
}

// Records that had reached the disk without those that follow from them.

/// A step that had been given up was called again, as if that told what it had done.
#[test]
fn an_attempt_that_was_given_up_has_not_answered() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.policy(a, |policy| {
        policy.once = true;
        policy.timeout_ns = SECOND;
    });
    let mut play = Play::with(journaled(), sketch, &[], |_| ());
    play.sync();
    play.sync();
    play.advance(10 * SECOND);
    assert_eq!(play.world.bodies(play.run), ["accepted", "started", "abandoned", "unknown"]);
    play.world.sync(Lsn(3));
    play.crash(SECOND);
    assert_eq!((play.state("a"), play.running()), (Unknown, vec![]));
}

/// The outcome was on disk, that the run goes on was not, and nobody was left to say so.
#[test]
fn a_run_whose_outcomes_are_known_goes_on() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.policy(a, |policy| policy.once = true);
    sketch.step("b", &[a]);
    let mut play = Play::with(journaled(), sketch, &[], |_| ());
    play.sync();
    play.sync();
    play.stops("a");
    play.resolve_done("a");
    let bodies = play.world.bodies(play.run);
    assert_eq!(bodies[2..], ["unknown", "done", "resumed"]);
    play.world.sync(Lsn(4));
    play.crash(SECOND);
    play.sync();
    assert_eq!(play.running(), ["b"]);
}

#[test]
fn what_was_to_be_withdrawn_is() {
    let mut sketch = Sketch::new();
    let [a, b] = ["a", "b"].map(|path| sketch.step(path, &[]));
    let race = sketch.race("race", &[a, b]);
    sketch.step("last", &[race]);
    let config = Config { concurrency: 1, ..journaled() };
    let mut play = Play::with(config, sketch, &[], |_| ());
    play.sync();
    play.done("a");
    assert_eq!(play.world.bodies(play.run), ["accepted", "done", "withdrawn"]);
    play.world.sync(Lsn(2));
    play.crash(SECOND);
    assert_eq!(play.world.bodies(play.run), ["accepted", "done", "withdrawn"]);
    assert_eq!(play.running(), ["last"]);
}

#[test]
fn what_can_not_be_undone_is_told_if_nobody_was() {
    let mut sketch = Sketch::new();
    sketch.effect("a", &[]);
    let mut play = Play::with(journaled(), sketch, &[], |_| ());
    play.sync();
    play.sync();
    play.done("a");
    assert!(play.has_succeeded());

    let mut sketch = Sketch::new();
    let a = sketch.effect("a", &[]);
    let b = sketch.step("b", &[a]);
    sketch.gives(b);
    let mut play = Play::with(journaled(), sketch, &[], |_| ());
    play.sync();
    play.sync();
    play.done("a");
    play.sync();
    play.fail("b");
    play.sync();
    play.fail("a/undo");
    let lsn = play.world.engine.lsn();
    play.world.sync(Lsn(lsn.0 - 1));
    play.crash(SECOND);
    assert_eq!(play.world.stalled.len(), 1);
    assert_eq!(play.world.engine.status(play.run), Some(RunStatus::CompensationFailed));
}

#[test]
fn a_tick_after_it_finds_nothing_left_to_do() {
    let mut play = Play::new(pauses());
    play.done("a");
    play.crash(SECOND);
    let records = play.world.records.len();
    play.world.handle(Event::Tick);
    assert_eq!((play.world.records.len(), play.running()), (records, vec!["b"]));
}
