//! Many worlds of each kind, each played twice.

use penstock_simulator::{Coverage, Report, Workload, simulate};

/// What the worlds saw, and how their runs ended: succeeded, failed, cancelled, late, refused, vanished;
/// then how often they stalled, nobody knew, the process went down, and runs went on after that.
fn play(worlds: impl Iterator<Item = Workload>) -> (Coverage, [u64; 6], [u64; 4]) {
    let (mut coverage, mut outcomes, mut troubles) = (Coverage::default(), [0; 6], [0; 4]);
    for workload in worlds {
        let report = simulate(&workload).unwrap_or_else(|violation| panic!("{violation}"));
        let again = simulate(&workload).unwrap_or_else(|violation| panic!("{violation}"));
        let seed = workload.seed;
        assert_eq!(report, again, "seed {seed} plays differently the second time");
        let Report { succeeded, failed, cancelled, late, refused, vanished, .. } = report;
        let all = [succeeded, failed, cancelled, late, refused, vanished];
        assert_eq!(all.iter().sum::<u64>(), workload.runs, "seed {seed} lost runs");
        all.iter().zip(&mut outcomes).for_each(|(count, sum)| *sum += count);
        let Report { stalled, unknown, crashes, restored, .. } = report;
        let all = [stalled, unknown, crashes, restored];
        all.iter().zip(&mut troubles).for_each(|(count, sum)| *sum += count);
        coverage.merge(&report.coverage);
    }
    (coverage, outcomes, troubles)
}

#[test]
fn nothing_that_must_not_happen_happens_and_each_seed_plays_the_same_twice() {
    let (coverage, outcomes, troubles) = play((0..200).map(|seed| Workload::stormy(seed, 60)));
    assert!(outcomes.iter().all(|&count| count > 100), "{outcomes:?} hardly storms");
    assert!(troubles[1..].iter().all(|&count| count > 100), "{troubles:?} is hardly any trouble");
    assert_eq!((coverage.runs.len(), coverage.nodes.len()), (7, 23), "{coverage:?}");
}

/// Graphs of every construct: each run ends once with every node terminal, no value is dropped early,
/// twice or never, what was started is undone in the right order, keys are held by one at a time, and what
/// may run at most once does. All of it holds over processes that go down.
#[test]
fn graphs_of_every_construct_hold_to_the_same() {
    let (coverage, outcomes, troubles) = play((0..200).map(|seed| Workload::winding(seed, 25)));
    assert!(outcomes.iter().all(|&count| count > 5), "{outcomes:?}");
    assert!(troubles.iter().all(|&count| count > 20), "{troubles:?}");
    assert!(coverage.runs.len() >= 14 && coverage.nodes.len() >= 34, "{coverage:?}");
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
