//! The compiled graph of a workflow: what a run is an execution of. Immutable, shared by all its runs.

use std::collections::HashSet;

use crate::ids::{NodeId, QueueId, StepId};
use crate::retry::RetryPolicy;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Carries an input of the run.
    Input,
    /// Carries a value known when the workflow was defined; the driver keeps it.
    Constant,
    /// A pure function that the driver evaluates inline.
    Apply,
    /// A step, dispatched from its queue.
    Step,
}

/// A node as the definition gives it.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Unique readable path, such as `support/draft`.
    pub path: String,
    /// What it does.
    pub kind: NodeKind,
    /// Producers of its arguments, in order; one may stand several times.
    pub inputs: Vec<u32>,
    /// Nodes it waits for without taking their value.
    pub after: Vec<u32>,
}

/// A node with its edges resolved in both directions.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) path: Box<str>,
    pub(crate) inputs: Box<[NodeId]>,
    /// One entry per edge that leaves this node, value edges and `after` edges alike.
    pub(crate) consumers: Box<[NodeId]>,
    /// Value edges that leave this node, plus one if it is the output.
    pub(crate) uses: u32,
    /// Edges that must be taken before this node can start.
    pub(crate) pending: u32,
}

/// A verified acyclic graph.
#[derive(Debug)]
pub struct Plan {
    name: Box<str>,
    version: Box<str>,
    pub(crate) nodes: Box<[Node]>,
    pub(crate) inputs: Box<[NodeId]>,
    pub(crate) output: NodeId,
}

/// Where a step's attempts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// On the driver's event loop.
    Loop,
    /// In its thread pool, whose size is a limit of its own.
    Threads,
}

/// How a step node is queued, limited and retried. Zero means none for every duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// What metrics are counted by.
    pub step: StepId,
    /// Where it waits.
    pub queue: QueueId,
    /// Where it runs.
    pub lane: Lane,
    /// 1 to 5, for this node whatever its run says.
    pub priority: Option<u8>,
    /// 1 to 5, for runs that say nothing.
    pub step_priority: Option<u8>,
    /// When it is tried again.
    pub retry: RetryPolicy,
    /// Whether an attempt that timed out may be tried again.
    pub retry_timeouts: bool,
    /// Limit of one attempt.
    pub timeout_ns: u64,
    /// Limit of all attempts and waits.
    pub total_timeout_ns: u64,
    /// Limit of one wait in the queue.
    pub queue_timeout_ns: u64,
    /// Limit of an attempt's silence.
    pub heartbeat_timeout_ns: u64,
}

impl Plan {
    /// Verifies and compiles a graph.
    ///
    /// # Errors
    /// Every problem found, each naming its node and the remedy: an edge to a node that is not there,
    /// a path used twice, an input or constant with producers, a cycle, no such output.
    ///
    /// Cost: O(nodes + edges).
    pub fn compile(
        name: &str,
        version: &str,
        specs: &[NodeSpec],
        output: u32,
    ) -> Result<Self, Vec<String>> {
        let problems = check(name, specs, output);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut consumers: Vec<Vec<NodeId>> = vec![Vec::new(); specs.len()];
        let mut uses = vec![0; specs.len()];
        let mut pending = vec![0; specs.len()];
        for (index, spec) in specs.iter().enumerate() {
            for &producer in spec.inputs.iter().chain(&spec.after) {
                let producer = producer as usize;
                if !is_source(specs[producer].kind) {
                    consumers[producer].push(NodeId(index as u32));
                    pending[index] += 1;
                }
            }
            for &producer in &spec.inputs {
                uses[producer as usize] += 1;
            }
        }
        uses[output as usize] += 1;
        let nodes = specs
            .iter()
            .zip(consumers)
            .zip(uses.iter().zip(&pending))
            .map(|((spec, consumers), (&uses, &pending))| Node {
                kind: spec.kind,
                path: spec.path.as_str().into(),
                inputs: spec.inputs.iter().copied().map(NodeId).collect(),
                consumers: consumers.into(),
                uses,
                pending,
            })
            .collect();
        let inputs = (0..specs.len() as u32)
            .map(NodeId)
            .filter(|node| specs[node.index()].kind == NodeKind::Input)
            .collect();
        Ok(Self {
            name: name.into(),
            version: version.into(),
            nodes,
            inputs,
            output: NodeId(output),
        })
    }

    /// The workflow's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The workflow's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node at all (never true of a compiled plan).
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node's readable path.
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

    /// How many inputs a run takes.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// The node whose value is the run's result.
    pub const fn output(&self) -> NodeId {
        self.output
    }
}

/// Whether a node carries its value from the start.
pub(crate) const fn is_source(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Input | NodeKind::Constant)
}

