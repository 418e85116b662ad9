//! The process goes down after each record in turn; the end is always that of a run which nothing happened to.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use penstock_engine::{Config, Lsn, NodeKind, NodeState, RunStatus};

use crate::harness::SECOND;
use crate::play::Play;
use crate::sketch::Sketch;

/// A retry, a choice, a map, a loop, a sleep, a signal, a race and effects to be undone.
fn sketch() -> Sketch {
    let mut sketch = Sketch::new();
    let first = sketch.step("first", &[]);
    sketch.policy(first, |policy| {
        policy.retry.attempts_max = NonZeroU32::MIN.saturating_add(1);
        policy.retry.initial_ns = SECOND;
        policy.retry.max_ns = SECOND;
    });
    let effect = sketch.effect("effect", &[first]);
    let choice = sketch.node("choice", NodeKind::Switch { outcomes: 2 }, &[effect]);
    let one = sketch.case("one", choice, &[0]);
    let two = sketch.case("two", choice, &[1]);
    let other = sketch.step("other", &[two]);
    let sleep = sketch.node("sleep", NodeKind::Sleep { duration_ns: 10 * SECOND }, &[one]);
    let signal = sketch.signal("signal", "go", 0, true);
    let map = sketch.map("map", 1, &[sleep]);
    let repeated = sketch.node("loop", NodeKind::Loop { body: 2, limit: 5, fail: true }, &[map]);
    let fast = sketch.effect("fast", &[repeated]);
    let slow = sketch.effect("slow", &[repeated]);
    let race = sketch.race("race", &[fast, slow]);
    let merge = sketch.node("merge", NodeKind::Merge, &[race, other]);
    let last = sketch.step("last", &[merge, signal]);
    sketch.gives(last);
    sketch.body("map[]");
    let item = sketch.input("map[]/item");
    sketch.step("map[]/work", &[item]);
    sketch.body("loop[]");
    let value = sketch.input("loop[]/value");
    sketch.step("loop[]/work", &[value]);
    sketch
}

/// The answers to what is asked: which case, how many items, whether the loop is over.
const SCRIPT: &[(&str, &[u64])] = &[("choice", &[0]), ("map", &[3]), ("loop", &[0, 1])];

struct Story {
    play: Play,
    tripped: bool,
    signalled: bool,
}

impl Story {
    fn begins() -> Self {
        let config = Config { journaled: true, ..Config::default() };
        let play = Play::with(config, sketch(), SCRIPT, |_| ());
        Self { play, tripped: false, signalled: false }
    }

    /// Lets one thing happen; whether anything could. Nothing reaches the disk beyond `last`.
    fn goes_on(&mut self, last: Lsn, fails: bool) -> bool {
        let before = self.play.world.engine.lsn();
        self.play.world.sync(before.min(last));
        self.play.go_on();
        let mut running: Vec<String> =
            self.play.running().iter().map(|path| (*path).to_owned()).collect();
        running.sort_unstable();
        // The loser of the race would be the first.
        match running.into_iter().find(|path| path != "slow" || self.play.is_told("slow")) {
            Some(path) if path == "slow" => self.play.stops("slow"),
            Some(path) if path == "first" && !self.tripped => {
                self.tripped = true;
                self.play.trip("first");
            }
            Some(path) if path == "last" && fails => {
                self.play.fail("last");
            }
            Some(path) => {
                self.play.done(&path);
            }
            None if !self.signalled && before <= last => {
                self.signalled = true;
                self.play.signal(0);
            }
            None if before <= last => self.play.advance(20 * SECOND),
            None => return false,
        }
        true
    }

    /// Who was not answered says it again, and what was not recorded is asked for again.
    fn forgets_what_is_not_on_disk(&mut self, last: Lsn) {
        let recorded = |kind| self.play.recorded(kind, last);
        self.signalled = !recorded("signal").is_empty();
        self.tripped = !recorded("failed").is_empty();
        let answered = [recorded("chosen"), recorded("opened")].concat();
        for (path, answers) in SCRIPT {
            let given = answered.iter().filter(|other| other == path).count();
            let left = answers.iter().skip(given).copied().collect();
            self.play.world.script.insert((*path).to_owned(), left);
        }
    }

    fn is_over(&self) -> bool {
        self.play.outcome().is_some()
    }

    fn end(&self) -> (Option<RunStatus>, BTreeMap<String, NodeState>) {
        (self.play.status(), self.play.all_states())
    }
}

fn plays_out(fails: bool) {
    let mut whole = Story::begins();
    while !whole.is_over() {
        assert!(whole.goes_on(Lsn(u64::MAX), fails), "something can always happen");
    }
    let expected = whole.end();
    let records = whole.play.world.records.len() as u64;
    assert!(records > 20, "{records} records");
    for cut in 1..records {
        let mut story = Story::begins();
        while !story.is_over() && story.goes_on(Lsn(cut), fails) {}
        story.forgets_what_is_not_on_disk(Lsn(cut));
        story.play.crash(SECOND);
        for _ in 0..200 {
            if story.is_over() {
                break;
            }
            story.goes_on(Lsn(u64::MAX), fails);
        }
        assert_eq!(story.end(), expected, "after a crash with {cut} records on disk");
    }
}

#[test]
fn a_run_that_succeeds() {
    plays_out(false);
}

#[test]
fn a_run_that_fails_and_is_undone() {
    plays_out(true);
}
