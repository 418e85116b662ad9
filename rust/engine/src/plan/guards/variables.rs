//! What guards are functions of: decisions, and whether scopes are withdrawn.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::super::spec::{GraphSpec, NodeKind, RegionSpec};
use super::diagram::Diagram;

/// Where the decisions before a node have at most this many combinations of outcomes (16 two-way
/// decisions), its guard is exact whatever it takes.
const COMBINATIONS_MAX: u64 = 1 << 16;

/// What guards are functions of.
#[derive(Default)]
pub(super) struct Variables {
    /// The node that decides it: for a scope one of its cancel nodes, for what was given up none.
    pub(super) sources: Vec<Option<u32>>,
    outcomes: Vec<u32>,
    pub(super) nodes: HashMap<u32, u32>,
    pub(super) scopes: BTreeMap<u32, u32>,
}

impl Variables {
    pub(super) fn new(
        graph: &GraphSpec,
        spec: &RegionSpec,
        order: &[u32],
        is_reversed: bool,
        diagram: &mut Diagram,
    ) -> Self {
        enum Source {
            Node(u32),
            Scope(u32),
        }
        let cancels: HashMap<u32, u32> = (spec.start..spec.stop)
            .rev()
            .filter_map(|node| match graph.nodes[node as usize].kind {
                NodeKind::Cancel { scope } => Some((scope, node)),
                _ => None,
            })
            .collect();
        let mut found: Vec<(Source, u32)> = Vec::new();
        let mut variables = Self::default();
        for &node in order {
            if !cancels.is_empty() {
                for scope in scopes_of(graph, node) {
                    if cancels.contains_key(&scope) && variables.scopes.insert(scope, 0).is_none() {
                        found.push((Source::Scope(scope), 2));
                    }
                }
            }
            if let Some(outcomes) = outcomes(graph.nodes[node as usize].kind) {
                found.push((Source::Node(node), outcomes));
            }
        }
        if is_reversed {
            found.reverse();
        }
        for (source, outcomes) in found {
            match source {
                Source::Node(node) => {
                    let variable = variables.declare(Some(node), outcomes, diagram);
                    variables.nodes.insert(node, variable);
                }
                Source::Scope(scope) => {
                    let cancel = cancels.get(&scope).copied();
                    let variable = variables.declare(cancel, outcomes, diagram);
                    variables.scopes.insert(scope, variable);
                }
            }
        }
        variables
    }

    pub(super) fn declare(
        &mut self,
        source: Option<u32>,
        outcomes: u32,
        diagram: &mut Diagram,
    ) -> u32 {
        self.sources.push(source);
        self.outcomes.push(outcomes);
        diagram.declare(outcomes)
    }

    /// All of both, unless they have too many combinations.
    pub(super) fn union(&self, one: &Rc<[u32]>, other: &Rc<[u32]>) -> Option<Rc<[u32]>> {
        if one.is_empty() || Rc::ptr_eq(one, other) {
            return Some(Rc::clone(other));
        }
        let mut union = one.to_vec();
        union.extend(other.iter().filter(|variable| !one.contains(variable)));
        let combinations = union.iter().fold(1u64, |product, &variable| {
            product.saturating_mul(u64::from(self.outcomes[variable as usize]))
        });
        if union.len() == one.len() {
            return Some(Rc::clone(one));
        }
        (combinations <= COMBINATIONS_MAX).then(|| union.into())
    }
}

/// How many outcomes a node decides between; `None` if it decides nothing.
pub(super) fn outcomes(kind: NodeKind) -> Option<u32> {
    match kind {
        NodeKind::Switch { outcomes } => Some(outcomes),
        NodeKind::Accept { explore, .. } => Some(if explore > 0 { 3 } else { 2 }),
        NodeKind::When
        | NodeKind::Shield { .. }
        | NodeKind::Signal { timeout_ns: 1.., fail: false, .. } => Some(2),
        _ => None,
    }
}

/// The scopes a node stands in, from the innermost outwards.
pub(super) fn scopes_of(graph: &GraphSpec, node: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(graph.nodes[node as usize].scope, |&scope| graph.scopes[scope as usize])
}
