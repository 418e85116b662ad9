//! Budgets: what may be spent, and what happens when it is spent.

use penstock_engine::{
    AccountId, AccountModel, AccountView, Body, Cause, Config, DAY_NS, Event, Hedge, NodeKind,
    NodeState, Outcome, Payer, QueueModel, ResourceId, RunEnd, RunKey, RunStatus, Start, StepId,
    TenantId, Unpaid, WhenSpent,
};

use crate::harness::{Node, SECOND, World, step};
use crate::play::Play;
use crate::sketch::Sketch;

const TOKENS: ResourceId = ResourceId(0);

pub(crate) const fn model(limit_nanos: i64, when_spent: WhenSpent) -> AccountModel {
    AccountModel { limit_nanos, degrade_ppm: 800_000, daily: false, when_spent }
}

fn spend(world: &mut World, start: Start, nanos: i64) {
    let (attempt, units) = (start.attempt, 1);
    world.handle(Event::Spent { attempt, resource: TOKENS, units, nanos: Some(nanos) });
}

/// A step that is expected to spend so much.
fn dear(nanos: i64, inputs: &[u32]) -> Node {
    step(inputs).policy(|policy| policy.estimate_nanos = nanos)
}

fn own(world: &World, run: RunKey) -> AccountView {
    let account = world.engine.account_of(run).expect("it has one");
    world.engine.account(account).expect("it is there")
}

fn account(world: &World, account: AccountId) -> (i64, i64, usize) {
    let view = world.engine.account(account).expect("it is there");
    (view.spent_nanos, view.reserved_nanos, view.waiting)
}

fn started(world: &mut World, limit: i64, when: WhenSpent, nodes: Vec<Node>) -> RunKey {
    let plan = world.plan(nodes);
    world.accept_with(plan, |accept| accept.budget = Some(model(limit, when)))
}

fn finish(world: &mut World, start: Start, nanos: i64) {
    spend(world, start, nanos);
    world.done(start);
}

fn unpaid(world: &World) -> Vec<Unpaid> {
    let bodies = world.records.iter().map(|record| record.body);
    bodies
        .filter_map(|it| if let Body::Denied { unpaid } = it { Some(unpaid) } else { None })
        .collect()
}

#[test]
fn what_is_not_covered_fails_its_run_and_says_what_was_missing() {
    let mut world = World::new();
    let run = started(&mut world, 100, WhenSpent::Fail, vec![dear(60, &[]), dear(60, &[0])]);
    let first = world.started();
    assert_eq!((own(&world, run).reserved_nanos, own(&world, run).spent_nanos), (60, 0));
    finish(&mut world, first, 50);
    assert_eq!(own(&world, run).spent_nanos, 50);
    assert!(world.start().is_none());
    world.advance(0);
    let said = Unpaid { payer: Payer::Run, asked_nanos: 60, spent_nanos: 50, limit_nanos: 100 };
    assert_eq!(unpaid(&world), [said]);
    let Some(Outcome::Failed { cause: Cause::Budget, attempts: 0, .. }) = world.outcome(run) else {
        panic!("{:?}", world.outcome(run));
    };
    let [page] = world.engine.books().pages() else { panic!("one window") };
    assert_eq!(page.ended[RunEnd::Budget as usize], 1, "a failure of its own kind");
}

#[test]
fn a_run_that_is_paused_goes_on_once_it_may_spend_more() {
    let mut world = World::new();
    let run = started(&mut world, 100, WhenSpent::Pause, vec![dear(60, &[]), dear(60, &[0])]);
    let first = world.started();
    finish(&mut world, first, 70);
    assert!(world.start().is_none());
    world.advance(0);
    assert_eq!(world.engine.status(run), Some(RunStatus::Paused));
    assert_eq!(world.engine.stalled(run).map(|blame| blame.cause), Some(Cause::Budget));
    assert_eq!(world.stalled.len(), 1);
    assert!(world.resume(run));
    assert!(world.start().is_none());
    world.advance(0);
    assert_eq!(world.engine.status(run), Some(RunStatus::Paused), "it is still not covered");
    assert_eq!(unpaid(&world).len(), 2);
    let now_ns = world.now_ns;
    assert!(world.engine.budget(now_ns, run, model(140, WhenSpent::Pause)));
    world.resume(run);
    let second = world.started();
    finish(&mut world, second, 60);
    assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
}

