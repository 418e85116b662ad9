//! Values on their way: every edge is finally taken or skipped, and every node ends once.

use super::{Changes, Frame, Place, Resolution, Run, VALUED, WITHDRAWN, Work};
use crate::failure::Cause;
use crate::ids::{NodeId, ValueId};
use crate::plan::{Edge, EdgeKind, NodeKind, Plan};
use crate::state::NodeState;

impl Run {
    /// A step's attempt returned.
    pub(super) fn step_done(
        &mut self,
        plan: &Plan,
        place: Place,
        value: ValueId,
        changes: &mut Changes,
    ) {
        let (frame, node) = self.locate(plan, place);
        if let NodeKind::Undo { of } = plan.kind(node) {
            changes.drops.push(value);
            return self.undo_done(plan, place, NodeId(of), changes);
        }
        self.succeed_at(plan, frame, node, value, changes);
        self.gone(plan, place, changes);
    }

    /// A node carries its value, or the place of the node that does; its edges are taken unless nobody
    /// needs them any more.
    pub(super) fn succeed(
        &mut self,
        plan: &Plan,
        place: Place,
        value: ValueId,
        changes: &mut Changes,
    ) {
        let (frame, node) = self.locate(plan, place);
        self.succeed_at(plan, frame, node, value, changes);
    }

    #[inline]
    fn succeed_at(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        value: ValueId,
        changes: &mut Changes,
    ) {
        let place = frame.place(node);
        let cell = &mut self.cells[place.index()];
        cell.value = value;
        let unused = cell.uses == 0 || (self.ending.is_some() && !plan.undoes);
        let withdrawn = cell.is(WITHDRAWN);
        self.finish_at(plan, frame, node, NodeState::Succeeded, changes);
        if unused {
            self.forget(plan, place, changes);
        }
        if !withdrawn && self.ending.is_none() {
            self.spread(plan, frame, node, Resolution::Taken, changes);
        }
    }

    /// Does what follows within the run, until nothing does.
    #[inline]
    pub(super) fn propagate(&mut self, plan: &Plan, changes: &mut Changes) {
        if !changes.work.is_empty() {
            self.work(plan, changes);
        }
    }

    fn work(&mut self, plan: &Plan, changes: &mut Changes) {
        while let Some(work) = changes.work.pop_front() {
            match work {
                Work::Resolved(place, resolution) => {
                    let (frame, node) = self.locate(plan, place);
                    self.spread(plan, frame, node, resolution, changes);
                }
                Work::FramesOpened { opening } => self.start_frames(plan, opening, changes),
                Work::FrameOver { opening, item } => {
                    self.frame_over(plan, opening, item, changes);
                }
            }
        }
    }

    /// Resolves the edges that leave a node.
    pub(super) fn spread(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        resolution: Resolution,
        changes: &mut Changes,
    ) {
        for &edge in &plan.node(node).consumers {
            if edge.plain && resolution == Resolution::Taken {
                let place = frame.place(edge.to);
                let cell = &mut self.cells[place.index()];
                if cell.state == NodeState::Waiting {
                    cell.pending -= 1;
                    if cell.pending == 0 {
                        self.ready(place, changes);
                    }
                }
                continue;
            }
            let resolution = match plan.kind(edge.to) {
                NodeKind::Case { taken } if resolution == Resolution::Taken => {
                    let outcome = self.cells[frame.place(node).index()].attempts - 1;
                    if edge.kind != EdgeKind::Value || taken & (1 << outcome) != 0 {
                        resolution
                    } else {
                        Resolution::Skipped
                    }
                }
                _ => resolution,
            };
            self.deliver(plan, frame, edge, resolution, changes);
        }
    }

    /// A step or inline node has all it needs.
    pub(super) fn ready(&mut self, place: Place, changes: &mut Changes) {
        self.move_node(place, NodeState::Ready);
        changes.eligible.push(place);
    }

