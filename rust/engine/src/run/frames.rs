//! Frames: what maps, loops and recursions open, one for each item, iteration or level.
//!
//! A frame is a copy of a region's nodes among the run's cells. Its inputs carry nothing themselves: they
//! are found where its owner's inputs are, so that opening 100,000 frames copies no value.

use std::num::NonZeroU32;

use super::contain::FrameFailure;
use super::{Changes, Place, Resolution, Run, Work};
use crate::action::Evaluation;
use crate::failure::Cause;
use crate::ids::{NodeId, ValueId};
use crate::plan::{NodeKind, Plan, Region};
use crate::run::{Blame, Cell};
use crate::state::NodeState;

/// Which of its region's copies a node stands in. Two words, since it goes wherever a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its opening's index plus 1; `None` for the run's outermost frame.
    opening: Option<NonZeroU32>,
    /// What to add to a node's index in the plan for its place in the run.
    offset: u32,
}

/// Frames of one region that were opened together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) owner: Place,
    pub(crate) region: u32,
    /// Place of the first frame's first node.
    pub(crate) base: u32,
    /// Number of the first frame: a loop's iteration.
    pub(crate) first: u32,
    /// Frames that have started.
    next: u32,
    /// Frames under way.
    live: u32,
    /// Frames that are not over.
    left: u32,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    /// Recursions of the same body that it stands in, itself included.
    depth: u32,
    /// The owner's opening before this one.
    pub(super) previous: Option<u32>,
    /// Whether the owner still claims the frames' results.
    claims: bool,
    pub(super) frames: Vec<FrameState>,
    /// Frames not undone yet.
    pub(super) undoing: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameState {
    /// Nodes that are not terminal.
    open: u32,
    /// Nodes that are not undone yet.
    pub(super) undoing: u32,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Waiting,
    Live,
    Succeeded,
    /// Failed, or withdrawn.
    Over,
}

impl Frame {
    pub(crate) const OUTERMOST: Self = Self { opening: None, offset: 0 };

    /// The opening it belongs to; `None` for the run's outermost frame.
    #[inline]
    pub(crate) fn opening(self) -> Option<u32> {
        self.opening.map(|index| index.get() - 1)
    }

    pub(crate) const fn place(self, node: NodeId) -> Place {
        Place(node.0.wrapping_add(self.offset))
    }

    pub(crate) const fn node(self, place: Place) -> NodeId {
        NodeId(place.0.wrapping_sub(self.offset))
    }

    /// The frame after it, of an opening whose region has `len` nodes.
    pub(crate) const fn next(self, len: u32) -> Self {
        Self { opening: self.opening, offset: self.offset.wrapping_add(len) }
    }
}

impl Opening {
    pub(crate) fn count(&self) -> u32 {
        self.frames.len() as u32
    }

    pub(crate) fn frame(&self, plan: &Plan, index: u32, item: u32) -> Frame {
        let region = &plan.regions[self.region as usize];
        let base = self.base + item * region.len;
        Frame { opening: NonZeroU32::new(index + 1), offset: base.wrapping_sub(region.start) }
    }

    pub(super) fn image(&self) -> [u64; 4] {
        [
            u64::from(self.owner.0) << 32 | u64::from(self.base),
            u64::from(self.next) << 32 | u64::from(self.live),
            u64::from(self.succeeded) << 32 | u64::from(self.failed),
            u64::from(self.undoing) << 32 | u64::from(self.first),
        ]
    }
}

impl Run {
    /// The frame that a place beyond the outermost one belongs to. O(log openings).
    pub(super) fn frame_of(&self, plan: &Plan, place: Place) -> Frame {
        let openings = self.more.as_ref().map_or(&[][..], |more| &more.openings);
        // Most runs with frames have one map.
        let index = match openings {
            [_] => 0,
            _ => openings.partition_point(|it| it.base <= place.0) - 1,
        };
        let opening = &openings[index];
        let region = &plan.regions[opening.region as usize];
        let item = region.copy(place.0 - opening.base);
        opening.frame(plan, index as u32, item)
    }

