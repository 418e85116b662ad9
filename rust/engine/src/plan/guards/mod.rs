//! Verification: what can never be taken, what can be taken together, and what may be skipped.
//!
//! Every node has a *guard*, the outcomes of decisions under which it is taken, kept exactly as a decision
//! diagram per region; a body is verified by itself, with its inputs taken. The guard of a node is exact
//! whenever the decisions before it have at most 2^16 combinations of outcomes (16 two-way decisions).
//! Above that it is exact while the work of combining guards stays within a budget, which most graphs of
//! thousands of decisions do; past it, a merge or an output is *not proved*, which is a problem too,
//! because what runs must be proved.

mod diagram;
mod region;
#[cfg(test)]
mod tests;
mod variables;
mod words;

use super::spec::{GraphSpec, NodeKind};
use diagram::{Guard, Operation};
use region::{Certainty, Conflict, Exclusion, Region};

/// Pairs of outcomes that are tried by [`branch_pairs`].
const PAIRS_MAX: usize = 1 << 18;

/// Every problem of a graph whose structure is right, each naming its node and the remedy.
///
/// Cost: O(nodes + edges), plus the work of combining guards, which is bounded by a budget per region.
pub(super) fn verify(graph: &GraphSpec) -> Vec<String> {
    let mut problems = Vec::new();
    let mut opened = Vec::new();
    for index in 0..graph.regions.len() as u32 {
        let (found, always) = verify_region(graph, index);
        problems.extend(found);
        opened.extend(always);
    }
    problems.extend(endless(graph, &opened));
    problems
}

/// Pairs `(decision, outcome, later decision, outcome)` that can occur together in one frame; `None` if
/// there are too many to try, or too many decisions to tell.
pub(super) fn branch_pairs(graph: &GraphSpec) -> Option<Vec<(u32, u32, u32, u32)>> {
    let mut pairs = Vec::new();
    let mut tried = 0;
    for spec in &graph.regions {
        let mut region = Region::new(graph, spec, false);
        let mut events: Vec<(u32, u32, Guard)> = Vec::new();
        for decision in spec.start..spec.stop {
            let kind = graph.nodes[decision as usize].kind;
            if matches!(kind, NodeKind::Switch { .. } | NodeKind::When | NodeKind::Accept { .. }) {
                for outcome in 0..variables::outcomes(kind).unwrap_or_default() {
                    events.push((decision, outcome, region.decided(decision, 1 << outcome)?));
                }
            }
        }
        tried += events.len() * events.len() / 2;
        if tried > PAIRS_MAX {
            return None;
        }
        for (at, &(decision, outcome, guard)) in events.iter().enumerate() {
            for &(later, other, with) in &events[at + 1..] {
                if decision == later {
                    continue;
                }
                let both = region.diagram.combine(Operation::And, guard, with, true)?;
                if both != Guard::NEVER {
                    region.witness(both)?;
                    pairs.push((decision, outcome, later, other));
                }
            }
        }
    }
    Some(pairs)
}

/// A frame that is opened whenever a frame of some region is, whatever is decided.
struct Opened {
    node: u32,
    from: u32,
    body: u32,
}

fn verify_region(graph: &GraphSpec, index: u32) -> (Vec<String>, Vec<Opened>) {
    let first = Verifier::new(graph, index, false).verify();
    if first.is_proved {
        return (first.problems, first.opened);
    }
    let second = Verifier::new(graph, index, true).verify();
    let better = if second.is_proved { second } else { first };
    (better.problems, better.opened)
}

/// Collects the problems of one region.
struct Verifier<'a> {
    graph: &'a GraphSpec,
    index: u32,
    region: Region<'a>,
    problems: Vec<String>,
    opened: Vec<Opened>,
    /// Whether nothing was left undecided.
    is_proved: bool,
}

impl<'a> Verifier<'a> {
    fn new(graph: &'a GraphSpec, index: u32, is_reversed: bool) -> Self {
        let region = Region::new(graph, &graph.regions[index as usize], is_reversed);
        Self { graph, index, region, problems: Vec::new(), opened: Vec::new(), is_proved: true }
    }

