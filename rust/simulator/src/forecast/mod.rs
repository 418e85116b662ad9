//! A model of a service around the engine that production runs: what its policies would cost, and how long what
//! would wait.
//!
//! [`play`] lets runs arrive, draws what their attempts take, spend and come to from a [`Model`], and leaves
//! everything else to the engine: queues, retries, limits, timeouts, budgets, and the counting itself. What comes
//! out, [`Played`], are the engine's own figures. The same [`Scene`], seed and number of runs give the same
//! figures, byte for byte.
//!
//! Draws depend on the seed and on what they are for, not on what was drawn before: a run has the same luck under
//! every policy (common random numbers; Law and Kelton, *Simulation Modeling and Analysis*, 11.2).

mod arrivals;
mod attempts;
mod drift;
mod figures;
mod luck;
mod model;
mod outages;
mod people;
mod world;

pub use attempts::{Attempt, Which, foretell};
pub use figures::{Batch, Played};
pub use luck::{Luck, Shape};
pub use model::{
    Arrivals, Desk, Drift, End, FailureRow, Judged, Model, NodeModel, Outage, Price, Scene,
    SignalModel, StepModel, Weekly,
};
pub use world::{Fact, Length, Progress, arrivals, play, trace};
