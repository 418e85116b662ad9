//! The guard of every node of a region: under which outcomes of its decisions the node is taken.
//!
//! Dead-path elimination makes each edge either taken or skipped, and the rules of [`Region::entered`] say
//! which. They never ask for something *not* to be taken, so that what is shielded, signalled or withdrawn
//! counts most when it comes, passes or stays.

use std::rc::Rc;

use super::super::spec::{GraphSpec, NodeKind, RegionSpec};
use super::diagram::{Diagram, Guard, Operation};
use super::variables::{Variables, scopes_of};

/// Guards of a region are exact while combining them takes about this many steps in all.
const BUDGET: u32 = 1 << 17;
/// Inputs times need of a collect, up to which it is counted how many inputs can be taken at once.
const COUNTS_MAX: usize = 1 << 16;

/// The guards of one region. The order of its variables decides how large they grow: that of the drawing
/// suits choices inside choices, its reverse long chains of them.
pub(super) struct Region<'a> {
    pub(super) graph: &'a GraphSpec,
    pub(super) spec: &'a RegionSpec,
    pub(super) diagram: Diagram,
    variables: Variables,
    guards: Vec<Guard>,
    /// The variables before each node, while they have few combinations of outcomes.
    cones: Vec<Option<Rc<[u32]>>>,
    /// The assignments that can be: a scope is withdrawn only where one of its cancel nodes is taken.
    possible: Guard,
}

/// Whether the inputs of a merge exclude each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Exclusion {
    /// At most one is taken.
    Proved,
    /// Both of these can be taken, for instance under these outcomes.
    Refuted(u32, u32, Vec<(u32, u32)>),
    /// Too many decisions.
    Unknown,
}

/// Whether the output of a region is taken in every frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It is.
    Proved,
    /// It is skipped for instance under these outcomes.
    Refuted(Vec<(u32, u32)>),
    /// Too many decisions.
    Unknown,
}

/// Why two nodes exclude each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// They leave one decision on different outcomes, here as bits.
    Decided { decision: u32, outcomes: u64, others: u64 },
    /// Several decisions do it together.
    Entangled,
}

impl<'a> Region<'a> {
    /// O(nodes + edges), plus the work of combining the guards.
    pub(super) fn new(graph: &'a GraphSpec, spec: &'a RegionSpec, is_reversed: bool) -> Self {
        Self::with_budget(graph, spec, is_reversed, BUDGET)
    }

    /// The same, within some other number of steps.
    pub(super) fn with_budget(
        graph: &'a GraphSpec,
        spec: &'a RegionSpec,
        is_reversed: bool,
        budget: u32,
    ) -> Self {
        let order = producers_first(graph, spec);
        let mut diagram = Diagram::new(budget);
        let variables = Variables::new(graph, spec, &order, is_reversed, &mut diagram);
        let count = (spec.stop - spec.start) as usize;
        let mut region = Self {
            graph,
            spec,
            diagram,
            variables,
            guards: vec![Guard::ALWAYS; count],
            cones: vec![None; count],
            possible: Guard::ALWAYS,
        };
        region.find_cones(&order);
        region.find_guards(&order);
        region
    }

    /// When a node is taken.
    pub(super) fn guard(&self, node: u32) -> Guard {
        self.guards[self.at(node)]
    }

    /// Whether a node is taken in every frame.
    pub(super) fn is_certain(&mut self, node: u32) -> bool {
        self.certainty(node) == Certainty::Proved
    }

    /// Whether a node is taken in every frame, with a counterexample.
    pub(super) fn certainty(&mut self, node: u32) -> Certainty {
        let (possible, guard) = (self.possible, self.guard(node));
        let is_bounded = self.is_bounded(node) || possible != Guard::ALWAYS;
        match self.diagram.combine(Operation::Without, possible, guard, is_bounded) {
            Some(Guard::NEVER) => Certainty::Proved,
            Some(skipped) => match self.witness(skipped) {
                Some(outcomes) => Certainty::Refuted(outcomes),
                None => Certainty::Unknown,
            },
            None => Certainty::Unknown,
        }
    }