    /// Which item, iteration or level of its opening a frame is.
    pub(super) fn item(&self, plan: &Plan, frame: Frame) -> u32 {
        frame.opening().map_or(0, |index| {
            let opening = self.opening(index);
            let region = &plan.regions[opening.region as usize];
            region.copy(frame.offset.wrapping_add(region.start).wrapping_sub(opening.base))
        })
    }

    /// Adds the cells of so many frames.
    pub(super) fn add_cells(&mut self, plan: &Plan, region: u32, count: u32) {
        let region = &plan.regions[region as usize];
        let first = self.cells.len();
        let stop = first + count as usize * region.len as usize;
        self.cells.reserve(stop - first);
        let nodes = &plan.nodes[region.start as usize..(region.start + region.len) as usize];
        self.cells.extend(nodes.iter().map(|node| Cell {
            value: ValueId::NONE,
            pending: node.pending,
            uses: node.uses,
            attempts: 0,
            state: if node.kind.is_source() { NodeState::Succeeded } else { NodeState::Waiting },
            flags: 0,
        }));
        // Every frame begins as the first one does.
        while self.cells.len() < stop {
            let there = self.cells.len();
            self.cells.extend_from_within(first..there.min(first + stop - there));
        }
    }

    /// Starts what a frame begins with.
    pub(super) fn start_frame(
        &mut self,
        plan: &Plan,
        frame: Frame,
        region: &Region,
        changes: &mut Changes,
    ) {
        for &node in &region.first {
            let place = frame.place(node);
            if plan.kind(node).is_source() {
                self.spread(plan, frame, node, Resolution::Taken, changes);
            } else if self.cells[place.index()].state == NodeState::Waiting {
                if plan.kind(node).is_started_by_inputs() {
                    self.ready(place, changes);
                } else {
                    self.inputs_there(plan, frame, node, changes);
                }
            }
        }
        if let Some(opening) = frame.opening()
            && region.open == 0
        {
            changes.work.push_back(Work::FrameOver { opening, item: self.item(plan, frame) });
        }
    }

    /// A loop or a recursion begins.
    pub(super) fn open_first(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        changes: &mut Changes,
    ) {
        let place = frame.place(node);
        if let NodeKind::Recurse { body, limit: limit @ 1.. } = plan.kind(node)
            && self.depth(plan, place, body) >= limit
        {
            return self.node_failed(plan, place, Cause::Exhausted, changes);
        }
        self.move_node(place, NodeState::Running);
        let opening = self.open(plan, place, 1, 0);
        changes.work.push_back(Work::FramesOpened { opening });
    }

    /// A map knows how many items it has.
    pub(super) fn opened(&mut self, plan: &Plan, place: Place, count: u32, changes: &mut Changes) {
        self.start_if_eligible(place);
        let (_, node) = self.locate(plan, place);
        let NodeKind::Map { need, .. } = plan.kind(node) else {
            unreachable!("only a map counts its items");
        };
        if count < need {
            self.node_failed(plan, place, Cause::NotEnough, changes);
        } else if count == 0 {
            changes.evaluate.push((place, Evaluation::Gather));
        } else {
            let opening = self.open(plan, place, count, 0);
            self.start_frames(plan, opening, changes);
        }
    }

    /// A loop's driver has said whether it is over.
    pub(super) fn iterate(&mut self, plan: &Plan, place: Place, stop: bool, changes: &mut Changes) {
        let (_, node) = self.locate(plan, place);
        let NodeKind::Loop { limit, fail, .. } = plan.kind(node) else {
            unreachable!("only a loop iterates");
        };
        let latest = self.cells[place.index()].attempts - 1;
        let iteration = self.opening(latest).first + 1;
        if stop || (iteration >= limit && !fail) {
            self.pass_result(plan, latest, changes);
        } else if iteration >= limit {
            self.node_failed(plan, place, Cause::Exhausted, changes);
        } else {
            let opening = self.open(plan, place, 1, iteration);
            self.forget_last_but_one(plan, opening, changes);
            self.start_frames(plan, opening, changes);
        }
    }

