//! Each defect is found and its clean twin passes.

mod brute_force;

use super::super::spec::{CallSpec, GraphSpec, NodeKind, NodeSpec, RegionSpec};
use super::region::{Exclusion, Region};
use super::{branch_pairs, verify};

const STEP: NodeKind = NodeKind::Step;
const WHEN: NodeKind = NodeKind::When;
const MERGE: NodeKind = NodeKind::Merge;
const RACE: NodeKind = NodeKind::Race { cancel_rest: true };
const SWITCH: NodeKind = NodeKind::Switch { outcomes: 3 };

const fn case(outcome: u32) -> NodeKind {
    NodeKind::Case { taken: 1 << outcome }
}

const fn collect(need: u32) -> NodeKind {
    NodeKind::Collect { need, cancel_rest: false }
}

/// A graph under way; node 0 is its input.
struct Drawing(GraphSpec);

impl Drawing {
    fn new() -> Self {
        Self(GraphSpec::flat("w", "1", vec![NodeSpec::new("w/x", NodeKind::Input, &[])], 0))
    }

    fn draw(&mut self, label: &str, kind: NodeKind, inputs: &[u32]) -> u32 {
        let node = self.0.nodes.len() as u32;
        self.0.nodes.push(NodeSpec::new(&format!("w/{label}"), kind, inputs));
        node
    }

    fn edit(&mut self, node: u32) -> &mut NodeSpec {
        &mut self.0.nodes[node as usize]
    }

    fn returning(mut self, output: u32) -> GraphSpec {
        self.0.regions[0].output = output;
        self.0.regions[0].stop = self.0.nodes.len() as u32;
        self.0.calls[0].output = output;
        self.0
    }

    /// Its problems if it returns this node.
    fn problems(self, output: u32) -> Vec<String> {
        verify(&self.returning(output))
    }
}

/// Asserts that there is one problem, of this node, with these words in it.
#[track_caller]
fn assert_problem(problems: &[String], label: &str, words: &[&str]) {
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with(&format!("node w/{label}: ")), "{}", problems[0]);
    for word in words {
        assert!(problems[0].contains(word), "{word:?} is not in {}", problems[0]);
    }
}

const NONE: &[String] = &[];

#[test]
fn a_step_on_two_cases_is_dead_and_said_once() {
    let draw = |join| {
        let mut it = Drawing::new();
        let severity = it.draw("severity", SWITCH, &[0]);
        let high = it.draw("high", case(1), &[severity]);
        let low = it.draw("low", NodeKind::Case { taken: 0b101 }, &[severity]);
        let both = it.draw("both", join, &[high, low]);
        let next = it.draw("next", STEP, &[both]);
        it.problems(next)
    };
    let words = [
        "w/high and w/low",
        "outcome 1 of w/severity",
        "outcome 0 or outcome 2 to the other",
        "merge",
    ];
    assert_problem(&draw(STEP), "both", &words);
    assert_eq!(draw(MERGE), NONE);
}

#[test]
fn a_case_without_an_outcome_is_dead() {
    let draw = |explore| {
        let mut it = Drawing::new();
        let accept =
            it.draw("accept", NodeKind::Accept { contains: 0, computed: true, explore }, &[0]);
        let explored = it.draw("explored", case(2), &[accept]);
        it.draw("review", STEP, &[explored]);
        it.problems(0)
    };
    assert_problem(&draw(0), "explored", &["no outcome that its decision can have"]);
    assert_eq!(draw(1), NONE);
}

#[test]
fn gates_that_exclude_each_other_need_not_share_a_decision() {
    let mut it = Drawing::new();
    let switches =
        [it.draw("a", SWITCH, &[0]), it.draw("b", SWITCH, &[0]), it.draw("c", SWITCH, &[0])];
    let [a, b, c] = switches.map(|switch| {
        [0, 1].map(|outcome| it.draw(&format!("{switch}-{outcome}"), case(outcome), &[switch]))
    });
    let one = it.draw("one", RACE, &[a[0], b[0]]);
    let two = it.draw("two", RACE, &[a[1], c[0]]);
    let three = it.draw("three", STEP, &[b[1], c[1]]);
    it.draw("all", STEP, &[one, two, three]);
    assert_problem(&it.problems(0), "all", &["never taken all at once"]);
}

