//! A page of the books: figures that are added up, and no others.

use crate::failure::Refusal;
use crate::ids::{PlanId, ResourceId, TenantId};
use crate::metrics::Distribution;

use super::Amount;

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageKey {
    /// When its window begins.
    pub window_ns: u64,
    /// The workflow.
    pub plan: PlanId,
    /// Whom it is about.
    pub tenant: TenantId,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum $name {
            $($(#[$what])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The word for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The one that a word stands for.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.name() == name)
            }
        }
    };
}

words! {
    /// How a run ended, and why.
    RunEnd {
        /// With its result.
        Succeeded = "succeeded",
        /// A node failed for good.
        Failed = "failed",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// Its deadline passed.
        Deadline = "deadline",
        /// Its budget was spent.
        Budget = "budget",
        /// A node failed, and what was done is undone.
        Compensated = "compensated",
        /// The same, as somebody cancelled it.
        CompensatedCancelled = "compensated_cancelled",
        /// The same, as its deadline passed.
        CompensatedDeadline = "compensated_deadline",
        /// What was done could not be undone.
        CompensationFailed = "compensation_failed",
    }
}

words! {
    /// Where the money went: each amount is of one kind, the first that holds.
    Waste {
        /// It was of use.
        Useful = "useful",
        /// The run did not succeed.
        FailedRun = "failed_run",
        /// It was undone, or undid.
        Compensation = "compensation",
        /// The attempt failed, ran out of time or was cut off.
        FailedAttempt = "failed_attempt",
        /// Another copy or branch was quicker.
        Lost = "lost",
        /// The node was done again.
        Superseded = "superseded",
        /// A tier's value was not good enough.
        Escalation = "escalation",
        /// A tier was tried to learn from it.
        Exploration = "exploration",
    }
}

words! {
    /// Why there was an attempt.
    Kind {
        /// The first of a node.
        First = "first",
        /// After a failure.
        Retry = "retry",
        /// A second copy of a slow one.
        Hedge = "hedge",
        /// In the place of a step that failed.
        Fallback = "fallback",
        /// After the process went down, or closed, under one.
        Repeat = "repeat",
        /// As somebody had the run tried again.
        Operator = "operator",
        /// To undo.
        Compensation = "compensation",
    }
}

/// Amounts by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending(pub(crate) Vec<(ResourceId, Amount)>);

impl Spending {
    /// Adds to the amount of a resource. O(resources).
    pub(crate) fn add(&mut self, resource: ResourceId, amount: &Amount) {
        match self.0.iter_mut().find(|(known, _)| *known == resource) {
            Some((_, sum)) => sum.add(amount),
            None => self.0.push((resource, *amount)),
        }
    }

    /// By resource, in the order they were first booked.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceId, &Amount)> {
        self.0.iter().map(|(resource, amount)| (*resource, amount))
    }

    /// Whether nothing was booked.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Handoffs to a node: taken edges between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandoffCounts {
    /// The receiver took what it was given.
    pub accepted: u64,
    /// It did not, by [`Refusal`].
    pub refused: [u64; Refusal::COUNT],
}

/// What is counted of a node whatever happens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) first: u32,
    pub(crate) retries: u32,
    /// Succeeded, failed, cancelled, skipped.
    pub(crate) ended: [u32; 4],
    pub(crate) handoffs: u32,
    pub(crate) cross: u32,
}

/// What is counted of a node where it happens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// Attempts that are neither a first one nor a retry, by [`Kind`].
    pub(crate) attempts: [u64; Kind::COUNT],
    pub(crate) refused: [u64; Refusal::COUNT],
    pub(crate) cross_refused: [u64; Refusal::COUNT],
    pub(crate) spending: Spending,
    pub(crate) waste: [i64; Waste::COUNT],
    pub(crate) kinds: [i64; Kind::COUNT],
}

/// What is counted of a node.
#[derive(Clone, Debug, Default)]
pub struct NodePage {
    /// Attempts by [`Kind`].
    pub attempts: [u64; Kind::COUNT],
    /// Succeeded, failed, cancelled, skipped.
    pub ended: [u64; 4],
    /// Handoffs to it.
    pub handoffs: HandoffCounts,
    /// Those of them from a step of another owner.
    pub cross: HandoffCounts,
    /// What its attempts have spent.
    pub spending: Spending,
    /// Nano-dollars by [`Waste`].
    pub waste: [i64; Waste::COUNT],
    /// Nano-dollars by [`Kind`] of attempt.
    pub kinds: [i64; Kind::COUNT],
}

