//! Whether bugs that were planted in the engine are found, and after how many seeds.

use penstock_engine::planted::{BUGS, Bug, plant};

use crate::checker::Violation;
use crate::crash::crash_everywhere;
use crate::workload::Workload;
use crate::world::simulate;

/// Seeds within which each is to be found.
pub const SEEDS_MAX: u64 = 1_000;

/// A bug that was looked for.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The bug.
    pub bug: Bug,
    /// The invariant that it breaks.
    pub invariant: u8,
    /// Seeds that were played, the last included.
    pub seeds: u64,
    /// What was found; `None` if nothing was.
    pub found: Option<Violation>,
}

/// Looks for every planted bug, from seed 0 on. `each` hears of each as it is found.
pub fn hunt(mut each: impl FnMut(&Hunted)) -> Vec<Hunted> {
    let hunted = BUGS.iter().map(|&(bug, invariant)| {
        plant(Some(bug));
        let worlds = (0..SEEDS_MAX).map(Workload::of_seed);
        let found = worlds.enumerate().find_map(|(seed, workload)| {
            let play = if workload.name == "crashing" { crash_everywhere } else { simulate };
            play(&workload).err().map(|violation| (seed as u64 + 1, violation))
        });
        plant(None);
        let (seeds, found) = found.map_or((SEEDS_MAX, None), |(seeds, it)| (seeds, Some(it)));
        let hunted = Hunted { bug, invariant, seeds, found };
        each(&hunted);
        hunted
    });
    hunted.collect()
}
