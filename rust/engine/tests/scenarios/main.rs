//! What the engine does, one file per behaviour, in virtual time.

mod abandoned;
mod cancel;
mod capacity;
mod deadlines;
mod gates;
mod harness;
mod interrupt;
mod order;
mod priorities;
mod retry;
mod stale;
mod threads;
mod timeouts;
mod values;