    /// An edge is taken or skipped.
    fn deliver(
        &mut self,
        plan: &Plan,
        frame: Frame,
        edge: Edge,
        resolution: Resolution,
        changes: &mut Changes,
    ) {
        let place = frame.place(edge.to);
        let cell = &mut self.cells[place.index()];
        if cell.state != NodeState::Waiting {
            return;
        }
        cell.pending -= 1;
        if resolution == Resolution::Skipped && edge.kind == EdgeKind::Gate {
            return self.skip(plan, place, changes);
        }
        if plan.kind(edge.to).is_join() {
            if edge.kind == EdgeKind::Value && resolution == Resolution::Taken {
                cell.attempts += 1;
                if cell.attempts == 1 && plan.kind(edge.to).is_alias() {
                    cell.value = ValueId(frame.place(edge.from).0);
                }
            }
            return self.rejoin(plan, frame, edge.to, changes);
        }
        if resolution == Resolution::Skipped && edge.kind == EdgeKind::Value {
            self.skip(plan, place, changes);
        } else if cell.pending == 0 {
            self.inputs_there(plan, frame, edge.to, changes);
        }
    }

    /// Whether a node with a rule of its own for skipped inputs has heard of enough of them.
    pub(super) fn rejoin(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        changes: &mut Changes,
    ) {
        let place = frame.place(node);
        let it = plan.node(node);
        let cell = |other: NodeId| self.cells[frame.place(other).index()];
        // A gate that was skipped in this very event counts until it has said so.
        let gates = it.gates.iter().filter(|&&gate| !cell(gate).has_given());
        let after = it.after.iter().filter(|&&other| !cell(other).is_over());
        let closed = (gates.count() + after.count()) as u32;
        let cell = &self.cells[place.index()];
        let (taken, left) = (cell.attempts, cell.pending.saturating_sub(closed));
        match it.kind {
            NodeKind::Collect { need: 0, .. } | NodeKind::Optional => {
                if cell.pending == 0 {
                    self.inputs_there(plan, frame, node, changes);
                }
            }
            NodeKind::Collect { need, .. } => {
                if taken >= need && closed == 0 {
                    self.inputs_there(plan, frame, node, changes);
                    self.settle_branches(plan, frame, node, None, changes);
                } else if taken + left < need && closed == 0 {
                    // As long as nothing was taken, all may yet be skipped.
                    let failed =
                        self.more.as_ref().is_some_and(|more| more.failures.contains_key(&place));
                    if taken > 0 || failed || left == 0 {
                        self.branches_missing(plan, frame, node, changes);
                    }
                }
            }
            NodeKind::Race { .. } => {
                if taken > 0 && closed == 0 {
                    let winner = self.cells[place.index()].value;
                    self.pass(plan, place, changes);
                    self.more().winners.push((place, Place(winner.0)));
                    let winner = frame.node(Place(winner.0));
                    self.settle_branches(plan, frame, node, Some(winner), changes);
                } else if taken + left == 0 && closed == 0 {
                    self.branches_missing(plan, frame, node, changes);
                }
            }
            _ => {
                if taken > 0 && closed == 0 {
                    self.pass(plan, place, changes);
                } else if cell.pending == 0 {
                    self.skip(plan, place, changes);
                }
            }
        }
    }

    /// Too few branches of a race or a partial join are left.
    fn branches_missing(&mut self, plan: &Plan, frame: Frame, node: NodeId, changes: &mut Changes) {
        let place = frame.place(node);
        let blame = self.more.as_mut().and_then(|more| more.failures.remove(&place));
        match blame {
            Some(blame) => self.fails_with(plan, place, blame, changes),
            None if matches!(plan.kind(node), NodeKind::Collect { .. })
                && self.cells[place.index()].attempts > 0 =>
            {
                self.node_failed(plan, place, Cause::NotEnough, changes);
            }
            None => self.skip(plan, place, changes),
        }
    }

    /// An inline node gave its value.
    pub(super) fn decided(
        &mut self,
        plan: &Plan,
        place: Place,
        value: ValueId,
        changes: &mut Changes,
    ) {
        self.start_if_eligible(place);
        let (frame, node) = self.locate(plan, place);
        self.succeed_at(plan, frame, node, value, changes);
        if matches!(plan.kind(node), NodeKind::Map { .. }) {
            self.results_gathered(plan, place, changes);
        }
    }

