//! Against queueing theory: what the modelled engine makes runs wait is what closed forms say.

use std::num::NonZeroU32;
use std::sync::Arc;

use penstock_engine::{
    BudgetModel, Config, GraphSpec, Jitter, Lane, NodeKind, NodeSpec, OnDenial, Plan, Policy,
    QueueId, QueueModel, RetryPolicy, StepId,
};
use penstock_simulator::forecast::{
    Arrivals, Fact, FailureRow, Length, Model, NodeModel, Played, Progress, Scene, Shape,
    StepModel, play, trace,
};

/// One step that takes 1 s on average, on `slots` slots that are busy for a share `load` of the time.
fn scene(slots: u32, load: f64, latency: Shape) -> Scene {
    let nodes = vec![
        NodeSpec::new("job/input", NodeKind::Input, &[]),
        NodeSpec::new("job/work", NodeKind::Step, &[0]),
    ];
    let plan = Plan::compile(GraphSpec::flat("job", "1", nodes, 1)).expect("a graph");
    let policy = Policy {
        step: StepId(0),
        queue: QueueId::DEFAULT,
        lane: Lane::Loop,
        priority: None,
        step_priority: None,
        retry: RetryPolicy {
            attempts_max: NonZeroU32::MIN,
            initial_ns: 0,
            coefficient: 1.0,
            max_ns: 0,
            jitter: Jitter::None,
        },
        once: false,
        retry_timeouts: true,
        tokens: 0,
        fallback: false,
        stands_in: false,
        estimate_nanos: 0,
        max_nanos: 0,
        handoffs: 0,
        cross_handoffs: 0,
        hedge: None,
        timeout_ns: 0,
        total_timeout_ns: 0,
        queue_timeout_ns: 0,
        heartbeat_timeout_ns: 0,
    };
    let step = StepModel {
        latency,
        failed_latency: None,
        load: Vec::new(),
        failures: Vec::new(),
        spend: Vec::new(),
        failed_spend: 1.0,
        cut_spend: 0.0,
        quality: None,
        group: None,
    };
    Scene {
        plan: Arc::new(plan),
        policies: vec![None, Some(policy)],
        queues: vec![QueueModel { concurrency: slots, ..QueueModel::default() }],
        config: Config { concurrency: u32::MAX, ..Config::default() },
        deadline_ns: None,
        budget: None,
        model: Model {
            arrivals: Arrivals::Poisson(f64::from(slots) * load),
            tenants: Vec::new(),
            frailty: 0.0,
            nodes: vec![NodeModel::Passive, NodeModel::Step(Box::new(step))],
            drift: None,
            outages: Vec::new(),
            signals: Vec::new(),
            desks: Vec::new(),
            resources: 0,
        },
    }
}

fn played(scene: &Scene, seed: u64, runs: u64) -> Played {
    let length = Length { warm_up: runs / 20, runs, batches: 20 };
    play(scene, seed, length, &Progress::default())
}

/// The mean wait in seconds, over all batches.
fn wait(played: &Played) -> f64 {
    let (sum, count) = played.batches.iter().fold((0.0, 0), |(sum, count), batch| {
        let waits = batch.delays[0].len();
        (sum + batch.delays[0].mean_ns() * waits as f64, count + waits)
    });
    sum / count as f64 / 1e9
}

/// The share of jobs that wait, in `M/M/c` (Erlang C, by the recursion of Erlang B).
fn erlang_c(slots: u32, load: f64) -> f64 {
    let offered = f64::from(slots) * load;
    let lost = (1..=slots).fold(1.0, |lost, k| offered * lost / (f64::from(k) + offered * lost));
    lost / (1.0 - load * (1.0 - lost))
}

fn markov(slots: u32, load: f64) -> f64 {
    erlang_c(slots, load) / (f64::from(slots) * (1.0 - load))
}

/// The mean wait in `M/D/c`, from the stationary number of jobs in the system one service time apart: it is
/// what was there beyond the slots, and who came (Crommelin, 1932).
fn fixed(slots: u32, load: f64) -> f64 {
    let rate = f64::from(slots) * load;
    let size = 40 * slots as usize + 400;
    let mut came = vec![(-rate).exp()];
    for k in 1..size {
        came.push(came[k - 1] * rate / k as f64);
    }
    let mut there = vec![0.0; size];
    there[0] = 1.0;
    for _ in 0..4_000 {
        let mut next = vec![0.0; size];
        for (jobs, share) in there.iter().enumerate().filter(|(_, share)| **share > 1e-14) {
            let left = jobs.saturating_sub(slots as usize);
            for (more, chance) in
                came.iter().enumerate().take(size - left).take(8 * slots as usize + 60)
            {
                next[left + more] += share * chance;
            }
        }
        there = next;
    }
    let jobs: f64 = there.iter().enumerate().map(|(jobs, share)| jobs as f64 * share).sum();
    jobs / rate - 1.0
}

