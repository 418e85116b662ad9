//! What a world is made of: graphs, policies, limits, and how steps behave.

use std::num::NonZeroU32;

use penstock_engine::{
    BANDS, Config, GraphSpec, Jitter, Lane, NodeKind, NodeSpec, Plan, Policy, QueueId, QueueModel,
    RetryPolicy, StepId,
};

use crate::dice::Dice;
use crate::faults::draw_faults;
use crate::limited::limit;
use crate::money::{Shared, draw_money};
use crate::releases::{Release, draw_release};
use crate::winding::winding;

pub(crate) const MS: u64 = 1_000_000;

/// Everything a simulation depends on.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Which kind of world it is, as the replay command names it.
    pub name: &'static str,
    /// Seed of all draws.
    pub seed: u64,
    /// Runs that arrive.
    pub runs: u64,
    /// Mean time between two arrivals (Poisson).
    pub gap_ns: u64,
    /// One in so many runs is compared with the fold of its records after each of its events, and one in
    /// so many starts with all that stands in line.
    pub watch_one_in: u64,
    /// After one in so many calls every run and all that the engine keeps is looked at.
    pub inspect_one_in: u64,
    /// The process goes down at this point of those at which it may, counted from 1, besides the crashes drawn.
    pub down_at: Option<u64>,
    /// How the engine is made.
    pub config: Config,
    /// Queues besides the default one.
    pub queues: Vec<QueueModel>,
    /// Graphs, each with one policy per node.
    pub graphs: Vec<(GraphSpec, Vec<Option<Policy>>)>,
    /// Accounts that tenants and workflows share.
    pub shared: Vec<Shared>,
    /// A new version of one of the workflows.
    pub release: Option<Release>,
    /// When the world begins.
    pub begin_ns: u64,
    /// How steps behave.
    pub behaviour: Behaviour,
}

/// Shares are of 1,000.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Mean time of an attempt that suspends (exponential).
    pub duration_ns: u64,
    /// Attempts that end without suspending.
    pub instant: u64,
    /// Attempts that raise something the policy retries.
    pub failing: u64,
    /// Attempts that raise something final.
    pub fatal: u64,
    /// Attempts that go on until they are cancelled.
    pub hanging: u64,
    /// Cancelled attempts that end only after the grace.
    pub stubborn: u64,
    /// Cancelled attempts that never end while the world lasts.
    pub stuck: u64,
    /// Attempts cut short by something outside.
    pub interrupted: u64,
    /// Compensations that fail for good.
    pub stalling: u64,
    /// Runs that a user cancels.
    pub cancelled: u64,
    /// Runs that an operator pauses, and later resumes.
    pub paused: u64,
    /// Signals that are sent to a run, early or late.
    pub signals: u64,
    /// Answers about inline nodes that come only after something else has happened.
    pub deferred: u64,
    /// Runs that have a deadline.
    pub hurried: u64,
    /// Events that are delivered a second time.
    pub repeated: u64,
    /// Time from a record to its sync, with a journal.
    pub sync_ns: u64,
    /// Runs whose results are written behind.
    pub behind: u64,
    /// How often the process goes down. Not a share; needs a journal.
    pub crashes: u64,
    /// Transactions of the store that take many times as long as others.
    pub slow: u64,
    /// Transactions of the store that are refused, so that they have to be tried again.
    pub refusing: u64,
    /// Timers of the loop that come late.
    pub late: u64,
    /// How often the clock jumps ahead, by minutes. Not a share.
    pub jumps: u64,
    /// How often a queue is given other limits. Not a share.
    pub reconfigured: u64,
    /// Runs that may spend so much and no more.
    pub budgeted: u64,
}

/// The worlds in which everything happens, by name.
pub const WORLDS: [&str; 3] = ["stormy", "winding", "crashing"];

impl Workload {
    /// The world of this name, with its usual number of runs.
    pub fn named(name: &str, seed: u64) -> Option<Self> {
        match name {
            "stormy" => Some(Self::stormy(seed, 60)),
            "winding" => Some(Self::winding(seed, 25)),
            "crashing" => Some(Self::crashing(seed, 4)),
            "any" => Some(Self::of_seed(seed)),
            "steady" => Some(Self::steady(seed, 100_000)),
            _ => None,
        }
    }

    /// The world that is played for a seed, where many are.
    pub fn of_seed(seed: u64) -> Self {
        match seed % 8 {
            7 => Self::crashing(seed, 4),
            odd if odd % 2 == 1 => Self::winding(seed, 25),
            _ => Self::stormy(seed, 60),
        }
    }

