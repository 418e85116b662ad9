//! Maps: one frame for each item, results in the order of the items.

use penstock_engine::NodeState::{Cancelled, Failed, Succeeded};
use penstock_engine::{Base, Cause, NodeKind, Place, Source};

use crate::play::Play;
use crate::sketch::{Sketch, map};

/// A map over one step; its items come from `items`.
fn over_step(kind: NodeKind) -> Sketch {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    let shared = sketch.step("shared", &[]);
    sketch.node("m", kind, &[items, shared]);
    sketch.body("m[]");
    let item = sketch.input("m[]/item");
    let other = sketch.input("m[]/shared");
    sketch.step("m[]", &[item, other]);
    sketch
}

fn begun(kind: NodeKind, count: u64) -> Play {
    let mut play = Play::scripted(over_step(kind), &[("m", &[count])]);
    play.all_done(&["items", "shared"]);
    play
}

fn partial(need: u32, tolerated: Option<u32>, cancel_rest: bool) -> NodeKind {
    NodeKind::Map { body: 1, concurrency: 0, need, tolerated, cancel_rest }
}

#[test]
fn results_come_in_the_order_of_the_items_however_they_end() {
    let mut play = begun(map(1), 3);
    assert_eq!(play.running(), ["m[0]", "m[1]", "m[2]"]);
    play.all_done(&["m[2]", "m[0]", "m[1]"]);
    assert_eq!(play.world.lists["m"], ["m[0]", "m[1]", "m[2]"]);
    assert!(play.has_succeeded());
}

#[test]
fn no_items_give_an_empty_list() {
    let play = begun(map(1), 0);
    assert!(play.has_succeeded());
    assert!(play.world.lists["m"].is_empty());
}

#[test]
fn an_item_is_found_in_the_list_and_what_is_shared_where_it_is() {
    let mut play = begun(map(1), 2);
    let at = |path: &str| play.world.place(play.run, path);
    let [list, shared] = ["items", "shared"].map(|path| {
        let source = play.world.engine.source(play.run, at(path)).expect("a run");
        let Base::Value(value) = source.base else { panic!("{path} carries a value") };
        value
    });
    for item in 0..2_u32 {
        let source = |path: &str| {
            play.world.engine.source(play.run, at(&format!("m[{item}]/{path}"))).expect("a run")
        };
        assert_eq!(
            source("item"),
            Source { base: Base::Value(list), items: [item].into_iter().collect() }
        );
        assert_eq!(source("shared"), Source::from(Base::Value(shared)));
    }
    play.all_done(&["m[0]", "m[1]"]);
    assert!(!play.world.is_kept(list) && !play.world.is_kept(shared));
}

#[test]
fn no_more_items_are_under_way_than_allowed() {
    let kind =
        NodeKind::Map { body: 1, concurrency: 2, need: 0, tolerated: Some(1), cancel_rest: false };
    let mut play = begun(kind, 4);
    assert_eq!(play.running(), ["m[0]", "m[1]"]);
    play.done("m[1]");
    assert_eq!(play.running(), ["m[0]", "m[2]"]);
    play.fail("m[0]");
    assert_eq!(play.running(), ["m[2]", "m[3]"]);
    play.all_done(&["m[3]", "m[2]"]);
    assert_eq!(play.world.lists["m"], ["!m[0]", "m[1]", "m[2]", "m[3]"]);
    assert!(play.has_succeeded());
}

#[test]
fn a_failing_item_fails_the_map_and_stops_the_others() {
    let mut play = begun(map(1), 3);
    let error = play.fail("m[1]");
    assert_eq!(play.told(), ["m[0]", "m[2]"]);
    play.stops("m[0]");
    play.stops("m[2]");
    assert_eq!(play.blame(), Some(("m[1]".into(), Cause::Error(error))));
    assert_eq!(play.states(["m", "m[0]", "m[1]"]), [Failed, Cancelled, Failed]);
}

#[test]
fn failures_are_tolerated_up_to_a_number_and_no_further() {
    let mut play = begun(partial(0, Some(1), false), 3);
    let error = play.fail("m[1]");
    play.done("m[0]");
    assert!(play.world.is_kept(error), "it is part of the result");
    play.done("m[2]");
    assert_eq!(play.world.lists["m"], ["m[0]", "!m[1]", "m[2]"]);
    assert!(play.has_succeeded() && !play.world.is_kept(error));

    let mut play = begun(partial(0, Some(1), false), 3);
    play.fail("m[1]");
    let second = play.fail("m[2]");
    play.stops("m[0]");
    assert_eq!(play.blame(), Some(("m[2]".into(), Cause::Error(second))));
}

#[test]
fn it_fires_at_as_many_as_it_needs_and_the_rest_goes_on_with_its_items() {
    let mut play = begun(partial(1, None, false), 3);
    play.done("m[1]");
    assert_eq!(play.world.lists["m"], ["m[1]"]);
    assert_eq!(play.state("m"), Succeeded);
    play.done("m[0]");
    play.fail("m[2]");
    assert!(play.has_succeeded());
}

/// Frames that started after the map had given its list found their items dropped.
#[test]
fn frames_that_start_late_still_find_their_items() {
    let kind =
        NodeKind::Map { body: 1, concurrency: 1, need: 1, tolerated: None, cancel_rest: false };
    let mut play = begun(kind, 3);
    play.all_done(&["m[0]", "m[1]"]);
    play.fail("m[2]");
    assert!(play.has_succeeded());
}

#[test]
fn the_rest_is_cancelled_and_awaited_where_it_says_so() {
    let mut play = begun(partial(1, None, true), 3);
    play.done("m[1]");
    assert_eq!(play.told(), ["m[0]", "m[2]"]);
    play.stops("m[0]");
    assert!(!play.has_succeeded());
    play.done("m[2]");
    assert!(play.has_succeeded());
    assert_eq!(play.world.lists["m"], ["m[1]"]);
}