#[test]
fn a_merge_of_whens_can_have_two_inputs() {
    let draw = |join| {
        let mut it = Drawing::new();
        let (small, cheap) = (it.draw("small", WHEN, &[0]), it.draw("cheap", WHEN, &[0]));
        let step = it.draw("step", STEP, &[cheap]);
        let end = it.draw("end", join, &[small, step]);
        let result = it.draw("result", NodeKind::Optional, &[end]);
        it.problems(result)
    };
    let words =
        ["w/small and w/step", "when w/", "w/small is true", "w/cheap is true", "switch", "race"];
    assert_problem(&draw(MERGE), "end", &words);
    assert_eq!(draw(RACE), NONE);
    assert_eq!(draw(collect(0)), NONE);
}

#[test]
fn a_merge_of_one_node_twice_is_no_choice() {
    let mut it = Drawing::new();
    let merge = it.draw("merge", MERGE, &[0, 0]);
    assert_problem(&it.problems(merge), "merge", &["w/x and w/x are both taken in every run"]);
}

#[test]
fn cases_across_nested_switches_merge_in_any_grouping() {
    let draw = |is_shared: bool| {
        let mut it = Drawing::new();
        let outer = it.draw("outer", SWITCH, &[0]);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for outcome in 0..3 {
            let branch = it.draw(&format!("{outcome}"), case(outcome), &[outer]);
            let inner =
                it.draw(&format!("{outcome}/inner"), NodeKind::Switch { outcomes: 2 }, &[branch]);
            good.push(it.draw(&format!("{outcome}/good"), case(0), &[inner]));
            bad.push(it.draw(&format!("{outcome}/bad"), case(1), &[inner]));
        }
        bad.extend(is_shared.then_some(good[1]));
        let (good, bad) = (it.draw("good", MERGE, &good), it.draw("bad", MERGE, &bad));
        let end = it.draw("end", MERGE, &[good, bad]);
        it.problems(end)
    };
    assert_eq!(draw(false), NONE);
    let words = ["w/good and w/bad", "w/outer has outcome 1", "w/1/inner has outcome 0"];
    assert_problem(&draw(true), "end", &words);
}

/// Two nodes of which exactly one is taken: whether an even number of decisions fall on outcome 1.
fn parity(it: &mut Drawing, label: &str, decisions: u32) -> [u32; 2] {
    let mut sides = [0, 0];
    for number in 0..decisions {
        let label = format!("{label}{number}");
        let switch = it.draw(&label, NodeKind::Switch { outcomes: 2 }, &[0]);
        let cases =
            [0, 1].map(|outcome| it.draw(&format!("{label}[{outcome}]"), case(outcome), &[switch]));
        if number == 0 {
            sides = cases;
            continue;
        }
        sides = [0, 1].map(|side| {
            let ways = [0, 1].map(|way| {
                it.draw(&format!("{label}/{side}{way}"), STEP, &[cases[way], sides[side ^ way]])
            });
            it.draw(&format!("{label}/{side}"), MERGE, &ways)
        });
    }
    sides
}

#[test]
fn exclusion_is_proved_where_no_single_decision_tells_it() {
    for decisions in [2, 16, 300] {
        let mut it = Drawing::new();
        let sides = parity(&mut it, "p", decisions);
        let end = it.draw("end", MERGE, &sides);
        assert_eq!(it.problems(end), NONE);
    }
}

/// Whether each row, and each column, of a square of decisions has one that holds: one of the two is
/// large in any order of the decisions.
fn square(it: &mut Drawing, side: usize) -> [u32; 2] {
    let whens: Vec<u32> =
        (0..side * side).map(|n| it.draw(&format!("when{n}"), WHEN, &[0])).collect();
    ["row", "column"].map(|name| {
        let lines: Vec<u32> = (0..side)
            .map(|line| {
                let cells = (0..side).map(|cell| match name {
                    "row" => whens[line * side + cell],
                    _ => whens[cell * side + line],
                });
                let cells: Vec<u32> = cells.collect();
                it.draw(&format!("{name}{line}"), RACE, &cells)
            })
            .collect();
        it.draw(&format!("{name}s"), STEP, &lines)
    })
}

#[test]
fn what_is_too_much_to_tell_is_not_proved_and_spoils_nothing_else() {
    let mut it = Drawing::new();
    let [rows, columns] = square(&mut it, 20);
    let switch = it.draw("switch", SWITCH, &[columns]);
    let cases =
        [0, 1, 2].map(|outcome| it.draw(&format!("case{outcome}"), case(outcome), &[switch]));
    it.draw("simple", MERGE, &cases);
    it.draw("wide", MERGE, &[rows, columns]);
    let sides = parity(&mut it, "p", 16);
    let end = it.draw("end", MERGE, &sides);
    let problems = it.problems(end);
    assert_problem(
        &problems,
        "wide",
        &["not proved", "400 decisions", "split the workflow", "race"],
    );
}