    /// A world of flat graphs in which everything happens, drawn from the seed.
    pub fn stormy(seed: u64, runs: u64) -> Self {
        let mut dice = Dice::new(seed);
        let queues: Vec<QueueModel> = (0..=dice.below(3)).map(|_| limits(&mut dice)).collect();
        let graphs = (0..=dice.below(4)).map(|_| flat(&mut dice, queues.len() as u64)).collect();
        let gap_ns = 1 + dice.below(20) * MS;
        let config = stormy_config(&mut dice, seed);
        let behaviour = stormy_behaviour(&mut dice);
        let mut workload = Self {
            name: "stormy",
            seed,
            runs,
            gap_ns,
            watch_one_in: 1,
            inspect_one_in: [1, 3, 7][(seed % 3) as usize],
            down_at: None,
            config: Config { journaled: config.journaled || behaviour.crashes > 0, ..config },
            queues,
            graphs,
            shared: Vec::new(),
            release: None,
            begin_ns: 0,
            behaviour,
        };
        limit(&mut workload);
        draw_faults(&mut workload);
        draw_release(&mut workload);
        draw_money(&mut workload);
        workload
    }

    /// The same, with graphs of every construct.
    pub fn winding(seed: u64, runs: u64) -> Self {
        let mut dice = Dice::new(seed);
        let stormy = Self::stormy(seed, runs);
        let queues = stormy.queues.len() as u64;
        let graphs = (0..=dice.below(2)).map(|_| winding(&mut dice, queues)).collect();
        let behaviour = Behaviour {
            failing: dice.below(200),
            fatal: dice.below(40),
            hanging: dice.below(20),
            stalling: dice.below(200),
            paused: dice.below(300),
            signals: dice.below(6),
            deferred: dice.below(300),
            ..stormy.behaviour
        };
        let (shared, begin_ns, release) = (Vec::new(), 0, None);
        let mut workload =
            Self { name: "winding", graphs, shared, begin_ns, release, behaviour, ..stormy };
        limit(&mut workload);
        draw_release(&mut workload);
        draw_money(&mut workload);
        workload
    }

    /// A small one of either, to have its process go down at every point: see [`crate::crash_everywhere`].
    pub fn crashing(seed: u64, runs: u64) -> Self {
        let drawn = if (seed / 8).is_multiple_of(2) { Self::stormy } else { Self::winding };
        let drawn = drawn(seed, runs);
        let behaviour = Behaviour { crashes: 0, jumps: 0, ..drawn.behaviour };
        let config = Config { journaled: true, ..drawn.config };
        Self { name: "crashing", config, behaviour, inspect_one_in: 1, ..drawn }
    }

    /// A world of five-step diamonds in which hardly anything goes wrong: for measuring.
    pub fn steady(seed: u64, runs: u64) -> Self {
        let step = |path: &str, inputs: &[u32]| NodeSpec::new(path, NodeKind::Step, inputs);
        let specs = vec![
            NodeSpec::new("diamond/in", NodeKind::Input, &[]),
            step("diamond/a", &[0]),
            step("diamond/b", &[1]),
            step("diamond/c", &[1]),
            step("diamond/d", &[1]),
            step("diamond/e", &[2, 3, 4]),
        ];
        let policy = Policy { priority: None, ..policy(&mut Dice::new(0), 0, 0) };
        let policy = Policy { queue: QueueId::DEFAULT, lane: Lane::Loop, once: false, ..policy };
        let mut policies = vec![Some(policy); specs.len()];
        policies[0] = None;
        Self {
            name: "steady",
            seed,
            runs,
            gap_ns: MS,
            watch_one_in: 256,
            inspect_one_in: 65_536,
            down_at: None,
            config: Config { seed, ..Config::default() },
            queues: Vec::new(),
            graphs: vec![(GraphSpec::flat("steady", "1", specs, 5), policies)],
            shared: Vec::new(),
            release: None,
            begin_ns: 0,
            behaviour: Behaviour {
                duration_ns: 20 * MS,
                instant: 500,
                failing: 20,
                fatal: 0,
                hanging: 0,
                stubborn: 0,
                stuck: 0,
                interrupted: 0,
                stalling: 0,
                cancelled: 0,
                paused: 0,
                signals: 0,
                deferred: 0,
                hurried: 0,
                repeated: 0,
                sync_ns: 0,
                behind: 0,
                crashes: 0,
                slow: 0,
                refusing: 0,
                late: 0,
                jumps: 0,
                reconfigured: 0,
                budgeted: 0,
            },
        }
    }

    /// Whether some attempts may have a second copy.
    pub(crate) fn is_hedged(&self) -> bool {
        let mut policies = self.graphs.iter().flat_map(|(_, policies)| policies).flatten();
        policies.any(|policy| policy.hedge.is_some())
    }

    /// The graphs, compiled.
    pub(crate) fn plans(&self) -> impl Iterator<Item = (Plan, &[Option<Policy>])> {
        self.graphs.iter().map(|(spec, policies)| {
            let plan = Plan::compile(spec.clone());
            (plan.unwrap_or_else(|problems| panic!("{problems:#?}")), policies.as_slice())
        })
    }
}