    fn verify(mut self) -> Self {
        let spec = self.region.spec;
        let mut is_used = vec![false; (spec.stop - spec.start) as usize];
        let mut is_contained = None;
        for node in spec.start..spec.stop {
            if let NodeKind::Case { .. } = self.graph.nodes[node as usize].kind {
                self.graph.nodes[node as usize]
                    .inputs
                    .iter()
                    .for_each(|&decision| is_used[(decision - spec.start) as usize] = true);
            }
        }
        for node in spec.start..spec.stop {
            let kind = self.graph.nodes[node as usize].kind;
            if self.region.guard(node) == Guard::NEVER {
                self.dead(node);
                continue;
            }
            match kind {
                NodeKind::Switch { .. } if !is_used[(node - spec.start) as usize] => self.report(
                    node,
                    "none of its cases is used, so it decides nothing; use its cases, or take the switch out",
                ),
                NodeKind::Merge => self.merge(node),
                NodeKind::Collect { need: need @ 1.., .. } => self.collect(node, need),
                NodeKind::Loop { body, .. } | NodeKind::Recurse { body, .. }
                    if self.region.is_certain(node) =>
                {
                    let contained = is_contained
                        .get_or_insert_with(|| contained(self.graph, spec.start..spec.stop));
                    if !contained[(node - spec.start) as usize] {
                        self.opened.push(Opened { node, from: self.index, body });
                    }
                }
                _ => {}
            }
        }
        self.output();
        self
    }

    fn report(&mut self, node: u32, problem: &str) {
        let path = self.path(node);
        self.problems.push(format!("node {path}: {problem}"));
    }

    fn path(&self, node: u32) -> &'a str {
        &self.graph.nodes[node as usize].path
    }

    /// A node that is dead because a producer is says nothing new.
    fn dead(&mut self, node: u32) {
        let required: Vec<u32> = self.region.required(node).collect();
        let spec = &self.graph.nodes[node as usize];
        let is_dead = |&producer: &u32| self.region.guard(producer) == Guard::NEVER;
        let joins = matches!(spec.kind, NodeKind::Merge | NodeKind::Race { .. });
        if required.iter().any(is_dead) || (joins && spec.inputs.iter().all(is_dead)) {
            return;
        }
        for (at, &one) in required.iter().enumerate() {
            for &other in &required[at + 1..] {
                if let Some(split) = self.region.conflict(one, other) {
                    let split = match split {
                        Conflict::Decided { decision, outcomes, others } => format!(
                            " ({} of {} leads to the one, {} to the other)",
                            words::outcomes(self.graph, decision, outcomes),
                            self.path(decision),
                            words::outcomes(self.graph, decision, others)
                        ),
                        Conflict::Entangled => String::new(),
                    };
                    let (one, other) = (self.path(one), self.path(other));
                    return self.report(node, &format!(
                        "it can never be taken, because {one} and {other} exclude each other{split}; merge them, or take both from the same case"
                    ));
                }
            }
        }
        let cause = match spec.kind {
            NodeKind::Case { .. } => {
                "it stands for no outcome that its decision can have; take it out"
            }
            _ => {
                "what it needs is never taken all at once; merge alternatives before they are used together"
            }
        };
        self.report(node, &format!("it can never be taken: {cause}"));
    }

    fn merge(&mut self, node: u32) {
        match self.region.exclusion(node) {
            Exclusion::Proved => {}
            Exclusion::Refuted(one, other, outcomes) => {
                let (one, other) = (self.path(one), self.path(other));
                let when = words::assignment(self.graph, &outcomes);
                self.report(node, &format!(
                    "its inputs {one} and {other} are both taken {when}; choose between them with switch, or take the first with race"
                ));
            }
            Exclusion::Unknown => {
                let decisions = self.region.decisions_before(node);
                self.is_proved = false;
                self.report(node, &format!(
                    "not proved that only one of its inputs is taken, {decisions} decisions are too many to tell; split the workflow, or use race"
                ));
            }
        }
    }

    fn collect(&mut self, node: u32, need: u32) {
        let inputs = self.graph.nodes[node as usize].inputs.len();
        if need as usize > inputs {
            self.report(
                node,
                &format!(
                    "it needs {need} inputs but has {inputs}; lower need, or collect more nodes"
                ),
            );
        } else if let Some(most) = self.region.shortage(node, need) {
            self.report(node, &format!(
                "it needs {need} inputs but at most {most} of its {inputs} can be taken together, so it always fails; lower need to {most}"
            ));
        }
    }

    fn output(&mut self) {
        let (node, prefix) = (self.region.spec.output, &self.region.spec.prefix);
        if self.region.guard(node) == Guard::NEVER {
            return;
        }
        match self.region.certainty(node) {
            Certainty::Proved => {}
            Certainty::Refuted(outcomes) => {
                let when = words::assignment(self.graph, &outcomes);
                self.report(node, &format!(
                    "the result of {prefix} is skipped {when}; merge all cases, or return optional() of it"
                ));
            }
            Certainty::Unknown => {
                let decisions = self.region.decisions_before(node);
                self.is_proved = false;
                self.report(node, &format!(
                    "not proved that the result of {prefix} is never skipped, {decisions} decisions are too many to tell; split the workflow, or return optional() of it"
                ));
            }
        }
    }
}

