//! What attempts spend, and what of it was of use.

use penstock_engine::{
    AttemptKind, Event, Failure, NodeKind, Page, Refusal, ResourceId, RunEnd, Start, WINDOW_NS,
    Waste,
};

use crate::harness::{SECOND, World, step};
use crate::play::Play;
use crate::sketch::Sketch;

const TOKENS: ResourceId = ResourceId(3);

fn spend(world: &mut World, start: Start, nanos: i64) {
    let (attempt, units) = (start.attempt, 10);
    world.handle(Event::Spent { attempt, resource: TOKENS, units, nanos: Some(nanos) });
}

/// The only page there is; its sums agree with each other.
fn page(world: &World) -> Page {
    let [page] = world.engine.books().pages() else { panic!("one window, workflow and tenant") };
    let nodes: Vec<_> = (0..page.node_count()).filter_map(|node| page.node(node)).collect();
    let cash: i64 = page.cash.iter().map(|(_, amount)| amount.nanos).sum();
    let by_node: i64 = nodes
        .iter()
        .flat_map(|node| node.spending.iter().map(|(_, amount)| amount.nanos).collect::<Vec<_>>())
        .sum();
    assert_eq!(page.nanos, cash, "what runs cost is what was booked");
    assert_eq!(page.nanos, by_node);
    assert_eq!(page.waste.iter().sum::<i64>(), page.nanos, "waste is a partition");
    assert_eq!(nodes.iter().flat_map(|node| node.kinds).sum::<i64>(), page.nanos);
    assert_eq!(nodes.iter().flat_map(|node| node.waste).sum::<i64>(), page.nanos);
    page.clone()
}

fn waste(page: &Page) -> Vec<(Waste, i64)> {
    let all = Waste::ALL.iter().map(|&waste| (waste, page.waste[waste as usize]));
    all.filter(|(_, nanos)| *nanos != 0).collect()
}

#[test]
fn a_failed_attempt_was_waste_and_the_one_that_succeeded_was_not() {
    let mut world = World::new();
    let plan = world.single(step(&[]).attempts(2));
    world.accept(plan);
    let first = world.started();
    spend(&mut world, first, 700);
    world.fail(first);
    world.advance(SECOND);
    let second = world.started();
    spend(&mut world, second, 20);
    spend(&mut world, second, 3);
    world.done(second);
    let page = page(&world);
    assert_eq!(waste(&page), [(Waste::Useful, 23), (Waste::FailedAttempt, 700)]);
    let node = page.node(0).expect("it ran");
    assert_eq!(node.attempts[AttemptKind::First as usize], 1);
    assert_eq!(node.attempts[AttemptKind::Retry as usize], 1);
    assert_eq!(node.kinds[AttemptKind::Retry as usize], 23);
    let (_, amount) = node.spending.iter().next().expect("it has spent");
    assert_eq!((amount.lines, amount.units, amount.unpriced), (3, 30, 0));
    assert_eq!((page.ended[RunEnd::Succeeded as usize], page.first_pass), (1, 0));
    assert_eq!(page.succeeded_nanos, 723);
}

#[test]
fn of_a_run_that_failed_everything_was_waste_whatever_its_nodes_did() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    sketch.step("b", &[a]);
    let mut play = Play::new(sketch);
    let start = play.attempt("a");
    spend(&mut play.world, start, 50);
    play.done("a");
    let start = play.attempt("b");
    spend(&mut play.world, start, 7);
    play.fail("b");
    let page = page(&play.world);
    assert_eq!(waste(&page), [(Waste::FailedRun, 57)]);
    assert_eq!((page.succeeded_nanos, page.ended[RunEnd::Failed as usize]), (0, 1));
}

#[test]
fn what_has_no_price_is_counted_and_costs_nothing() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    world.accept(plan);
    let start = world.started();
    let (attempt, units) = (start.attempt, 4);
    world.handle(Event::Spent { attempt, resource: TOKENS, units, nanos: None });
    world.done(start);
    let page = page(&world);
    assert_eq!((page.lines, page.unpriced, page.nanos), (1, 1, 0));
}

#[test]
fn the_branch_that_loses_a_race_was_lost_with_all_of_its_steps() {
    let mut sketch = Sketch::new();
    let a = sketch.step("a", &[]);
    let b = sketch.step("b", &[]);
    let c = sketch.step("c", &[b]);
    let race = sketch.node("race", NodeKind::Race { cancel_rest: true }, &[a, c]);
    sketch.step("last", &[race]);
    let mut play = Play::new(sketch);
    let start = play.attempt("b");
    spend(&mut play.world, start, 5);
    play.done("b");
    let (slow, quick) = (play.attempt("c"), play.attempt("a"));
    spend(&mut play.world, slow, 11);
    spend(&mut play.world, quick, 100);
    play.done("a");
    // It books before it ends, after it was told to stop.
    spend(&mut play.world, slow, 2);
    play.stops("c");
    play.done("last");
    let page = page(&play.world);
    assert_eq!(waste(&page), [(Waste::Useful, 100), (Waste::Lost, 18)]);
}