    /// Whether at most one input of a merge can be taken at a time.
    pub(super) fn exclusion(&mut self, merge: u32) -> Exclusion {
        let is_bounded = self.is_bounded(merge);
        let gates = self.gates(merge);
        let gates = self.fold(Operation::And, gates, is_bounded);
        let mut inputs: Vec<(Guard, u32)> = Vec::new();
        for &input in &self.graph.nodes[merge as usize].inputs {
            let guard = self.fold(Operation::And, vec![gates, self.guard(input)], is_bounded);
            inputs.push((guard, input));
        }
        inputs.sort_by_key(|&(guard, _)| std::cmp::Reverse(self.diagram.level(guard)));
        let mut before = Guard::NEVER;
        for at in 0..inputs.len() {
            let (guard, input) = inputs[at];
            match self.diagram.combine(Operation::And, before, guard, is_bounded) {
                Some(Guard::NEVER) => {}
                Some(_) => return self.overlap(&inputs[..at], guard, input),
                None => return Exclusion::Unknown,
            }
            match self.diagram.combine(Operation::Or, before, guard, is_bounded) {
                Some(either) => before = either,
                None => return Exclusion::Unknown,
            }
        }
        Exclusion::Proved
    }

    /// How many inputs of a collect can be taken at once, if that is known to be less than `need`.
    ///
    /// O(inputs) if it is easy to see that `need` can be reached; else O(inputs * need), up to
    /// [`COUNTS_MAX`].
    pub(super) fn shortage(&mut self, collect: u32, need: u32) -> Option<u32> {
        let inputs = &self.graph.nodes[collect as usize].inputs;
        let mut guards: Vec<Guard> = inputs.iter().map(|&input| self.guard(input)).collect();
        guards.sort_by_key(|&guard| std::cmp::Reverse(self.diagram.level(guard)));
        let mut together = (Guard::ALWAYS, 0);
        for &guard in &guards {
            match self.diagram.combine(Operation::And, together.0, guard, true) {
                Some(Guard::NEVER) | None => {}
                Some(both) => together = (both, together.1 + 1),
            }
        }
        if together.1 >= need || guards.len() * need as usize > COUNTS_MAX {
            return None;
        }
        // By number, when at least that many of the inputs so far are taken.
        let mut taken = vec![Guard::ALWAYS];
        for &guard in &guards {
            for number in (0..taken.len()).rev() {
                let more = self.diagram.combine(Operation::And, taken[number], guard, true)?;
                match taken.get(number + 1) {
                    Some(&known) => {
                        taken[number + 1] =
                            self.diagram.combine(Operation::Or, known, more, true)?;
                    }
                    None if more != Guard::NEVER => taken.push(more),
                    None => {}
                }
            }
        }
        let most = taken.len() as u32 - 1;
        (most < need).then_some(most)
    }

