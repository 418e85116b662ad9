//! Where the nodes of a run's frames stand, for readable paths.

use std::fmt::Write as _;

use crate::ids::{NodeId, Place};
use crate::plan::{NodeKind, Plan};

/// The frames of a run, in the order they were opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub(crate) openings: Vec<Span>,
}

/// Frames of one region that were opened together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) owner: Place,
    pub(crate) region: u32,
    /// Place of the first frame's first node.
    pub(crate) base: u32,
    /// Number of the first frame.
    pub(crate) first: u32,
}

impl Layout {
    /// The node's place in the plan.
    pub fn template(&self, plan: &Plan, place: Place) -> NodeId {
        self.locate(plan, place).map_or(NodeId(place.0), |(_, _, node)| node)
    }

    /// A node's readable path, such as `support/pages[3]/summarise`. O(depth log openings).
    pub fn path(&self, plan: &Plan, place: Place) -> String {
        let mut parts = Vec::new();
        let mut place = place;
        while let Some((span, item, node)) = self.locate(plan, place) {
            let prefix = plan.regions[span.region as usize].prefix.len();
            parts.push((item, plan.path(node).get(prefix..).unwrap_or_default()));
            place = span.owner;
        }
        let mut path = plan.path(NodeId(place.0)).to_owned();
        for (item, part) in parts.into_iter().rev() {
            if let Some(item) = item {
                let _ = write!(path, "[{item}]");
            }
            path.push_str(part);
        }
        path
    }

    /// What opened the frame a place stands in, which of the run's openings that was, and which of its
    /// frames; `None` in the outermost frame.
    pub fn frame(&self, plan: &Plan, place: Place) -> Option<(Place, usize, u32)> {
        let index = self.opening_of(place)?;
        let span = self.openings[index];
        Some((span.owner, index, (place.0 - span.base) / plan.regions[span.region as usize].len))
    }

    fn opening_of(&self, place: Place) -> Option<usize> {
        self.openings.partition_point(|span| span.base <= place.0).checked_sub(1)
    }

    /// The frames a place belongs to, the number that tells them apart, and its place in the plan; `None` in
    /// the outermost frame.
    fn locate(&self, plan: &Plan, place: Place) -> Option<(Span, Option<u32>, NodeId)> {
        let span = self.openings[self.opening_of(place)?];
        let region = &plan.regions[span.region as usize];
        let at = place.0 - span.base;
        let owner = self.template(plan, span.owner);
        let single = matches!(plan.kind(owner), NodeKind::Recurse { .. });
        let item = (!single).then_some(span.first + at / region.len);
        Some((span, item, NodeId(region.start + at % region.len)))
    }
}
