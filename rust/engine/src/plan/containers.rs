//! Which failures go how far: the branches of races and partial joins, and calls that are shielded.
//!
//! The branch that ends in an input of a race is every node from which all ways lead through that edge (it
//! post-dominates them), as far as they were drawn in the race's own call or deeper. A shielded call or a
//! tier of a cascade contains the nodes of that call and no others. Containers nest, so that each node has
//! an innermost one.

use std::collections::HashMap;

use super::spec::{GraphSpec, NodeKind};
use super::{Container, NodeId};

/// How far a node's failure goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// To the end of its frame.
    Frame,
    /// To this container.
    Container(u32),
    /// As far as that of its call's result: it feeds only side effects of that call.
    Call,
}

/// A container while they are found.
struct Found {
    consumer: u32,
    producer: u32,
    /// The call whose nodes it holds, if it is not made of a branch.
    call: Option<u32>,
}

/// The containers of a graph, and the innermost of each node. O(nodes + edges) times their nesting.
pub(super) fn contain(graph: &GraphSpec) -> (Box<[Container]>, Vec<Option<u32>>) {
    let found = find(graph);
    if found.is_empty() {
        return (Box::default(), vec![None; graph.nodes.len()]);
    }
    let reaches = Reaches::new(graph, found).resolve();
    let Reaches { found, reach, .. } = reaches;
    let innermost: Vec<Option<u32>> = reach
        .iter()
        .map(|reach| match reach {
            Reach::Container(container) => Some(*container),
            Reach::Frame | Reach::Call => None,
        })
        .collect();
    let parent = |container: u32| innermost[found[container as usize].consumer as usize];
    let mut members: Vec<Vec<NodeId>> = vec![Vec::new(); found.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if matches!(node.kind, NodeKind::Undo { .. }) || node.kind.is_source() {
            continue;
        }
        let mut container = innermost[index];
        while let Some(it) = container {
            members[it as usize].push(NodeId(index as u32));
            container = parent(it);
        }
    }
    let containers = found
        .iter()
        .zip(members)
        .map(|(it, members)| Container {
            consumer: NodeId(it.consumer),
            producer: NodeId(it.producer),
            members: members.into(),
        })
        .collect();
    (containers, innermost)
}

fn find(graph: &GraphSpec) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (consumer, node) in graph.nodes.iter().enumerate() {
        let call = match node.kind {
            NodeKind::Race { .. } | NodeKind::Collect { need: 1.., .. } => None,
            NodeKind::Accept { contains, .. } | NodeKind::Shield { contains } => Some(contains),
            _ => continue,
        };
        for (at, &producer) in node.inputs.iter().enumerate() {
            if !node.inputs[..at].contains(&producer) {
                found.push(Found { consumer: consumer as u32, producer, call });
            }
        }
    }
    found
}

struct Reaches<'a> {
    graph: &'a GraphSpec,
    found: Vec<Found>,
    /// The container of an edge, by consumer and producer.
    edges: HashMap<(u32, u32), u32>,
    reach: Vec<Reach>,
    /// By call instance, the container that holds it.
    held: Vec<Option<u32>>,
}

impl<'a> Reaches<'a> {
    fn new(graph: &'a GraphSpec, found: Vec<Found>) -> Self {
        let mut held = vec![None; graph.calls.len()];
        let mut edges = HashMap::with_capacity(found.len());
        for (index, it) in found.iter().enumerate() {
            edges.insert((it.consumer, it.producer), index as u32);
            if let Some(call) = it.call {
                held[call as usize] = Some(index as u32);
            }
        }
        Self { graph, found, edges, reach: vec![Reach::Frame; graph.nodes.len()], held }
    }

