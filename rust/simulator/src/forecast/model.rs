//! What a scene is made of: the workflow, its policies, and how the world around it behaves.

use std::sync::Arc;

use penstock_engine::{
    AccountModel, Config, Plan, Policy, QueueId, QueueModel, ResourceId, TenantId,
};

use super::luck::Shape;

/// A workflow under its policies, in a world that behaves as a model says.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The graph.
    pub plan: Arc<Plan>,
    /// By node; `None` for what is not a step.
    pub policies: Vec<Option<Policy>>,
    /// By number; the first is the engine's default.
    pub queues: Vec<QueueModel>,
    /// Slots and seed of the engine.
    pub config: Config,
    /// How long a run may take, if that is limited.
    pub deadline_ns: Option<u64>,
    /// What a run may spend, if that is limited.
    pub budget: Option<AccountModel>,
    /// How the world behaves.
    pub model: Model,
}

/// How the world around a workflow behaves.
#[derive(Clone, Debug)]
pub struct Model {
    /// When runs come.
    pub arrivals: Arrivals,
    /// Whom they are for, and which share of them, in order.
    pub tenants: Vec<(TenantId, f64)>,
    /// How much runs differ in their failures: the standard deviation of a logarithm; 0 for not at all.
    pub frailty: f64,
    /// By node.
    pub nodes: Vec<NodeModel>,
    /// How nodes behave from stretch to stretch, if not always as above.
    pub drift: Option<Drift>,
    /// When queues' dependencies are out of order.
    pub outages: Vec<(QueueId, Outage)>,
    /// By signal of the plan.
    pub signals: Vec<Option<SignalModel>>,
    /// Where people answer, one thing after the other.
    pub desks: Vec<Desk>,
    /// How many resources are spent, numbered from 0.
    pub resources: u32,
}

/// Ways to behave that were seen in stretches of time, to be drawn from.
#[derive(Clone, Debug)]
pub struct Drift {
    /// How long a stretch lasts.
    pub stretch_ns: u64,
    /// How nodes behave in each.
    pub worlds: Vec<Vec<NodeModel>>,
}

/// When runs come.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// So many a second, at random.
    Poisson(f64),
    /// Likewise, in two states with a rate each, which last an exponential time: (rate, mean seconds).
    Bursty([(f64, f64); 2]),
    /// Seconds before each, over and over.
    Trace(Arc<[f64]>),
}

/// What the world knows of a node.
#[derive(Clone, Debug, Default)]
pub enum NodeModel {
    /// The engine does all there is to do, or every value is as good as another.
    #[default]
    Passive,
    /// A step, or a compensation.
    Step(Box<StepModel>),
    /// Somebody's answer: the share that is right, and the group of which one gives a value.
    Answer(Option<f64>, Option<u8>),
    /// A function that fails in such a share of its calls.
    Fails(f64),
    /// A decision: the shares of its outcomes added up, to 1.
    Choice(Vec<f64>),
    /// What judges a value.
    Judge(Judged),
    /// A map, and how many items it gets.
    Count(Shape),
    /// A loop, and the share of runs that end after each iteration; the last repeats.
    Until(Vec<f64>),
    /// A concurrency key, one of so many.
    Key(u64),
}

/// What judges the value of a step.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The share that is accepted.
    pub accepted: f64,
    /// Whether it is a cascade's, which a budget may keep from the next tier.
    pub tier: bool,
    /// The group of which one gives a value, which is settled by it.
    pub group: Option<u8>,
}

/// How attempts of a step go.
#[derive(Clone, Debug)]
pub struct StepModel {
    /// Seconds that one takes that returns.
    pub latency: Shape,
    /// Seconds that one takes that fails.
    pub failed_latency: Option<Shape>,
    /// Factors on these by attempts in flight in its queue, the new one among them; straight lines between.
    pub load: Vec<(f64, f64)>,
    /// By number of the attempt and what came before; the last that fits holds.
    pub failures: Vec<FailureRow>,
    /// What one spends that returns.
    pub spend: Vec<(ResourceId, Shape, Price)>,
    /// What part of that one spends that fails.
    pub failed_spend: f64,
    /// And one that is cut off: by a timeout, or as nobody needs it any more.
    pub cut_spend: f64,
    /// The share of its values that are right.
    pub quality: Option<f64>,
    /// The group of which one gives a value: the last one's counts.
    pub group: Option<u8>,
}

/// What a unit costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Nano-dollars of a unit.
    pub nanos: f64,
    /// Units that are booked for one: 1, or a million where parts of one count.
    pub scale: f64,
}

/// How attempts fail, from one number on and after a class of failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureRow {
    /// From this attempt on.
    pub attempt: u32,
    /// Only after one that ended so.
    pub after: Option<End>,
    /// Fails and may be tried again.
    pub error: f64,
    /// Fails for good.
    pub fatal: f64,
    /// Never returns.
    pub hang: f64,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It returns.
    Done,
    /// It fails, and may be tried again.
    Error,
    /// It fails for good.
    Fatal,
    /// It never returns; what limits its time ends it.
    Hang,
}

/// When a dependency is out of order, and what that means.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// Fixed times in seconds; or none, and they come at random.
    pub at: Vec<(f64, f64)>,
    /// Mean seconds between two.
    pub every: f64,
    /// Mean seconds of one.
    pub lasts: f64,
    /// The share of attempts that fail which start in it.
    pub error: f64,
    /// How much longer they take.
    pub slower: f64,
}

/// How a signal is answered.
#[derive(Clone, Debug)]
pub struct SignalModel {
    /// The share that is answered at all.
    pub answered: f64,
    /// Seconds to the answer, if no desk gives it.
    pub latency: Shape,
    /// Minutes of somebody's time, if no desk gives it.
    pub minutes: Option<Shape>,
    /// What somebody's minutes are booked as.
    pub price: Option<(ResourceId, Price)>,
    /// The desk that gives it.
    pub desk: Option<u32>,
}

/// People who answer, each one thing after the other.
#[derive(Clone, Debug)]
pub struct Desk {
    /// How many there are.
    pub staff: u32,
    /// Minutes that one answer takes.
    pub minutes: Shape,
    /// When they work.
    pub hours: Weekly,
}

/// Hours of a week; the simulation begins on a Monday at midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekly {
    /// From this time of a day on.
    pub from_ns: u64,
    /// Up to this one.
    pub to_ns: u64,
    /// On these days, Monday first.
    pub days: [bool; 7],
}
