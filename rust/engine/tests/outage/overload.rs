//! More work than the dependency can do, and rates that must be kept.

use penstock_engine::{AdaptiveModel, QueueModel, Rate, ShedModel};

use crate::world::{Dependency, MS, SECOND, World};

fn quantile(mut times: Vec<u64>, share: f64) -> f64 {
    times.sort_unstable();
    let place = ((times.len() as f64 * share).ceil() as usize).max(1) - 1;
    times[place] as f64 / MS as f64
}

#[test]
fn at_twice_the_load_what_is_admitted_is_served_soon_and_nothing_stands_idle() {
    for seed in 1..=5 {
        let shed = Some(ShedModel { target_ns: 50 * MS, interval_ns: SECOND });
        let model = QueueModel { concurrency: 10, shed, ..QueueModel::default() };
        let mut world = World::new(seed, model, Dependency::new(10, 100 * MS));
        world.play(200.0, 600 * SECOND, 600 * SECOND);
        let served = world.sum(10, 600, |it| it.good) / 590.0;
        let refused = world.sum(0, 600, |it| it.refused) / world.sum(0, 600, |it| it.offered);
        let p99 = quantile(std::mem::take(&mut world.delays_ns), 0.99);
        println!(
            "2x overload, CoDel, seed {seed}: p99 delay {p99:.0} ms, {served:.1}/s of 100/s, {refused:.2} refused"
        );
        assert!(p99 <= 2.0 * 50.0 + 100.0, "{p99} ms");
        assert!(served >= 95.0, "{served}/s");
    }
}

#[test]
fn a_rate_is_kept_to_a_hundredth_whatever_comes() {
    for (seed, per_s, burst) in [(1, 50_u64, 1), (2, 50, 20), (3, 997, 10)] {
        let rate = Rate { gap_ps: 1_000_000_000_000 / per_s, burst };
        let model = QueueModel { requests: Some(rate), ..QueueModel::default() };
        let mut world = World::new(seed, model, Dependency::new(1_000, MS));
        world.play(2.0 * per_s as f64, 70 * SECOND, 70 * SECOND);
        for begin in (5..55).step_by(10) {
            let sent = world.sum(begin, begin + 10, |it| it.attempts);
            let error = sent / (10.0 * per_s as f64) - 1.0;
            println!("rate {per_s}/s, burst {burst}: error of 10 s {:.2} %", 100.0 * error);
            assert!(error.abs() <= 0.01, "{sent} in 10 s");
        }
    }
}

/// Latency grows as soon as more than ten calls are under way: the limit finds that out, and what was lost by
/// looking is little.
#[test]
fn concurrency_finds_what_the_dependency_can_bear() {
    for seed in 1..=3 {
        let adaptive = Some(AdaptiveModel { initial: 2, least: 1, most: 1_000 });
        let model = QueueModel { adaptive, capacity: 1_000, ..QueueModel::default() };
        let mut world = World::new(seed, model, Dependency::new(10, 100 * MS));
        world.play(200.0, 120 * SECOND, 120 * SECOND);
        let served = world.sum(60, 120, |it| it.good) / 60.0;
        let limit = world.engine.queue(world.queue).concurrency;
        println!("adaptive, seed {seed}: {served:.1}/s of 100/s with a limit of {limit}");
        assert!(served >= 90.0, "{served}/s");
        assert!((8..100).contains(&limit), "{limit}");
    }
}