    fn resolve(mut self) -> Self {
        let mut consumers: Vec<Vec<(u32, bool)>> = vec![Vec::new(); self.graph.nodes.len()];
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if matches!(node.kind, NodeKind::Undo { .. }) {
                continue;
            }
            for (producers, value) in
                [(&node.inputs, true), (&node.gates, false), (&node.after, false)]
            {
                for &producer in producers {
                    consumers[producer as usize].push((index as u32, value));
                }
            }
        }
        let outputs: Vec<u32> = self.graph.regions.iter().map(|region| region.output).collect();
        for node in last_first(self.graph, &consumers) {
            let leaf = consumers[node as usize].is_empty() && self.is_root(self.call(node));
            let ends = leaf || outputs.contains(&node);
            let mut reach = if ends { Reach::Frame } else { Reach::Call };
            for &(consumer, value) in &consumers[node as usize] {
                let edge = self.edges.get(&(consumer, node)).filter(|_| value);
                let onwards = self.reach[consumer as usize];
                reach = self.common(reach, edge.map_or(onwards, |&it| Reach::Container(it)));
            }
            self.reach[node as usize] = self.bounded(node, reach);
        }
        for node in 0..self.graph.nodes.len() {
            let mut call = self.graph.nodes[node].call;
            while self.reach[node] == Reach::Call {
                let output = self.graph.calls[call as usize].output as usize;
                self.reach[node] = self.reach[output];
                if self.is_root(call) && self.reach[node] == Reach::Call {
                    self.reach[node] = Reach::Frame;
                }
                call = self.graph.calls[call as usize].parent;
            }
        }
        self
    }

    fn call(&self, node: u32) -> u32 {
        self.graph.nodes[node as usize].call
    }

    fn is_root(&self, call: u32) -> bool {
        self.graph.calls[call as usize].parent == call
    }

    /// Whether a node was drawn in `call` or deeper.
    fn is_within(&self, node: u32, call: u32) -> bool {
        let mut at = self.call(node);
        while at != call && !self.is_root(at) {
            at = self.graph.calls[at as usize].parent;
        }
        at == call
    }

    /// The containers from the innermost outwards, then where they end.
    fn chain(&self, mut reach: Reach) -> Vec<Reach> {
        let mut chain = vec![reach];
        while let Reach::Container(container) = reach {
            reach = self.reach[self.found[container as usize].consumer as usize];
            chain.push(reach);
        }
        chain
    }

    /// What two ways out of a node have in common. A side effect's way says nothing.
    fn common(&self, one: Reach, other: Reach) -> Reach {
        if one == other || other == Reach::Call {
            return one;
        }
        if one == Reach::Call {
            return other;
        }
        let others = self.chain(other);
        self.chain(one).into_iter().find(|it| others.contains(it)).unwrap_or(Reach::Frame)
    }

    /// Containers hold nothing that was drawn outside of them, and all that was drawn in the call they hold.
    fn bounded(&self, node: u32, mut reach: Reach) -> Reach {
        while let Reach::Container(container) = reach {
            let it = &self.found[container as usize];
            if self.is_within(node, it.call.unwrap_or_else(|| self.call(it.consumer))) {
                break;
            }
            reach = self.reach[it.consumer as usize];
        }
        let mut call = self.call(node);
        loop {
            if let Some(holder) = self.held[call as usize] {
                let holder = Reach::Container(holder);
                return if self.chain(reach).contains(&holder) { reach } else { holder };
            }
            if self.is_root(call) {
                return reach;
            }
            call = self.graph.calls[call as usize].parent;
        }
    }
}

/// The nodes in an order in which consumers come before producers.
fn last_first(graph: &GraphSpec, consumers: &[Vec<(u32, bool)>]) -> Vec<u32> {
    let mut waiting: Vec<usize> = consumers.iter().map(Vec::len).collect();
    let mut order: Vec<u32> =
        (0..graph.nodes.len() as u32).filter(|&node| waiting[node as usize] == 0).collect();
    let mut at = 0;
    while at < order.len() {
        let node = &graph.nodes[order[at] as usize];
        at += 1;
        if matches!(node.kind, NodeKind::Undo { .. }) {
            continue;
        }
        for &producer in node.inputs.iter().chain(&node.gates).chain(&node.after) {
            waiting[producer as usize] -= 1;
            if waiting[producer as usize] == 0 {
                order.push(producer);
            }
        }
    }
    order
}