/// By node of a region, whether its failure is contained: a recursion that fails at its limit is an end then.
fn contained(graph: &GraphSpec, nodes: std::ops::Range<u32>) -> Vec<bool> {
    let start = nodes.start;
    let mut held = vec![false; graph.calls.len()];
    for node in nodes.clone() {
        if let NodeKind::Accept { contains, .. } | NodeKind::Shield { contains } =
            graph.nodes[node as usize].kind
        {
            held[contains as usize] = true;
        }
    }
    let is_held = |node: u32| {
        let mut call = graph.nodes[node as usize].call as usize;
        while !held[call] && graph.calls[call].parent as usize != call {
            call = graph.calls[call].parent as usize;
        }
        held[call]
    };
    let mut is_contained: Vec<bool> = nodes.clone().map(is_held).collect();
    let mut stack: Vec<u32> = nodes
        .filter(|&node| {
            matches!(
                graph.nodes[node as usize].kind,
                NodeKind::Race { .. } | NodeKind::Collect { need: 1.., .. }
            )
        })
        .collect();
    while let Some(node) = stack.pop() {
        for &producer in &graph.nodes[node as usize].inputs {
            if !std::mem::replace(&mut is_contained[(producer - start) as usize], true) {
                stack.push(producer);
            }
        }
    }
    is_contained
}

/// Recursions that nothing ends: without a limit of their own, or taken whatever is decided.
fn endless(graph: &GraphSpec, opened: &[Opened]) -> Vec<String> {
    let mut bodies: Vec<Vec<u32>> = vec![Vec::new(); graph.regions.len()];
    let mut certain = bodies.clone();
    let mut recursions = Vec::new();
    for (index, region) in graph.regions.iter().enumerate() {
        for node in region.start..region.stop {
            let kind = graph.nodes[node as usize].kind;
            bodies[index].extend(kind.body());
            if let NodeKind::Recurse { body, limit: 0 } = kind {
                recursions.push((node, index as u32, body));
            }
        }
    }
    for it in opened {
        certain[it.from as usize].push(it.body);
    }
    let unlimited = recursions
        .into_iter()
        .filter(|&(_, from, body)| leads(&bodies, body, from))
        .map(|(node, ..)| {
            format!(
                "node {}: it has no limit but opens the body it stands in; give it a max_depth",
                graph.nodes[node as usize].path
            )
        });
    let always = opened
        .iter()
        .filter(|it| {
            matches!(graph.nodes[it.node as usize].kind, NodeKind::Recurse { limit: 1.., .. })
                && leads(&certain, it.body, it.from)
        })
        .map(|it| {
            format!(
                "node {}: it recurses whatever is decided, so that it only ends by failing at max_depth; put the recursion under a case or a when",
                graph.nodes[it.node as usize].path
            )
        });
    unlimited.chain(always).collect()
}

/// Whether a region is reached from another, or is it.
fn leads(bodies: &[Vec<u32>], from: u32, to: u32) -> bool {
    let mut is_met = vec![false; bodies.len()];
    let mut stack = vec![from];
    while let Some(region) = stack.pop() {
        if region == to {
            return true;
        }
        if !std::mem::replace(&mut is_met[region as usize], true) {
            stack.extend(&bodies[region as usize]);
        }
    }
    false
}