fn check(name: &str, specs: &[NodeSpec], output: u32) -> Vec<String> {
    let mut problems = Vec::new();
    if output as usize >= specs.len() {
        problems.push(format!(
            "workflow {name}: the output is node {output}, but there are {} nodes; return a node of this workflow",
            specs.len()
        ));
    }
    let mut paths = HashSet::with_capacity(specs.len());
    let mut dangling = false;
    for spec in specs {
        if !paths.insert(spec.path.as_str()) {
            problems.push(format!(
                "node {}: the path is used twice; give one of the calls another name=",
                spec.path
            ));
        }
        if is_source(spec.kind) && !(spec.inputs.is_empty() && spec.after.is_empty()) {
            problems.push(format!(
                "node {}: an input or constant can't wait for other nodes; drop its edges",
                spec.path
            ));
        }
        for producer in spec.inputs.iter().chain(&spec.after) {
            if *producer as usize >= specs.len() {
                dangling = true;
                problems.push(format!(
                    "node {}: an edge comes from node {producer}, which does not exist; there are {} nodes",
                    spec.path,
                    specs.len()
                ));
            }
        }
    }
    if !dangling && let Some(cycle) = find_cycle(specs) {
        problems.push(format!(
            "workflow {name}: a cycle through {}; a graph has no cycles, so take one of these edges out",
            cycle.join(" -> ")
        ));
    }
    problems
}

/// Paths along one cycle, first one repeated at the end. Kahn's algorithm, then a walk over what is left.
fn find_cycle(specs: &[NodeSpec]) -> Option<Vec<&str>> {
    let producers = |node: usize| specs[node].inputs.iter().chain(&specs[node].after);
    let mut pending: Vec<usize> = (0..specs.len()).map(|node| producers(node).count()).collect();
    let mut consumers: Vec<Vec<usize>> = vec![Vec::new(); specs.len()];
    for node in 0..specs.len() {
        producers(node).for_each(|&producer| consumers[producer as usize].push(node));
    }
    let mut free: Vec<usize> = (0..specs.len()).filter(|&node| pending[node] == 0).collect();
    let mut ordered = 0;
    while let Some(node) = free.pop() {
        ordered += 1;
        for &consumer in &consumers[node] {
            pending[consumer] -= 1;
            if pending[consumer] == 0 {
                free.push(consumer);
            }
        }
    }
    if ordered == specs.len() {
        return None;
    }
    // Every node that is left has a producer that is left, so walking back must meet a node twice.
    let mut met: Vec<Option<usize>> = vec![None; specs.len()];
    let mut trail: Vec<usize> = Vec::new();
    let mut node = (0..specs.len()).find(|&node| pending[node] > 0)?;
    while met[node].is_none() {
        met[node] = Some(trail.len());
        trail.push(node);
        node = producers(node).map(|&node| node as usize).find(|&node| pending[node] > 0)?;
    }
    let mut cycle: Vec<&str> =
        trail[met[node]?..].iter().rev().map(|&node| specs[node].path.as_str()).collect();
    cycle.push(cycle[0]);
    Some(cycle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(path: &str, kind: NodeKind, inputs: &[u32]) -> NodeSpec {
        NodeSpec { path: path.into(), kind, inputs: inputs.to_vec(), after: Vec::new() }
    }

    #[test]
    fn a_cycle_is_named_node_by_node() {
        let specs = [
            spec("w/x", NodeKind::Input, &[]),
            spec("w/a", NodeKind::Step, &[0, 3]),
            spec("w/b", NodeKind::Step, &[1]),
            spec("w/c", NodeKind::Step, &[2]),
        ];
        let problems = Plan::compile("w", "1", &specs, 3).unwrap_err();
        assert_eq!(problems.len(), 1);
        for path in ["w/a", "w/b", "w/c"] {
            assert!(problems[0].contains(path), "{}", problems[0]);
        }
        assert!(!problems[0].contains("w/x"));
    }

    #[test]
    fn all_problems_come_at_once() {
        let specs = [
            spec("w/a", NodeKind::Step, &[7]),
            spec("w/a", NodeKind::Step, &[]),
            spec("w/k", NodeKind::Constant, &[0]),
        ];
        assert_eq!(Plan::compile("w", "1", &specs, 9).unwrap_err().len(), 4);
    }

    #[test]
    fn edges_from_inputs_and_constants_are_never_waited_for() {
        let specs = [
            spec("w/x", NodeKind::Input, &[]),
            spec("w/k", NodeKind::Constant, &[]),
            spec("w/a", NodeKind::Step, &[0, 1, 0]),
            spec("w/b", NodeKind::Step, &[2, 2]),
        ];
        let plan = Plan::compile("w", "1", &specs, 3).expect("a right graph");
        assert_eq!((plan.nodes[2].pending, plan.nodes[3].pending), (0, 2));
        assert_eq!((plan.nodes[0].uses, plan.nodes[2].uses, plan.nodes[3].uses), (2, 2, 1));
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let mut specs = vec![spec("w/0", NodeKind::Input, &[])];
        specs.extend((0..200_000).map(|n| spec(&format!("w/{}", n + 1), NodeKind::Step, &[n])));
        assert!(Plan::compile("w", "1", &specs, 200_000).is_ok());
        specs[1].inputs = vec![200_000];
        assert!(Plan::compile("w", "1", &specs, 200_000).is_err());
    }
}
