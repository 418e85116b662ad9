//! Compensation: what steps did is undone in the reverse of the order in which it was done.
//!
//! A node is undone once everything that came after it is: its consumers, and what they opened. That is
//! counted per node, so that independent branches are undone at the same time. Nodes without a compensation
//! only pass the turn on (Garcia-Molina and Salem, "Sagas", SIGMOD 1987, on graphs).

use std::collections::BTreeSet;

use super::values::drop_error;
use super::{Blame, Changes, Place, Run, STARTED, TURNED, UNDOING};
use crate::failure::Cause;
use crate::ids::NodeId;
use crate::plan::{NodeKind, Plan};
use crate::retry::draw;
use crate::state::{NodeState, RunStatus};

/// What of a run is being undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undo {
    /// Compensations that have begun and not ended.
    active: u32,
    /// Compensations that failed for good.
    failures: u32,
    /// The first of those.
    pub(crate) blame: Option<Blame>,
    /// Withdrawn steps that are still under way, and the withdrawals that wait for each.
    awaited: BTreeSet<(Place, usize)>,
    withdrawals: Vec<Withdrawal>,
}

/// Nodes to be undone once nothing of them is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Withdrawal {
    left: usize,
    places: Vec<Place>,
}

impl Undo {
    pub(super) fn image(&self) -> u64 {
        let counts = u64::from(self.active) << 32 | u64::from(self.failures);
        let blame = self.blame.map_or(0, |blame| u64::from(blame.node.0) + 1);
        draw(counts, [blame, self.awaited.len() as u64, 0, 0])
    }
}