/// The figures of a workflow's runs in a window.
#[derive(Clone, Debug)]
pub struct Page {
    /// What it is about.
    pub key: PageKey,
    /// Runs accepted in the window.
    pub accepted: u64,
    /// Those of them that have ended, by [`RunEnd`]; less than none where one was tried again.
    pub ended: [i64; RunEnd::COUNT],
    /// How they ended the first time.
    pub first_ended: [u64; RunEnd::COUNT],
    /// Runs that succeeded without anything being done twice, refused or mended.
    pub first_pass: u64,
    /// Runs of which something was made cheaper to stay within a budget.
    pub degraded: u64,
    /// Runs that the process went down under.
    pub recovered: u64,
    /// From acceptance to the end.
    pub latency: Distribution,
    /// Nano-dollars of the runs that have ended.
    pub nanos: i64,
    /// Nano-dollars of those that succeeded.
    pub succeeded_nanos: i64,
    /// Sum of the squares of what each run cost, in dollars.
    pub squares: f64,
    /// Bookings, and those of them without a price.
    pub lines: u64,
    /// Bookings without a price.
    pub unpriced: u64,
    /// Nano-dollars by [`Waste`].
    pub waste: [i64; Waste::COUNT],
    /// What was booked in the window, whenever its run began.
    pub cash: Spending,
    pub(crate) counts: Vec<Counts>,
    pub(crate) rare: Vec<Option<Box<Rare>>>,
}

impl Page {
    pub(crate) fn new(key: PageKey) -> Self {
        Self {
            key,
            accepted: 0,
            ended: [0; RunEnd::COUNT],
            first_ended: [0; RunEnd::COUNT],
            first_pass: 0,
            degraded: 0,
            recovered: 0,
            latency: Distribution::default(),
            nanos: 0,
            succeeded_nanos: 0,
            squares: 0.0,
            lines: 0,
            unpriced: 0,
            waste: [0; Waste::COUNT],
            cash: Spending::default(),
            counts: Vec::new(),
            rare: Vec::new(),
        }
    }

    /// What is counted of a node where it happens.
    pub(crate) fn rare(&mut self, node: usize) -> &mut Rare {
        self.rare[node].get_or_insert_default()
    }

    /// What was counted of a node; `None` if nothing was.
    pub fn node(&self, node: usize) -> Option<NodePage> {
        let counts = self.counts.get(node)?;
        let rare = self.rare.get(node)?.as_deref();
        let quiet = counts.first == 0 && counts.ended == [0; 4];
        if quiet && rare.is_none() {
            return None;
        }
        let mut page = NodePage { ended: counts.ended.map(u64::from), ..NodePage::default() };
        if let Some(rare) = rare {
            page.attempts = rare.attempts;
            page.handoffs.refused = rare.refused;
            page.cross.refused = rare.cross_refused;
            page.spending = rare.spending.clone();
            page.waste = rare.waste;
            page.kinds = rare.kinds;
        }
        page.attempts[Kind::First as usize] += u64::from(counts.first);
        page.attempts[Kind::Retry as usize] += u64::from(counts.retries);
        let taken =
            |all: u32, refused: &[u64]| u64::from(all).saturating_sub(refused.iter().sum::<u64>());
        // A value that breaks its contract reaches nobody, and a signal that does not come has no consumer yet.
        let at_the_receiver = |refused: &[u64; Refusal::COUNT]| {
            [refused[Refusal::Rejected as usize], refused[Refusal::WrongOwner as usize]]
        };
        page.handoffs.accepted = taken(counts.handoffs, &at_the_receiver(&page.handoffs.refused));
        page.cross.accepted = taken(counts.cross, &at_the_receiver(&page.cross.refused));
        Some(page)
    }

    /// Nodes it has figures of, at most.
    pub fn node_count(&self) -> usize {
        self.counts.len()
    }
}