    /// A decision was taken.
    pub(super) fn chosen(
        &mut self,
        plan: &Plan,
        place: Place,
        outcome: u64,
        changes: &mut Changes,
    ) {
        self.start_if_eligible(place);
        let (frame, node) = self.locate(plan, place);
        match plan.kind(node) {
            NodeKind::Loop { .. } => self.iterate(plan, place, outcome != 0, changes),
            NodeKind::Acquire { .. } => self.ask(place, outcome, changes),
            kind => {
                self.cells[place.index()].attempts = outcome as u32 + 1;
                if kind == NodeKind::When && outcome == 0 {
                    self.skip(plan, place, changes);
                } else {
                    self.pass_input(plan, frame, node, changes);
                }
            }
        }
    }

    /// A sleep is over, or nobody signalled in time.
    pub(super) fn fired(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let (frame, node) = self.locate(plan, place);
        if matches!(plan.kind(node), NodeKind::Sleep { .. }) {
            self.pass_input(plan, frame, node, changes);
        } else {
            self.more().awaiting.retain(|other| *other != place);
            self.skip(plan, place, changes);
        }
    }

    /// A signal came: it goes to who has waited for it longest, or is kept.
    pub(super) fn signalled(
        &mut self,
        plan: &Plan,
        signal: u32,
        value: ValueId,
        changes: &mut Changes,
    ) {
        match self.who_awaits(plan, signal) {
            None => self.more().signals.push_back((signal, value)),
            Some(place) => {
                self.more().awaiting.retain(|other| *other != place);
                let (_, node) = self.locate(plan, place);
                changes.stale_timers += usize::from(limit_ns(plan, node) > 0);
                self.succeed(plan, place, value, changes);
            }
        }
    }

    /// The node that has waited longest for a signal.
    pub(crate) fn who_awaits(&self, plan: &Plan, signal: u32) -> Option<Place> {
        let awaiting = &self.more.as_ref()?.awaiting;
        awaiting.iter().copied().find(|&place| {
            let (_, node) = self.locate(plan, place);
            matches!(plan.kind(node), NodeKind::Signal { signal: other, .. } if other == signal)
        })
    }

    /// Every edge into a node is resolved, and it is not skipped.
    pub(super) fn inputs_there(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        changes: &mut Changes,
    ) {
        let place = frame.place(node);
        let kind = plan.kind(node);
        if kind.is_started_by_inputs() || matches!(kind, NodeKind::Collect { .. }) {
            return self.ready(place, changes);
        }
        match kind {
            NodeKind::Case { .. } | NodeKind::Shield { .. } => {
                self.pass_input(plan, frame, node, changes);
            }
            NodeKind::Accept { .. } => {
                self.cells[place.index()].attempts = 2;
                self.pass_input(plan, frame, node, changes);
            }
            NodeKind::Cancel { scope } => {
                self.pass_input(plan, frame, node, changes);
                self.withdraw_scope(plan, frame, scope, changes);
            }
            NodeKind::Loop { .. } | NodeKind::Recurse { .. } => {
                self.open_first(plan, frame, node, changes);
            }
            NodeKind::Sleep { duration_ns } => {
                self.move_node(place, NodeState::Awaiting);
                changes.waits.push((place, changes.at_ns.saturating_add(duration_ns)));
            }
            NodeKind::Signal { signal, timeout_ns, .. } => {
                self.move_node(place, NodeState::Awaiting);
                let more = self.more();
                let early = more.signals.iter().position(|(other, _)| *other == signal);
                if let Some((_, value)) = early.and_then(|at| more.signals.remove(at)) {
                    self.succeed(plan, place, value, changes);
                    return;
                }
                more.awaiting.push(place);
                if timeout_ns > 0 {
                    changes.waits.push((place, changes.at_ns.saturating_add(timeout_ns)));
                }
            }
            NodeKind::Acquire { key: Some(key) } => self.ask(place, key, changes),
            NodeKind::Optional => self.pass(plan, place, changes),
            NodeKind::Merge | NodeKind::Race { .. } => self.skip(plan, place, changes),
            kind => unreachable!("{kind:?} is not started by its inputs"),
        }
    }