#[test]
fn a_paused_run_survives_the_process_with_what_it_has_spent() {
    let mut world = World::new();
    let run = started(&mut world, 100, WhenSpent::Pause, vec![dear(60, &[]), dear(60, &[0])]);
    let first = world.started();
    finish(&mut world, first, 70);
    world.start();
    world.advance(0);
    let run = world.crash(SECOND, &[])[&run];
    assert_eq!(world.engine.status(run), Some(RunStatus::Paused));
    assert_eq!(world.engine.stalled(run).map(|blame| blame.cause), Some(Cause::Budget));
    assert_eq!((own(&world, run).spent_nanos, own(&world, run).reserved_nanos), (70, 0));
    let now_ns = world.now_ns;
    world.engine.budget(now_ns, run, model(200, WhenSpent::Pause));
    world.resume(run);
    let run = world.crash(SECOND, &[])[&run];
    assert_eq!(own(&world, run).model.limit_nanos, 200, "the raise is on record");
    world.advance(SECOND);
    let second = world.started();
    finish(&mut world, second, 60);
    assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
}

#[test]
fn the_reservation_of_an_attempt_that_was_cut_off_is_gone_and_its_spend_is_not() {
    let mut world = World::new();
    let run = started(&mut world, 100, WhenSpent::Fail, vec![dear(60, &[])]);
    let start = world.started();
    spend(&mut world, start, 35);
    let run = world.crash(SECOND, &[(0, 1)])[&run];
    assert_eq!((own(&world, run).spent_nanos, own(&world, run).reserved_nanos), (35, 0));
    let again = world.started();
    assert_eq!(own(&world, run).reserved_nanos, 60);
    finish(&mut world, again, 1);
}

#[test]
fn steps_wait_in_order_for_what_others_have_reserved() {
    let mut world = World::new();
    let plan = world.single(dear(40, &[]));
    let shared = world.engine.add_account(0, Payer::Workflow, model(200, WhenSpent::Fail));
    world.engine.charge_plan(plan, shared);
    let runs: Vec<RunKey> = (0..6).map(|_| world.accept(plan)).collect();
    let mut under_way = world.start_all();
    assert_eq!(under_way.len(), 5);
    assert_eq!(account(&world, shared), (0, 200, 1));
    assert!(!world.engine.has_ready(), "it holds no place in the line");
    let first = under_way.remove(0);
    finish(&mut world, first, 10);
    assert_eq!(account(&world, shared), (10, 160, 1), "30 are free, and it needs 40");
    let second = under_way.remove(0);
    finish(&mut world, second, 10);
    assert_eq!(account(&world, shared), (20, 160, 0), "it has its money before it has a slot");
    let last = world.started();
    assert_eq!(last.run, runs[5]);
    finish(&mut world, last, 100);
    for start in under_way {
        finish(&mut world, start, 40);
    }
    assert_eq!(
        account(&world, shared),
        (240, 0, 0),
        "beyond by what one spent beyond its estimate"
    );
}

#[test]
fn a_step_that_waits_is_not_overtaken_by_one_that_needs_less() {
    let mut world = World::new();
    let large = world.single(dear(80, &[]));
    let small = world.single(dear(10, &[]));
    let shared = world.engine.add_account(0, Payer::Workflow, model(100, WhenSpent::Fail));
    for plan in [large, small] {
        world.engine.charge_plan(plan, shared);
    }
    let order = [large, large, small].map(|plan| world.accept(plan));
    let first = world.started();
    assert!(world.start().is_none());
    assert_eq!(account(&world, shared), (0, 80, 2));
    finish(&mut world, first, 5);
    let second = world.started();
    assert_eq!(second.run, order[1]);
    finish(&mut world, second, 5);
    assert_eq!(world.started().run, order[2]);
}

