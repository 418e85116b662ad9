//! Random small graphs, against an evaluator that tries every assignment.

use proptest::prelude::*;

use super::super::super::spec::{GraphSpec, NodeKind, NodeSpec};
use super::super::region::{Certainty, Exclusion, Region};
use super::super::variables::outcomes;
use super::super::{branch_pairs, diagram::Guard};

const NODES_MAX: usize = 12;
const DECISIONS_MAX: usize = 5;

/// What a node is drawn from: kind, inputs, gates, scope, outcomes.
type Dice = (u8, Vec<u32>, Vec<u32>, u8, u64);

fn dice() -> impl Strategy<Value = Vec<Dice>> {
    let indices = |most| prop::collection::vec(any::<u32>(), 0..most);
    let gates = prop_oneof![3 => Just(Vec::new()), 1 => indices(2)];
    let node = (any::<u8>(), indices(4), gates, any::<u8>(), any::<u64>());
    prop::collection::vec(node, 1..NODES_MAX)
}

/// Draws a graph, whose nodes stand after their producers or, reversed, before them.
fn draw(dice: Vec<Dice>, is_reversed: bool) -> GraphSpec {
    let mut nodes = vec![NodeSpec::new("w/0", NodeKind::Input, &[])];
    let mut decisions = 0;
    for (kind, inputs, gates, scope, bits) in dice {
        let count = nodes.len() as u32;
        let mut inputs: Vec<u32> = inputs.into_iter().map(|input| input % count).collect();
        let switches: Vec<u32> = (0..count)
            .filter(|&node| {
                matches!(
                    nodes[node as usize].kind,
                    NodeKind::Switch { .. } | NodeKind::Accept { .. }
                )
            })
            .collect();
        let mut kind = match kind % 16 {
            0 | 1 => NodeKind::Switch { outcomes: 1 + (bits % 3) as u32 },
            2..=5 if !switches.is_empty() => {
                inputs = vec![switches[bits as usize % switches.len()]];
                NodeKind::Case { taken: bits >> 32 }
            }
            6 | 7 => NodeKind::When,
            8 | 9 => NodeKind::Merge,
            10 => NodeKind::Collect { need: (bits % 4) as u32, cancel_rest: false },
            11 => NodeKind::Race { cancel_rest: true },
            12 => NodeKind::Optional,
            13 => NodeKind::Accept { contains: 0, computed: true, explore: (bits % 2) as u32 },
            14 => NodeKind::Cancel { scope: (bits % 2) as u32 },
            15 if bits % 2 == 0 => NodeKind::Shield { contains: 0 },
            15 => NodeKind::Signal { signal: 0, timeout_ns: bits % 3, fail: false },
            _ => NodeKind::Step,
        };
        decisions += usize::from(outcomes(kind).is_some());
        if outcomes(kind).is_some() && decisions > DECISIONS_MAX {
            kind = NodeKind::Step;
        }
        let mut node = NodeSpec::new(&format!("w/{count}"), kind, &inputs);
        node.gates = gates.into_iter().map(|gate| gate % count).collect();
        node.scope = [None, None, Some(0), Some(1)][usize::from(scope % 4)];
        nodes.push(node);
    }
    let last = nodes.len() as u32 - 1;
    if is_reversed {
        nodes.reverse();
        for node in &mut nodes {
            for edge in node.inputs.iter_mut().chain(&mut node.gates) {
                *edge = last - *edge;
            }
        }
    }
    let mut graph = GraphSpec::flat("w", "1", nodes, if is_reversed { 0 } else { last });
    graph.scopes = vec![None, Some(0)];
    graph
}

/// One way things can fall: by node, its outcome; by scope, whether it is kept.
#[derive(Clone, Debug)]
struct World {
    outcomes: Vec<u32>,
    kept: [bool; 2],
}

/// By node, whether it got its turn, and whether it was taken.
struct Result {
    entered: Vec<bool>,
    taken: Vec<bool>,
}

fn worlds(graph: &GraphSpec) -> Vec<World> {
    let mut worlds = Vec::new();
    for kept in [[true, true], [true, false], [false, true], [false, false]] {
        worlds.push(World { outcomes: vec![0; graph.nodes.len()], kept });
    }
    for (node, spec) in graph.nodes.iter().enumerate() {
        let Some(count) = outcomes(spec.kind) else { continue };
        worlds = worlds
            .into_iter()
            .flat_map(|world| {
                (0..count).map(move |outcome| {
                    let mut world = world.clone();
                    world.outcomes[node] = outcome;
                    world
                })
            })
            .collect();
    }
    worlds.retain(|world| is_possible(graph, world));
    worlds
}

fn cancels(graph: &GraphSpec, scope: u32) -> impl Iterator<Item = usize> {
    (0..graph.nodes.len()).filter(move |&node| graph.nodes[node].kind == NodeKind::Cancel { scope })
}

/// A withdrawn scope has a cancel node that is reached before anything is withdrawn.
fn is_possible(graph: &GraphSpec, world: &World) -> bool {
    let before = evaluate(graph, &World { kept: [true, true], ..world.clone() });
    (0..2).all(|scope| {
        world.kept[scope as usize] || cancels(graph, scope).any(|node| before.taken[node])
    })
}

