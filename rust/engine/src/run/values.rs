//! Who still needs a value, and where a node's value is to be found.

use smallvec::SmallVec;

use super::{Blame, Changes, Frame, Place, Run};
use crate::failure::Cause;
use crate::ids::{NodeId, ValueId};
use crate::plan::{NodeKind, Plan};
use crate::state::{NodeState, RunStatus};

/// Where a node's value is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is, or what it is an item of.
    pub base: Base,
    /// Which item, outermost first; most values are no item of anything.
    pub items: SmallVec<[u32; 2]>,
}

/// Something the driver keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A value.
    Value(ValueId),
    /// The constant of a node.
    Constant(NodeId),
    /// Nothing: a skipped input that was made optional, or a node without a value.
    Nothing,
}

impl From<Base> for Source {
    fn from(base: Base) -> Self {
        Self { base, items: SmallVec::new() }
    }
}

impl Run {
    /// What a node carries, if that is no item of anything and needs no search: as most often. O(1).
    #[inline]
    pub fn own_value(&self, plan: &Plan, place: Place) -> Option<Base> {
        let (_, node) = self.locate(plan, place);
        self.own_value_at(plan, place, node)
    }

    #[inline]
    fn own_value_at(&self, plan: &Plan, place: Place, node: NodeId) -> Option<Base> {
        let cell = &self.cells[place.index()];
        let it = plan.node(node);
        let constant = matches!(it.kind, NodeKind::Constant);
        let known = it.plain && !constant && cell.carries() && cell.value.is_some();
        known.then_some(Base::Value(cell.value))
    }

    /// Tells `each` where the values are to be found that a node is given, in order: a base, and which item
    /// of it, outermost first. As cheap as [`Run::own_value`] for most, an item of a map included.
    #[inline]
    pub fn given(&self, plan: &Plan, place: Place, mut each: impl FnMut(Base, &[u32])) {
        let (frame, node) = self.locate(plan, place);
        for &input in plan.inputs_of(node) {
            let place = frame.place(input);
            if let Some(base) = self.own_value_at(plan, place, input) {
                each(base, &[]);
            } else if frame.opening().is_some()
                && plan.kind(input) == NodeKind::Input
                && let (outer, Some(item)) = self.input_of_frame(plan, frame, input)
                && let Some(base) = self.own_value(plan, outer)
            {
                each(base, &[item]);
            } else {
                let Source { base, items } = self.source(plan, place);
                each(base, &items);
            }
        }
    }

    /// Tells `each` where the values are to be found that the list of a map or collect is made of, in order;
    /// `Err` for an item that failed, where that is tolerated. O(inputs or items).
    pub fn gather(
        &self,
        plan: &Plan,
        place: Place,
        mut each: impl FnMut(Result<(Base, &[u32]), Blame>),
    ) {
        self.each_gathered(plan, place, |result| match result {
            Err(blame) => each(Err(blame)),
            Ok((place, node)) => {
                if let Some(base) = self.own_value_at(plan, place, node) {
                    each(Ok((base, &[])));
                } else {
                    let Source { base, items } = self.source(plan, place);
                    each(Ok((base, &items)));
                }
            }
        });
    }

    /// Where a node's value is to be found. O(nodes it was passed through).
    pub fn source(&self, plan: &Plan, place: Place) -> Source {
        let mut place = place;
        let mut items = SmallVec::new();
        let base = loop {
            let (frame, node) = self.locate(plan, place);
            let cell = &self.cells[place.index()];
            match plan.kind(node) {
                NodeKind::Constant => break Base::Constant(node),
                NodeKind::Input if frame.opening().is_some() => {
                    let (outer, item) = self.input_of_frame(plan, frame, node);
                    items.extend(item);
                    place = outer;
                }
                kind if !cell.carries() || cell.value == ValueId::NONE => {
                    debug_assert!(kind != NodeKind::Merge || cell.value == ValueId::NONE);
                    break Base::Nothing;
                }
                kind if kind.is_alias() => place = Place(cell.value.0),
                _ => break Base::Value(cell.value),
            }
        };
        items.reverse();
        Source { base, items }
    }

    /// Handles of the values that its nodes carry, and of the signals that are kept. O(nodes).
    pub fn values(&self, plan: &Plan) -> Vec<ValueId> {
        let places = (0..self.cells.len() as u32).map(Place);
        let carried = places.filter_map(|place| {
            let cell = &self.cells[place.index()];
            let own = cell.carries() && cell.value.is_some();
            (own && !plan.kind(self.locate(plan, place).1).is_alias()).then_some(cell.value)
        });
        let signals =
            self.more.iter().flat_map(|more| more.signals.iter().map(|(_, value)| *value));
        carried.chain(signals).collect()
    }

    /// What the run's output carries.
    pub(crate) fn result(&self, plan: &Plan) -> Base {
        let output = Frame::OUTERMOST.place(plan.output());
        self.own_value(plan, output).unwrap_or_else(|| self.source(plan, output).base)
    }