fn agrees(name: &str, slots: u32, load: f64, latency: &Shape, theory: f64, runs: u64) {
    let found: f64 = (0..4)
        .map(|seed| wait(&played(&scene(slots, load, latency.clone()), seed, runs)))
        .sum::<f64>()
        / 4.0;
    let off = found / theory - 1.0;
    println!("{name} at {load}: {found:.4} s, by theory {theory:.4} s, {:+.2} %", 100.0 * off);
    assert!(off.abs() < 0.02, "{name} at {load}: {found}, by theory {theory}");
}

#[test]
fn one_slot_with_exponential_times() {
    for (load, runs) in [(0.5, 200_000), (0.7, 400_000), (0.8, 800_000)] {
        agrees("M/M/1", 1, load, &Shape::Exponential(1.0), markov(1, load), runs);
    }
}

#[test]
fn several_slots_with_exponential_times() {
    for (slots, load, runs) in [(4, 0.7, 300_000), (16, 0.8, 400_000)] {
        agrees("M/M/c", slots, load, &Shape::Exponential(1.0), markov(slots, load), runs);
    }
}

#[test]
fn fixed_times() {
    for (slots, load, runs) in [(1, 0.5, 200_000), (1, 0.8, 400_000), (4, 0.7, 300_000)] {
        let theory = if slots == 1 { load / 2.0 / (1.0 - load) } else { fixed(slots, load) };
        agrees("M/D/c", slots, load, &Shape::Constant(1.0), theory, runs);
    }
    assert!((fixed(1, 0.8) - 2.0).abs() < 1e-6);
}

#[test]
fn times_of_any_shape() {
    // Pollaczek and Khinchine: as with exponential ones, times (1 + cv²) / 2.
    for (shape, cv2) in [(Shape::Gamma(2.0, 0.5), 0.5), (Shape::Gamma(0.5, 2.0), 2.0)] {
        agrees("M/G/1", 1, 0.7, &shape, markov(1, 0.7) * (1.0 + cv2) / 2.0, 500_000);
    }
}

#[test]
fn the_same_seed_plays_the_same_to_the_last_attempt() {
    let scene = scene(4, 0.7, Shape::Lognormal(0.8, 0.6));
    let (one, two, other) =
        (played(&scene, 1, 5_000), played(&scene, 1, 5_000), played(&scene, 2, 5_000));
    assert_eq!(format!("{one:?}"), format!("{two:?}"));
    assert_ne!(one.hash, other.hash);
}

/// What is parked in the first second of a world used to come back later than at any other time.
#[test]
fn what_happens_is_the_same_whenever_it_begins() {
    let mut scene = scene(8, 0.5, Shape::Constant(0.01));
    scene.queues[0].budget = Some(BudgetModel {
        ratio_ppm: 0,
        floor_ppm: 1_000_000,
        stored_ppm: 1_000_000,
        window_ns: 10_000_000_000,
        on_denial: OnDenial::Park,
    });
    if let Some(policy) = &mut scene.policies[1] {
        policy.retry.attempts_max = NonZeroU32::new(5).expect("5 is not 0");
    }
    if let NodeModel::Step(step) = &mut scene.model.nodes[1] {
        let row = FailureRow { attempt: 1, after: None, error: 0.05, fatal: 0.0, hang: 0.0 };
        step.failures.push(row);
    }
    let mut facts = |begins_s: f64| {
        let gaps = (0..300).map(|nth| if nth == 0 { begins_s } else { 0.01 });
        scene.model.arrivals = Arrivals::Trace(gaps.collect());
        let begins_ns = (begins_s * 1e9) as u64;
        let since = |fact: Fact| (fact.run, fact.at_ns - begins_ns, fact.attempt, fact.kind);
        trace(&scene, 1, 300).into_iter().map(since).collect::<Vec<_>>()
    };
    let soon = facts(0.0);
    assert!(soon.iter().any(|&(.., attempt, _)| attempt == 2));
    assert_eq!(soon, facts(10.0));
}
