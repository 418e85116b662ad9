//! Records: numbered without a gap, in order, and one for a step that succeeds.

use penstock_engine::{Body, Lsn};

use crate::harness::{World, input, step};

#[test]
fn lsn_and_seq_are_dense() {
    let mut world = World::new();
    let plan = world.plan(vec![input(), step(&[0]).attempts(3), step(&[0]), step(&[1, 2])]);
    let runs: Vec<_> = (0..4).map(|_| world.accept(plan)).collect();
    for round in 0.. {
        let starts = world.start_all();
        if starts.is_empty() && world.engine.next_deadline_ns().is_none() {
            break;
        }
        for (index, start) in starts.into_iter().enumerate() {
            _ = if (index + round) % 3 == 0 { world.fail(start) } else { world.done(start) };
        }
        world.advance(1_000_000_000);
    }
    for (index, record) in world.records.iter().enumerate() {
        assert_eq!(record.lsn, Lsn(index as u64 + 1));
    }
    for run in runs {
        let seqs: Vec<u32> =
            world.records.iter().filter(|it| it.run == run).map(|it| it.seq).collect();
        assert_eq!(seqs, (0..seqs.len() as u32).collect::<Vec<u32>>());
        let last = world.records.iter().rfind(|it| it.run == run).expect("it has records");
        assert!(matches!(last.body, Body::Ended { .. }));
    }
}

#[test]
fn a_step_that_succeeds_costs_one_record() {
    let mut world = World::new();
    let plan = world.plan(vec![step(&[]), step(&[0]), step(&[1])]);
    let run = world.accept(plan);
    while let Some(start) = world.start() {
        world.done(start);
    }
    assert_eq!(world.bodies(run), ["accepted", "done", "done", "done", "ended"]);
}