    /// Gives up one claim on a node's value.
    #[expect(clippy::inline_always, reason = "on the dispatch path; saves 43 instructions a step")]
    #[inline(always)]
    pub(super) fn unclaim(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let cell = &mut self.cells[place.index()];
        cell.uses -= 1;
        if cell.uses == 0 && cell.state == NodeState::Succeeded {
            self.forget(plan, place, changes);
        }
    }

    /// As [`Run::unclaim`], where the node's frame is known.
    #[expect(clippy::inline_always, reason = "as for `unclaim`")]
    #[inline(always)]
    pub(super) fn unclaim_in(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        changes: &mut Changes,
    ) {
        let place = frame.place(node);
        let cell = &mut self.cells[place.index()];
        cell.uses -= 1;
        if cell.uses == 0 && cell.state == NodeState::Succeeded {
            self.forget_at(plan, place, node, changes);
        }
    }

    /// Nobody will ask for a node's value again; neither does it for the value it passes on.
    #[inline]
    pub(super) fn forget(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let (_, node) = self.locate(plan, place);
        self.forget_at(plan, place, node, changes);
    }

    #[inline]
    fn forget_at(&mut self, plan: &Plan, place: Place, node: NodeId, changes: &mut Changes) {
        if !plan.node(node).plain {
            return self.forget_passed(plan, place, changes);
        }
        let value = std::mem::replace(&mut self.cells[place.index()].value, ValueId::NONE);
        if value.is_some() {
            changes.drops.push(value);
        }
    }

    /// As [`Run::forget`], for a node that passes values on: whatever it passed on loses a claim.
    fn forget_passed(&mut self, plan: &Plan, place: Place, changes: &mut Changes) {
        let mut place = place;
        loop {
            let (frame, node) = self.locate(plan, place);
            let it = plan.node(node);
            let value = std::mem::replace(&mut self.cells[place.index()].value, ValueId::NONE);
            match it.kind {
                NodeKind::Loop { .. } | NodeKind::Recurse { .. } => {
                    if !it.keeps {
                        self.forget_frames(plan, place, changes);
                        for &input in &it.inputs {
                            self.unclaim(plan, frame.place(input), changes);
                        }
                    }
                    return;
                }
                NodeKind::Acquire { .. } => {
                    let key = self.more.as_mut().and_then(|more| more.keys.remove(&place));
                    changes.released.extend(key);
                    return;
                }
                kind if kind.is_alias() && value.is_some() => {
                    place = Place(value.0);
                    let cell = &mut self.cells[place.index()];
                    cell.uses -= 1;
                    if cell.uses > 0 || cell.state != NodeState::Succeeded {
                        return;
                    }
                }
                _ => {
                    if value.is_some() {
                        changes.drops.push(value);
                    }
                    return;
                }
            }
        }
    }

    /// A node that passes a value on keeps its claim on that one input alone.
    pub(super) fn release_all_but_taken(
        &mut self,
        plan: &Plan,
        frame: Frame,
        node: NodeId,
        changes: &mut Changes,
    ) {
        let it = plan.node(node);
        // A frame may pass on what its owner was given.
        if it.keeps || it.kind.body().is_some() {
            return;
        }
        let mut taken = Some(self.cells[frame.place(node).index()].value);
        for &input in &it.inputs {
            let input = frame.place(input);
            if taken == Some(ValueId(input.0)) {
                taken = None;
            } else {
                self.unclaim(plan, input, changes);
            }
        }
    }

    /// The run is over: only the result is still needed.
    pub(super) fn release_everything(&mut self, plan: &Plan, changes: &mut Changes) {
        let succeeded = self.status == RunStatus::Succeeded;
        let result = if succeeded { self.result(plan) } else { Base::Nothing };
        for index in 0..self.cells.len() {
            let cell = &self.cells[index];
            let waits = cell.state == NodeState::Waiting;
            if (cell.value == ValueId::NONE && !waits) || Base::Value(cell.value) == result {
                continue;
            }
            let (_, node) = self.locate(plan, Place(index as u32));
            let cell = &mut self.cells[index];
            if waits {
                // A compensation that was not needed.
                cell.state = NodeState::Skipped;
            } else if !plan.kind(node).is_alias() {
                changes.drops.push(std::mem::replace(&mut cell.value, ValueId::NONE));
            }
        }
        if let Some(more) = &mut self.more {
            changes.drops.extend(more.signals.drain(..).map(|(_, value)| value));
            changes.released.extend(std::mem::take(&mut more.keys).into_values());
            for blame in std::mem::take(&mut more.failures).into_values() {
                drop_error(blame.cause, changes);
            }
        }
    }
}

/// An exception that nobody will see.
pub(super) fn drop_error(cause: Cause, changes: &mut Changes) {
    if let Cause::Error(error) = cause {
        changes.drops.push(error);
    }
}
