//! The compiled graph of a workflow: what a run is an execution of. Immutable, shared by all its runs.

mod check;
mod containers;
mod guards;
mod policy;
mod spec;

use std::sync::Arc;

use crate::ids::NodeId;

pub use policy::{Hedge, Lane, Policy};
pub use spec::{CallSpec, GraphSpec, NodeKind, NodeSpec, OUTCOMES_MAX, RegionSpec};

/// Decisions of a region beyond which pairs of their outcomes are neither listed nor counted.
pub(crate) const PAIRED_DECISIONS_MAX: usize = 64;

/// A verified graph: regions of nodes, each acyclic.
#[derive(Debug)]
pub struct Plan {
    name: Box<str>,
    version: Box<str>,
    pub(crate) nodes: Box<[Node]>,
    pub(crate) regions: Box<[Region]>,
    pub(crate) containers: Box<[Container]>,
    pub(crate) scopes: Box<[Scope]>,
    signals: Box<[Box<str>]>,
    /// Whether any node has a compensation.
    pub(crate) undoes: bool,
    /// Whether what a node has given may turn out to be of no use: there are races or tiers.
    pub(crate) judges: bool,
    spec: Arc<GraphSpec>,
}

/// A node with its edges resolved in both directions.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// Whether it carries a value of its own, opens no frames and holds no key: most nodes.
    pub(crate) plain: bool,
    pub(crate) path: Box<str>,
    pub(crate) inputs: Box<[NodeId]>,
    pub(crate) gates: Box<[NodeId]>,
    pub(crate) after: Box<[NodeId]>,
    /// One entry per edge that leaves this node and is waited for.
    pub(crate) consumers: Box<[Edge]>,
    /// Claims on its value: value edges, undo nodes, holders of a key, being an output.
    pub(crate) uses: u32,
    /// Edges that must be resolved before this node can start.
    pub(crate) pending: u32,
    /// The acquire node whose key it needs.
    pub(crate) holds: Option<NodeId>,
    /// Its compensation.
    pub(crate) undo: Option<NodeId>,
    /// The innermost container: a failure of this node goes no further.
    pub(crate) container: Option<u32>,
    /// The containers that end here.
    pub(crate) branches: Box<[u32]>,
    /// Whether frames it opens keep their values to the end of the run, for compensation.
    pub(crate) keeps: bool,
}

/// An edge, seen from its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    /// Whether its consumer waits for all of its edges and is eligible then.
    pub(crate) plain: bool,
    pub(crate) kind: EdgeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EdgeKind {
    /// Carries the value; strict.
    Value,
    /// Strict, without a value.
    Gate,
    /// Waited for only.
    After,
}

/// What a frame is made of.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) prefix: Box<str>,
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) inputs: u32,
    pub(crate) output: NodeId,
    /// Nodes that are neither sources nor compensations.
    pub(crate) open: u32,
    /// Nodes with something to do as soon as a frame opens.
    pub(crate) first: Box<[NodeId]>,
    /// 2^64 / `len`, rounded up: what a division by it is made of.
    inverse: u64,
}

impl Region {
    /// Which of the copies that begin at 0 the `at`th node stands in: `at / len`, without a division (Lemire,
    /// Kaser and Kurz, "Faster remainder by direct computation", 2019).
    #[inline]
    pub(crate) fn copy(&self, at: u32) -> u32 {
        if self.len == 1 {
            return at;
        }
        ((u128::from(at) * u128::from(self.inverse)) >> 64) as u32
    }
}

/// A set of nodes whose failures go no further than to `consumer`.
#[derive(Debug)]
pub(crate) struct Container {
    /// What hears of the failure.
    pub(crate) consumer: NodeId,
    /// The edge to it comes from here.
    pub(crate) producer: NodeId,
    /// Members, those of inner containers included, in the order of the graph.
    pub(crate) members: Box<[NodeId]>,
}

/// Nodes that are withdrawn as one.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Members, those of inner scopes included, in the order of the graph.
    pub(crate) members: Box<[NodeId]>,
}

