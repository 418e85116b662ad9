//! Identifiers: newtypes over integers, so that a run is never mistaken for an attempt.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
    };
}

id!(
    /// A run in the engine's table: slot in the low, generation in the high 32 bits. A key of a run that
    /// has ended is never reused.
    RunKey(u64)
);
id!(
    /// A running attempt: slot in the low, generation in the high 32 bits.
    AttemptKey(u64)
);
id!(
    /// A node's index in its plan.
    NodeId(u32)
);
id!(
    /// A node of a run: its index among the run's cells. In the run's outermost frame it is the index in
    /// the plan; frames that maps, loops and recursions open come after, in the order they were opened.
    Place(u32)
);
id!(
    /// A registered workflow.
    PlanId(u32)
);
id!(
    /// A registered queue; [`QueueId::DEFAULT`] is the one steps use that name none.
    QueueId(u32)
);
id!(
    /// Whom a run is for; [`TenantId::NONE`] if it names nobody.
    TenantId(u32)
);
id!(
    /// A registered step: what metrics are counted by.
    StepId(u32)
);
id!(
    /// What attempts spend, as the driver numbers it.
    ResourceId(u32)
);
id!(
    /// A handle of a value or an exception that the driver keeps. The engine never looks inside.
    ValueId(u32)
);
id!(
    /// Position of a record in the journal, from 1.
    Lsn(u64)
);

impl QueueId {
    /// The queue of steps that name none.
    pub const DEFAULT: Self = Self(0);
}

impl AttemptKey {
    /// No attempt.
    pub(crate) const NONE: Self = Self(u64::MAX);
}

impl TenantId {
    /// Nobody in particular.
    pub const NONE: Self = Self(0);
}

impl ValueId {
    /// No value: a node that does not carry one (yet).
    pub const NONE: Self = Self(u32::MAX);

    /// Whether this is a handle at all.
    pub const fn is_some(self) -> bool {
        self.0 != u32::MAX
    }
}

impl Place {
    /// The node's index among the run's cells.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl NodeId {
    /// The node's index in its plan.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
