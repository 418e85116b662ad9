//! Virtual time, and what happens in it: the driver of the modelled engine.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use penstock_engine::{
    Accept, Action, AttemptKey, CancelCause, Config, Durability, Engine, Evaluation, Event,
    Failure, NodeId, Outcome, Place, PlanId, QueueId, RunKey, Start, ValueId, mix,
};
use rustc_hash::FxHashSet;

use super::arrivals::Clock;
use super::attempts::{Attempt, Conditions, Which, attempt, failing};
use super::drift::Season;
use super::figures::{Batch, Played, tenant_of};
use super::luck::Luck;
use super::model::{End, NodeModel, Scene, StepModel};
use super::outages::Weather;
use super::people::{DAY_NS, Line, Question};

/// How far a scene is, and whether it is to stop: shared with who waits for it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Runs that came, of all scenes it is shared by.
    pub came: AtomicU64,
    /// Set to have them stop.
    pub stop: AtomicBool,
}

/// How much is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Runs that come before those that count, while queues fill as they are filled in the long run.
    pub warm_up: u64,
    /// Runs that count.
    pub runs: u64,
    /// How many batches they are counted in.
    pub batches: u32,
}

/// Plays a scene.
pub fn play(scene: &Scene, seed: u64, length: Length, progress: &Progress) -> Played {
    World::new(scene, seed, length).play(progress)
}

/// A fact about a run that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which run it was to come.
    pub run: u64,
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// The node it is about; empty where it is about the run.
    pub node: String,
    /// The attempt it is about; 0 where there is none.
    pub attempt: u32,
    /// The word for what happened, as history has it.
    pub kind: &'static str,
}

/// Plays a scene, and gives every record that a journal would have got.
pub fn trace(scene: &Scene, seed: u64, runs: u64) -> Vec<Fact> {
    let mut world = World::new(scene, seed, Length { warm_up: 0, runs, batches: 1 });
    let facts = Rc::new(RefCell::new(Vec::new()));
    world.facts = Some(facts.clone());
    world.play(&Progress::default());
    facts.take()
}

/// Seconds before each of the first runs of a scene.
pub fn arrivals(scene: &Scene, seed: u64, runs: u64) -> Vec<f64> {
    let mut clock = Clock::new(&scene.model.arrivals, seed);
    (0..runs).map(|_| clock.gap()).collect()
}

pub(super) fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

const DECISIONS: u64 = 12;
const TENANTS: u64 = 14;

/// When the world begins: as far from 0 as in production, where a time of 0 stands for never, and after whole weeks:
/// on a Monday at midnight.
pub(super) const START_NS: u64 = 2_870 * 7 * DAY_NS;
/// Pages that are collected before they are added up.
const PAGES: usize = 64;
/// What has not ended by so long after the last arrival does not end.
const PATIENCE_NS: u64 = 30 * 86_400_000_000_000;
/// Of no interest here: the engine never looks inside.
pub(super) const VALUE: ValueId = ValueId(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    Arrival,
    Ends(AttemptKey),
    Answers(Question),
    Opens(u32),
}

/// An attempt under way.
#[derive(Clone, Copy, Debug)]
struct Flight<'a> {
    key: AttemptKey,
    run: RunKey,
    place: Place,
    model: &'a StepModel,
    queue: QueueId,
    attempt: Attempt,
}

/// What is known of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Which one it was to come.
    pub(super) number: u64,
    failing: f64,
    pub(super) batch: u32,
    /// The product of what its steps are worth, and whether there is any.
    quality: Option<f64>,
    /// By group, the quality of the tier that counts so far, and whether that is settled.
    tiers: Vec<(u8, f64, bool)>,
    /// How the last attempt of a node ended, where there may be another.
    after: Vec<(Place, End)>,
    /// The last attempt of each hedged node, to know its copy by.
    hedged: Vec<(Place, u32)>,
    /// Iterations of each loop that is under way.
    iterations: Vec<(Place, u64)>,
}

/// Takes what is kept for a node.
fn take<T>(kept: &mut Vec<(Place, T)>, node: Place) -> Option<T> {
    let at = kept.iter().position(|(of, _)| *of == node)?;
    Some(kept.swap_remove(at).1)
}