impl Run {
    pub(super) fn is_undoing(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.undo.active > 0)
    }

    pub(super) fn undo_failures(&self) -> u32 {
        self.more.as_ref().map_or(0, |more| more.undo.failures)
    }

    /// Whether some effect is left to undo.
    pub(super) fn has_to_undo(&self, plan: &Plan) -> bool {
        (0..self.cells.len() as u32).any(|index| self.is_to_undo(plan, Place(index)))
    }

    /// Nodes whose effects could not be undone, or were not yet.
    pub(crate) fn left_to_undo(&self, plan: &Plan) -> Vec<Place> {
        (0..self.cells.len() as u32)
            .map(Place)
            .filter(|&place| {
                let state = self.cells[place.index()].state;
                self.is_to_undo(plan, place)
                    || matches!(state, NodeState::Compensating | NodeState::CompensationFailed)
            })
            .collect()
    }

    /// The places and everything in the frames they opened.
    fn with_frames(&self, plan: &Plan, places: Vec<Place>) -> Vec<Place> {
        let mut all = places;
        let mut at = 0;
        while at < all.len() {
            let place = all[at];
            at += 1;
            let (_, node) = self.locate(plan, place);
            if plan.kind(node).body().is_none() {
                continue;
            }
            for index in self.openings_of(place) {
                let opening = self.opening(index);
                let len = plan.regions[opening.region as usize].len;
                all.extend((opening.base..opening.base + opening.count() * len).map(Place));
            }
        }
        all
    }

    /// Undoes nodes that were withdrawn, and what they opened, once what of them is under way has ended.
    pub(super) fn undo_when_over(
        &mut self,
        plan: &Plan,
        places: Vec<Place>,
        changes: &mut Changes,
    ) {
        if !plan.undoes {
            return;
        }
        let places = self.with_frames(plan, places);
        let is_under_way = |place: &Place| {
            let (_, node) = self.locate(plan, *place);
            plan.kind(node) == NodeKind::Step && !self.cells[place.index()].is_over()
        };
        let awaited: Vec<Place> = places.iter().copied().filter(is_under_way).collect();
        if awaited.is_empty() {
            return self.undo(plan, &places, changes);
        }
        let undo = &mut self.more().undo;
        let index = undo.withdrawals.len();
        undo.withdrawals.push(Withdrawal { left: awaited.len(), places });
        undo.awaited.extend(awaited.into_iter().map(|place| (place, index)));
    }

    /// A withdrawn step has ended: was it the last of its withdrawals?
    #[inline]
    pub(super) fn gone(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        if self.more.as_ref().is_some_and(|more| !more.undo.awaited.is_empty()) {
            self.awaited_gone(plan, place, changes);
        }
    }

    fn awaited_gone(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let Some(more) = &mut self.more else { return };
        let awaited = more.undo.awaited.range((place, 0)..=(place, usize::MAX));
        let withdrawals: Vec<usize> = awaited.map(|&(_, index)| index).collect();
        for index in withdrawals {
            let undo = &mut self.more().undo;
            undo.awaited.remove(&(place, index));
            let withdrawal = &mut undo.withdrawals[index];
            withdrawal.left -= 1;
            // What is left of a run that is ending is undone as a whole.
            if withdrawal.left == 0 {
                let places = std::mem::take(&mut withdrawal.places);
                if self.ending.is_none() {
                    self.undo(plan, &places, changes);
                }
            }
        }
    }

    /// Everything has ended: the whole run is undone.
    pub(super) fn undo_everything(&mut self, plan: &Plan, changes: &mut Changes) {
        if self.status != RunStatus::Compensating {
            self.move_run(RunStatus::Compensating);
        }
        let places: Vec<Place> = (0..self.cells.len() as u32).map(Place).collect();
        self.undo(plan, &places, changes);
    }

    /// An operator tries again what could not be undone.
    pub(super) fn undo_again(&mut self, plan: &Plan, changes: &mut Changes) {
        self.move_run(RunStatus::Compensating);
        let undo = &mut self.more().undo;
        undo.failures = 0;
        if let Some(blame) = undo.blame.take() {
            drop_error(blame.cause, changes);
        }
        for index in 0..self.cells.len() as u32 {
            let place = Place(index);
            if self.cells[place.index()].state == NodeState::CompensationFailed {
                let undo = self.undo_place(plan, place);
                self.cells[undo.index()].attempts = 0;
                self.compensate(plan, place, changes);
            }
        }
    }

    /// A compensation is done: what came before it may be undone.
    pub(super) fn undo_done(
        &mut self,
        plan: &Plan,
        undo: Place,
        of: NodeId,
        changes: &mut Changes,
    ) {
        let (frame, _) = self.locate(plan, undo);
        let place = frame.place(of);
        self.move_node(undo, NodeState::Succeeded);
        self.move_node(place, NodeState::Compensated);
        self.more().undo.active -= 1;
        self.pass_turn(plan, place, changes);
    }

    /// A compensation failed for good: what came before it stays as it is until an operator decides.
    pub(super) fn undo_failed(
        &mut self,
        plan: &Plan,
        undo: Place,
        of: NodeId,
        cause: Cause,
        changes: &mut Changes,
    ) {
        let (frame, _) = self.locate(plan, undo);
        let place = frame.place(of);
        self.move_node(undo, NodeState::Failed);
        self.move_node(place, NodeState::CompensationFailed);
        let state = &mut self.more().undo;
        state.active -= 1;
        state.failures += 1;
        if state.blame.is_none() {
            state.blame = Some(Blame { node: undo, cause });
        } else {
            drop_error(cause, changes);
        }
    }

    fn is_to_undo(&self, plan: &Plan, place: Place) -> bool {
        let cell = &self.cells[place.index()];
        if !cell.is(STARTED) {
            return false;
        }
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::FailureIsNotUndone)
            && cell.state == NodeState::Failed
        {
            return false;
        }
        let (_, node) = self.locate(plan, place);
        let over =
            matches!(cell.state, NodeState::Succeeded | NodeState::Failed | NodeState::Cancelled);
        over && plan.node(node).undo.is_some()
    }

    /// Undoes a set of nodes, none of which is under way.
    fn undo(&mut self, plan: &Plan, places: &[Place], changes: &mut Changes) {
        if !places.iter().any(|&place| self.is_to_undo(plan, place)) {
            return;
        }
        for &place in places {
            let (_, node) = self.locate(plan, place);
            let kind = plan.kind(node);
            let passive = kind.is_source() || matches!(kind, NodeKind::Undo { .. });
            if !passive && !self.cells[place.index()].is(UNDOING) {
                self.line_up(plan, place);
            }
        }
        self.take_turns(plan, places.to_vec(), changes);
    }

    /// A node is to be undone after its consumers, as far as they are to be undone, and before its producers.
    fn line_up(&mut self, plan: &Plan, place: Place) {
        let (frame, node) = self.locate(plan, place);
        let consumers = plan.node(node).consumers.iter();
        let undoing = consumers.filter(|it| self.cells[frame.place(it.to).index()].is(UNDOING));
        let pending = undoing.count() as u32;
        let cell = &mut self.cells[place.index()];
        cell.flags |= UNDOING;
        cell.pending = pending;
        for producer in self.producers(plan, place) {
            let cell = &mut self.cells[producer.index()];
            cell.pending += u32::from(cell.is(UNDOING) && !cell.is(TURNED));
        }
        if let Some(index) = frame.opening() {
            let item = self.item(plan, frame) as usize;
            let opening = self.opening_mut(index);
            let state = &mut opening.frames[item];
            opening.undoing += u32::from(state.undoing == 0);
            state.undoing += 1;
        }
    }

    /// Whether everything that came after a node is undone, so that now it is.
    fn has_turn(&self, plan: &Plan, place: Place) -> bool {
        let cell = &self.cells[place.index()];
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::UndoneOutOfTurn) && cell.is(UNDOING) {
            return !cell.is(TURNED);
        }
        if !cell.is(UNDOING) || cell.is(TURNED) || cell.pending > 0 {
            return false;
        }
        let (frame, _) = self.locate(plan, place);
        frame.opening().is_none_or(|opening| {
            let owner = self.opening(opening).owner;
            let cell = &self.cells[owner.index()];
            !cell.is(UNDOING) || (cell.is(TURNED) && self.to_undo_in(plan, owner) == Some(opening))
        })
    }

    /// The latest of a node's openings in which something is to be undone.
    fn to_undo_in(&self, plan: &Plan, owner: Place) -> Option<u32> {
        let (_, node) = self.locate(plan, owner);
        plan.kind(node).body()?;
        self.openings_of(owner).into_iter().find(|&opening| self.opening(opening).undoing > 0)
    }

    /// Undoes those of these nodes whose turn it is, and whatever follows from that.
    fn take_turns(&mut self, plan: &Plan, mut turns: Vec<Place>, changes: &mut Changes) {
        while let Some(place) = turns.pop() {
            let (_, node) = self.locate(plan, place);
            // What opened frames has its turn until all of them are undone.
            let goes_on = plan.kind(node).body().is_some() && self.cells[place.index()].is(TURNED);
            if !goes_on && !self.has_turn(plan, place) {
                continue;
            }
            self.cells[place.index()].flags |= TURNED;
            if let Some(index) = self.to_undo_in(plan, place) {
                let opening = self.opening(index);
                let len = plan.regions[opening.region as usize].len;
                turns.extend((opening.base..opening.base + opening.count() * len).map(Place));
            } else if self.is_to_undo(plan, place) {
                self.compensate(plan, place, changes);
            } else {
                self.turn_over(plan, place, &mut turns);
            }
        }
    }

    fn compensate(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let undo = self.undo_place(plan, place);
        self.move_node(place, NodeState::Compensating);
        self.move_node(undo, NodeState::Ready);
        self.more().undo.active += 1;
        changes.eligible.push(undo);
    }

    fn pass_turn(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let mut turns = Vec::new();
        self.turn_over(plan, place, &mut turns);
        self.take_turns(plan, turns, changes);
    }

    /// A node is undone: whose turn is it now?
    fn turn_over(&mut self, plan: &Plan, place: Place, turns: &mut Vec<Place>) {
        self.cells[place.index()].flags &= !(UNDOING | TURNED);
        for producer in self.producers(plan, place) {
            let cell = &mut self.cells[producer.index()];
            if cell.is(UNDOING) && !cell.is(TURNED) {
                cell.pending -= 1;
                if cell.pending == 0 {
                    turns.push(producer);
                }
            }
        }
        let (frame, _) = self.locate(plan, place);
        if let Some(index) = frame.opening() {
            let item = self.item(plan, frame) as usize;
            let opening = self.opening_mut(index);
            let state = &mut opening.frames[item];
            state.undoing -= 1;
            if state.undoing > 0 {
                return;
            }
            opening.undoing -= 1;
            let (owner, left) = (opening.owner, opening.undoing);
            if left == 0 {
                turns.push(owner);
            }
        }
    }

    fn undo_place(&self, plan: &Plan, place: Place) -> Place {
        let (frame, node) = self.locate(plan, place);
        frame.place(plan.node(node).undo.expect("only what has a compensation is compensated"))
    }

    fn producers(&self, plan: &Plan, place: Place) -> Vec<Place> {
        let (frame, node) = self.locate(plan, place);
        let it = plan.node(node);
        let edges = it.inputs.iter().chain(&it.gates).chain(&it.after);
        edges.map(|&producer| frame.place(producer)).collect()
    }
}