    fn ask(&mut self, place: Place, key: u64, changes: &mut Changes) {
        self.move_node(place, NodeState::Parked);
        self.more().keys.insert(place, key);
        changes.asked.push((place, key));
    }

    /// A node passes its first input on.
    fn pass_input(&mut self, plan: &Plan, frame: Frame, node: NodeId, changes: &mut Changes) {
        let place = frame.place(node);
        let input = plan.node(node).inputs.first().map(|&input| frame.place(input));
        self.cells[place.index()].value = input.map_or(ValueId::NONE, |input| ValueId(input.0));
        self.pass(plan, place, changes);
    }

    /// A node passes on what it has chosen.
    pub(super) fn pass(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let cell = &self.cells[place.index()];
        let (unused, withdrawn) = (cell.uses == 0, cell.is(WITHDRAWN));
        self.finish(plan, place, NodeState::Succeeded, changes);
        if unused {
            self.forget(plan, place, changes);
        }
        if !withdrawn && self.ending.is_none() {
            changes.work.push_back(Work::Resolved(place, Resolution::Taken));
        }
    }

    pub(super) fn skip(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        self.finish(plan, place, NodeState::Skipped, changes);
        if !self.cells[place.index()].is(WITHDRAWN) && self.ending.is_none() {
            changes.work.push_back(Work::Resolved(place, Resolution::Skipped));
        }
    }

    /// Brings a node to a terminal state and gives up its claims on others' values.
    pub(super) fn finish(
        &mut self,
        plan: &Plan,
        place: Place,
        state: NodeState,
        changes: &mut Changes,
    ) {
        let (frame, node) = self.locate(plan, place);
        self.finish_at(plan, frame, node, state, changes);
    }

    #[inline]
    fn finish_at(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        state: NodeState,
        changes: &mut Changes,
    ) {
        let place = frame.place(node);
        self.move_node(place, state);
        let it = plan.node(node);
        if matches!(it.kind, NodeKind::Undo { .. }) {
            return;
        }
        let cell = &mut self.cells[place.index()];
        if state == NodeState::Succeeded {
            cell.flags |= VALUED;
        } else {
            // A join may have chosen what to pass on, and never did.
            cell.value = ValueId::NONE;
        }
        self.open -= 1;
        if let Some(opening) = frame.opening() {
            // Late frames of a map are part of the frame that it stands in.
            let late = state == NodeState::Succeeded && it.kind.body().is_some();
            if !late || !self.has_late_frames(place) {
                self.node_over(opening, self.item(plan, frame), changes);
            }
        }
        if it.plain {
            for &input in &it.inputs {
                self.unclaim_in(plan, frame, input, changes);
            }
        } else {
            self.release_other(plan, frame, node, state, changes);
        }
        if let Some(key) = it.holds {
            self.unclaim(plan, frame.place(key), changes);
        }
    }

    /// As [`Run::release_inputs`], for what passes values on or opens frames.
    fn release_other(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        state: NodeState,
        changes: &mut Changes,
    ) {
        let place = frame.place(node);
        let it = plan.node(node);
        let opens = it.kind.body().is_some();
        if state != NodeState::Succeeded && opens {
            self.withdraw_frames(plan, place, changes);
            self.drop_results(plan, place, changes);
        }
        if state == NodeState::Succeeded && (it.kind.is_alias() || it.keeps) {
            self.release_all_but_taken(plan, frame, node, changes);
        } else if !(it.keeps || opens && self.has_late_frames(place)) {
            self.release_inputs(plan, frame, node, changes);
        }
    }

    fn release_inputs(&mut self, plan: &Plan, frame: Frame, node: NodeId, changes: &mut Changes) {
        for &input in &plan.node(node).inputs {
            self.unclaim(plan, frame.place(input), changes);
        }
    }
}

/// How long a node waits for a signal at most; 0 for no limit.
pub(crate) fn limit_ns(plan: &Plan, node: NodeId) -> u64 {
    match plan.kind(node) {
        NodeKind::Signal { timeout_ns, .. } => timeout_ns,
        NodeKind::Sleep { duration_ns } => duration_ns,
        _ => 0,
    }
}
