//! What steps with a compensation did in one run, and whether it was undone in the right order.

use std::collections::BTreeMap;

use penstock_engine::{
    Body, GraphSpec, Layout, NodeId, NodeKind, NodeState, Place, Plan, Record, RunStatus,
};

use crate::checker::Checked;

/// The effects of a run, by node.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    effects: BTreeMap<Place, Effect>,
    /// When the whole run began to be undone.
    compensating: Option<u32>,
}

#[derive(Debug, Default)]
struct Effect {
    /// Records so far when its compensation began, the last time.
    begun: Option<u32>,
    undone: Option<u32>,
}

impl Effects {
    pub(crate) fn recorded(
        &mut self,
        spec: &GraphSpec,
        record: &Record,
        template: NodeId,
    ) -> Checked {
        match (record.body, spec.nodes[template.index()].kind) {
            (Body::Started, _) if is_undone(spec, template) => {
                self.effects.entry(record.node).or_default();
            }
            (Body::Compensating, _) => {
                self.compensating.get_or_insert(record.seq);
            }
            (Body::Done { .. }, NodeKind::Undo { of }) => {
                let place = Place(record.node.0 + of - template.0);
                let Some(effect) = self.effects.get_mut(&place) else {
                    return Err(format!("I9: {place:?} was undone, but never started"));
                };
                if effect.undone.replace(record.seq).is_some() {
                    return Err(format!("I9: {place:?} was undone twice"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A compensation is dispatched after so many records.
    pub(crate) fn begins(&mut self, place: Place, seq: u32) {
        self.effects.entry(place).or_default().begun = Some(seq);
    }

    /// After a crash: compensations that began before what is on disk now had begun.
    pub(crate) fn remember_begun(&mut self, before: &Self, seq: u32) {
        for (place, effect) in &mut self.effects {
            let earlier = before.effects.get(place).and_then(|effect| effect.begun);
            effect.begun = earlier.filter(|&begun| begun <= seq);
        }
    }

    /// The run is over.
    pub(crate) fn check(
        &self,
        plan: &Plan,
        spec: &GraphSpec,
        layout: &Layout,
        nodes: &[NodeState],
        status: RunStatus,
    ) -> Checked {
        for (&place, effect) in &self.effects {
            let state = nodes[place.index()];
            let stays = status == RunStatus::Succeeded && state == NodeState::Succeeded;
            if effect.undone.is_none() && !stays {
                let path = layout.path(plan, place);
                return Err(format!("I9: {path}, {state:?} in a run {status:?}, is not undone"));
            }
        }
        for (index, state) in nodes.iter().enumerate() {
            let undone =
                self.effects.get(&Place(index as u32)).is_some_and(|it| it.undone.is_some());
            if undone != (*state == NodeState::Compensated) {
                let path = layout.path(plan, Place(index as u32));
                return Err(format!("I9: {path} is {state:?}; undone: {undone}"));
            }
        }
        let Some(compensating) = self.compensating else { return Ok(()) };
        for (&earlier, effect) in &self.effects {
            let Some(begun) = effect.begun.filter(|&begun| begun > compensating) else { continue };
            for (&later, other) in &self.effects {
                if other.undone > Some(begun) && comes_after(plan, spec, layout, earlier, later) {
                    let [earlier, later] = [earlier, later].map(|it| layout.path(plan, it));
                    return Err(format!(
                        "I9: {earlier} was undone before {later}, which came after it"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a node has a compensation.
pub(crate) fn is_undone(spec: &GraphSpec, node: NodeId) -> bool {
    let undo = NodeKind::Undo { of: node.0 };
    spec.nodes.iter().any(|node| node.kind == undo)
}

/// Whether `later` was done after `earlier` because of an edge, an iteration or what they stand in.
fn comes_after(
    plan: &Plan,
    spec: &GraphSpec,
    layout: &Layout,
    earlier: Place,
    later: Place,
) -> bool {
    let [one, other] = [earlier, later].map(|place| frames(plan, layout, place));
    for (frame, place, inside) in &one {
        let Some((_, with, within)) = other.iter().find(|(same, ..)| same == frame) else {
            continue;
        };
        if place == with {
            return inside.zip(*within).is_some_and(|(inside, within)| within > inside);
        }
        let [from, to] = [place, with].map(|it| layout.template(plan, *it).0);
        return leads_to(spec, from, to);
    }
    false
}

type FrameKey = Option<(usize, u32)>;

/// The frames around a place, from the innermost: which, the place or what opened the frame further in,
/// and the opening of that frame.
fn frames(plan: &Plan, layout: &Layout, place: Place) -> Vec<(FrameKey, Place, Option<usize>)> {
    let mut all = Vec::new();
    let (mut at, mut inside) = (place, None);
    loop {
        let Some((owner, opening, item)) = layout.frame(plan, at) else {
            all.push((None, at, inside));
            return all;
        };
        all.push((Some((opening, item)), at, inside));
        (at, inside) = (owner, Some(opening));
    }
}

/// Whether a way leads from one node to another.
fn leads_to(spec: &GraphSpec, from: u32, to: u32) -> bool {
    let mut met = vec![false; spec.nodes.len()];
    let mut trail = vec![to];
    while let Some(node) = trail.pop() {
        let it = &spec.nodes[node as usize];
        for &producer in it.inputs.iter().chain(&it.gates).chain(&it.after) {
            if producer == from {
                return true;
            }
            if !std::mem::replace(&mut met[producer as usize], true) {
                trail.push(producer);
            }
        }
    }
    false
}