pub(super) struct World<'a> {
    pub(super) scene: &'a Scene,
    pub(super) seed: u64,
    warm_up: u64,
    runs: u64,
    pub(super) engine: Engine,
    inputs: Vec<ValueId>,
    pub(super) now_ns: u64,
    coming: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    scheduled: u64,
    clock: Clock<'a>,
    weather: Weather<'a>,
    season: Season<'a>,
    came: u64,
    /// Attempts under way by slot of their key, and how many there are by queue.
    flights: Vec<Option<Flight<'a>>>,
    in_flight: Vec<u32>,
    /// Runs by slot of their key.
    pub(super) known: Vec<Known>,
    evaluating: Vec<(RunKey, Place, NodeId, Evaluation)>,
    stopping: Vec<(AttemptKey, CancelCause)>,
    /// Whether anybody is asked, by whom, and runs that may have a question.
    asks: bool,
    pub(super) asked: FxHashSet<(RunKey, Place)>,
    pub(super) touched: Vec<RunKey>,
    pub(super) desks: Vec<Line>,
    /// The batches, and one more of what is not counted.
    pub(super) batches: Vec<Batch>,
    began_ns: Vec<u64>,
    pub(super) played: Played,
    /// Where every record is written to, if anywhere.
    facts: Option<Rc<RefCell<Vec<Fact>>>>,
}

impl<'a> World<'a> {
    fn new(scene: &'a Scene, seed: u64, length: Length) -> Self {
        let Length { warm_up, runs, batches } = length;
        let config = Config { journaled: false, ..scene.config };
        let mut engine = Engine::new(config);
        for (number, model) in (0..).zip(&scene.queues) {
            if number == 0 {
                engine.configure_queue(START_NS, QueueId::DEFAULT, model.clone());
            } else {
                engine.add_queue(model.clone());
            }
        }
        // Each batch is a plan of its own, so that the engine keeps its figures apart.
        for _ in 0..=batches {
            engine.add_plan(scene.plan.clone(), scene.policies.clone());
        }
        let (queues, resources) = (scene.queues.len(), scene.model.resources);
        Self {
            scene,
            seed,
            warm_up,
            runs: warm_up + runs,
            engine,
            inputs: vec![VALUE; scene.plan.input_count()],
            now_ns: START_NS,
            coming: BinaryHeap::new(),
            scheduled: 0,
            clock: Clock::new(&scene.model.arrivals, seed),
            weather: Weather::new(&scene.model.outages, seed),
            season: Season::new(&scene.model.nodes, scene.model.drift.as_ref(), seed),
            came: 0,
            flights: Vec::new(),
            in_flight: vec![0; queues],
            known: Vec::new(),
            evaluating: Vec::new(),
            stopping: Vec::new(),
            asks: scene.plan.signals().next().is_some(),
            asked: FxHashSet::default(),
            touched: Vec::new(),
            desks: scene.model.desks.iter().map(|_| Line::default()).collect(),
            batches: (0..=batches).map(|_| Batch::new(queues, resources)).collect(),
            began_ns: vec![0; batches as usize + 1],
            played: Played { beyond: vec![(0, 0); scene.plan.len()], ..Played::default() },
            facts: None,
        }
    }

    fn play(mut self, progress: &Progress) -> Played {
        self.schedule_arrival();
        let mut told = 0;
        loop {
            while let Some(start) = self.engine.dispatch(self.now_ns) {
                self.start(&start);
            }
            self.drain();
            let due_ns = self.engine.next_deadline_ns();
            match (self.coming.peek().map(|Reverse((at_ns, ..))| *at_ns), due_ns) {
                (None, None) => break,
                (Some(at_ns), due_ns) if due_ns.is_none_or(|due_ns| at_ns < due_ns) => {
                    self.now_ns = at_ns;
                    if let Some(Reverse((_, _, happening))) = self.coming.pop() {
                        self.happen(happening);
                    }
                }
                (_, due_ns) => {
                    self.now_ns = self.now_ns.max(due_ns.unwrap_or_default());
                    self.handle(Event::Tick);
                }
            }
            if self.came >= told + TELL {
                progress.came.fetch_add(self.came - told, Ordering::Relaxed);
                told = self.came;
            }
            let over = self.came == self.runs && self.now_ns > self.ended_ns() + PATIENCE_NS;
            if over || (self.played.events.is_multiple_of(TELL) && self.is_to_stop(progress)) {
                break;
            }
        }
        progress.came.fetch_add(self.came - told, Ordering::Relaxed);
        self.finish()
    }

    fn is_to_stop(&mut self, progress: &Progress) -> bool {
        self.played.stopped = progress.stop.load(Ordering::Relaxed);
        self.played.stopped
    }

