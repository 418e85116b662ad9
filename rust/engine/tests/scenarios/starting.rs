//! Steps whose effect must be known: their start is on disk before they are called.

use penstock_engine::NodeState::{Cancelled, Failed, Ready};
use penstock_engine::{Cause, Config, QueueId, QueueModel, RunStatus};

use crate::harness::{SECOND, World, step};
use crate::play::Play;
use crate::sketch::Sketch;

const JOURNALED: Config = Config {
    concurrency: 2,
    threads: 32,
    runs_max: 100,
    cancel_grace_ns: SECOND,
    seed: 0,
    journaled: true,
};

/// `a`, which may run at most once, `b` with a compensation, and `c`.
fn three() -> Sketch {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.policy(a, |policy| policy.once = true);
    let b = sketch.effect("b", &[]);
    let c = sketch.step("c", &[]);
    sketch.collect("all", &[a, b, c]);
    sketch
}

/// Everything is accepted, and the starts of `a` and `b` are on the way to the disk.
fn starting() -> Play {
    let mut play = Play::with(JOURNALED, three(), &[], |_| ());
    play.sync();
    assert!(play.running().is_empty());
    assert_eq!(play.world.bodies(play.run), ["accepted", "started", "started"]);
    play
}

#[test]
fn nothing_is_handed_out_before_its_start_is_on_disk_and_its_slot_is_held() {
    let mut play = starting();
    assert_eq!(play.world.engine.running(), 2, "so c has to wait");
    play.world.sync(penstock_engine::Lsn(2));
    play.go_on();
    assert_eq!(play.running(), ["a"]);
    play.sync();
    assert_eq!(play.running(), ["a", "b"]);
    play.done("a");
    assert_eq!(play.running(), ["b", "c"], "c itself waits for nothing");
    play.all_done(&["b", "c"]);
    assert!(play.has_succeeded());
}

#[test]
fn in_every_mode() {
    for durability in [penstock_engine::Durability::Async, penstock_engine::Durability::Exit] {
        let mut play = Play::with(JOURNALED, three(), &[], |accept| accept.durability = durability);
        play.sync();
        assert!(play.running().is_empty());
        play.sync();
        assert_eq!(play.running(), ["a", "b"]);
    }
}

#[test]
fn without_a_journal_the_start_is_recorded_and_nothing_waits() {
    let play = Play::new(three());
    assert_eq!(play.running(), ["a", "b", "c"]);
    assert_eq!(play.world.bodies(play.run), ["accepted", "started", "started"]);
}

#[test]
fn one_that_is_withdrawn_meanwhile_is_never_handed_out_and_gives_its_slot_back() {
    let mut play = starting();
    play.cancel();
    assert!(play.told().is_empty(), "nobody was called");
    assert_eq!((play.state("a"), play.world.engine.running()), (Cancelled, 0));
    play.sync();
    assert_eq!(play.running(), ["b/undo"], "its start is on disk, so it is undone");
    play.done("b/undo");
    assert_eq!(play.status(), Some(RunStatus::Compensated));
}

#[test]
fn one_that_is_interrupted_meanwhile_is_not_unknown_and_starts_again() {
    let mut play = starting();
    play.world.interrupt();
    assert_eq!((play.state("a"), play.world.engine.running()), (Ready, 0));
    play.go_on();
    assert_eq!(play.running(), ["c"], "which stood in line before them now");
    play.done("c");
    play.sync();
    assert_eq!(play.running(), ["a", "b"]);
    let bodies = play.world.bodies(play.run);
    let count = |name| bodies.iter().filter(|&&body| body == name).count();
    assert_eq!((count("started"), count("interrupted"), count("unknown")), (4, 2, 0));
}

#[test]
fn time_that_runs_out_meanwhile_fails_it_for_it_has_done_nothing() {
    let mut sketch = three();
    sketch.policy(0, |policy| policy.total_timeout_ns = SECOND);
    let mut play = Play::with(JOURNALED, sketch, &[], |_| ());
    play.sync();
    play.advance(SECOND);
    assert_eq!(play.state("a"), Failed);
    assert_eq!(play.blame(), None, "b is undone first");
    play.sync();
    play.done("b/undo");
    assert_eq!(play.blame(), Some(("a".into(), Cause::TotalTimeout)));
}

#[test]
fn timeouts_count_from_the_call() {
    let mut world = World::with(JOURNALED);
    let plan = world.single(step(&[]).timeout(SECOND).policy(|policy| policy.once = true));
    world.accept(plan);
    world.sync(penstock_engine::Lsn(1));
    assert!(world.start().is_none());
    world.advance(10 * SECOND);
    world.sync(penstock_engine::Lsn(2));
    world.suspended();
    world.advance(SECOND - 1);
    assert!(world.take_cancels().is_empty());
    world.advance(1);
    assert_eq!(world.take_cancels().len(), 1);
}

#[test]
fn a_start_on_the_way_to_the_disk_holds_the_slot_of_its_queue() {
    let mut world = World::with(JOURNALED);
    let limits = QueueModel { concurrency: 1, ..QueueModel::default() };
    let queue = world.engine.add_queue(limits);
    let once = world.single(step(&[]).queue(queue).policy(|policy| policy.once = true));
    let plan = world.single(step(&[]).queue(queue));
    let first = world.accept(once);
    let second = world.accept(plan);
    world.sync(penstock_engine::Lsn(2));
    assert!(world.start().is_none());
    assert_eq!((world.engine.queue(queue).running, world.engine.has_ready()), (1, false));
    world.cancel(first);
    assert!(world.engine.has_ready());
    assert_eq!(world.started().run, second);
    assert_eq!(world.engine.queue(QueueId::DEFAULT).running, 0);
}

#[test]
fn who_waits_for_the_disk_when_the_process_goes_down_has_not_started() {
    let mut play = starting();
    play.crash(SECOND);
    assert_eq!(play.world.bodies(play.run), ["accepted", "started", "started"]);
    play.sync();
    assert_eq!(play.running(), ["a", "b"]);
}

#[test]
fn who_was_on_disk_and_not_called_may_have_been() {
    let mut play = starting();
    let lsn = play.world.engine.lsn();
    play.world.sync(lsn);
    play.crash(SECOND);
    assert_eq!(play.state("a"), penstock_engine::NodeState::Unknown);
}
