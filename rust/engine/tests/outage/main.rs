//! Outages in virtual time: the same work on the same dependency, with and without what holds a storm down.
//!
//! `cargo test --release -p penstock-engine --test outage -- --nocapture` prints the figures.

mod overload;
mod recovery;
mod sharing;
mod world;