fn limits(dice: &mut Dice) -> QueueModel {
    let (concurrency, capacity) = (1 + dice.below(6) as u32, 4 + dice.below(60) as u32);
    QueueModel { concurrency, capacity, ..QueueModel::default() }
}

fn stormy_config(dice: &mut Dice, seed: u64) -> Config {
    Config {
        concurrency: 1 + dice.below(32) as u32,
        threads: 1 + dice.below(4) as u32,
        runs_max: 50 + dice.below(1_000) as usize,
        cancel_grace_ns: dice.below(200) * MS,
        seed,
        journaled: dice.one_in(3),
    }
}

fn stormy_behaviour(dice: &mut Dice) -> Behaviour {
    Behaviour {
        duration_ns: 1 + dice.below(30) * MS,
        instant: dice.below(1_000),
        failing: dice.below(400),
        fatal: dice.below(50),
        hanging: dice.below(60),
        stubborn: dice.below(300),
        stuck: dice.below(4),
        interrupted: dice.below(30),
        stalling: 0,
        cancelled: dice.below(150),
        paused: 0,
        signals: 0,
        deferred: 0,
        hurried: dice.below(150),
        repeated: dice.below(200),
        sync_ns: dice.below(20) * MS,
        behind: if dice.one_in(3) { dice.below(1_000) } else { 0 },
        crashes: if dice.one_in(2) { 1 + dice.below(8) } else { 0 },
        slow: 0,
        refusing: 0,
        late: 0,
        jumps: 0,
        reconfigured: 0,
        budgeted: 0,
    }
}

/// A graph of steps and inline functions.
fn flat(dice: &mut Dice, queues: u64) -> (GraphSpec, Vec<Option<Policy>>) {
    let count = 2 + dice.below(9);
    let mut specs = Vec::new();
    let mut policies = Vec::new();
    for index in 0..count {
        let kind = match (index, dice.below(8)) {
            (0, _) | (1, 0) => NodeKind::Input,
            (_, 0) => NodeKind::Constant,
            (_, 1) => NodeKind::Apply,
            _ => NodeKind::Step,
        };
        let source = matches!(kind, NodeKind::Input | NodeKind::Constant);
        let edges = if source { 0 } else { dice.below(4) };
        let mut producers: Vec<u32> = (0..edges).map(|_| dice.below(index) as u32).collect();
        let after = producers.split_off(producers.len() - producers.len() / 3);
        specs
            .push(NodeSpec { after, ..NodeSpec::new(&format!("graph/{index}"), kind, &producers) });
        policies.push((kind == NodeKind::Step).then(|| policy(dice, index as u32, queues)));
    }
    let output = specs.len() as u32 - 1;
    (GraphSpec::flat("graph", "1", specs, output), policies)
}

/// Compensations fail as the world's behaviour says, and by nothing else.
pub(crate) fn undo_policy(dice: &mut Dice, step: u32, queues: u64) -> Policy {
    let unhurried = Policy { timeout_ns: 0, total_timeout_ns: 0, ..policy(dice, step, queues) };
    Policy { queue_timeout_ns: 0, heartbeat_timeout_ns: 0, ..unhurried }
}

pub(crate) fn policy(dice: &mut Dice, step: u32, queues: u64) -> Policy {
    let mut sometimes = |one_in: u64, below: u64| {
        if dice.below(one_in) == 0 { (1 + dice.below(below)) * MS } else { 0 }
    };
    let (timeout_ns, total_timeout_ns) = (sometimes(3, 60), sometimes(5, 200));
    let (queue_timeout_ns, heartbeat_timeout_ns) = (sometimes(5, 100), sometimes(6, 40));
    let once = dice.one_in(6);
    let attempts = if once { 0 } else { dice.below(4) as u32 };
    Policy {
        step: StepId(step),
        queue: QueueId(dice.below(queues + 1) as u32),
        lane: if dice.below(4) == 0 { Lane::Threads } else { Lane::Loop },
        priority: (dice.below(3) == 0).then(|| 1 + dice.below(u64::from(BANDS)) as u8),
        step_priority: None,
        retry: RetryPolicy {
            attempts_max: NonZeroU32::MIN.saturating_add(attempts),
            initial_ns: dice.below(150) * MS,
            coefficient: 2.0,
            max_ns: 200 * MS,
            jitter: [Jitter::None, Jitter::Equal, Jitter::Full][dice.below(3) as usize],
        },
        once,
        retry_timeouts: dice.below(4) > 0,
        tokens: 0,
        fallback: false,
        stands_in: false,
        estimate_nanos: 0,
        max_nanos: 0,
        handoffs: 0,
        cross_handoffs: 0,
        hedge: None,
        timeout_ns,
        total_timeout_ns,
        queue_timeout_ns,
        heartbeat_timeout_ns,
    }
}
