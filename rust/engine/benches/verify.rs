//! Verifying and compiling graphs of ten thousand nodes, in milliseconds beside the target:
//! `cargo bench -p penstock-engine --bench verify`.

use std::hint::black_box;
use std::time::Instant;

use penstock_engine::{GraphSpec, NodeKind, NodeSpec, Plan};

const NODES: u32 = 10_000;
const TARGET_MS: f64 = 50.0;
const ROUNDS: usize = 7;

fn main() {
    report("chain of steps", &chain());
    report("diamonds of steps", &diamonds());
    report("switches of 4 cases, merged, one after the other", &switches(4, false));
    report("switches of 64 cases, merged, one after the other", &switches(64, false));
    report("switches of 4 cases, side by side", &switches(4, true));
    report("whens under one collect", &whens());
    report("whens inside each other", &nested_whens());
    report("early exits into one merge", &early_exits());
    report("tree of switches, alternate leaves merged", &tree());
    report("races of whens that share decisions", &entangled());
}

/// Prints the best of some rounds: what is slower is another process's doing.
fn report(name: &str, graph: &GraphSpec) {
    let mut best = f64::INFINITY;
    let mut problems = 0;
    for _ in 0..ROUNDS {
        let copy = graph.clone();
        let began = Instant::now();
        let plan = black_box(Plan::compile(copy));
        best = best.min(began.elapsed().as_secs_f64() * 1e3);
        problems = plan.err().map_or(0, |problems| problems.len());
    }
    println!(
        "{name:<52} {:>6} nodes {best:>8.1} ms   target <= {TARGET_MS} ms   {problems} problems",
        graph.nodes.len()
    );
}

/// A graph under way.
struct Drawing(Vec<NodeSpec>);

impl Drawing {
    fn new() -> Self {
        Self(vec![NodeSpec::new("w/input", NodeKind::Input, &[])])
    }

    fn draw(&mut self, kind: NodeKind, inputs: &[u32]) -> u32 {
        let node = self.0.len() as u32;
        self.0.push(NodeSpec::new(&format!("w/{node}"), kind, inputs));
        node
    }

    fn switch(&mut self, input: u32, outcomes: u32) -> Vec<u32> {
        let switch = self.draw(NodeKind::Switch { outcomes }, &[input]);
        (0..outcomes)
            .map(|outcome| self.draw(NodeKind::Case { taken: 1 << outcome }, &[switch]))
            .collect()
    }

    fn is_full(&self) -> bool {
        self.0.len() as u32 >= NODES
    }

    fn done(self, output: u32) -> GraphSpec {
        GraphSpec::flat("w", "1", self.0, output)
    }
}

const COLLECT: NodeKind = NodeKind::Collect { need: 0, cancel_rest: false };
const RACE: NodeKind = NodeKind::Race { cancel_rest: true };

fn chain() -> GraphSpec {
    let mut drawing = Drawing::new();
    let mut at = 0;
    while !drawing.is_full() {
        at = drawing.draw(NodeKind::Step, &[at]);
    }
    drawing.done(at)
}

fn diamonds() -> GraphSpec {
    let mut drawing = Drawing::new();
    let mut at = 0;
    while !drawing.is_full() {
        let sides = [drawing.draw(NodeKind::Step, &[at]), drawing.draw(NodeKind::Step, &[at])];
        at = drawing.draw(NodeKind::Step, &sides);
    }
    drawing.done(at)
}

fn switches(outcomes: u32, is_parallel: bool) -> GraphSpec {
    let mut drawing = Drawing::new();
    let mut ends = vec![0];
    while !drawing.is_full() {
        let from = if is_parallel { 0 } else { ends[ends.len() - 1] };
        let cases = drawing.switch(from, outcomes);
        let steps: Vec<u32> =
            cases.into_iter().map(|case| drawing.draw(NodeKind::Step, &[case])).collect();
        ends.push(drawing.draw(NodeKind::Merge, &steps));
    }
    let output = drawing.draw(NodeKind::Step, &ends);
    drawing.done(output)
}

fn whens() -> GraphSpec {
    let mut drawing = Drawing::new();
    let whens: Vec<u32> = (0..NODES).map(|_| drawing.draw(NodeKind::When, &[0])).collect();
    let collect = NodeKind::Collect { need: NODES / 2, cancel_rest: false };
    let output = drawing.draw(collect, &whens);
    drawing.done(output)
}

fn nested_whens() -> GraphSpec {
    let mut drawing = Drawing::new();
    let mut at = 0;
    while !drawing.is_full() {
        at = drawing.draw(NodeKind::When, &[at]);
    }
    let output = drawing.draw(NodeKind::Optional, &[at]);
    drawing.done(output)
}

fn early_exits() -> GraphSpec {
    let mut drawing = Drawing::new();
    let (mut at, mut exits) = (0, Vec::new());
    while !drawing.is_full() {
        let cases = drawing.switch(at, 2);
        exits.push(cases[0]);
        at = drawing.draw(NodeKind::Step, &[cases[1]]);
    }
    exits.push(at);
    let output = drawing.draw(NodeKind::Merge, &exits);
    drawing.done(output)
}

fn tree() -> GraphSpec {
    let mut drawing = Drawing::new();
    let (mut open, mut next) = (vec![0], 0);
    while !drawing.is_full() {
        let cases = drawing.switch(open[next], 2);
        open.extend(cases);
        next += 1;
    }
    let leaves = &open[next..];
    let every = |from: usize| leaves.iter().copied().skip(from).step_by(2).collect::<Vec<_>>();
    let halves =
        [drawing.draw(NodeKind::Merge, &every(0)), drawing.draw(NodeKind::Merge, &every(1))];
    let output = drawing.draw(NodeKind::Merge, &halves);
    drawing.done(output)
}

/// What no order of decisions keeps small: the worst case of the budget.
fn entangled() -> GraphSpec {
    let mut drawing = Drawing::new();
    let whens: Vec<u32> = (0..100).map(|_| drawing.draw(NodeKind::When, &[0])).collect();
    let mut races: Vec<u32> = whens.clone();
    let mut dice = 1_u32;
    while !drawing.is_full() {
        let mut any = || {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) as usize
        };
        let (one, other) = (any() % races.len(), any() % races.len());
        let pair = [races[one], races[other]];
        let kind = if any() % 2 == 0 { RACE } else { NodeKind::Step };
        races.push(drawing.draw(kind, &pair));
    }
    let cases = drawing.switch(races[races.len() - 1], 2);
    let merge = drawing.draw(NodeKind::Merge, &cases);
    let output = drawing.draw(COLLECT, &[merge]);
    drawing.done(output)
}