impl Plan {
    /// Verifies and compiles a graph.
    ///
    /// # Errors
    /// Every problem found, each naming its node and the remedy: an edge to a node that is not there,
    /// a path used twice, a cycle, a node that can never be reached, a merge of inputs that do not exclude
    /// each other, an output that may be skipped.
    ///
    /// Cost: O(nodes + edges), plus the guards of what decisions lead to.
    pub fn compile(spec: GraphSpec) -> Result<Self, Vec<String>> {
        let problems = check::check(&spec);
        if !problems.is_empty() {
            return Err(problems);
        }
        let problems = guards::verify(&spec);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self::resolved(spec))
    }

    fn resolved(spec: GraphSpec) -> Self {
        let count = spec.nodes.len();
        let mut links = Links::of(&spec);
        let (containers, container) = containers::contain(&spec);
        let mut branches: Vec<Vec<u32>> = vec![Vec::new(); count];
        for (index, container) in containers.iter().enumerate() {
            branches[container.consumer.index()].push(index as u32);
        }
        let regions = spec.regions.iter().map(|region| links.region(&spec, region)).collect();
        let keeps = regions_that_undo(&spec, &links.undo);
        let ids = |all: &[u32]| all.iter().copied().map(NodeId).collect();
        let nodes = spec
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| Node {
                kind: node.kind,
                plain: node.kind.is_plain(),
                path: node.path.as_str().into(),
                inputs: ids(&node.inputs),
                gates: ids(&node.gates),
                after: ids(&node.after),
                consumers: std::mem::take(&mut links.consumers[index]).into(),
                uses: links.uses[index],
                pending: links.pending[index],
                holds: node.holds.map(NodeId),
                undo: links.undo[index],
                container: container[index],
                branches: std::mem::take(&mut branches[index]).into(),
                keeps: node.kind.body().is_some_and(|body| keeps[body as usize]),
            })
            .collect();
        Self {
            name: spec.name.as_str().into(),
            version: spec.version.as_str().into(),
            nodes,
            regions,
            containers,
            scopes: scopes(&spec),
            signals: spec.signals.iter().map(|name| name.as_str().into()).collect(),
            undoes: links.undo.iter().any(Option::is_some),
            judges: spec
                .nodes
                .iter()
                .any(|node| matches!(node.kind, NodeKind::Race { .. } | NodeKind::Accept { .. })),
            spec: Arc::new(spec),
        }
    }

    /// The workflow's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The workflow's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Number of nodes, those of bodies included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node at all (never true of a compiled plan).
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node's readable path; inside a body, from its region's prefix.
    pub fn path(&self, node: NodeId) -> &str {
        &self.nodes[node.index()].path
    }

    /// What a node does.
    pub fn kind(&self, node: NodeId) -> NodeKind {
        self.nodes[node.index()].kind
    }

    /// Producers of a node's arguments, in order.
    pub fn inputs_of(&self, node: NodeId) -> &[NodeId] {
        &self.nodes[node.index()].inputs
    }

    /// Where every edge into a node comes from: inputs, gates, then what it only waits for.
    pub fn producers_of(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let it = &self.nodes[node.index()];
        it.inputs.iter().chain(&it.gates).chain(&it.after).copied()
    }

    /// How many inputs a run takes.
    pub fn input_count(&self) -> usize {
        self.regions[0].inputs as usize
    }

    /// The node whose value is the run's result.
    pub fn output(&self) -> NodeId {
        self.regions[0].output
    }

    /// Nodes of the outermost frame: places from here on are in frames that are opened later.
    pub fn outermost_len(&self) -> usize {
        self.regions[0].len as usize
    }

    /// The first node that waits for a signal.
    pub fn awaits(&self, signal: u32) -> Option<NodeId> {
        let waits =
            |kind| matches!(kind, NodeKind::Signal { signal: other, .. } if other == signal);
        self.nodes.iter().position(|node| waits(node.kind)).map(|node| NodeId(node as u32))
    }

    /// The signal of this name, if some node waits for it.
    pub fn signal(&self, name: &str) -> Option<u32> {
        self.signals.iter().position(|other| &**other == name).map(|index| index as u32)
    }

    /// Names of the signals that nodes wait for.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        self.signals.iter().map(|name| &**name)
    }

    /// Pairs `(decision, outcome, other decision, outcome)` that can occur together in one frame; `None`
    /// if there are too many decisions to tell.
    pub fn branch_pairs(&self) -> Option<Vec<(u32, u32, u32, u32)>> {
        let decisions = |region: &Region| {
            let nodes = &self.nodes[region.start as usize..(region.start + region.len) as usize];
            nodes.iter().filter(|node| node.kind.outcomes() > 0).count()
        };
        if self.regions.iter().any(|region| decisions(region) > PAIRED_DECISIONS_MAX) {
            return None;
        }
        guards::branch_pairs(&self.spec)
    }

    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }
}