#[test]
fn sixteen_decisions_are_exact_whatever_they_take() {
    for budget in [0, 1 << 18] {
        let mut it = Drawing::new();
        let [rows, columns] = square(&mut it, 4);
        let end = it.draw("end", MERGE, &[rows, columns]);
        let graph = it.returning(end);
        let mut region = Region::with_budget(&graph, &graph.regions[0], false, budget);
        assert!(matches!(region.exclusion(end), Exclusion::Refuted(..)));
    }
}

#[test]
fn a_result_that_may_be_skipped_names_when() {
    let draw = |is_optional| {
        let mut it = Drawing::new();
        let when = it.draw("urgent", WHEN, &[0]);
        let page = it.draw("page", STEP, &[when]);
        let result = it.draw("result", NodeKind::Optional, &[page]);
        it.problems(if is_optional { result } else { page })
    };
    let words = ["result of w is skipped when w/urgent is false", "merge all cases", "optional()"];
    assert_problem(&draw(false), "page", &words);
    assert_eq!(draw(true), NONE);
}

#[test]
fn an_outcome_is_called_what_its_case_is() {
    let mut it = Drawing::new();
    let switch = it.draw("severity", SWITCH, &[0]);
    let [_, low, other] = [(0, "high"), (1, "low"), (2, "default")]
        .map(|(outcome, label)| it.draw(&format!("severity[{label}]"), case(outcome), &[switch]));
    let end = it.draw("end", MERGE, &[low, other]);
    assert_problem(&it.problems(end), "end", &["when w/severity is high"]);
}

#[test]
fn a_merge_that_leaves_a_case_out_may_be_skipped() {
    let draw = |count: usize| {
        let mut it = Drawing::new();
        let switch = it.draw("switch", SWITCH, &[0]);
        let cases =
            [0, 1, 2].map(|outcome| it.draw(&format!("{outcome}"), case(outcome), &[switch]));
        let end = it.draw("end", MERGE, &cases[..count]);
        it.problems(end)
    };
    assert_problem(&draw(2), "end", &["when w/switch has outcome 2"]);
    assert_eq!(draw(3), NONE);
}

#[test]
fn a_collect_can_not_need_more_than_can_come() {
    let draw = |need| {
        let mut it = Drawing::new();
        let switch = it.draw("switch", SWITCH, &[0]);
        let (one, two) = (it.draw("one", case(0), &[switch]), it.draw("two", case(1), &[switch]));
        let when = it.draw("when", WHEN, &[0]);
        let all = it.draw("all", collect(need), &[one, two, when]);
        let end = it.draw("end", NodeKind::Optional, &[all]);
        it.problems(end)
    };
    assert_problem(&draw(4), "all", &["needs 4 inputs but has 3"]);
    assert_problem(&draw(3), "all", &["at most 2 of its 3", "lower need to 2"]);
    assert_eq!(draw(2), NONE);
    assert_eq!(draw(0), NONE);
}

#[test]
fn a_collect_that_needs_some_is_skipped_where_none_can_come() {
    let draw = |need| {
        let mut it = Drawing::new();
        let when = it.draw("when", WHEN, &[0]);
        let some = it.draw("some", collect(need), &[when]);
        it.problems(some)
    };
    assert_problem(
        &draw(1),
        "some",
        &["result of w is skipped when w/when is false", "optional()"],
    );
    assert_eq!(draw(0), NONE);
}

#[test]
fn a_switch_that_decides_nothing_is_a_problem() {
    let mut it = Drawing::new();
    it.draw("idle", SWITCH, &[0]);
    assert_problem(&it.problems(0), "idle", &["none of its cases is used"]);
}

#[test]
fn a_gate_holds_joins_back_too() {
    let draw = |is_gated: bool| {
        let mut it = Drawing::new();
        let switch = it.draw("switch", SWITCH, &[0]);
        let (one, rest) = (
            it.draw("one", case(0), &[switch]),
            it.draw("rest", NodeKind::Case { taken: 0b110 }, &[switch]),
        );
        let all = it.draw("all", collect(0), &[0]);
        if is_gated {
            it.edit(all).gates = vec![one];
        }
        let end = it.draw("end", MERGE, &[all, rest]);
        it.problems(end)
    };
    assert_eq!(draw(true), NONE);
    assert_problem(&draw(false), "end", &["w/rest and w/all"]);
}