    /// Every node of a frame is terminal, and none failed it.
    pub(super) fn frame_over(
        &mut self,
        plan: &Plan,
        opening: u32,
        item: u32,
        changes: &mut Changes,
    ) {
        let it = self.opening_mut(opening);
        let state = &mut it.frames[item as usize];
        if state.phase != Phase::Live {
            return;
        }
        state.phase = Phase::Succeeded;
        it.live -= 1;
        it.left -= 1;
        it.succeeded += 1;
        let owner = it.owner;
        let (succeeded, over, count) = (it.succeeded, it.succeeded + it.failed, it.count());
        let waits = it.next < count;
        let (_, node) = self.locate(plan, owner);
        if self.cells[owner.index()].state != NodeState::Running {
            self.forget_result(plan, opening, item, changes);
            self.frame_closed(plan, opening, changes);
            return self.start_frames(plan, opening, changes);
        }
        match plan.kind(node) {
            NodeKind::Map { need, cancel_rest, .. } => {
                let fires = if need == 0 { over == count } else { succeeded == need };
                if fires {
                    changes.evaluate.push((owner, Evaluation::Gather));
                }
                if fires && cancel_rest {
                    let rest = self.withdraw_opening(plan, opening, changes);
                    self.undo_frames(plan, opening, &rest, changes);
                } else if waits {
                    self.start_frames(plan, opening, changes);
                }
            }
            NodeKind::Loop { .. } => changes.evaluate.push((owner, Evaluation::Until)),
            _ => self.pass_result(plan, opening, changes),
        }
    }

    /// A frame failed: what does its owner say?
    pub(super) fn frame_failed(
        &mut self,
        plan: &Plan,
        frame: Frame,
        changes: &mut Changes,
    ) -> FrameFailure {
        let Some(opening) = frame.opening() else { return FrameFailure::Ignored };
        self.withdraw_frame(plan, opening, self.item(plan, frame), changes);
        let it = self.opening_mut(opening);
        it.failed += 1;
        let owner = it.owner;
        let (succeeded, failed, count) = (it.succeeded, it.failed, it.count());
        let needed = self.cells[owner.index()].state == NodeState::Running;
        let (_, node) = self.locate(plan, owner);
        let failure = match plan.kind(node) {
            _ if !needed => FrameFailure::Ignored,
            NodeKind::Map { need: need @ 1.., .. } if succeeded >= need => FrameFailure::Ignored,
            NodeKind::Map { need, tolerated, .. } => {
                let tolerates = tolerated.map_or(need > 0, |tolerated| failed <= tolerated);
                if !tolerates || count - failed < need {
                    return FrameFailure::Fatal;
                }
                if need == 0 && succeeded + failed == count {
                    changes.evaluate.push((owner, Evaluation::Gather));
                }
                FrameFailure::Tolerated
            }
            _ => return FrameFailure::Fatal,
        };
        self.undo_frames(plan, opening, &[self.item(plan, frame)], changes);
        self.start_frames(plan, opening, changes);
        failure
    }

    /// What withdrawn frames did is undone.
    fn undo_frames(&mut self, plan: &Plan, opening: u32, items: &[u32], changes: &mut Changes) {
        let it = self.opening(opening);
        let len = plan.regions[it.region as usize].len;
        let first = |item: &u32| it.base + item * len;
        let places = items.iter().flat_map(|item| first(item)..first(item) + len).map(Place);
        self.undo_when_over(plan, places.collect(), changes);
    }