fn evaluate(graph: &GraphSpec, world: &World) -> Result {
    let count = graph.nodes.len();
    let mut result = Result { entered: vec![false; count], taken: vec![false; count] };
    let is_reversed = graph.nodes[0].kind != NodeKind::Input;
    for step in 0..count {
        let node = if is_reversed { count - 1 - step } else { step };
        let spec = &graph.nodes[node];
        let mut inputs = spec.inputs.iter().map(|&input| result.taken[input as usize]);
        let by_inputs = match spec.kind {
            NodeKind::Merge | NodeKind::Race { .. } | NodeKind::Collect { need: 1.., .. } => {
                inputs.any(|taken| taken)
            }
            NodeKind::Collect { .. } | NodeKind::Optional => true,
            _ => inputs.all(|taken| taken),
        };
        let is_kept = match spec.scope {
            None => true,
            Some(0) => world.kept[0],
            Some(_) => world.kept[0] && world.kept[1],
        };
        let gates = spec.gates.iter().all(|&gate| result.taken[gate as usize]);
        let entered = spec.kind == NodeKind::Input || (by_inputs && gates && is_kept);
        let passes = match spec.kind {
            NodeKind::Case { taken } => taken >> world.outcomes[spec.inputs[0] as usize] & 1 == 1,
            NodeKind::When | NodeKind::Shield { .. } => world.outcomes[node] == 1,
            NodeKind::Signal { timeout_ns, .. } => timeout_ns == 0 || world.outcomes[node] == 1,
            _ => true,
        };
        result.entered[node] = entered;
        result.taken[node] = entered && passes;
    }
    result
}

/// Whether a world is one of those that a counterexample stands for.
fn agrees(graph: &GraphSpec, world: &World, example: &[(u32, u32)]) -> bool {
    example.iter().all(|&(node, outcome)| match graph.nodes[node as usize].kind {
        NodeKind::Cancel { scope } => u32::from(world.kept[scope as usize]) == outcome,
        _ => world.outcomes[node as usize] == outcome,
    })
}

fn count(taken: &[bool], nodes: &[u32]) -> usize {
    nodes.iter().filter(|&&node| taken[node as usize]).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Guards, dead nodes, exclusion, certainty and collects are as every assignment says.
    #[test]
    fn guards_are_what_every_assignment_says(
        dice in dice(), is_reversed: bool, is_order_reversed: bool,
    ) {
        let graph = draw(dice, is_reversed);
        let worlds = worlds(&graph);
        let results: Vec<Result> = worlds.iter().map(|world| evaluate(&graph, world)).collect();
        let mut region = Region::new(&graph, &graph.regions[0], is_order_reversed);
        let ever = |rule: &dyn Fn(&Result) -> bool| results.iter().any(rule);
        for node in 0..graph.nodes.len() as u32 {
            let at = node as usize;
            let inputs = &graph.nodes[at].inputs;
            for (world, result) in worlds.iter().zip(&results) {
                let taken = region.is_taken(
                    node,
                    |decision| world.outcomes[decision as usize],
                    |scope| world.kept[scope as usize],
                );
                prop_assert_eq!(taken, result.taken[at], "node {} in {:?}", node, world);
            }
            prop_assert_eq!(region.guard(node) == Guard::NEVER, !ever(&|it| it.taken[at]));
            let example = match region.certainty(node) {
                Certainty::Proved => None,
                Certainty::Refuted(example) => Some(example),
                Certainty::Unknown => return Err(TestCaseError::fail("unknown")),
            };
            prop_assert_eq!(example.is_some(), ever(&|it| !it.taken[at]));
            for (world, result) in worlds.iter().zip(&results) {
                if example.as_ref().is_some_and(|example| agrees(&graph, world, example)) {
                    prop_assert!(!result.taken[at], "{:?}", example);
                }
            }
            match graph.nodes[at].kind {
                NodeKind::Merge => {
                    let overlaps = ever(&|it| it.taken[at] && count(&it.taken, inputs) > 1);
                    match region.exclusion(node) {
                        Exclusion::Proved => prop_assert!(!overlaps),
                        Exclusion::Refuted(one, other, example) => {
                            prop_assert!(overlaps);
                            prop_assert!(inputs.contains(&one) && inputs.contains(&other));
                            for (world, result) in worlds.iter().zip(&results) {
                                if agrees(&graph, world, &example) {
                                    let taken = |node: u32| result.taken[node as usize];
                                    prop_assert!(taken(one) && taken(other) && taken(node));
                                }
                            }
                        }
                        Exclusion::Unknown => return Err(TestCaseError::fail("unknown")),
                    }
                }
                NodeKind::Collect { .. } => {
                    let most = results.iter().map(|it| count(&it.taken, inputs)).max();
                    let most = most.unwrap_or_default() as u32;
                    for need in 0..=inputs.len() as u32 {
                        let shortage = region.shortage(node, need);
                        prop_assert_eq!(shortage, (most < need).then_some(most));
                    }
                }
                _ => {}
            }
        }
    }

    /// Exactly the pairs of outcomes that some assignment shows.
    #[test]
    fn pairs_are_what_every_assignment_says(dice in dice(), is_reversed: bool) {
        let graph = draw(dice, is_reversed);
        let worlds = worlds(&graph);
        let mut expected = Vec::new();
        for world in &worlds {
            let result = evaluate(&graph, world);
            let events: Vec<(u32, u32)> = (0..graph.nodes.len())
                .filter(|&node| {
                    matches!(
                        graph.nodes[node].kind,
                        NodeKind::Switch { .. } | NodeKind::When | NodeKind::Accept { .. }
                    ) && result.entered[node]
                })
                .map(|node| (node as u32, world.outcomes[node]))
                .collect();
            for (at, &(one, outcome)) in events.iter().enumerate() {
                expected.extend(events[at + 1..].iter().map(|&(two, other)| (one, outcome, two, other)));
            }
        }
        expected.sort_unstable();
        expected.dedup();
        let mut pairs = branch_pairs(&graph).expect("few decisions");
        pairs.sort_unstable();
        prop_assert_eq!(pairs, expected);
    }
}