#[test]
fn a_tier_that_is_not_accepted_is_an_escalation_and_one_that_fails_a_failed_attempt() {
    let cascade = |outcome| {
        let mut sketch = Sketch::new();
        let input = sketch.input("input");
        let (contains, output) = sketch.call(|sketch| sketch.step("cheap", &[input]));
        let kind = NodeKind::Accept { contains, computed: true, explore: 0 };
        let accept = sketch.node("accept", kind, &[output]);
        let no = sketch.case("no", accept, &[0]);
        let yes = sketch.case("yes", accept, &[1, 2]);
        let dear = sketch.step("dear", &[input]);
        sketch.gates(dear, &[no]);
        sketch.node("result", NodeKind::Merge, &[yes, dear]);
        Play::scripted(sketch, &[("accept", outcome)])
    };
    let mut play = cascade(&[0]);
    let cheap = play.attempt("cheap");
    spend(&mut play.world, cheap, 3);
    play.done("cheap");
    let dear = play.attempt("dear");
    spend(&mut play.world, dear, 90);
    play.done("dear");
    assert_eq!(waste(&page(&play.world)), [(Waste::Useful, 90), (Waste::Escalation, 3)]);
    let mut play = cascade(&[]);
    let cheap = play.attempt("cheap");
    spend(&mut play.world, cheap, 3);
    play.fail("cheap");
    play.done("dear");
    assert_eq!(waste(&page(&play.world)), [(Waste::FailedAttempt, 3)]);
}

#[test]
fn an_attempt_that_the_process_went_down_under_is_repeated_and_was_for_nothing() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    world.accept(plan);
    let start = world.started();
    spend(&mut world, start, 40);
    world.crash(SECOND, &[(0, 1)]);
    let start = world.started();
    assert_eq!(start.number, 1, "it did not count");
    spend(&mut world, start, 60);
    world.done(start);
    let [page] = world.engine.books().pages() else { panic!("one window") };
    // What the first process booked is on its own pages as cash; the run's cost has both.
    assert_eq!((page.nanos, page.recovered, page.first_pass), (100, 1, 0));
    assert_eq!(waste(page), [(Waste::Useful, 60), (Waste::FailedAttempt, 40)]);
    let node = page.node(0).expect("it ran");
    assert_eq!(node.kinds[AttemptKind::Repeat as usize], 60);
}

#[test]
fn a_refused_handoff_is_counted_against_the_first_pass_and_by_why() {
    let mut world = World::new();
    let steps = vec![
        step(&[]),
        step(&[0]).attempts(2).policy(|policy| (policy.handoffs, policy.cross_handoffs) = (1, 1)),
    ];
    let plan = world.plan(steps);
    world.accept(plan);
    let giver = world.started();
    world.done(giver);
    let taker = world.started();
    let refusal = Some(Refusal::Rejected);
    world.fail_with(taker, Failure { retryable: true, refusal, ..Failure::FINAL });
    world.advance(SECOND);
    let taker = world.started();
    world.done(taker);
    let page = page(&world);
    let node = page.node(1).expect("it ran");
    assert_eq!(node.handoffs.refused[Refusal::Rejected as usize], 1);
    assert_eq!((node.handoffs.accepted, node.cross.accepted), (0, 0));
    assert_eq!(node.cross.refused, node.handoffs.refused);
    assert_eq!(page.first_pass, 0);
}

#[test]
fn an_abandoned_attempt_still_books_what_it_spends_after_its_run_is_over() {
    let mut world = World::new();
    let plan = world.single(step(&[]).timeout(SECOND));
    world.accept(plan);
    let start = world.suspended();
    spend(&mut world, start, 1);
    world.advance(SECOND);
    world.advance(6 * SECOND);
    assert_eq!(world.engine.run_count(), 0, "nobody waits for it");
    spend(&mut world, start, 30);
    let page = page(&world);
    assert_eq!(waste(&page), [(Waste::FailedRun, 1), (Waste::FailedAttempt, 30)]);
    world.end_cancelled(start);
    let before = page.nanos;
    spend(&mut world, start, 5);
    assert_eq!(world.engine.books().pages()[0].nanos, before, "it has ended");
}

#[test]
fn a_run_is_counted_in_the_window_it_began_in_and_its_money_when_it_was_booked() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    world.accept(plan);
    let start = world.suspended();
    world.advance(WINDOW_NS - 1 - world.now_ns);
    spend(&mut world, start, 1);
    world.advance(1);
    spend(&mut world, start, 2);
    world.done(start);
    let cash = |page: &Page| page.cash.iter().map(|(_, it)| it.nanos).sum::<i64>();
    let [first, second] = world.engine.books().pages() else { panic!("two windows") };
    assert_eq!((first.key.window_ns, first.nanos, cash(first)), (0, 3, 1));
    assert_eq!((second.key.window_ns, second.nanos, cash(second)), (WINDOW_NS, 0, 2));
    assert_eq!((first.accepted, second.accepted), (1, 0));
    let pages = world.engine.books_mut().take();
    assert_eq!((pages.len(), world.engine.books().pages().len()), (2, 0));
}
