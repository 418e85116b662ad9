//! Many stormy worlds, each played twice.

use penstock_simulator::{Coverage, Workload, simulate};

#[test]
fn nothing_that_must_not_happen_happens_and_each_seed_plays_the_same_twice() {
    let mut coverage = Coverage::default();
    let mut outcomes = [0; 5];
    for seed in 0..200 {
        let workload = Workload::stormy(seed, 60);
        let report = simulate(&workload).unwrap_or_else(|violation| panic!("{violation}"));
        let again = simulate(&workload).unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(report, again, "seed {seed} plays differently the second time");
        let all = [report.succeeded, report.failed, report.cancelled, report.late, report.refused];
        assert_eq!(all.iter().sum::<u64>(), 60, "seed {seed} lost runs");
        all.iter().zip(&mut outcomes).for_each(|(count, sum)| *sum += count);
        coverage.merge(&report.coverage);
    }
    assert!(outcomes.iter().all(|&count| count > 100), "{outcomes:?} hardly storms");
    assert_eq!((coverage.runs.len(), coverage.nodes.len()), (3, 13), "{coverage:?}");
}

#[test]
fn a_violation_names_its_seed_and_the_command_to_replay_it() {
    let mut workload = Workload::stormy(5, 50);
    // A policy the engine was not told of: the checker must object, or it checks nothing.
    workload.config.concurrency = 8;
    for (_, policies) in &mut workload.graphs {
        for policy in policies.iter_mut().flatten() {
            policy.priority = Some(9);
        }
    }
    let violation = simulate(&workload).expect_err("a priority of 9 can't be served");
    let text = violation.to_string();
    assert!(text.contains("seed 5") && text.contains("-- stormy 5 50"), "{text}");
}