#[test]
fn a_cancelled_step_gives_back_what_it_was_granted() {
    let mut world = World::new();
    let plan = world.single(dear(60, &[]));
    let shared = world.engine.add_account(0, Payer::Workflow, model(100, WhenSpent::Fail));
    world.engine.charge_plan(plan, shared);
    let runs = [(); 3].map(|()| world.accept(plan));
    let start = world.started();
    assert!(world.start().is_none());
    assert_eq!(account(&world, shared), (0, 60, 2));
    world.done(start);
    assert_eq!(account(&world, shared), (0, 60, 1), "granted, and in line");
    world.cancel(runs[1]);
    assert_eq!(account(&world, shared), (0, 60, 0), "the next one has it");
    let last = world.started();
    assert_eq!(last.run, runs[2]);
    world.done(last);
    assert_eq!(account(&world, shared), (0, 0, 0));
}

#[test]
fn what_is_learned_of_a_step_is_reserved_where_nobody_has_said() {
    let mut world = World::new();
    let plan = world.single(step(&[]));
    let shared = world.engine.add_account(0, Payer::Workflow, model(1_000_000, WhenSpent::Fail));
    world.engine.charge_plan(plan, shared);
    world.accept(plan);
    let first = world.started();
    assert_eq!(account(&world, shared), (0, 0, 0), "nothing is known of it");
    finish(&mut world, first, 1_000);
    world.accept(plan);
    let second = world.started();
    assert_eq!(account(&world, shared), (1_000, 1_000, 0));
    spend(&mut world, second, 400);
    assert_eq!(account(&world, shared), (1_400, 600, 0), "what is spent is not reserved twice");
    world.done(second);
    assert_eq!(account(&world, shared), (1_400, 0, 0));
}

#[test]
fn a_map_of_64_with_a_most_never_spends_more_than_it_may() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    sketch.map("map", 1, &[items]);
    sketch.body("map[]");
    let item = sketch.input("map[]/item");
    let work = sketch.step("map[]/work", &[item]);
    sketch.policy(work, |policy| (policy.estimate_nanos, policy.max_nanos) = (2, 10));
    let mut play = Play::with(Config::default(), sketch, &[("map", &[64])], |accept| {
        accept.budget = Some(model(300, WhenSpent::Pause));
    });
    play.done("items");
    let mut spent = 0;
    while !play.running().is_empty() {
        let under_way = i64::try_from(play.running().len()).expect("a few");
        let view = own(&play.world, play.run);
        assert!(view.spent_nanos + view.reserved_nanos <= 300, "{view:?}");
        assert_eq!(view.reserved_nanos, 10 * under_way);
        let path = play.running()[0].to_owned();
        let start = play.attempt(&path);
        spend(&mut play.world, start, 10);
        spent += 10;
        play.done(&path);
    }
    play.advance(0);
    assert_eq!((spent, own(&play.world, play.run).spent_nanos), (300, 300));
    assert_eq!(play.world.engine.status(play.run), Some(RunStatus::Paused));
    let now_ns = play.world.now_ns;
    play.world.engine.budget(now_ns, play.run, model(640, WhenSpent::Pause));
    play.resume();
    while let Some(path) = play.running().first().map(ToString::to_string) {
        let start = play.attempt(&path);
        spend(&mut play.world, start, 10);
        play.done(&path);
    }
    assert!(play.has_succeeded());
}

fn cascade() -> Sketch {
    let mut sketch = Sketch::new();
    let input = sketch.input("input");
    let (contains, output) = sketch.call(|sketch| sketch.step("cheap", &[input]));
    let kind = NodeKind::Accept { contains, computed: true, explore: 0 };
    let accept = sketch.node("accept", kind, &[output]);
    let no = sketch.case("no", accept, &[0]);
    let yes = sketch.case("yes", accept, &[1, 2]);
    let dear = sketch.step("dear", &[input]);
    sketch.policy(dear, |policy| policy.step = StepId(1));
    sketch.gates(dear, &[no]);
    let result = sketch.node("result", NodeKind::Merge, &[yes, dear]);
    sketch.gives(result);
    sketch
}