    /// A frame is over: a map that went on without its last frames is over with them, and gives up its
    /// items.
    pub(super) fn frame_closed(&mut self, plan: &Plan, opening: u32, changes: &mut Changes) {
        let it = self.opening(opening);
        let (owner, left) = (it.owner, it.left);
        let (frame, node) = self.locate(plan, owner);
        let node = plan.node(node);
        let late = self.cells[owner.index()].state == NodeState::Succeeded;
        if left > 0 || !late || !matches!(node.kind, NodeKind::Map { .. }) {
            return;
        }
        if let Some(opening) = frame.opening() {
            self.node_over(opening, self.item(plan, frame), changes);
        }
        if !node.keeps {
            for &input in &node.inputs {
                self.unclaim(plan, frame.place(input), changes);
            }
        }
    }

    /// Whether frames are under way that their owner does not wait for.
    pub(super) fn has_late_frames(&self, owner: Place) -> bool {
        self.openings_of(owner).iter().any(|&opening| self.opening(opening).left > 0)
    }

    /// A node of a frame is terminal.
    pub(super) fn node_over(&mut self, opening: u32, item: u32, changes: &mut Changes) {
        let state = &mut self.opening_mut(opening).frames[item as usize];
        state.open -= 1;
        if state.open == 0 && state.phase == Phase::Live {
            changes.work.push_back(Work::FrameOver { opening, item });
        }
    }

    /// What a frame's input stands for: a node of the frame around it, and which item of its value.
    pub(super) fn input_of_frame(
        &self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
    ) -> (Place, Option<u32>) {
        let Some(index) = frame.opening() else { return (frame.place(node), None) };
        let opening = self.opening(index);
        let (outer, owner) = self.locate(plan, opening.owner);
        let input = (node.0 - plan.regions[opening.region as usize].start) as usize;
        let given = || outer.place(plan.node(owner).inputs[input]);
        match (plan.kind(owner), opening.previous) {
            (NodeKind::Map { .. }, _) if input == 0 => {
                (given(), Some(opening.first + self.item(plan, frame)))
            }
            (NodeKind::Loop { .. }, Some(previous)) if input == 0 => {
                (self.result_place(plan, previous, 0), None)
            }
            _ => (given(), None),
        }
    }

    /// The nodes whose values make the list that a map or collect gives, in order; `Err` for an item that
    /// failed, where that is tolerated. Frames that are not over are left out.
    pub(crate) fn gathered(&self, plan: &Plan, place: Place) -> Vec<Result<Place, Blame>> {
        let mut gathered = Vec::new();
        self.each_gathered(plan, place, |result| gathered.push(result.map(|(place, _)| place)));
        gathered
    }

    /// As [`Run::gathered`], with the nodes' places in the plan.
    #[inline]
    pub(super) fn each_gathered(
        &self,
        plan: &Plan,
        place: Place,
        mut each: impl FnMut(Result<(Place, NodeId), Blame>),
    ) {
        let (frame, node) = self.locate(plan, place);
        let NodeKind::Map { tolerated, .. } = plan.kind(node) else {
            for &input in &plan.node(node).inputs {
                let place = frame.place(input);
                if self.cells[place.index()].has_given() {
                    each(Ok((place, input)));
                }
            }
            return;
        };
        let Some(latest) = self.cells[place.index()].attempts.checked_sub(1) else { return };
        let opening = self.opening(latest);
        let region = &plan.regions[opening.region as usize];
        let mut frame = opening.frame(plan, latest, 0);
        for state in &opening.frames {
            match state.phase {
                Phase::Succeeded => each(Ok((frame.place(region.output), region.output))),
                Phase::Over if tolerated.is_some() => {
                    let base = frame.place(NodeId(region.start));
                    let failures = self.more.as_ref().map(|more| &more.failures);
                    if let Some(&blame) = failures.and_then(|failures| failures.get(&base)) {
                        each(Err(blame));
                    }
                }
                Phase::Waiting | Phase::Live | Phase::Over => {}
            }
            frame = frame.next(region.len);
        }
    }

