//! Random graphs of every construct, right by the way they are drawn: what a block gives is taken whenever
//! the block is entered, so that every merge has one input and no output is skipped.

use std::collections::VecDeque;

use penstock_engine::{CallSpec, GraphSpec, NodeKind, NodeSpec, Policy, RegionSpec};

use crate::dice::Dice;

const MS: u64 = 1_000_000;
/// How deep bodies may be nested.
const DEPTH: u32 = 3;
/// Constructs in all the bodies of a graph, roughly.
const BUDGET: u64 = 24;
/// Concurrency keys there are.
pub(crate) const KEYS: u64 = 3;

pub(crate) fn winding(dice: &mut Dice, queues: u64) -> (GraphSpec, Vec<Option<Policy>>) {
    let spec = GraphSpec { name: "w".into(), version: "1".into(), ..GraphSpec::default() };
    let mut drawing = Drawing {
        dice,
        queues,
        spec,
        policies: Vec::new(),
        bodies: VecDeque::from([Body { prefix: "w".into(), inputs: 2, depth: 0, recurs: false }]),
        regions: 1,
        call: 0,
        scope: None,
        holds: None,
        left: BUDGET,
        depth: 0,
    };
    while let Some(body) = drawing.bodies.pop_front() {
        drawing.body(&body);
    }
    (drawing.spec, drawing.policies)
}

/// A region to be drawn.
struct Body {
    prefix: String,
    inputs: u32,
    depth: u32,
    recurs: bool,
}

struct Drawing<'a> {
    dice: &'a mut Dice,
    queues: u64,
    spec: GraphSpec,
    policies: Vec<Option<Policy>>,
    bodies: VecDeque<Body>,
    /// Regions drawn or to be drawn.
    regions: u32,
    call: u32,
    scope: Option<u32>,
    /// The acquire node whose key the next steps hold.
    holds: Option<u32>,
    left: u64,
    depth: u32,
}