#[test]
fn a_cascade_stays_on_the_tier_it_is_on_when_a_budget_is_nearly_spent() {
    for (spent, degrades) in [(79, false), (80, true)] {
        let mut play = Play::with(Config::default(), cascade(), &[], |accept| {
            accept.budget = Some(model(100, WhenSpent::Degrade));
        });
        play.world.manual = true;
        let cheap = play.attempt("cheap");
        spend(&mut play.world, cheap, spent);
        play.done("cheap");
        let (run, node) = play.world.to_evaluate[0];
        play.world.handle(Event::Judged { run, node, accepted: false, score: None });
        play.go_on();
        assert_eq!(play.has_succeeded(), degrades);
        let [page] = play.world.engine.books().pages() else { panic!("one window") };
        assert_eq!((page.degraded, page.first_pass), (u64::from(degrades), 0));
        assert_eq!(play.world.bodies(run).contains(&"degraded"), degrades);
        if !degrades {
            play.done("dear");
        }
    }
}

#[test]
fn a_value_that_is_good_enough_makes_no_run_degraded() {
    let mut play = Play::with(Config::default(), cascade(), &[], |accept| {
        accept.budget = Some(model(100, WhenSpent::Degrade));
    });
    play.world.manual = true;
    let cheap = play.attempt("cheap");
    spend(&mut play.world, cheap, 90);
    play.done("cheap");
    let (run, node) = play.world.to_evaluate[0];
    play.world.handle(Event::Judged { run, node, accepted: true, score: None });
    assert!(play.has_succeeded());
    assert!(!play.world.bodies(run).contains(&"degraded"));
}

#[test]
fn an_attempt_that_is_told_to_save_makes_its_run_a_degraded_one() {
    let mut world = World::new();
    let run = started(&mut world, 100, WhenSpent::Degrade, vec![step(&[])]);
    let start = world.started();
    assert!(!world.engine.is_to_save(0, start.attempt));
    spend(&mut world, start, 80);
    for _ in 0..2 {
        assert!(world.engine.is_to_save(0, start.attempt));
    }
    world.done(start);
    let bodies = world.bodies(run);
    assert_eq!(bodies.iter().filter(|it| **it == "degraded").count(), 1);
}

#[test]
fn the_fallback_of_a_step_that_is_not_paid_for_is_tried_first() {
    let mut sketch = Sketch::new();
    let input = sketch.input("input");
    let (contains, output) = sketch.call(|sketch| sketch.step("dear", &[input]));
    sketch.policy(output, |policy| (policy.fallback, policy.estimate_nanos) = (true, 500));
    let accept = sketch.node(
        "accept",
        NodeKind::Accept { contains, computed: false, explore: 0 },
        &[output],
    );
    let no = sketch.case("no", accept, &[0]);
    let yes = sketch.case("yes", accept, &[1, 2]);
    let free = sketch.step("free", &[input]);
    sketch.gates(free, &[no]);
    let result = sketch.node("result", NodeKind::Merge, &[yes, free]);
    sketch.gives(result);
    let mut play = Play::with(Config::default(), sketch, &[], |accept| {
        accept.budget = Some(model(100, WhenSpent::Pause));
    });
    play.advance(0);
    assert_eq!(play.running(), ["free"]);
    assert_eq!(play.state("dear"), NodeState::Failed);
    play.done("free");
    assert!(play.has_succeeded());
}

#[test]
fn what_was_done_is_undone_whoever_pays_for_it() {
    let mut sketch = Sketch::new();
    let effect = sketch.effect("effect", &[]);
    let undo = effect + 1;
    let last = sketch.step("last", &[effect]);
    sketch.gives(last);
    sketch.policy(undo, |policy| policy.estimate_nanos = 60);
    sketch.policy(last, |policy| policy.estimate_nanos = 60);
    let mut play = Play::with(Config::default(), sketch, &[], |accept| {
        accept.budget = Some(model(100, WhenSpent::Fail));
    });
    let start = play.attempt("effect");
    spend(&mut play.world, start, 90);
    play.done("effect");
    play.advance(0);
    assert_eq!(play.running(), ["effect/undo"], "its run has failed, and its effect is undone");
    let start = play.attempt("effect/undo");
    spend(&mut play.world, start, 30);
    assert_eq!(own(&play.world, play.run).spent_nanos, 120, "booked, beyond what there is");
    play.done("effect/undo");
    assert_eq!(play.blame().map(|(_, cause)| cause), Some(Cause::Budget));
}