    /// The last value of a loop.
    pub(crate) fn iteration(&self, plan: &Plan, place: Place) -> Option<Place> {
        let latest = self.cells[place.index()].attempts.checked_sub(1)?;
        Some(self.result_place(plan, latest, 0))
    }

    /// A map has its list: the single results are no longer needed, nor are the failures.
    pub(super) fn results_gathered(&mut self, plan: &Plan, owner: Place, changes: &mut Changes) {
        let Some(latest) = self.cells[owner.index()].attempts.checked_sub(1) else { return };
        let (_, node) = self.locate(plan, owner);
        let keeps = plan.node(node).keeps;
        let region = &plan.regions[self.region_of(latest)];
        let failed = !self.more().failures.is_empty();
        for item in 0..self.opening(latest).count() {
            let it = self.opening(latest);
            let frame = it.frame(plan, latest, item);
            if !keeps && it.frames[item as usize].phase == Phase::Succeeded {
                self.unclaim_in(plan, frame, region.output, changes);
            }
            let base = frame.place(NodeId(region.start));
            if failed && let Some(blame) = self.more().failures.remove(&base) {
                super::values::drop_error(blame.cause, changes);
            }
        }
    }

    /// The owner of a loop's or recursion's frames gives up its claims on their results.
    pub(super) fn forget_frames(&mut self, plan: &Plan, owner: Place, changes: &mut Changes) {
        let mut opening = self.cells[owner.index()].attempts.checked_sub(1);
        while let Some(index) = opening {
            let it = self.opening_mut(index);
            opening = it.previous;
            if std::mem::replace(&mut it.claims, false) {
                self.forget_result(plan, index, 0, changes);
            }
        }
    }

    /// The owner of frames failed or was withdrawn: nobody needs the results that came.
    pub(super) fn drop_results(&mut self, plan: &Plan, owner: Place, changes: &mut Changes) {
        let (_, node) = self.locate(plan, owner);
        if !matches!(plan.kind(node), NodeKind::Map { .. }) {
            return self.forget_frames(plan, owner, changes);
        }
        for opening in self.openings_of(owner) {
            for item in 0..self.opening(opening).count() {
                if self.opening(opening).frames[item as usize].phase == Phase::Succeeded {
                    self.forget_result(plan, opening, item, changes);
                }
            }
        }
    }

    /// Indices of an owner's openings, latest first.
    pub(crate) fn openings_of(&self, owner: Place) -> Vec<u32> {
        let Some(more) = &self.more else { return Vec::new() };
        let latest = self.cells[owner.index()].attempts.checked_sub(1);
        std::iter::successors(latest, |&index| more.openings[index as usize].previous).collect()
    }

    pub(crate) fn opening(&self, index: u32) -> &Opening {
        &self.more.as_ref().expect("a run with frames has openings").openings[index as usize]
    }

    pub(super) fn region_of(&self, opening: u32) -> usize {
        self.opening(opening).region as usize
    }

    pub(super) fn opening_mut(&mut self, index: u32) -> &mut Opening {
        &mut self.more().openings[index as usize]
    }

    /// The node that carries a frame's result.
    pub(super) fn result_place(&self, plan: &Plan, opening: u32, item: u32) -> Place {
        let it = self.opening(opening);
        it.frame(plan, opening, item).place(plan.regions[it.region as usize].output)
    }

