//! Draws graphs node by node: regions, calls and scopes included.

use std::sync::Arc;

use penstock_engine::{CallSpec, GraphSpec, NodeKind, NodeSpec, Plan, PlanId, Policy, RegionSpec};

use crate::harness::{World, default_policy};

/// A graph while it is drawn. Nodes are named by their paths; those of a body begin with its prefix.
pub(crate) struct Sketch {
    spec: GraphSpec,
    policies: Vec<Option<Policy>>,
    call: u32,
    scope: Option<u32>,
}

impl Sketch {
    pub(crate) fn new() -> Self {
        let spec = GraphSpec { name: "test".into(), version: "1".into(), ..GraphSpec::default() };
        let mut sketch = Self { spec, policies: Vec::new(), call: 0, scope: None };
        sketch.region("");
        sketch
    }

    /// From here on nodes are drawn in the next region, which bodies are numbered by from 1.
    pub(crate) fn body(&mut self, prefix: &str) {
        self.region(prefix);
    }

    fn region(&mut self, prefix: &str) {
        let start = self.spec.nodes.len() as u32;
        let (stop, output) = (start, start);
        let prefix = prefix.to_owned();
        self.spec.regions.push(RegionSpec { prefix, start, stop, input_count: 0, output });
        self.call = self.spec.calls.len() as u32;
        self.spec.calls.push(CallSpec { parent: self.call, output });
    }

    pub(crate) fn node(&mut self, path: &str, kind: NodeKind, inputs: &[u32]) -> u32 {
        let index = self.spec.nodes.len() as u32;
        let (call, scope) = (self.call, self.scope);
        self.spec.nodes.push(NodeSpec { call, scope, ..NodeSpec::new(path, kind, inputs) });
        let policy = Policy { step: penstock_engine::StepId(0), ..default_policy() };
        let is_step = matches!(kind, NodeKind::Step | NodeKind::Undo { .. });
        self.policies.push(is_step.then_some(policy));
        if let Some(region) = self.spec.regions.last_mut() {
            region.stop = index + 1;
            region.output = index;
            region.input_count += u32::from(kind == NodeKind::Input);
        }
        self.spec.calls[self.call as usize].output = index;
        index
    }

    pub(crate) fn input(&mut self, path: &str) -> u32 {
        self.node(path, NodeKind::Input, &[])
    }

    pub(crate) fn step(&mut self, path: &str, inputs: &[u32]) -> u32 {
        self.node(path, NodeKind::Step, inputs)
    }

    /// A step and its compensation, at `<path>/undo`.
    pub(crate) fn effect(&mut self, path: &str, inputs: &[u32]) -> u32 {
        let of = self.step(path, inputs);
        let given: Vec<u32> = inputs.iter().copied().chain([of]).collect();
        let output = self.spec.regions.last().map(|region| region.output);
        self.node(&format!("{path}/undo"), NodeKind::Undo { of }, &given);
        if let (Some(region), Some(output)) = (self.spec.regions.last_mut(), output) {
            region.output = output;
        }
        self.spec.calls[self.call as usize].output = of;
        of
    }

    pub(crate) fn case(&mut self, path: &str, decision: u32, outcomes: &[u32]) -> u32 {
        let taken = outcomes.iter().fold(0, |taken, outcome| taken | 1 << outcome);
        self.node(path, NodeKind::Case { taken }, &[decision])
    }

    pub(crate) fn optional(&mut self, path: &str, input: u32) -> u32 {
        self.node(path, NodeKind::Optional, &[input])
    }

    pub(crate) fn collect(&mut self, path: &str, inputs: &[u32]) -> u32 {
        self.node(path, NodeKind::Collect { need: 0, cancel_rest: false }, inputs)
    }

    pub(crate) fn race(&mut self, path: &str, inputs: &[u32]) -> u32 {
        self.node(path, NodeKind::Race { cancel_rest: true }, inputs)
    }

    /// What `draw` draws stands in a call instance of its own; its last node, or what it gives, is the
    /// result. Answers the instance and the result.
    pub(crate) fn call(&mut self, draw: impl FnOnce(&mut Self) -> u32) -> (u32, u32) {
        let parent = self.call;
        self.call = self.spec.calls.len() as u32;
        let instance = self.call;
        self.spec.calls.push(CallSpec { parent, output: 0 });
        let output = draw(self);
        self.spec.calls[instance as usize].output = output;
        self.call = parent;
        (instance, output)
    }

    /// A call whose failure is skipped: answers the shield.
    pub(crate) fn shielded(&mut self, path: &str, draw: impl FnOnce(&mut Self) -> u32) -> u32 {
        let (contains, output) = self.call(draw);
        self.node(path, NodeKind::Shield { contains }, &[output])
    }

    /// What `draw` draws is withdrawn as one. Answers the scope and what `draw` gives.
    pub(crate) fn scope(&mut self, draw: impl FnOnce(&mut Self) -> u32) -> (u32, u32) {
        let outer = self.scope;
        let scope = self.spec.scopes.len() as u32;
        self.spec.scopes.push(outer);
        self.scope = Some(scope);
        let given = draw(self);
        self.scope = outer;
        (scope, given)
    }

    /// A signal of this name; the index of the signal is that of its first use.
    pub(crate) fn signal(&mut self, path: &str, name: &str, timeout_ns: u64, fail: bool) -> u32 {
        let known = self.spec.signals.iter().position(|other| other == name);
        let signal = known.unwrap_or(self.spec.signals.len()) as u32;
        if known.is_none() {
            self.spec.signals.push(name.to_owned());
        }
        self.node(path, NodeKind::Signal { signal, timeout_ns, fail }, &[])
    }

    pub(crate) fn map(&mut self, path: &str, body: u32, inputs: &[u32]) -> u32 {
        self.node(path, map(body), inputs)
    }

    pub(crate) fn gates(&mut self, node: u32, gates: &[u32]) {
        self.spec.nodes[node as usize].gates = gates.to_vec();
    }

    pub(crate) fn after(&mut self, node: u32, others: &[u32]) {
        self.spec.nodes[node as usize].after = others.to_vec();
    }

    pub(crate) fn holds(&mut self, node: u32, key: u32) {
        self.spec.nodes[node as usize].holds = Some(key);
        self.spec.nodes[node as usize].gates.push(key);
    }

    /// The result of the region that is being drawn; its last node, if nothing is said.
    pub(crate) fn gives(&mut self, output: u32) {
        if let Some(region) = self.spec.regions.last_mut() {
            region.output = output;
        }
        self.spec.calls[self.call as usize].output = output;
    }

    pub(crate) fn policy(&mut self, node: u32, change: impl FnOnce(&mut Policy)) {
        change(self.policies[node as usize].as_mut().expect("a step"));
    }

    pub(crate) fn register(self, world: &mut World) -> PlanId {
        let plan = Plan::compile(self.spec).expect("a right graph");
        world.add_plan(Arc::new(plan), self.policies)
    }
}

/// A map that needs all of its items.
pub(crate) const fn map(body: u32) -> NodeKind {
    NodeKind::Map { body, concurrency: 0, need: 0, tolerated: None, cancel_rest: false }
}