#[test]
fn too_few_items_or_successes_fail_it() {
    assert_eq!(begun(partial(2, None, false), 1).blame(), Some(("m".into(), Cause::NotEnough)));
    let mut play = begun(partial(2, None, false), 3);
    play.fail("m[0]");
    let error = play.fail("m[2]");
    play.stops("m[1]");
    assert_eq!(play.blame(), Some(("m[2]".into(), Cause::Error(error))));
}

/// Items that end at once: the last one asked for the list again, and the run never ended.
#[test]
fn the_list_is_asked_for_once_however_many_come_at_the_same_time() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    sketch.node("m", partial(1, None, false), &[items]);
    sketch.body("m[]");
    sketch.input("m[]/item");
    let mut play = Play::scripted(sketch, &[("m", &[3])]);
    play.done("items");
    assert!(play.has_succeeded());
    assert_eq!(play.world.lists["m"].len(), 3);
}

#[test]
fn a_map_over_the_items_of_an_item() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    sketch.map("m", 1, &[items]);
    sketch.body("m[]");
    let row = sketch.input("m[]/row");
    sketch.map("m[]/n", 2, &[row]);
    sketch.body("m[]/n[]");
    let cell = sketch.input("m[]/n[]/cell");
    sketch.step("m[]/n[]", &[cell]);
    let script = [("m", &[2][..]), ("m[0]/n", &[1]), ("m[1]/n", &[2])];
    let mut play = Play::scripted(sketch, &script);
    let list = play.done("items");
    assert_eq!(play.running(), ["m[0]/n[0]", "m[1]/n[0]", "m[1]/n[1]"]);
    let cell = play.world.place(play.run, "m[1]/n[1]/cell");
    let source = play.world.engine.source(play.run, cell);
    assert_eq!(
        source,
        Some(Source { base: Base::Value(list), items: [1, 1].into_iter().collect() })
    );
    play.all_done(&["m[1]/n[1]", "m[0]/n[0]", "m[1]/n[0]"]);
    assert_eq!(play.world.lists["m[1]/n"], ["m[1]/n[0]", "m[1]/n[1]"]);
    assert_eq!(play.world.lists["m"], ["m[0]/n", "m[1]/n"]);
    assert!(play.has_succeeded());
}

#[test]
fn a_failure_deep_inside_is_contained_by_the_map_that_tolerates_it() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    sketch.node("m", partial(0, Some(1), false), &[items]);
    sketch.body("m[]");
    let row = sketch.input("m[]/row");
    sketch.map("m[]/n", 2, &[row]);
    sketch.body("m[]/n[]");
    let cell = sketch.input("m[]/n[]/cell");
    sketch.step("m[]/n[]", &[cell]);
    let script = [("m", &[2][..]), ("m[0]/n", &[2]), ("m[1]/n", &[1])];
    let mut play = Play::scripted(sketch, &script);
    play.done("items");
    play.fail("m[0]/n[1]");
    assert_eq!(play.told(), ["m[0]/n[0]"]);
    play.stops("m[0]/n[0]");
    play.done("m[1]/n[0]");
    assert_eq!(play.world.lists["m"], ["!m[0]/n[1]", "m[1]/n"]);
    assert!(play.has_succeeded());
    assert_eq!(play.states(["m[0]/n", "m[1]/n"]), [Failed, Succeeded]);
}

#[test]
fn a_map_whose_list_can_not_be_made_fails_and_stops_its_late_frames() {
    let mut play = begun(partial(1, None, false), 2);
    play.world.manual = true;
    play.done("m[0]");
    let error = play.world.value();
    let node = Place(2);
    play.world.handle(penstock_engine::Event::DecidedFailed {
        run: play.run,
        node,
        error,
        refusal: None,
    });
    play.go_on();
    assert_eq!(play.told(), ["m[1]"]);
    play.stops("m[1]");
    assert_eq!(play.blame(), Some(("m".into(), Cause::Error(error))));
}

#[test]
fn a_map_of_many_items_in_any_order() {
    let mut play = Play::scripted(over_step(map(1)), &[("m", &[1_000])]);
    play.world.check_rarely();
    play.all_done(&["items", "shared"]);
    for item in (0..1_000).rev() {
        play.done(&format!("m[{item}]"));
    }
    assert!(play.has_succeeded());
    assert_eq!(play.world.lists["m"].len(), 1_000);
}

/// An item counted as over while late frames of a map inside it were under way: they found their items
/// dropped.
#[test]
fn an_item_is_over_only_with_the_late_frames_of_a_map_inside_it() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    sketch.map("m", 1, &[items]);
    sketch.body("m[]");
    let row = sketch.input("m[]/row");
    let inner =
        NodeKind::Map { body: 2, concurrency: 1, need: 1, tolerated: None, cancel_rest: false };
    let inner = sketch.node("m[]/n", inner, &[row]);
    sketch.step("m[]/last", &[inner]);
    sketch.body("m[]/n[]");
    let cell = sketch.input("m[]/n[]/cell");
    sketch.step("m[]/n[]", &[cell]);
    let mut play = Play::scripted(sketch, &[("m", &[1]), ("m[0]/n", &[3])]);
    play.all_done(&["items", "m[0]/n[0]", "m[0]/last"]);
    assert_eq!(play.state("m[0]/n"), Succeeded);
    assert!(!play.world.lists.contains_key("m"), "two frames are left");
    play.all_done(&["m[0]/n[1]", "m[0]/n[2]"]);
    assert!(play.has_succeeded());
}
