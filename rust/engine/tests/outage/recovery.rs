//! An outage that kills the naive service, and what it does to one with a budget, parking and a limit.

use penstock_engine::{BudgetModel, News, OnDenial, QueueModel};

use crate::world::{Dependency, MS, Outage, SECOND, World};

const SEEDS: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

pub(crate) const BUDGET: BudgetModel = BudgetModel {
    ratio_ppm: 100_000,
    floor_ppm: 1_000_000,
    stored_ppm: 10_000_000,
    window_ns: 10 * SECOND,
    on_denial: OnDenial::Park,
};

/// A queue that knows what the dependency can bear.
fn careful(servers: u32) -> QueueModel {
    QueueModel { concurrency: servers, budget: Some(BUDGET), ..QueueModel::default() }
}

/// An outage after ten seconds, and what came of it.
struct Told {
    amplification: f64,
    lost: u32,
    peak: u32,
    drained_s: Option<f64>,
    goodput_30s: f64,
    recovery_s: Option<usize>,
    flagged_s: Option<f64>,
    goodput_end: f64,
}

fn outage(world: &mut World, rate: f64, how: Outage, length: u64, after: u64) -> Told {
    let (begin, end) = (10, 10 + length);
    world.dependency.outages.push((begin * SECOND, end * SECOND, how));
    let until_ns = (end + after) * SECOND;
    world.play(rate, until_ns, until_ns);
    let seconds = &world.seconds;
    let (begin, end) = (begin as usize, end as usize);
    let backlog = |second: usize| seconds[second].parked + seconds[second].waiting;
    let drained = (end..seconds.len()).find(|&second| backlog(second) < 30);
    let good = |second: usize| f64::from(seconds[second].good) / f64::from(seconds[second].offered);
    let last = seconds.len() - 1;
    let well = |from: usize| {
        world.sum(from, from + 10, |it| it.good)
            >= 0.95 * world.sum(from, from + 10, |it| it.offered)
            && good(from) >= 0.8
    };
    let recovery = (end..last.saturating_sub(10)).find(|&second| well(second));
    let storms = world.news.iter().filter(|(_, news)| *news == News::StormStarted);
    let flagged = storms.map(|(at_ns, _)| *at_ns).find(|&at_ns| at_ns >= begin as u64 * SECOND);
    Told {
        amplification: world.sum(begin, end, |it| it.attempts)
            / world.sum(begin, end, |it| it.first),
        lost: world.lost,
        peak: backlog(end),
        drained_s: drained.map(|second| (second - end) as f64),
        goodput_30s: world.sum(end, end + 30, |it| it.good)
            / world.sum(end, end + 30, |it| it.offered),
        recovery_s: recovery.map(|second| second - end),
        flagged_s: flagged.map(|at_ns| at_ns as f64 / 1e9 - begin as f64),
        goodput_end: world.sum(last - 20, last, |it| it.good)
            / world.sum(last - 20, last, |it| it.offered),
    }
}

fn print(title: &str, seed: u64, told: &Told, ideal_s: f64) {
    println!(
        "{title:<34} seed {seed}: A/F {:.3}, lost {}, backlog {} drained in {:?} s (ideal {ideal_s:.0}), \
         goodput of 30 s {:.3}, recovered after {:?} s, storm after {:?} s, at the end {:.2}",
        told.amplification,
        told.lost,
        told.peak,
        told.drained_s,
        told.goodput_30s,
        told.recovery_s,
        told.flagged_s,
        told.goodput_end,
    );
}

#[test]
fn a_minute_without_the_dependency_loses_nothing_and_its_backlog_drains() {
    for how in [Outage::Fails, Outage::Hangs] {
        for seed in SEEDS {
            let mut world = World::new(seed, careful(14), Dependency::new(14, 100 * MS));
            let told = outage(&mut world, 100.0, how, 60, 420);
            let ideal_s = f64::from(told.peak) / 40.0;
            print(&format!("60 s {how:?}, 100/s of 140/s"), seed, &told, ideal_s);
            assert!(told.amplification <= 1.15, "{}", told.amplification);
            assert_eq!(told.lost, 0);
            let drained_s = told.drained_s.expect("the backlog drains");
            assert!(drained_s <= 2.0 * ideal_s, "{drained_s} s, {ideal_s} s at best");
        }
    }
}

#[test]
fn ten_seconds_without_it_are_over_soon() {
    for (rate, how) in
        [(70.0, Outage::Fails), (70.0, Outage::Hangs), (85.0, Outage::Fails), (85.0, Outage::Hangs)]
    {
        for seed in SEEDS {
            let mut world = World::new(seed, careful(10), Dependency::new(10, 100 * MS));
            let told = outage(&mut world, rate, how, 10, 170);
            print(&format!("10 s {how:?}, {rate}/s of 100/s"), seed, &told, 0.0);
            assert_eq!(told.lost, 0);
            assert!(told.goodput_30s >= 0.95, "{}", told.goodput_30s);
            assert!(told.recovery_s.is_some_and(|s| s <= 5), "{:?}", told.recovery_s);
            assert!(told.flagged_s.is_some_and(|s| s <= 5.0), "{:?}", told.flagged_s);
        }
    }
}

/// The control: the same work without a limit and a budget. Else the tests above would show nothing.
#[test]
fn the_naive_service_amplifies_and_never_recovers() {
    for seed in SEEDS {
        let mut world = World::new(seed, QueueModel::default(), Dependency::new(10, 100 * MS));
        let told = outage(&mut world, 70.0, Outage::Hangs, 10, 170);
        print("10 s Hangs, 70/s, naive", seed, &told, 0.0);
        assert!(told.amplification > 2.0, "{}", told.amplification);
        assert!(told.lost > 1_000 && told.goodput_end < 0.1, "{}", told.goodput_end);
        assert_eq!(told.recovery_s, None);
    }
}

#[test]
fn an_hour_of_random_failures_is_no_storm() {
    for (seed, rate) in [(1, 70.0), (2, 20.0), (3, 2.0)] {
        let mut dependency = Dependency::new(10, 100 * MS);
        dependency.failing_ppm = 50_000;
        let mut world = World::new(seed, careful(10), dependency);
        world.play(rate, 3_600 * SECOND, 3_600 * SECOND);
        let storms = world.news.iter().filter(|(_, news)| *news == News::StormStarted).count();
        println!(
            "an hour at {rate}/s, 5 % failing: {storms} storms, {} lost of {}",
            world.lost, world.accepted
        );
        assert_eq!(storms, 0);
    }
}
