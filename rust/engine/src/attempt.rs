//! One execution of a step, from dispatch until it has ended or is given up.

use crate::ids::{AttemptKey, Place, PlanId, QueueId, RunKey, TenantId};
use crate::metrics::SeriesId;
use crate::plan::Lane;

/// Why an attempt was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelCause {
    /// It ran longer than `timeout`.
    Timeout,
    /// The node took longer than `total_timeout`.
    TotalTimeout,
    /// It was silent for longer than `heartbeat_timeout`.
    HeartbeatTimeout,
    /// Another copy of it was quicker.
    Beaten,
    /// Its run is ending, or its branch of it is not needed any more.
    Withdrawn,
    /// The runtime is closing.
    Interrupt,
}

/// Where an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Told to stop, and not ended yet.
    Cancelling(CancelCause),
    /// A copy of it was quicker: holds its slots until it ends, and its result is ignored.
    Beaten,
    /// Did not stop when told: holds its slots until it ends, and its result is ignored.
    Abandoned,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) run: RunKey,
    pub(crate) started_ns: u64,
    pub(crate) alive_ns: u64,
    pub(crate) node: Place,
    pub(crate) series: SeriesId,
    pub(crate) number: u32,
    pub(crate) queue: QueueId,
    pub(crate) lane: Lane,
    pub(crate) phase: Phase,
    /// Its run's.
    pub(crate) tenant: TenantId,
    /// Its run's.
    pub(crate) plan: PlanId,
    /// The other of two copies, as long as both are under way.
    pub(crate) twin: AttemptKey,
    /// Timers that were set for it and have not fired.
    pub(crate) timers: u8,
    /// Whether the driver has said that it is waiting, so that its timers run.
    pub(crate) suspended: bool,
    /// Whether it is the second of two copies.
    pub(crate) copy: bool,
    /// Whether it has been handed to the driver; not yet while its start is on the way to the disk.
    pub(crate) called: bool,
}