#[test]
fn a_second_copy_is_not_sent_where_nobody_pays_for_it() {
    for (limit, copies) in [(119, 0), (120, 1)] {
        let mut world = World::new();
        let queue = world.engine.add_queue(QueueModel::default());
        let plan = world.single(dear(60, &[]).queue(queue).policy(|policy| {
            policy.hedge = Some(Hedge::After(SECOND));
        }));
        let run = world.accept_with(plan, |it| it.budget = Some(model(limit, WhenSpent::Fail)));
        let first = world.suspended();
        world.advance(SECOND);
        let copy = world.start();
        assert_eq!(i64::from(copy.is_some()), copies);
        assert_eq!(own(&world, run).reserved_nanos, 60 * (1 + copies), "each has its own");
        spend(&mut world, first, 10);
        world.done(first);
        assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
        if let Some(copy) = copy {
            world.end_cancelled(copy);
        }
    }
}

#[test]
fn every_account_of_a_run_has_to_cover_an_attempt() {
    let mut world = World::new();
    let plan = world.single(dear(50, &[]));
    let acme = TenantId(1);
    let workflow = world.engine.add_account(0, Payer::Workflow, model(1_000, WhenSpent::Fail));
    let tenant = world.engine.add_account(0, Payer::Tenant, model(90, WhenSpent::Pause));
    world.engine.charge_plan(plan, workflow);
    world.engine.charge_tenant(acme, tenant);
    let of_acme = world.accept_with(plan, |accept| {
        (accept.tenant, accept.budget) = (acme, Some(model(60, WhenSpent::Fail)));
    });
    let start = world.started();
    assert_eq!(own(&world, of_acme).reserved_nanos, 50);
    assert_eq!((account(&world, workflow), account(&world, tenant)), ((0, 50, 0), (0, 50, 0)));
    finish(&mut world, start, 45);
    assert_eq!((account(&world, workflow), account(&world, tenant)), ((45, 0, 0), (45, 0, 0)));
    let second = world.accept_with(plan, |accept| accept.tenant = acme);
    let other = world.accept(plan);
    assert_eq!(world.started().run, other, "another tenant's");
    assert!(world.start().is_none());
    world.advance(0);
    assert_eq!(unpaid(&world).last().map(|it| it.payer), Some(Payer::Tenant));
    assert_eq!(world.engine.status(second), Some(RunStatus::Paused));
    assert_eq!(account(&world, workflow), (45, 50, 0), "all of them, or none");
}

#[test]
fn a_day_s_money_is_there_again_at_midnight_utc() {
    let mut world = World::new();
    let plan = world.single(dear(60, &[]));
    let daily = AccountModel { daily: true, ..model(100, WhenSpent::Fail) };
    let shared = world.engine.add_account(0, Payer::Workflow, daily);
    world.engine.charge_plan(plan, shared);
    world.advance(DAY_NS - 1);
    world.accept(plan);
    let start = world.started();
    spend(&mut world, start, 50);
    assert_eq!(account(&world, shared), (50, 10, 0));
    let refused = world.accept(plan);
    assert!(world.start().is_none());
    world.advance(0);
    assert!(matches!(world.outcome(refused), Some(Outcome::Failed { cause: Cause::Budget, .. })));
    world.advance(1);
    world.handle(Event::Tick);
    assert_eq!(account(&world, shared), (0, 10, 0), "what is reserved may still be spent");
    world.accept(plan);
    let next = world.started();
    spend(&mut world, start, 10);
    assert_eq!(account(&world, shared), (10, 60, 0), "booked when it is spent");
    world.done(start);
    finish(&mut world, next, 60);
    assert_eq!(account(&world, shared), (70, 0, 0));
}