    /// Nodes that must all be taken for this one to be.
    pub(super) fn required(&self, node: u32) -> impl Iterator<Item = u32> + use<'a> {
        let node = &self.graph.nodes[node as usize];
        let inputs = if node.kind.is_join() { &[][..] } else { &node.inputs };
        inputs.iter().chain(&node.gates).copied()
    }

    /// Why two nodes are never both taken, if that is so.
    pub(super) fn conflict(&mut self, one: u32, other: u32) -> Option<Conflict> {
        let (guard, against) = (self.guard(one), self.guard(other));
        if self.diagram.combine(Operation::And, guard, against, true) != Some(Guard::NEVER) {
            return None;
        }
        // A decision that only some outcomes of lead to a node is asked for in each assignment that does.
        for (variable, _) in self.diagram.witness(guard) {
            let outcomes = self.diagram.outcomes(guard, variable);
            let others = self.diagram.outcomes(against, variable);
            if outcomes & others == 0
                && let Some(decision) = self.variables.sources[variable as usize]
            {
                return Some(Conflict::Decided { decision, outcomes, others });
            }
        }
        Some(Conflict::Entangled)
    }

    /// When a decision has these outcomes, as bits.
    pub(super) fn decided(&mut self, decision: u32, outcomes: u64) -> Option<Guard> {
        let variable = self.variables.nodes[&decision];
        let is_bounded = self.is_bounded(decision);
        let entered = self.entered(decision);
        let literal = self.diagram.literal(variable, outcomes);
        self.diagram.combine(Operation::And, entered, literal, is_bounded)
    }

    /// Outcomes of decisions, by the node that decides them, under which a guard holds; `None` if it asks
    /// for something that was given up.
    pub(super) fn witness(&self, guard: Guard) -> Option<Vec<(u32, u32)>> {
        let assignment = self.diagram.witness(guard).into_iter();
        assignment
            .map(|(variable, outcome)| {
                self.variables.sources[variable as usize].map(|source| (source, outcome))
            })
            .collect()
    }

    /// How many decisions stand before a node.
    pub(super) fn decisions_before(&self, node: u32) -> usize {
        let mut met = vec![false; self.guards.len()];
        let mut stack = vec![node];
        let mut decisions = 0;
        while let Some(next) = stack.pop() {
            if std::mem::replace(&mut met[self.at(next)], true) {
                continue;
            }
            decisions += usize::from(self.variables.nodes.contains_key(&next));
            stack.extend(strict_edges(self.graph, next));
        }
        decisions
    }

    fn at(&self, node: u32) -> usize {
        (node - self.spec.start) as usize
    }

    fn is_bounded(&self, node: u32) -> bool {
        self.cones[self.at(node)].is_none()
    }

    fn overlap(&mut self, before: &[(Guard, u32)], guard: Guard, input: u32) -> Exclusion {
        for &(other, earlier) in before {
            if let Some(both) = self.diagram.combine(Operation::And, other, guard, true)
                && both != Guard::NEVER
                && let Some(outcomes) = self.witness(both)
            {
                return Exclusion::Refuted(earlier.min(input), earlier.max(input), outcomes);
            }
        }
        Exclusion::Unknown
    }

    fn find_cones(&mut self, order: &[u32]) {
        for &node in order {
            let own = self.variables.nodes.get(&node).copied();
            let scopes = scopes_of(self.graph, node);
            let scopes = scopes.filter_map(|scope| self.variables.scopes.get(&scope).copied());
            let own: Vec<u32> = own.into_iter().chain(scopes).collect();
            let mut cone: Option<Rc<[u32]>> = Some(own.into());
            for producer in strict_edges(self.graph, node) {
                let Some((so_far, more)) = cone.zip(self.cones[self.at(producer)].as_ref()) else {
                    cone = None;
                    break;
                };
                cone = self.variables.union(&so_far, more);
            }
            let at = self.at(node);
            self.cones[at] = cone;
        }
    }

    fn find_guards(&mut self, order: &[u32]) {
        let cancels: Vec<(u32, u32)> = order
            .iter()
            .filter_map(|&node| match self.graph.nodes[node as usize].kind {
                NodeKind::Cancel { scope } => Some((scope, node)),
                _ => None,
            })
            .collect();
        if !cancels.is_empty() {
            // A scope is withdrawn by a node that was reached before, so first see where nothing is.
            let scopes = std::mem::take(&mut self.variables.scopes);
            self.pass(order);
            self.variables.scopes = scopes;
            let mut possible = Vec::new();
            for (scope, variable) in self.variables.scopes.clone() {
                let mut ways = vec![self.diagram.literal(variable, KEPT)];
                ways.extend(
                    cancels.iter().filter(|it| it.0 == scope).map(|&(_, node)| self.guard(node)),
                );
                possible.push(self.fold(Operation::Or, ways, true));
            }
            self.possible = self.fold(Operation::And, possible, true);
        }
        self.pass(order);
    }

    fn pass(&mut self, order: &[u32]) {
        for &node in order {
            let mut guard = self.entered(node);
            let (decision, outcomes) = match self.graph.nodes[node as usize].kind {
                NodeKind::Case { taken } => (self.graph.nodes[node as usize].inputs.first(), taken),
                NodeKind::When | NodeKind::Shield { .. } | NodeKind::Signal { .. } => {
                    (Some(&node), PASSED)
                }
                _ => (None, 0),
            };
            if let Some(decision) = decision
                && let Some(&variable) = self.variables.nodes.get(decision)
            {
                let literal = self.diagram.literal(variable, outcomes);
                let is_bounded = self.is_bounded(node);
                guard = self.fold(Operation::And, vec![guard, literal], is_bounded);
            }
            let at = self.at(node);
            self.guards[at] = guard;
        }
    }

    /// When a node gets its turn, before what it decides itself:
    ///
    /// - an input or constant always;
    /// - a merge, a race or a collect that needs some of its inputs when one of them is taken: if those are
    ///   fewer than a collect needs, it fails;
    /// - a collect of all inputs or an optional always;
    /// - every other node when all its inputs are, an accept as if its tier could not fail;
    ///
    /// and each of them only when all its gates are taken and no scope it stands in is withdrawn.
    fn entered(&mut self, node: u32) -> Guard {
        let spec = &self.graph.nodes[node as usize];
        if spec.kind.is_source() {
            return Guard::ALWAYS;
        }
        let is_bounded = self.is_bounded(node);
        let mut all = self.gates(node);
        let inputs = spec.inputs.iter().map(|&input| self.guard(input));
        match spec.kind {
            NodeKind::Merge | NodeKind::Race { .. } | NodeKind::Collect { need: 1.., .. } => {
                let inputs = inputs.collect();
                all.push(self.fold(Operation::Or, inputs, is_bounded));
            }
            NodeKind::Collect { .. } | NodeKind::Optional => {}
            _ => all.extend(inputs),
        }
        self.fold(Operation::And, all, is_bounded)
    }

    /// The guards of a node's gates and of the scopes it stands in.
    fn gates(&mut self, node: u32) -> Vec<Guard> {
        let gates = &self.graph.nodes[node as usize].gates;
        let mut guards: Vec<Guard> = gates.iter().map(|&gate| self.guard(gate)).collect();
        if !self.variables.scopes.is_empty() {
            for scope in scopes_of(self.graph, node) {
                if let Some(&variable) = self.variables.scopes.get(&scope) {
                    guards.push(self.diagram.literal(variable, KEPT));
                }
            }
        }
        guards
    }

    /// All of some guards, or any of them. What takes too many steps becomes a variable of its own, which
    /// allows more than can be and is never part of a counterexample.
    fn fold(&mut self, operation: Operation, mut guards: Vec<Guard>, is_bounded: bool) -> Guard {
        // From the last question upwards, so that a long list is combined in steps of constant size.
        guards.sort_unstable_by_key(|&guard| std::cmp::Reverse((self.diagram.level(guard), guard)));
        guards.dedup();
        let neutral = if operation == Operation::And { Guard::ALWAYS } else { Guard::NEVER };
        let mut result = neutral;
        for guard in guards {
            match self.diagram.combine(operation, result, guard, is_bounded) {
                Some(combined) => result = combined,
                None => return self.give_up(),
            }
        }
        result
    }

    fn give_up(&mut self) -> Guard {
        let variable = self.variables.declare(None, 2, &mut self.diagram);
        self.diagram.literal(variable, PASSED)
    }
}