impl Drawing<'_> {
    fn body(&mut self, body: &Body) {
        let region = self.spec.regions.len() as u32;
        let start = self.spec.nodes.len() as u32;
        self.spec.regions.push(RegionSpec {
            prefix: body.prefix.clone(),
            start,
            stop: start,
            input_count: body.inputs,
            output: start,
        });
        self.call = self.spec.calls.len() as u32;
        let call = self.call;
        self.spec.calls.push(CallSpec { parent: call, output: start });
        self.depth = body.depth;
        let inputs: Vec<u32> = (0..body.inputs).map(|_| self.node(NodeKind::Input, &[])).collect();
        let mut output = self.block(&inputs, &inputs, None);
        if body.recurs {
            let when = self.node(NodeKind::When, &[output]);
            let limit = 1 + self.dice.below(3) as u32;
            let recursion = NodeKind::Recurse { body: region, limit };
            let deeper: Vec<u32> = inputs.iter().map(|_| when).collect();
            let recursion = self.node(recursion, &deeper);
            let maybe = self.node(NodeKind::Optional, &[recursion]);
            output = self.join(
                NodeKind::Collect { need: 0, cancel_rest: false },
                &[maybe, output],
                None,
            );
        }
        let stop = self.spec.nodes.len() as u32;
        let region = &mut self.spec.regions[region as usize];
        (region.stop, region.output) = (stop, output);
        self.spec.calls[call as usize].output = output;
    }

    /// A few constructs in a row, each of which takes something that comes from `seeds`, which is taken
    /// whenever `gate` is. `outer` is there all the time.
    fn block(&mut self, seeds: &[u32], outer: &[u32], gate: Option<u32>) -> u32 {
        let mut values = seeds.to_vec();
        for _ in 0..=self.dice.below(3) {
            let value = self.construct(&values, outer, gate);
            values.push(value);
        }
        let last = values[values.len() - 1];
        self.spec.calls[self.call as usize].output = last;
        last
    }

    fn construct(&mut self, values: &[u32], outer: &[u32], gate: Option<u32>) -> u32 {
        let from = self.dice.pick(values);
        if self.left == 0 {
            return self.step(&[from]);
        }
        self.left -= 1;
        match self.dice.below(20) {
            0 => self.switch(from, outer),
            1 => self.perhaps(from, outer, gate),
            2 => self.all(from, outer, gate),
            3 => self.some(from, outer, gate),
            4 | 5 => self.race(from, outer),
            6 => self.fallback(from, outer),
            7 => self.cascade(from, outer),
            8 => self.shielded(from, outer, gate),
            9 | 10 => self.map(from, values, gate),
            11 => self.repeat(from, values),
            12 => self.recurse(from, values),
            13 => self.signal(from, gate),
            14 => {
                let duration_ns = 1 + self.dice.below(60) * MS;
                self.node(NodeKind::Sleep { duration_ns }, &[from])
            }
            15 => {
                let kind = self.dice.pick(&[NodeKind::Apply, NodeKind::Spawn]);
                self.node(kind, &[from])
            }
            16 => self.section(from, outer, gate),
            17 => self.scope(from, outer, gate),
            _ => {
                let other = self.dice.pick(outer);
                let step = self.step(&[from, other]);
                if self.dice.one_in(4) {
                    self.spec.nodes[step as usize].after.push(self.dice.pick(values));
                }
                step
            }
        }
    }

    /// A step, perhaps with a compensation.
    fn step(&mut self, inputs: &[u32]) -> u32 {
        let step = self.node(NodeKind::Step, inputs);
        if let Some(key) = self.holds {
            let node = &mut self.spec.nodes[step as usize];
            node.holds = Some(key);
            node.gates.push(key);
        }
        if self.dice.one_in(2) {
            let given: Vec<u32> = inputs.iter().copied().chain([step]).collect();
            let holds = self.holds.take();
            self.node(NodeKind::Undo { of: step }, &given);
            self.holds = holds;
        }
        step
    }

    fn switch(&mut self, from: u32, outer: &[u32]) -> u32 {
        let outcomes = 2 + self.dice.below(2) as u32;
        let switch = self.node(NodeKind::Switch { outcomes }, &[from]);
        let branches: Vec<u32> = (0..outcomes)
            .map(|outcome| {
                let case = self.node(NodeKind::Case { taken: 1 << outcome }, &[switch]);
                if self.dice.one_in(4) { case } else { self.block(&[case], outer, Some(case)) }
            })
            .collect();
        self.node(NodeKind::Merge, &branches)
    }

    fn perhaps(&mut self, from: u32, outer: &[u32], gate: Option<u32>) -> u32 {
        let when = self.node(NodeKind::When, &[from]);
        let inside = self.block(&[when], outer, Some(when));
        self.join(NodeKind::Optional, &[inside], gate)
    }

    fn all(&mut self, from: u32, outer: &[u32], gate: Option<u32>) -> u32 {
        let when = self.node(NodeKind::When, &[from]);
        let branches = [self.block(&[when], outer, Some(when)), self.block(&[from], outer, gate)];
        self.join(NodeKind::Collect { need: 0, cancel_rest: false }, &branches, gate)
    }

    fn some(&mut self, from: u32, outer: &[u32], gate: Option<u32>) -> u32 {
        let when = self.node(NodeKind::When, &[from]);
        let branches = [
            self.block(&[when], outer, Some(when)),
            self.block(&[from], outer, gate),
            self.step(&[from]),
        ];
        let (need, cancel_rest) = (1 + self.dice.below(2) as u32, self.dice.one_in(2));
        self.join(NodeKind::Collect { need, cancel_rest }, &branches, gate)
    }

    fn race(&mut self, from: u32, outer: &[u32]) -> u32 {
        let gate = self.node(NodeKind::When, &[from]);
        let branches = [self.block(&[gate], outer, Some(gate)), self.step(&[from])];
        let cancel_rest = !self.dice.one_in(3);
        self.node(NodeKind::Race { cancel_rest }, &branches)
    }

    /// What is drawn inside stands in a call instance of its own.
    fn called(&mut self, inside: impl FnOnce(&mut Self) -> u32) -> (u32, u32) {
        let outer = self.call;
        let instance = self.spec.calls.len() as u32;
        self.call = instance;
        self.spec.calls.push(CallSpec { parent: outer, output: 0 });
        let output = inside(self);
        self.spec.calls[instance as usize].output = output;
        self.call = outer;
        (instance, output)
    }

    /// A call of its own, in which something may have side effects only.
    fn stage(&mut self, from: u32, outer: &[u32], gate: Option<u32>) -> (u32, u32) {
        self.called(|it| {
            let first = it.step(&[from]);
            if let Some(gate) = gate {
                it.spec.nodes[first as usize].gates.push(gate);
            }
            if it.dice.one_in(2) {
                let leaf = it.step(&[first]);
                it.step(&[leaf]);
            }
            if it.dice.one_in(2) { first } else { it.block(&[first], outer, Some(first)) }
        })
    }

    fn fallback(&mut self, from: u32, outer: &[u32]) -> u32 {
        let (contains, output) = self.stage(from, outer, None);
        let accept = NodeKind::Accept { contains, computed: false, explore: 0 };
        let accept = self.node(accept, &[output]);
        let [no, yes] = self.verdicts(accept);
        let other = self.gated_step(from, no);
        self.node(NodeKind::Merge, &[yes, other])
    }

    fn cascade(&mut self, from: u32, outer: &[u32]) -> u32 {
        let mut gate = None;
        let mut results = Vec::new();
        for _ in 0..=self.dice.below(2) {
            let (contains, output) = self.stage(from, outer, gate);
            let explore = if self.dice.one_in(2) { u32::MAX / 2 } else { 0 };
            let accept = NodeKind::Accept { contains, computed: true, explore };
            let accept = self.join(accept, &[output], gate);
            let [no, yes] = self.verdicts(accept);
            if explore > 0 {
                let explored = self.node(NodeKind::Case { taken: 0b100 }, &[accept]);
                let (contains, output) = self.called(|it| it.gated_step(from, explored));
                self.node(NodeKind::Shield { contains }, &[output]);
            }
            results.push(yes);
            gate = Some(no);
        }
        let last = gate.map(|gate| self.gated_step(from, gate));
        results.extend(last);
        self.node(NodeKind::Merge, &results)
    }

    /// The cases of a tier that is not taken, and of one that is.
    fn verdicts(&mut self, accept: u32) -> [u32; 2] {
        [0b001, 0b110].map(|taken| self.node(NodeKind::Case { taken }, &[accept]))
    }

    fn gated_step(&mut self, from: u32, gate: u32) -> u32 {
        let step = self.step(&[from]);
        self.spec.nodes[step as usize].gates.push(gate);
        step
    }

    fn shielded(&mut self, from: u32, outer: &[u32], gate: Option<u32>) -> u32 {
        let (contains, output) = self.stage(from, outer, None);
        let shield = self.node(NodeKind::Shield { contains }, &[output]);
        self.join(NodeKind::Optional, &[shield], gate)
    }

    fn map(&mut self, from: u32, values: &[u32], gate: Option<u32>) -> u32 {
        let Some(body) = self.inner("[]", 2, false) else { return self.step(&[from]) };
        let shared = self.dice.pick(values);
        let need = self.dice.below(3) as u32;
        let tolerated = self.dice.pick(&[None, Some(0), Some(1), Some(9)]);
        let (concurrency, cancel_rest) = (self.dice.below(3) as u32, self.dice.one_in(2));
        let kind = NodeKind::Map { body, concurrency, need, tolerated, cancel_rest };
        if need == 0 {
            return self.node(kind, &[from, shared]);
        }
        // Often there are too few items.
        let (contains, output) = self.called(|it| it.node(kind, &[from, shared]));
        let shield = self.node(NodeKind::Shield { contains }, &[output]);
        self.join(NodeKind::Optional, &[shield], gate)
    }

    fn repeat(&mut self, from: u32, values: &[u32]) -> u32 {
        let Some(body) = self.inner("[]", 2, false) else { return self.step(&[from]) };
        let shared = self.dice.pick(values);
        let (limit, fail) = (1 + self.dice.below(3) as u32, self.dice.one_in(8));
        self.node(NodeKind::Loop { body, limit, fail }, &[from, shared])
    }

    fn recurse(&mut self, from: u32, values: &[u32]) -> u32 {
        let Some(body) = self.inner("", 2, true) else { return self.step(&[from]) };
        let other = self.dice.pick(values);
        self.node(NodeKind::Recurse { body, limit: 0 }, &[from, other])
    }

    /// A body to be drawn later, unless it would be too deep.
    fn inner(&mut self, suffix: &str, inputs: u32, recurs: bool) -> Option<u32> {
        if self.depth == DEPTH {
            return None;
        }
        let prefix = format!("{}{suffix}", self.next_path());
        self.bodies.push_back(Body { prefix, inputs, depth: self.depth + 1, recurs });
        self.regions += 1;
        Some(self.regions - 1)
    }

    fn signal(&mut self, from: u32, gate: Option<u32>) -> u32 {
        let signal = self.dice.below(3) as u32;
        if self.spec.signals.is_empty() {
            self.spec.signals.extend(["a", "b", "c"].map(String::from));
        }
        let timeout_ns = if self.dice.one_in(4) { 0 } else { 1 + self.dice.below(200) * MS };
        let fail = self.dice.one_in(6);
        let wait = self.join(NodeKind::Signal { signal, timeout_ns, fail }, &[], gate);
        self.spec.nodes[wait as usize].after.push(from);
        if timeout_ns == 0 || fail { wait } else { self.join(NodeKind::Optional, &[wait], gate) }
    }

    /// A few steps under a concurrency key.
    fn section(&mut self, from: u32, outer: &[u32], gate: Option<u32>) -> u32 {
        if self.holds.is_some() {
            return self.step(&[from]); // One key inside another may never come.
        }
        let constant = self.dice.one_in(2).then(|| self.dice.below(KEYS));
        let key = self.node(NodeKind::Acquire { key: constant }, &[from]);
        let left = std::mem::take(&mut self.left);
        self.holds = Some(key);
        let inside = self.block(&[from], outer, gate);
        self.holds = None;
        self.left = left;
        inside
    }

    /// A scope, and something that may withdraw it.
    fn scope(&mut self, from: u32, outer: &[u32], gate: Option<u32>) -> u32 {
        let around = self.scope;
        let scope = self.spec.scopes.len() as u32;
        self.spec.scopes.push(around);
        self.scope = Some(scope);
        let inside = self.block(&[from], outer, gate);
        self.scope = around;
        let stop = self.step(&[from]);
        let when = self.node(NodeKind::When, &[stop]);
        self.node(NodeKind::Cancel { scope }, &[when]);
        self.join(NodeKind::Optional, &[inside], gate)
    }

    /// A node that is skipped with the block it stands in, whatever its inputs are.
    fn join(&mut self, kind: NodeKind, inputs: &[u32], gate: Option<u32>) -> u32 {
        let node = self.node(kind, inputs);
        self.spec.nodes[node as usize].gates.extend(gate);
        node
    }

    fn next_path(&self) -> String {
        let prefix = &self.spec.regions[self.spec.regions.len() - 1].prefix;
        format!("{prefix}/{}", self.spec.nodes.len())
    }

    fn node(&mut self, kind: NodeKind, inputs: &[u32]) -> u32 {
        let path = self.next_path();
        let index = self.spec.nodes.len() as u32;
        let (call, scope) = (self.call, self.scope);
        self.spec.nodes.push(NodeSpec { call, scope, ..NodeSpec::new(&path, kind, inputs) });
        let policy = match kind {
            NodeKind::Step => Some(crate::workload::policy(self.dice, index, self.queues)),
            NodeKind::Undo { .. } => {
                Some(crate::workload::undo_policy(self.dice, index, self.queues))
            }
            _ => None,
        };
        self.policies.push(policy);
        index
    }
}