#[test]
fn who_waits_is_served_when_more_may_be_spent() {
    let mut world = World::new();
    let plan = world.single(dear(60, &[]));
    let shared = world.engine.add_account(0, Payer::Workflow, model(100, WhenSpent::Fail));
    world.engine.charge_plan(plan, shared);
    let [_, second] = [(); 2].map(|()| world.accept(plan));
    world.started();
    assert!(world.start().is_none());
    world.engine.configure_account(0, shared, model(120, WhenSpent::Fail));
    assert_eq!(world.started().run, second);
}

#[test]
fn a_run_that_is_paused_for_a_day_s_money_goes_on_by_itself_when_there_is_another_s() {
    for crashes in [false, true] {
        let mut world = World::new();
        let plan = world.single(dear(60, &[]));
        let daily = AccountModel { daily: true, ..model(100, WhenSpent::Pause) };
        let shared = world.engine.add_account(0, Payer::Workflow, daily);
        world.engine.charge_plan(plan, shared);
        world.accept(plan);
        let first = world.started();
        finish(&mut world, first, 80);
        let mut run = world.accept(plan);
        assert!(world.start().is_none());
        world.advance(0);
        assert_eq!(world.engine.status(run), Some(RunStatus::Paused));
        if crashes {
            // The driver knows the accounts before it restores runs; what it knows of today follows.
            run = world.crash_charged(SECOND, (plan, daily, 80))[&run];
        }
        world.advance(DAY_NS - 1 - world.now_ns);
        assert!(world.start().is_none());
        assert_eq!(world.engine.status(run), Some(RunStatus::Paused));
        world.advance(1);
        assert_eq!(world.engine.status(run), Some(RunStatus::Running));
        let second = world.started();
        finish(&mut world, second, 60);
        assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
    }
}

#[test]
fn a_run_that_was_paused_yesterday_goes_on_when_it_is_restored() {
    let mut world = World::new();
    let plan = world.single(dear(60, &[]));
    let daily = AccountModel { daily: true, ..model(50, WhenSpent::Pause) };
    let shared = world.engine.add_account(0, Payer::Workflow, daily);
    world.engine.charge_plan(plan, shared);
    let run = world.accept(plan);
    assert!(world.start().is_none());
    world.advance(0);
    assert_eq!(world.engine.status(run), Some(RunStatus::Paused));
    let more = AccountModel { daily: true, ..model(60, WhenSpent::Pause) };
    let run = world.crash_charged(DAY_NS, (plan, more, 0))[&run];
    assert_eq!(world.engine.status(run), Some(RunStatus::Running));
    world.started();
}

#[test]
fn what_people_spend_on_a_review_is_paid_from_the_same_accounts() {
    let mut sketch = Sketch::new();
    let signal = sketch.signal("review", "ok", 0, true);
    sketch.gives(signal);
    let mut play = Play::with(Config::default(), sketch, &[], |accept| {
        accept.budget = Some(model(100, WhenSpent::Fail));
    });
    let (run, node) = (play.run, play.world.place(play.run, "review"));
    let now_ns = play.world.now_ns;
    assert!(play.world.engine.spend_on(now_ns, run, node, (TOKENS, 1, Some(70))));
    play.world.handle(Event::Tick);
    assert_eq!(own(&play.world, run).spent_nanos, 70);
    play.signal(0);
    assert!(play.has_succeeded());
}

/// Found by simulation: what a step gave back when its run was paused let another step of the run into its line.
#[test]
fn no_step_of_a_run_starts_with_what_another_gave_back_as_the_run_was_paused() {
    let mut world = World::new();
    let nodes = [5, 3, 1].map(|priority| dear(60, &[]).priority(priority));
    let run = started(&mut world, 100, WhenSpent::Fail, nodes.into());
    let first = world.started();
    assert!(world.start().is_none(), "the others wait for what it has reserved");
    world.done(first);
    assert!(world.pause(run));
    assert!(world.start().is_none());
    assert!(world.resume(run));
    let second = world.started();
    world.done(second);
    let third = world.started();
    world.done(third);
    assert!(matches!(world.outcome(run), Some(Outcome::Succeeded(_))));
}
