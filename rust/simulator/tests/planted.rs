//! Bugs that are planted in the engine are found: `cargo test --features planted`.
#![cfg(feature = "planted")]

use penstock_simulator::planted::{SEEDS_MAX, hunt};

#[test]
fn every_planted_bug_is_found() {
    let hunted = hunt(|_| {});
    let at_large: Vec<_> = hunted.iter().filter(|it| it.found.is_none()).map(|it| it.bug).collect();
    assert!(at_large.is_empty(), "not found within {SEEDS_MAX} seeds: {at_large:?}");
    let broken: std::collections::BTreeSet<u8> = hunted.iter().map(|it| it.invariant).collect();
    assert_eq!(broken, (1..=10).collect(), "each invariant is broken by some bug");
}
