//! How far a failure goes, and what is withdrawn with it.

use super::values::drop_error;
use super::{Blame, Changes, Ending, Frame, Place, Resolution, Run, WITHDRAWN, Work};
use crate::failure::Cause;
use crate::ids::{NodeId, ValueId};
use crate::plan::{Container, NodeKind, Plan};
use crate::state::{NodeState, RunStatus};

/// What a frame's failure means for its owner.
pub(super) enum FrameFailure {
    /// Its owner no longer needs it.
    Ignored,
    /// Its owner goes on without it.
    Tolerated,
    /// Its owner fails.
    Fatal,
}

impl Run {
    /// A node failed for good.
    pub(super) fn node_failed(
        &mut self,
        plan: &Plan,
        place: Place,
        cause: Cause,
        changes: &mut Changes,
    ) {
        let (_, node) = self.locate(plan, place);
        if let NodeKind::Undo { of } = plan.kind(node) {
            return self.undo_failed(plan, place, NodeId(of), cause, changes);
        }
        if self.cells[place.index()].state == NodeState::Awaiting {
            self.more().awaiting.retain(|other| *other != place);
        }
        self.fails_with(plan, place, Blame { node: place, cause }, changes);
        self.gone(plan, place, changes);
    }

    /// A node fails because of a failure that may be another's.
    pub(super) fn fails_with(
        &mut self,
        plan: &Plan,
        place: Place,
        blame: Blame,
        changes: &mut Changes,
    ) {
        self.finish(plan, place, NodeState::Failed, changes);
        if self.ending.is_some() || self.is_withdrawn(place) {
            return drop_error(blame.cause, changes);
        }
        let mut at = place;
        loop {
            let (frame, node) = self.locate(plan, at);
            if let Some(container) = plan.node(node).container {
                let container = &plan.containers[container as usize];
                return self.contain(plan, at, container, blame, changes);
            }
            let Some(opening) = frame.opening() else {
                let ending = match blame.cause {
                    Cause::Deadline => Ending::Deadline,
                    _ => Ending::Failed(blame),
                };
                return self.end(plan, ending, changes);
            };
            match self.frame_failed(plan, frame, changes) {
                FrameFailure::Tolerated => {
                    let start = NodeId(plan.regions[self.region_of(opening)].start);
                    self.more().failures.insert(frame.place(start), blame);
                    return;
                }
                FrameFailure::Ignored => return drop_error(blame.cause, changes),
                FrameFailure::Fatal => {
                    at = self.opening(opening).owner;
                    self.finish(plan, at, NodeState::Failed, changes);
                }
            }
        }
    }

    /// The failure of the tier before the one a node stands in, found over the gates it waited for.
    pub(crate) fn failure_before(&self, plan: &Plan, place: Place) -> Option<Blame> {
        let failures = &self.more.as_ref()?.failures;
        let (frame, node) = self.locate(plan, place);
        let gates = plan.node(node).gates.iter();
        let mut decisions = gates.flat_map(|&gate| plan.node(gate).inputs.iter());
        decisions.find_map(|&decision| failures.get(&frame.place(decision)).copied())
    }

    /// A failure goes no further than to the end of its branch.
    fn contain(
        &mut self,
        plan: &Plan,
        failed: Place,
        container: &Container,
        blame: Blame,
        changes: &mut Changes,
    ) {
        let (frame, node) = self.locate(plan, failed);
        let place = frame.place(container.consumer);
        let producer = frame.place(container.producer);
        let gave = self.cells[producer.index()];
        let others = container.producer != node;
        if others && gave.has_given() {
            // The branch has given its value all the same: only what came of the node itself is lost.
            changes.work.push_back(Work::Resolved(failed, Resolution::Skipped));
            self.undo_when_over(plan, vec![failed], changes);
            return drop_error(blame.cause, changes);
        }
        let resolved = self.cells[place.index()].state != NodeState::Waiting
            || (others && (gave.is_over() || gave.is(WITHDRAWN)));
        self.withdraw(plan, frame, &container.members, changes);
        if resolved {
            return drop_error(blame.cause, changes);
        }
        let edges = plan.node(container.consumer).inputs.iter();
        let edges = edges.filter(|&&input| input == container.producer).count() as u32;
        self.cells[place.index()].pending -= edges;
        match plan.kind(container.consumer) {
            NodeKind::Accept { .. } => {
                self.more().failures.insert(place, blame);
                self.cells[place.index()].attempts = 1;
                self.cells[place.index()].value = ValueId::NONE;
                self.pass(plan, place, changes);
            }
            NodeKind::Shield { .. } => {
                drop_error(blame.cause, changes);
                self.skip(plan, place, changes);
            }
            _ => {
                let first = *self.more().failures.entry(place).or_insert(blame);
                if first != blame {
                    drop_error(blame.cause, changes);
                }
                self.rejoin(plan, frame, container.consumer, changes);
            }
        }
    }