/// The edges of a graph from the side of their producers.
struct Links {
    consumers: Vec<Vec<Edge>>,
    uses: Vec<u32>,
    pending: Vec<u32>,
    undo: Vec<Option<NodeId>>,
}

impl Links {
    fn of(spec: &GraphSpec) -> Self {
        let count = spec.nodes.len();
        let mut consumers: Vec<Vec<Edge>> = vec![Vec::new(); count];
        let mut uses = vec![0; count];
        let mut pending = vec![0; count];
        let mut undo: Vec<Option<NodeId>> = vec![None; count];
        for (index, node) in spec.nodes.iter().enumerate() {
            let to = NodeId(index as u32);
            for &input in &node.inputs {
                uses[input as usize] += 1;
            }
            if let NodeKind::Undo { of } = node.kind {
                undo[of as usize] = Some(to);
                continue;
            }
            if let Some(key) = node.holds {
                uses[key as usize] += 1;
            }
            let edges = [
                (&node.inputs, EdgeKind::Value),
                (&node.gates, EdgeKind::Gate),
                (&node.after, EdgeKind::After),
            ];
            for (producers, kind) in edges {
                for &producer in producers {
                    let source = spec.nodes[producer as usize].kind.is_source();
                    if !source || (node.kind.is_join() && kind == EdgeKind::Value) {
                        let plain = node.kind.is_started_by_inputs();
                        let from = NodeId(producer);
                        consumers[producer as usize].push(Edge { from, to, plain, kind });
                        pending[index] += 1;
                    }
                }
            }
        }
        for region in &spec.regions {
            uses[region.output as usize] += 1;
        }
        Self { consumers, uses, pending, undo }
    }

    fn region(&self, spec: &GraphSpec, region: &RegionSpec) -> Region {
        let nodes = || region.start..region.stop;
        let kind = |&node: &u32| spec.nodes[node as usize].kind;
        let works =
            |node: &u32| !kind(node).is_source() && !matches!(kind(node), NodeKind::Undo { .. });
        let first = nodes().filter(|node| {
            let index = *node as usize;
            (works(node) && self.pending[index] == 0)
                || (kind(node).is_source() && !self.consumers[index].is_empty())
        });
        Region {
            prefix: region.prefix.as_str().into(),
            start: region.start,
            len: region.stop - region.start,
            inputs: region.input_count,
            output: NodeId(region.output),
            open: nodes().filter(works).count() as u32,
            first: first.map(NodeId).collect(),
            inverse: (u64::MAX / u64::from(region.stop - region.start)).wrapping_add(1),
        }
    }
}

/// By region, whether a compensation stands in it or in what its nodes open.
fn regions_that_undo(spec: &GraphSpec, undo: &[Option<NodeId>]) -> Vec<bool> {
    let range = |region: &RegionSpec| region.start as usize..region.stop as usize;
    let mut keeps: Vec<bool> =
        spec.regions.iter().map(|region| undo[range(region)].iter().any(Option::is_some)).collect();
    loop {
        let mut changed = false;
        for (index, region) in spec.regions.iter().enumerate() {
            let opens = spec.nodes[range(region)]
                .iter()
                .filter_map(|node| node.kind.body())
                .any(|body| keeps[body as usize]);
            changed |= opens && !keeps[index];
            keeps[index] |= opens;
        }
        if !changed {
            return keeps;
        }
    }
}

fn scopes(spec: &GraphSpec) -> Box<[Scope]> {
    let mut members: Vec<Vec<NodeId>> = vec![Vec::new(); spec.scopes.len()];
    for (index, node) in spec.nodes.iter().enumerate() {
        let mut scope = node.scope;
        while let Some(it) = scope {
            members[it as usize].push(NodeId(index as u32));
            scope = spec.scopes[it as usize];
        }
    }
    members.into_iter().map(|members| Scope { members: members.into() }).collect()
}