#[test]
fn what_is_waited_for_without_its_value_never_skips() {
    let mut it = Drawing::new();
    let when = it.draw("when", WHEN, &[0]);
    let step = it.draw("step", STEP, &[0]);
    it.edit(step).after = vec![when];
    assert_eq!(it.problems(step), NONE);
}

#[test]
fn a_shielded_call_and_a_wait_may_skip_the_result() {
    let signal = |timeout_ns, fail| NodeKind::Signal { signal: 0, timeout_ns, fail };
    for (kind, words) in [
        (NodeKind::Shield { contains: 0 }, Some("contains a failure")),
        (signal(5, false), Some("times out")),
        (signal(5, true), None),
        (signal(0, false), None),
    ] {
        let mut it = Drawing::new();
        let node = it.draw("node", kind, &[0]);
        let problems = it.problems(node);
        match words {
            Some(words) => assert_problem(&problems, "node", &[words, "optional()"]),
            None => assert_eq!(problems, NONE),
        }
    }
}

#[test]
fn a_cascade_always_gives_a_result() {
    let mut it = Drawing::new();
    let mut accepted = Vec::new();
    let mut gate = None;
    for tier in 1..=3 {
        let call = it.draw(&format!("tier-{tier}"), STEP, &[0]);
        it.edit(call).gates = gate.into_iter().collect();
        if tier == 3 {
            accepted.push(call);
            continue;
        }
        let accept = NodeKind::Accept { contains: tier, computed: true, explore: 0 };
        let accept = it.draw(&format!("accept-{tier}"), accept, &[call]);
        it.edit(accept).gates = gate.into_iter().collect();
        accepted.push(it.draw(&format!("yes-{tier}"), NodeKind::Case { taken: 0b110 }, &[accept]));
        gate = Some(it.draw(&format!("no-{tier}"), case(0), &[accept]));
    }
    let end = it.draw("end", MERGE, &accepted);
    assert_eq!(it.problems(end), NONE);
}

#[test]
fn a_scope_is_withdrawn_only_where_its_cancel_is_taken() {
    let draw = |cancelled_on: u32, is_optional: bool| {
        let mut it = Drawing::new();
        it.0.scopes = vec![None, Some(0)];
        let switch = it.draw("switch", NodeKind::Switch { outcomes: 2 }, &[0]);
        let cases = [0, 1].map(|outcome| it.draw(&format!("{outcome}"), case(outcome), &[switch]));
        let member = it.draw("member", STEP, &[cases[0]]);
        it.edit(member).scope = Some(1);
        it.draw("cancel", NodeKind::Cancel { scope: 0 }, &[cases[cancelled_on as usize]]);
        let end = it.draw("end", MERGE, &[member, cases[1]]);
        let result = it.draw("result", NodeKind::Optional, &[end]);
        it.problems(if is_optional { result } else { end })
    };
    assert_eq!(draw(1, false), NONE);
    assert_problem(
        &draw(0, false),
        "end",
        &["w/cancel withdraws its scope", "w/switch has outcome 0"],
    );
    assert_eq!(draw(0, true), NONE);
}

/// A workflow with one body: `w/inner`, owned by `owner`, whose nodes `body` draws after its input.
fn nested(owner: NodeKind, body: impl Fn(&mut Drawing, u32) -> u32) -> Vec<String> {
    let mut it = Drawing::new();
    let call = it.draw("inner", owner, &[0]);
    let start = it.0.nodes.len() as u32;
    let input = it.draw("inner[]/x", NodeKind::Input, &[]);
    let output = body(&mut it, input);
    let stop = it.0.nodes.len() as u32;
    let mut graph = it.returning(call);
    graph.regions[0].stop = start;
    let prefix = "w/inner[]".to_owned();
    graph.regions.push(RegionSpec { prefix, start, stop, input_count: 1, output });
    graph.calls.push(CallSpec { parent: 1, output });
    for node in &mut graph.nodes[start as usize..] {
        node.call = 1;
    }
    verify(&graph)
}

const LOOP: NodeKind = NodeKind::Loop { body: 1, limit: 3, fail: true };
const MAP: NodeKind =
    NodeKind::Map { body: 1, concurrency: 0, need: 0, tolerated: None, cancel_rest: false };

