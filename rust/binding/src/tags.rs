//! Tags of runs: those that penstock sets say what a run of a release, and each run that it starts, is part of.

use penstock_engine::PlanId;
use penstock_journal::RunRow;

use crate::state::State;

/// The release that a run is of.
const RELEASE_TAG: &str = "penstock.release";
/// Digest of the overlay that a run is served with.
const OVERLAY_TAG: &str = "penstock.overlay";
/// The run of a release that a spawned run comes from.
const ROOT_TAG: &str = "penstock.root";
/// How many spawns lie between the two, if there are several.
const DEPTH_TAG: &str = "penstock.depth";

type Tags = Vec<(String, String)>;

/// Digest of the overlay that a run is pinned to; empty if to none.
pub(crate) fn overlay_of(row: &RunRow) -> &str {
    value(&row.tags, OVERLAY_TAG).unwrap_or_default()
}

/// The run of a release that a run comes from, if it comes from one, and by how many spawns.
pub(crate) fn root_of(tags: &[(String, String)]) -> Option<(&str, u32)> {
    let depth = value(tags, DEPTH_TAG).and_then(|depth| depth.parse().ok());
    value(tags, ROOT_TAG).map(|root| (root, depth.unwrap_or(1)))
}

/// The tags of a run that a run of these tags and this id starts.
pub(crate) fn inherited(tags: &[(String, String)], parent: &str) -> Tags {
    let mut inherited = tags.to_vec();
    if let Some((_, depth)) = root_of(tags) {
        inherited.retain(|(key, _)| key != DEPTH_TAG);
        inherited.push((DEPTH_TAG.to_owned(), (depth + 1).to_string()));
    } else if value(tags, RELEASE_TAG).is_some() {
        inherited.push((ROOT_TAG.to_owned(), parent.to_owned()));
    }
    inherited
}

/// The tags of a run that is part of no other.
pub(crate) fn without_root(mut tags: Tags) -> Tags {
    tags.retain(|(key, _)| key != ROOT_TAG && key != DEPTH_TAG);
    tags
}

fn value<'a>(tags: &'a [(String, String)], tag: &str) -> Option<&'a str> {
    tags.iter().find(|(key, _)| key == tag).map(|(_, value)| value.as_str())
}

impl State {
    /// What of a run's tags is to be known while it runs: all, if it may start others or comes from a release.
    pub(crate) fn tags_to_keep(&self, plan: PlanId, tags: Tags) -> Box<[(String, String)]> {
        let known = self.plans[plan.0 as usize].spawns || root_of(&tags).is_some();
        if known { tags.into_boxed_slice() } else { Box::default() }
    }
}
