//! Concurrency keys: one holder at a time, in the order in which they asked.

use penstock_engine::NodeState::{Cancelled, Parked};
use penstock_engine::{Base, Hold, NodeKind};

use crate::play::Play;
use crate::sketch::Sketch;

/// `a -> b` under a key, and `free` without.
fn section(key: Option<u64>) -> Sketch {
    let mut sketch = Sketch::new();
    let acquire = sketch.node("key", NodeKind::Acquire { key }, &[]);
    let a = sketch.step("a", &[]);
    sketch.holds(a, acquire);
    let b = sketch.step("b", &[a]);
    sketch.holds(b, acquire);
    let free = sketch.step("free", &[]);
    sketch.collect("all", &[b, free]);
    sketch
}

#[test]
fn runs_hold_a_key_in_turn_until_their_last_holder_has_ended() {
    let mut play = Play::new(section(Some(7)));
    play.another();
    play.another();
    assert_eq!(play.running(), ["1:free", "2:free", "a", "free"]);
    play.done("a");
    assert_eq!(play.running(), ["1:free", "2:free", "b", "free"]);
    play.done("b");
    assert_eq!(play.running(), ["1:a", "1:free", "2:free", "free"]);
    play.all_done(&["1:a", "1:b"]);
    assert!(play.running().contains(&"2:a"));
}

#[test]
fn other_keys_do_not_wait() {
    let mut play = Play::scripted(section(None), &[("key", &[1, 2, 1])]);
    play.another();
    play.another();
    assert_eq!(play.running(), ["1:a", "1:free", "2:free", "a", "free"]);
    play.all_done(&["a", "b"]);
    assert!(play.running().contains(&"2:a"));
}

#[test]
fn who_is_withdrawn_while_waiting_is_passed_over() {
    let mut play = Play::new(section(Some(7)));
    let second = play.another();
    play.another();
    play.world.cancel(second);
    play.stops("1:free");
    assert_eq!(play.world.states(second)[0], ("key".into(), Cancelled));
    play.all_done(&["a", "b"]);
    assert!(play.running().contains(&"2:a"));
}

#[test]
fn a_run_that_ends_gives_its_key_back_once_its_holder_has_ended() {
    let mut play = Play::new(section(Some(7)));
    play.another();
    play.cancel();
    assert!(!play.running().contains(&"1:a"), "a is still under way");
    play.stops("a");
    assert!(play.running().contains(&"1:a"));
    play.stops("free");
    assert!(play.status().is_some());
}

#[test]
fn a_key_is_given_back_although_the_run_goes_on() {
    let mut sketch = Sketch::new();
    let steps = ["a", "b"].map(|path| {
        let key = sketch.node(&format!("{path}/key"), NodeKind::Acquire { key: Some(7) }, &[]);
        let step = sketch.step(path, &[]);
        sketch.holds(step, key);
        step
    });
    sketch.collect("all", &steps);
    let mut play = Play::new(sketch);
    assert_eq!(play.running(), ["a"]);
    assert_eq!(play.state("b/key"), Parked);
    play.done("a");
    assert_eq!(play.running(), ["b"]);
    play.done("b");
    assert!(play.has_succeeded());
}

#[test]
fn a_holder_that_is_skipped_gives_its_key_back() {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    let when = sketch.node("when", NodeKind::When, &[first]);
    let key = sketch.node("a/key", NodeKind::Acquire { key: Some(7) }, &[]);
    let a = sketch.step("a", &[when]);
    sketch.holds(a, key);
    let maybe = sketch.optional("maybe", a);
    let other = sketch.node("b/key", NodeKind::Acquire { key: Some(7) }, &[]);
    let b = sketch.step("b", &[]);
    sketch.holds(b, other);
    sketch.collect("all", &[maybe, b]);
    let mut play = Play::scripted(sketch, &[("when", &[0])]);
    play.world.nothing.insert("maybe".into());
    assert_eq!(play.running(), ["first"]);
    play.done("first");
    assert_eq!(play.running(), ["b"]);
    play.done("b");
    assert!(play.has_succeeded());
}

#[test]
fn items_of_a_map_take_turns() {
    let mut sketch = Sketch::new();
    let items = sketch.step("items", &[]);
    sketch.map("m", 1, &[items]);
    sketch.body("m[]");
    let item = sketch.input("m[]/item");
    let key = sketch.node("m[]/key", NodeKind::Acquire { key: None }, &[item]);
    let step = sketch.step("m[]/step", &[item]);
    sketch.holds(step, key);
    let mut play = Play::scripted(sketch, &[("m", &[3]), ("m[1]/key", &[1])]);
    play.done("items");
    assert_eq!(play.running(), ["m[0]/step", "m[1]/step"]);
    play.done("m[0]/step");
    assert_eq!(play.running(), ["m[1]/step", "m[2]/step"]);
    play.all_done(&["m[1]/step", "m[2]/step"]);
    assert!(play.has_succeeded());
}

#[test]
fn a_retry_keeps_the_key() {
    let mut sketch = Sketch::new();
    let key = sketch.node("key", NodeKind::Acquire { key: Some(7) }, &[]);
    let step = sketch.step("step", &[]);
    sketch.holds(step, key);
    sketch.policy(step, |policy| policy.retry.attempts_max = std::num::NonZeroU32::MAX);
    let mut play = Play::new(sketch);
    play.another();
    play.trip("step");
    play.trip("step");
    assert_eq!(play.running(), ["step"]);
    let value = play.done("step");
    assert_eq!(play.result(), Some(Base::Value(value)));
    assert_eq!(play.running(), ["1:step"]);
}

/// Found by simulation: each pause while a run waited for a key left one more place in its line.
#[test]
fn a_run_that_was_paused_waits_for_its_key_once() {
    let mut play = Play::new(section(Some(7)));
    let second = play.another();
    for _ in 0..3 {
        assert!(play.world.pause(second) && play.world.resume(second));
    }
    let waits = |play: &Play| {
        let holds = play.world.engine.inspect().holds;
        holds.iter().filter(|(run, _, hold)| (*run, *hold) == (second, Hold::Key)).count()
    };
    assert_eq!(waits(&play), 1);
    play.all_done(&["a", "b"]);
    assert_eq!(waits(&play), 0);
    assert!(play.running().contains(&"1:a"));
}
