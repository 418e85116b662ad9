//! Many worlds of each kind, each played twice.

use penstock_simulator::{Coverage, Report, Workload, crash_everywhere, simulate};

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

/// The process goes down once at each point: a record is written down, handed over, on disk, known to be.
#[test]
fn the_process_may_go_down_at_every_point() {
    let mut down_at = [0; 5];
    for seed in 0..6 {
        let workload = Workload::crashing(8 * seed, 3);
        let report = crash_everywhere(&workload).unwrap_or_else(|violation| panic!("{violation}"));
        let again = crash_everywhere(&workload).unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(report, again, "seed {} plays differently the second time", workload.seed);
        down_at.iter_mut().zip(report.down_at).for_each(|(sum, count)| *sum += count);
    }
    assert!(down_at.iter().all(|&count| count > 5), "{down_at:?}");
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
    assert!(text.contains("seed 5"), "{text}");
    assert!(text.contains("replay: make simulate SEED=5 WORLD=stormy RUNS=50"), "{text}");
    assert!(text.contains("at commit "), "{text}");
}