#[test]
fn a_body_is_verified_by_itself() {
    let problems = nested(MAP, |it, input| it.draw("inner[]/when", WHEN, &[input]));
    assert_problem(&problems, "inner[]/when", &["result of w/inner[] is skipped"]);
    assert_eq!(nested(MAP, |it, input| it.draw("inner[]/step", STEP, &[input])), NONE);
}

#[test]
fn a_recursion_must_be_able_to_end() {
    let again = |limit| NodeKind::Recurse { body: 0, limit };
    let draw = |limit, is_chosen: bool, join: NodeKind| {
        let mut it = Drawing::new();
        let when = it.draw("deeper", WHEN, &[0]);
        let again = it.draw("again", again(limit), &[if is_chosen { when } else { 0 }]);
        let end = it.draw("end", join, &[again, 0]);
        it.problems(end)
    };
    assert_problem(&draw(5, false, STEP), "again", &["recurses whatever is decided", "max_depth"]);
    assert_problem(&draw(0, true, collect(0)), "again", &["no limit", "max_depth"]);
    assert_eq!(draw(5, true, collect(0)), NONE);
    assert_eq!(draw(5, false, RACE), NONE, "the race contains the failure at the limit");
}

#[test]
fn a_loop_recurses_always_and_a_map_does_not() {
    let again = NodeKind::Recurse { body: 0, limit: 5 };
    let body = |it: &mut Drawing, input| it.draw("inner[]/again", again, &[input]);
    assert_problem(&nested(LOOP, body), "inner[]/again", &["recurses whatever is decided"]);
    assert_eq!(nested(MAP, body), NONE);
    assert_eq!(
        nested(NodeKind::Recurse { body: 1, limit: 0 }, |it, input| {
            it.draw("inner[]/step", STEP, &[input])
        }),
        NONE,
        "a call of a recursive workflow from outside has no limit of its own"
    );
}

#[test]
fn every_problem_comes_at_once() {
    let mut it = Drawing::new();
    let switch = it.draw("switch", SWITCH, &[0]);
    let (one, two) = (it.draw("one", case(0), &[switch]), it.draw("two", case(1), &[switch]));
    it.draw("dead", STEP, &[one, two]);
    it.draw("idle", SWITCH, &[0]);
    it.draw("both", MERGE, &[one, 0]);
    let result = it.draw("result", MERGE, &[one, two]);
    assert_eq!(it.problems(result).len(), 4);
}

#[test]
fn compensations_are_no_part_of_the_flow() {
    let mut it = Drawing::new();
    let switch = it.draw("switch", SWITCH, &[0]);
    let (one, two) = (it.draw("one", case(0), &[switch]), it.draw("two", case(1), &[switch]));
    it.draw("undo", NodeKind::Undo { of: one }, &[one, two]);
    assert_eq!(it.problems(0), NONE);
}

#[test]
fn a_long_chain_of_decisions_does_not_overflow_the_stack() {
    let mut it = Drawing::new();
    let mut at = 0;
    for number in 0..50_000 {
        let switch = it.draw(&format!("{number}"), NodeKind::Switch { outcomes: 2 }, &[at]);
        let cases = [0, 1]
            .map(|outcome| it.draw(&format!("{number}[{outcome}]"), case(outcome), &[switch]));
        at = it.draw(&format!("{number}/merge"), MERGE, &cases);
        if number % 1000 == 0 {
            at = it.draw(&format!("{number}/when"), WHEN, &[at]);
        }
    }
    let end = it.draw("end", NodeKind::Optional, &[at]);
    assert_eq!(it.problems(end), NONE);
}

#[test]
fn pairs_are_those_of_outcomes_that_meet() {
    let mut it = Drawing::new();
    let outer = it.draw("outer", NodeKind::Switch { outcomes: 2 }, &[0]);
    let (one, two) = (it.draw("one", case(0), &[outer]), it.draw("two", case(1), &[outer]));
    let inner = it.draw("inner", WHEN, &[one]);
    let other =
        it.draw("other", NodeKind::Accept { contains: 0, computed: true, explore: 0 }, &[two]);
    let pairs = branch_pairs(&it.returning(0)).expect("few decisions");
    let expected =
        [(outer, 0, inner, 0), (outer, 0, inner, 1), (outer, 1, other, 0), (outer, 1, other, 1)];
    assert_eq!(pairs, expected);
}

#[test]
fn too_many_pairs_are_not_listed() {
    let mut it = Drawing::new();
    for number in 0..1_000 {
        it.draw(&format!("{number}"), WHEN, &[0]);
    }
    assert_eq!(branch_pairs(&it.returning(0)), None);
}