/// Outcome 1 of what either passes or not, as a bit.
const PASSED: u64 = 1 << 1;
/// Outcome 1 of a scope: it is not withdrawn.
const KEPT: u64 = 1 << 1;

/// Producers that decide whether a node is taken. None for an undo node, which is no part of the flow.
fn strict_edges(graph: &GraphSpec, node: u32) -> impl DoubleEndedIterator<Item = u32> {
    let node = &graph.nodes[node as usize];
    let is_flow = !matches!(node.kind, NodeKind::Undo { .. });
    node.inputs.iter().chain(&node.gates).copied().filter(move |_| is_flow)
}

/// The nodes of a region that are part of its flow, each after its producers and otherwise as drawn.
fn producers_first(graph: &GraphSpec, region: &RegionSpec) -> Vec<u32> {
    let count = (region.stop - region.start) as usize;
    let mut order = Vec::with_capacity(count);
    let mut is_met = vec![false; count];
    let mut is_placed = vec![false; count];
    let mut stack = Vec::new();
    for root in region.start..region.stop {
        if matches!(graph.nodes[root as usize].kind, NodeKind::Undo { .. }) {
            continue;
        }
        stack.push(root);
        while let Some(&node) = stack.last() {
            let at = (node - region.start) as usize;
            if !std::mem::replace(&mut is_met[at], true) {
                let unmet = |&producer: &u32| !is_met[(producer - region.start) as usize];
                stack.extend(strict_edges(graph, node).rev().filter(unmet));
                continue;
            }
            stack.pop();
            if !std::mem::replace(&mut is_placed[at], true) {
                order.push(node);
            }
        }
    }
    order
}

#[cfg(test)]
impl Region<'_> {
    /// Whether a node is taken, given the outcome of each decision and whether each scope is kept.
    pub(super) fn is_taken(
        &self,
        node: u32,
        outcome: impl Fn(u32) -> u32,
        is_kept: impl Fn(u32) -> bool,
    ) -> bool {
        let mut outcomes = vec![0; self.variables.sources.len()];
        for (&node, &variable) in &self.variables.nodes {
            outcomes[variable as usize] = outcome(node);
        }
        for (&scope, &variable) in &self.variables.scopes {
            outcomes[variable as usize] = u32::from(is_kept(scope));
        }
        self.diagram.holds(self.guard(node), &outcomes)
    }
}