    fn open(&mut self, plan: &Plan, owner: Place, count: u32, first: u32) -> u32 {
        let (_, node) = self.locate(plan, owner);
        let region = plan.kind(node).body().expect("only what has a body opens frames");
        let base = self.cells.len() as u32;
        let open = plan.regions[region as usize].open;
        self.add_cells(plan, region, count);
        self.open += open * count;
        let previous = self.cells[owner.index()].attempts.checked_sub(1);
        let recursion = matches!(plan.kind(node), NodeKind::Recurse { limit: 1.., .. });
        let depth = self.depth(plan, owner, region) + u32::from(recursion);
        let more = self.more();
        more.openings.push(Opening {
            owner,
            region,
            base,
            first,
            next: 0,
            live: 0,
            left: count,
            succeeded: 0,
            failed: 0,
            depth,
            previous,
            claims: true,
            frames: vec![FrameState { open, ..FrameState::default() }; count as usize],
            undoing: 0,
        });
        let index = more.openings.len() as u32 - 1;
        self.cells[owner.index()].attempts = index + 1;
        index
    }

    /// Starts frames of an opening as far as it may have them under way.
    pub(super) fn start_frames(&mut self, plan: &Plan, opening: u32, changes: &mut Changes) {
        let (_, node) = self.locate(plan, self.opening(opening).owner);
        let region = &plan.regions[self.region_of(opening)];
        let at_once = match plan.kind(node) {
            NodeKind::Map { concurrency: limit @ 1.., .. } => limit,
            _ => u32::MAX,
        };
        loop {
            let it = self.opening_mut(opening);
            if it.next == it.count() || it.live >= at_once {
                return;
            }
            let item = it.next;
            it.next += 1;
            let state = &mut it.frames[item as usize];
            if state.phase != Phase::Waiting {
                continue;
            }
            state.phase = Phase::Live;
            it.live += 1;
            let frame = it.frame(plan, opening, item);
            self.start_frame(plan, frame, region, changes);
        }
    }

    /// Marks a frame as failed or withdrawn, unless it is over; whether it was not.
    pub(super) fn close_frame(&mut self, opening: u32, item: u32) -> bool {
        let it = self.opening_mut(opening);
        let state = &mut it.frames[item as usize];
        if matches!(state.phase, Phase::Succeeded | Phase::Over) {
            return false;
        }
        it.live -= u32::from(state.phase == Phase::Live);
        it.left -= 1;
        state.phase = Phase::Over;
        it.claims = it.frames.len() > 1;
        true
    }

    /// A loop or recursion passes the result of a frame on.
    fn pass_result(&mut self, plan: &Plan, opening: u32, changes: &mut Changes) {
        let owner = self.opening(opening).owner;
        let result = self.result_place(plan, opening, 0);
        self.cells[owner.index()].value = ValueId(result.0);
        self.pass(plan, owner, changes);
    }

    pub(super) fn forget_result(
        &mut self,
        plan: &Plan,
        opening: u32,
        item: u32,
        changes: &mut Changes,
    ) {
        let (_, node) = self.locate(plan, self.opening(opening).owner);
        if !plan.node(node).keeps {
            self.unclaim(plan, self.result_place(plan, opening, item), changes);
        }
    }

    /// An iteration begins: the result before the last is needed no more, unless the last one passed it on.
    fn forget_last_but_one(&mut self, plan: &Plan, opening: u32, changes: &mut Changes) {
        let Some(last) = self.opening(opening).previous else { return };
        let Some(before) = self.opening(last).previous else { return };
        let kept = self.source(plan, self.result_place(plan, last, 0));
        let older = self.source(plan, self.result_place(plan, before, 0));
        if kept != older && std::mem::replace(&mut self.opening_mut(before).claims, false) {
            self.forget_result(plan, before, 0, changes);
        }
    }

    /// How many frames of `body` a node stands in, one recursion inside the other. O(levels of other bodies
    /// in between).
    fn depth(&self, plan: &Plan, place: Place, body: u32) -> u32 {
        let (mut frame, _) = self.locate(plan, place);
        while let Some(opening) = frame.opening() {
            let it = self.opening(opening);
            if it.region == body {
                return it.depth;
            }
            (frame, _) = self.locate(plan, it.owner);
        }
        0
    }
}
