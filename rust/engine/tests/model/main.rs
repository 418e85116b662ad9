//! The engine beside a naive model: random graphs, events and failures, and both do the same.

mod naive;
mod twin;

use proptest::prelude::*;

use twin::{Op, Twin};

/// A graph: node by node, `None` for an inline node.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) steps: Vec<Option<Step>>,
    pub(crate) producers: Vec<Vec<usize>>,
}

/// The policy of a step; `wait` in ticks after each failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) attempts_max: u32,
    pub(crate) wait: u64,
    pub(crate) queue: usize,
    pub(crate) priority: Option<u8>,
}

/// Graphs of up to eight nodes; producers stand before their consumers.
fn shapes() -> impl Strategy<Value = Shape> {
    let step = (1..=3_u32, 0..=2_u64, 0..2_usize, prop::option::of(1..=5_u8)).prop_map(
        |(attempts_max, wait, queue, priority)| Step { attempts_max, wait, queue, priority },
    );
    let node = (
        prop::option::weighted(0.75, step),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    );
    prop::collection::vec(node, 1..9).prop_map(|nodes| {
        let (mut steps, mut producers) = (Vec::new(), Vec::new());
        for (index, (step, picks)) in nodes.into_iter().enumerate() {
            steps.push(step);
            let picks = picks.iter().filter(|_| index > 0).map(|pick| pick.index(index));
            producers.push(picks.collect());
        }
        Shape { steps, producers }
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let pick = any::<u8>;
    let op = prop_oneof![
        3 => (pick(), 1..=5_u8).prop_map(|(shape, priority)| Op::Accept { shape, priority }),
        4 => Just(Op::Dispatch),
        4 => pick().prop_map(Op::Done),
        3 => (pick(), any::<bool>()).prop_map(|(attempt, again)| Op::Fail { attempt, again }),
        1 => pick().prop_map(Op::CancelRun),
        2 => pick().prop_map(Op::EndCancelled),
        1 => pick().prop_map(Op::Interrupt),
        2 => (0..=3_u64).prop_map(Op::Advance),
        2 => pick().prop_map(Op::Stale),
    ];
    prop::collection::vec(op, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn the_engine_does_what_the_naive_model_does(
        shapes in prop::collection::vec(shapes(), 1..3),
        concurrency in 1..=4_u32,
        narrow in 1..=2_u32,
        ops in ops(),
    ) {
        let mut twin = Twin::new(&shapes, concurrency, narrow);
        for op in &ops {
            twin.play(*op);
        }
        twin.finish();
    }

    #[test]
    fn the_same_calls_give_the_same_actions(
        shapes in prop::collection::vec(shapes(), 1..3),
        ops in ops(),
    ) {
        let log = || {
            let mut twin = Twin::new(&shapes, 3, 1);
            for op in &ops {
                twin.play(*op);
            }
            twin.finish();
            twin.log
        };
        prop_assert_eq!(log(), log());
    }
}
