//! A virtual world around the engine that production runs: arrivals, steps that succeed, fail, hang or
//! swallow their cancellation, a journal that syncs late, and processes that go down and leave nothing but
//! what is on disk. Everything is drawn from one seed.
//!
//! [`simulate`] plays a [`Workload`] to its end, checks after every event what must hold, and gives a
//! [`Report`]; the same workload gives the same report, the hash of every action included.
#![forbid(unsafe_code)]

mod calm;
mod checker;
mod coverage;
mod crash;
mod dice;
mod disk;
mod effects;
mod faults;
pub mod forecast;
mod limited;
mod money;
#[cfg(feature = "planted")]
pub mod planted;
mod releases;
mod shadow;
mod standing;
mod steps;
mod users;
mod winding;
mod workload;
mod world;

pub use calm::ENDS_WITHIN_NS;
pub use checker::Violation;
pub use coverage::Coverage;
pub use crash::crash_everywhere;
pub use money::Shared;
pub use releases::Release;
pub use workload::{Behaviour, WORLDS, Workload};
pub use world::{Report, simulate};
