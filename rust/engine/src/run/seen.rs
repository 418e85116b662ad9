//! What a run has shown of its plan, for coverage.

use super::{Cell, Frame, Place, Run, VALUED};
use crate::plan::{NodeKind, Plan};
use crate::state::NodeState;

/// How a node ended, compensation apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum End {
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

impl Cell {
    /// How the node ended; `None` if it has not.
    pub(crate) fn end(&self) -> Option<End> {
        match self.state {
            NodeState::Succeeded => Some(End::Succeeded),
            NodeState::Failed => Some(End::Failed),
            NodeState::Cancelled => Some(End::Cancelled),
            NodeState::Skipped => Some(End::Skipped),
            NodeState::Compensated | NodeState::Compensating | NodeState::CompensationFailed => {
                Some(if self.is(VALUED) { End::Succeeded } else { End::Failed })
            }
            _ => None,
        }
    }
}

impl Run {
    /// The outcome of a decision that was taken.
    pub(crate) fn outcome(&self, plan: &Plan, place: Place) -> Option<u32> {
        let (_, node) = self.locate(plan, place);
        let decides = matches!(
            plan.kind(node),
            NodeKind::Switch { .. } | NodeKind::When | NodeKind::Accept { .. }
        );
        self.cells[place.index()].attempts.checked_sub(1).filter(|_| decides)
    }

    /// The input that a race was won by, if it is over.
    pub(crate) fn winner(&self, race: Place) -> Option<Place> {
        let winners = &self.more.as_ref()?.winners;
        winners.iter().find(|(place, _)| *place == race).map(|(_, winner)| *winner)
    }

    /// Whether a shield was skipped because what it shields failed.
    pub(crate) fn was_shielded(&self, plan: &Plan, place: Place) -> bool {
        let (frame, node) = self.locate(plan, place);
        let mut inputs = plan.node(node).inputs.iter();
        self.cells[place.index()].state == NodeState::Skipped
            && inputs.any(|&input| {
                let state = self.cells[frame.place(input).index()].state;
                matches!(state, NodeState::Failed | NodeState::Cancelled)
            })
    }

    /// How often what a map or loop opens was repeated, as a bit: 1 never, 2 once, 4 more; 8 is added where
    /// a loop came to its bound.
    pub(crate) fn repeated(&self, plan: &Plan, place: Place) -> Option<u8> {
        let (_, node) = self.locate(plan, place);
        let kind = plan.kind(node);
        if !matches!(kind, NodeKind::Map { .. } | NodeKind::Loop { .. }) {
            return None;
        }
        let Some(latest) = self.cells[place.index()].attempts.checked_sub(1) else {
            let empty = self.cells[place.index()].state == NodeState::Succeeded;
            return empty.then_some(1);
        };
        let opening = self.opening(latest);
        let (count, bound) = match kind {
            NodeKind::Loop { limit, .. } => (opening.first + 1, opening.first + 1 == limit),
            _ => (opening.count(), false),
        };
        Some(if count == 1 { 2 } else { 4 } | if bound { 8 } else { 0 })
    }

    /// Every frame, with the region it is of.
    pub(crate) fn all_frames<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (usize, Frame)> {
        self.all_openings(plan).flat_map(move |(region, first, count)| {
            let len = plan.regions[region].len;
            let frames = std::iter::successors(Some(first), move |frame| Some(frame.next(len)));
            frames.take(count as usize).map(move |frame| (region, frame))
        })
    }

    /// What was opened together: the region, the first frame and how many there are.
    pub(crate) fn all_openings<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> impl Iterator<Item = (usize, Frame, u32)> {
        let openings = self.more.as_ref().map_or(&[][..], |more| &more.openings);
        let opened = (0..).zip(openings).map(move |(index, opening)| {
            (opening.region as usize, opening.frame(plan, index, 0), opening.count())
        });
        std::iter::once((0, Frame::OUTERMOST, 1)).chain(opened)
    }
}