    /// A race or a partial join has what it needs: its other branches are withdrawn, if it says so.
    pub(super) fn settle_branches(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        winner: Option<NodeId>,
        changes: &mut Changes,
    ) {
        let blame = self.more.as_mut().and_then(|more| more.failures.remove(&frame.place(node)));
        if let Some(blame) = blame {
            drop_error(blame.cause, changes);
        }
        let (NodeKind::Race { cancel_rest: true } | NodeKind::Collect { cancel_rest: true, .. }) =
            plan.kind(node)
        else {
            return;
        };
        for &branch in &plan.node(node).branches {
            let branch = &plan.containers[branch as usize];
            let gave = self.cells[frame.place(branch.producer).index()];
            let unused = gave.has_given() && winner.is_some();
            if winner != Some(branch.producer) && (unused || !gave.is_over()) {
                self.withdraw(plan, frame, &branch.members, changes);
            }
        }
    }

    /// A scope is withdrawn: what of it has not ended is skipped for those outside.
    pub(super) fn withdraw_scope(
        &mut self,
        plan: &Plan,
        frame: Frame,
        scope: u32,
        changes: &mut Changes,
    ) {
        let members = &plan.scopes[scope as usize].members;
        let live: Vec<Place> = members
            .iter()
            .map(|&node| frame.place(node))
            .filter(|place| {
                let cell = &self.cells[place.index()];
                !cell.is_over() && !cell.is(WITHDRAWN)
            })
            .collect();
        self.withdraw(plan, frame, members, changes);
        for place in live {
            changes.work.push_back(Work::Resolved(place, Resolution::Skipped));
        }
    }

    fn withdraw(&mut self, plan: &Plan, frame: Frame, members: &[NodeId], changes: &mut Changes) {
        let places: Vec<Place> = members.iter().map(|&node| frame.place(node)).collect();
        for &place in &places {
            self.withdraw_place(plan, place, changes);
        }
        self.undo_when_over(plan, places, changes);
    }

    /// Withdraws every frame that a node opened.
    pub(super) fn withdraw_frames(&mut self, plan: &Plan, owner: Place, changes: &mut Changes) {
        for opening in self.openings_of(owner) {
            self.withdraw_opening(plan, opening, changes);
        }
    }

    /// Withdraws every frame of an opening. Gives those that were not over.
    pub(super) fn withdraw_opening(
        &mut self,
        plan: &Plan,
        opening: u32,
        changes: &mut Changes,
    ) -> Vec<u32> {
        let items = 0..self.opening(opening).count();
        items.filter(|&item| self.withdraw_frame(plan, opening, item, changes)).collect()
    }

    /// Withdraws what of a frame has not ended; whether anything had not.
    pub(super) fn withdraw_frame(
        &mut self,
        plan: &Plan,
        opening: u32,
        item: u32,
        changes: &mut Changes,
    ) -> bool {
        if !self.close_frame(opening, item) {
            return false;
        }
        let frame = self.opening(opening).frame(plan, opening, item);
        let region = &plan.regions[self.region_of(opening)];
        for node in region.start..region.start + region.len {
            self.withdraw_place(plan, frame.place(NodeId(node)), changes);
        }
        self.forget_result(plan, opening, item, changes);
        self.frame_closed(plan, opening, changes);
        true
    }

    /// A node is not needed any more. A step that may have started is left to the scheduler, which knows
    /// whether it has: that is not in the records.
    fn withdraw_place(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let (_, node) = self.locate(plan, place);
        let kind = plan.kind(node);
        if kind.is_source() || matches!(kind, NodeKind::Undo { .. }) {
            return;
        }
        if kind.body().is_some() {
            self.withdraw_frames(plan, place, changes);
        }
        let cell = &mut self.cells[place.index()];
        if cell.is_over() || cell.is(WITHDRAWN) {
            return;
        }
        cell.flags |= WITHDRAWN;
        match cell.state {
            NodeState::Ready | NodeState::Running | NodeState::Backoff | NodeState::Parked
                if kind == NodeKind::Step =>
            {
                changes.withdrawn.push_back(place);
                return;
            }
            NodeState::Awaiting => {
                self.more().awaiting.retain(|other| *other != place);
                changes.stale_timers += usize::from(super::flow::limit_ns(plan, node) > 0);
            }
            NodeState::Parked => {
                self.more().keys.remove(&place);
            }
            // What it did must be found out all the same.
            NodeState::Unknown => return,
            _ => {}
        }
        self.finish(plan, place, NodeState::Cancelled, changes);
    }

    /// The run stops going on. Compensation begins once everything under way has ended.
    pub(super) fn end(&mut self, plan: &Plan, ending: Ending, changes: &mut Changes) {
        debug_assert!(self.ending.is_none(), "a run begins to end once");
        self.ending = Some(ending);
        for index in 0..self.cells.len() as u32 {
            self.withdraw_place(plan, Place(index), changes);
        }
        changes.work.clear();
        if self.status == RunStatus::Paused {
            // Compensations that stood still go on: what is ending is not paused any more.
            let ready = (0..self.cells.len() as u32).map(Place).filter(|place| {
                self.cells[place.index()].state == NodeState::Ready && !self.is_withdrawn(*place)
            });
            changes.eligible.extend(ready);
        }
    }
}