    /// When the last run came.
    fn ended_ns(&self) -> u64 {
        self.began_ns.last().copied().unwrap_or_default()
    }

    fn finish(mut self) -> Played {
        self.collect();
        let count = self.batches.len() - 1;
        for (plan, batch) in (0..).zip(&mut self.batches[..count]) {
            batch.measure(&self.engine, PlanId(plan));
            let (from, to) = (self.began_ns[plan as usize], self.began_ns[plan as usize + 1]);
            batch.span_ns = to.saturating_sub(from);
        }
        self.batches.truncate(count);
        self.played.batches = self.batches;
        self.played.elapsed_ns = self.now_ns - START_NS;
        self.played.unfinished = self.engine.run_count() as u64;
        self.played
    }

    /// Adds up what the engine has counted.
    fn collect(&mut self) {
        for page in self.engine.books_mut().take() {
            self.batches[page.key.plan.0 as usize].add(&page);
        }
    }

    pub(super) fn schedule(&mut self, after_ns: u64, happening: Happening) {
        self.scheduled += 1;
        let at_ns = self.now_ns.saturating_add(after_ns);
        self.coming.push(Reverse((at_ns, self.scheduled, happening)));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival => self.arrive(),
            Happening::Ends(key) => {
                if let Some(flight) = self.land(key) {
                    self.end(&flight);
                }
            }
            Happening::Answers(question) => self.answered(question),
            Happening::Opens(desk) => {
                self.desks[desk as usize].opens = false;
                self.serve(desk);
            }
        }
    }

    // Runs.

    fn schedule_arrival(&mut self) {
        if self.came < self.runs {
            let gap_ns = nanoseconds(self.clock.gap());
            self.schedule(gap_ns, Happening::Arrival);
        }
    }

    fn arrive(&mut self) {
        let number = self.came;
        self.came += 1;
        let count = self.batches.len() as u64 - 1;
        let counted = number.checked_sub(self.warm_up);
        let batch = counted.map_or(count, |nth| nth * count / (self.runs - self.warm_up));
        if batch < count && self.batches[batch as usize].offered == 0 {
            self.began_ns[batch as usize] = self.now_ns;
        }
        self.began_ns[count as usize] = self.now_ns;
        self.batches[batch as usize].offered += 1;
        let share = Luck::of(self.seed, [TENANTS, number, 0, 0]).share();
        let accept = Accept {
            plan: PlanId(batch as u32),
            inputs: &self.inputs,
            tenant: tenant_of(&self.scene.model.tenants, share),
            priority: None,
            deadline_ns: self.scene.deadline_ns.map(|time_ns| self.now_ns + time_ns),
            budget: self.scene.budget,
            durability: Durability::Sync,
            admitted: false,
        };
        self.played.events += 1;
        if let Ok(key) = self.engine.accept(self.now_ns, &accept) {
            let slot = slot(key.0);
            if slot >= self.known.len() {
                self.known.resize_with(slot + 1, Known::default);
            }
            let failing = failing(self.scene.model.frailty, self.seed, number);
            self.known[slot] = Known { number, failing, batch: batch as u32, ..Known::default() };
        } else {
            self.batches[batch as usize].refused += 1;
        }
        if self.engine.books().pages().len() > PAGES {
            self.collect();
        }
        self.schedule_arrival();
        self.drain();
    }

    fn ended(&mut self, run: RunKey, outcome: Outcome) {
        let known = &mut self.known[slot(run.0)];
        if matches!(outcome, Outcome::Succeeded(_)) {
            let tiers = known.tiers.iter().map(|(_, quality, _)| *quality);
            let all = tiers.chain(known.quality).reduce(|product, it| product * it);
            if let Some(quality) = all {
                let rated = &mut self.batches[known.batch as usize].rated;
                *rated = (rated.0 + 1, rated.1 + quality);
            }
        }
    }

    // Attempts.

    fn start(&mut self, start: &Start) {
        self.played.events += 1;
        self.drain();
        let usual = &self.scene.model.nodes[start.template.index()];
        let now = &self.season.at(self.now_ns - START_NS)[start.template.index()];
        let (NodeModel::Step(usual), NodeModel::Step(model)) = (usual, now) else {
            unreachable!("only steps are dispatched, and each has a model");
        };
        let policy = self.scene.policies[start.template.index()].as_ref().expect("a step");
        let queue = policy.queue;
        let beside = &mut self.in_flight[queue.0 as usize];
        *beside += 1;
        let beyond = &mut self.played.beyond[start.template.index()];
        beyond.0 += 1;
        let most = usual.load.last();
        beyond.1 += u64::from(most.is_some_and(|(most, _)| f64::from(*beside) > *most));
        let known = &mut self.known[slot(start.run.0)];
        let copy = policy.hedge.is_some() && {
            let before = take(&mut known.hedged, start.node);
            known.hedged.push((start.node, start.number));
            before == Some(start.number)
        };
        let after = if start.number > 1 { take(&mut known.after, start.node) } else { None };
        let which = Which { run: known.number, node: start.node, number: start.number, copy };
        let outage = self.weather.at(queue, self.now_ns - START_NS);
        let conditions = Conditions { failing: known.failing, after, beside: *beside, outage };
        let attempt = attempt(model, self.seed, which, conditions);
        let flight =
            Flight { key: start.attempt, run: start.run, place: start.node, model, queue, attempt };
        let slot = slot(start.attempt.0);
        if slot >= self.flights.len() {
            self.flights.resize(slot + 1, None);
        }
        self.flights[slot] = Some(flight);
        self.hash(start.attempt.0);
        let time_ns = nanoseconds(attempt.seconds);
        if time_ns == 0 && attempt.end != End::Hang {
            if let Some(flight) = self.land(start.attempt) {
                self.end(&flight);
            }
            return;
        }
        self.handle(Event::Suspended { attempt: start.attempt });
        if attempt.end != End::Hang {
            self.schedule(time_ns, Happening::Ends(start.attempt));
        }
    }

    /// An attempt comes down, if it is under way.
    fn land(&mut self, key: AttemptKey) -> Option<Flight<'a>> {
        let flight = self.flights[slot(key.0)].take_if(|flight| flight.key == key)?;
        self.in_flight[flight.queue.0 as usize] -= 1;
        Some(flight)
    }

    /// It comes to its own end.
    fn end(&mut self, flight: &Flight<'_>) {
        let (model, attempt) = (flight.model, flight.key);
        self.hash(attempt.0 ^ u64::MAX);
        for (resource, units, nanos) in flight.attempt.spends(model, false) {
            self.handle(Event::Spent { attempt, resource, units, nanos: Some(nanos) });
        }
        let retryable = flight.attempt.end == End::Error;
        if flight.attempt.end == End::Done {
            self.rate(flight.run, model.quality, model.group);
            return self.handle(Event::Done { attempt, value: VALUE });
        }
        if retryable {
            self.known[slot(flight.run.0)].after.push((flight.place, End::Error));
        }
        let failure = Failure { retryable, ..Failure::FINAL };
        self.handle(Event::Failed { attempt, error: VALUE, failure });
    }

    /// What a value is worth is what its run may be worth.
    pub(super) fn rate(&mut self, run: RunKey, quality: Option<f64>, group: Option<u8>) {
        let Some(quality) = quality else { return };
        let known = &mut self.known[slot(run.0)];
        let Some(group) = group else {
            known.quality = Some(known.quality.unwrap_or(1.0) * quality);
            return;
        };
        match known.tiers.iter_mut().find(|(of, ..)| *of == group) {
            Some((_, of, settled)) if !*settled => *of = quality,
            Some(_) => {}
            None => known.tiers.push((group, quality, false)),
        }
    }

    // The engine.

    fn handle(&mut self, event: Event) {
        self.played.events += 1;
        self.engine.handle(self.now_ns, event);
        self.drain();
    }

    /// Takes what the engine asks for, and what it has recorded.
    fn gather(&mut self) {
        if self.asks {
            self.touched.extend(self.engine.records().iter().map(|record| record.run));
        }
        if let Some(facts) = &self.facts {
            self.write(&mut facts.borrow_mut());
        }
        self.engine.clear_records();
        while let Some(action) = self.engine.poll() {
            match action {
                Action::Evaluate { run, node, template, what } => {
                    self.evaluating.push((run, node, template, what));
                }
                Action::Cancel { attempt, cause } => self.stopping.push((attempt, cause)),
                Action::Ended { run, outcome, .. } => self.ended(run, outcome),
                Action::Drop { .. } | Action::Queue { .. } | Action::Stalled { .. } => {}
            }
        }
    }

    /// Does what the engine asks for, until it asks for nothing.
    pub(super) fn drain(&mut self) {
        loop {
            self.gather();
            if let Some((run, node, template, what)) = self.evaluating.pop() {
                self.played.events += 1;
                let event = self.evaluated(run, node, template, what);
                self.engine.handle(self.now_ns, event);
            } else if let Some((attempt, cause)) = self.stopping.pop() {
                let Some(flight) = self.land(attempt) else { continue };
                if cause == CancelCause::Timeout {
                    self.known[slot(flight.run.0)].after.push((flight.place, End::Hang));
                }
                for (resource, units, nanos) in flight.attempt.spends(flight.model, true) {
                    let nanos = Some(nanos);
                    self.played.events += 1;
                    self.engine
                        .handle(self.now_ns, Event::Spent { attempt, resource, units, nanos });
                    self.gather();
                }
                self.played.events += 1;
                self.engine.handle(self.now_ns, Event::Cancelled { attempt, error: VALUE });
            } else {
                break;
            }
        }
        if self.asks {
            self.ask();
        }
    }

    /// Writes what the engine has recorded.
    fn write(&self, facts: &mut Vec<Fact>) {
        for record in self.engine.records() {
            let node = if record.body.is_about_run() {
                String::new()
            } else {
                // Of a run that is over, only the outermost frame is known.
                let outermost = || self.scene.plan.path(NodeId(record.node.0)).to_owned();
                self.engine.path(record.run, record.node).unwrap_or_else(outermost)
            };
            let run =
                self.known.get(slot(record.run.0)).map_or(self.came - 1, |known| known.number);
            let (attempt, kind) = (record.attempt, record.body.name());
            let at_ns = record.at_ns - START_NS;
            facts.push(Fact { run, at_ns, node, attempt, kind });
        }
    }

    /// The answer for an inline node.
    fn evaluated(&mut self, run: RunKey, node: Place, of: NodeId, what: Evaluation) -> Event {
        let known = &mut self.known[slot(run.0)];
        let parts = [DECISIONS, known.number, u64::from(node.0), what as u64];
        let mut luck = Luck::of(self.seed, parts);
        let model = &self.season.at(self.now_ns - START_NS)[of.index()];
        let chosen = |outcome| Event::Chosen { run, node, outcome, score: None };
        match (what, model) {
            (Evaluation::Count, NodeModel::Count(shape)) => {
                Event::Counted { run, node, count: shape.draw(&mut luck).round() as u32 }
            }
            (Evaluation::Count, _) => Event::Counted { run, node, count: 1 },
            (Evaluation::Until, NodeModel::Until(shares)) => {
                let nth = take(&mut known.iterations, node).unwrap_or(0);
                let share = shares[(nth as usize).min(shares.len() - 1)];
                let parts = [DECISIONS, known.number, u64::from(node.0), 16 + nth];
                let ends = Luck::of(self.seed, parts).share() < share;
                if !ends {
                    known.iterations.push((node, nth + 1));
                }
                chosen(u64::from(ends))
            }
            (Evaluation::Until, _) => chosen(1),
            (Evaluation::Function, NodeModel::Choice(sums)) => {
                let dice = luck.share();
                let outcome = sums.iter().position(|sum| dice < *sum);
                chosen(outcome.unwrap_or(sums.len() - 1) as u64)
            }
            (Evaluation::Function, NodeModel::Judge(judged)) => {
                let accepted = luck.share() < judged.accepted;
                if let Some(tier) = known
                    .tiers
                    .iter_mut()
                    .find(|(group, ..)| accepted && Some(*group) == judged.group)
                {
                    tier.2 = true;
                }
                if judged.tier {
                    Event::Judged { run, node, accepted, score: None }
                } else {
                    chosen(u64::from(accepted))
                }
            }
            (Evaluation::Function, NodeModel::Key(keys)) => {
                let key = (luck.share() * *keys as f64) as u64;
                chosen(mix(u64::from(of.0) << 32 | key))
            }
            (Evaluation::Function, NodeModel::Fails(share)) if luck.share() < *share => {
                Event::DecidedFailed { run, node, error: VALUE, refusal: None }
            }
            _ => Event::Decided { run, node, value: VALUE },
        }
    }

    fn hash(&mut self, what: u64) {
        self.played.hash = mix(self.played.hash ^ what ^ self.now_ns.rotate_left(32));
    }
}

/// Events between two looks at who waits.
const TELL: u64 = 1_024;

pub(super) const fn slot(key: u64) -> usize {
    (key & 0xffff_ffff) as usize
}
