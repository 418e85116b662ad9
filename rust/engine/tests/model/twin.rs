//! Plays each operation to the engine and to the model, and compares what they say.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;

use penstock_engine::{
    Accept, Action, Base, Config, Durability, Engine, Event, Failure, GraphSpec, Jitter, Lane,
    NodeKind, NodeSpec, Outcome, Place, Plan, PlanId, Policy, QueueId, QueueModel, RetryPolicy,
    RunKey, Start, StepId, TenantId, ValueId,
};

use crate::naive::{End, Model};
use crate::{Shape, Step};

/// Something that happens; a number picks among the attempts or runs there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Accept {
        shape: u8,
        priority: u8,
    },
    Dispatch,
    Done(u8),
    Fail {
        attempt: u8,
        again: bool,
    },
    CancelRun(u8),
    EndCancelled(u8),
    Interrupt(u8),
    Advance(u64),
    /// Every event there is about an attempt or decision that is over.
    Stale(u8),
}

const TICK_NS: u64 = 1_000_000_000;

pub(crate) struct Twin {
    engine: Engine,
    model: Model,
    shapes: usize,
    now_ns: u64,
    keys: Vec<RunKey>,
    ended: Vec<Option<Outcome>>,
    running: Vec<Start>,
    over: Vec<Start>,
    values: BTreeSet<ValueId>,
    next_value: u32,
    /// Every action and start, as text.
    pub(crate) log: String,
}

impl Twin {
    pub(crate) fn new(shapes: &[Shape], concurrency: u32, narrow: u32) -> Self {
        let config = Config { concurrency, cancel_grace_ns: u64::MAX / 4, ..Config::default() };
        let mut engine = Engine::new(config);
        // What stands too long has a model of its own.
        let strict = QueueModel { aging_share_ppm: 0, ..QueueModel::default() };
        engine.configure_queue(0, QueueId::DEFAULT, strict.clone());
        engine.add_queue(QueueModel { concurrency: narrow, ..strict });
        for shape in shapes {
            add_plan(&mut engine, shape);
        }
        let model = Model::new(shapes.to_vec(), vec![u32::MAX, narrow, concurrency]);
        Self {
            engine,
            model,
            shapes: shapes.len(),
            now_ns: 0,
            keys: Vec::new(),
            ended: Vec::new(),
            running: Vec::new(),
            over: Vec::new(),
            values: BTreeSet::new(),
            next_value: 0,
            log: String::new(),
        }
    }

    pub(crate) fn play(&mut self, op: Op) {
        match op {
            Op::Accept { shape, priority } => {
                self.accept(usize::from(shape) % self.shapes, priority);
            }
            Op::Dispatch => drop(self.dispatch()),
            Op::Done(pick) => {
                self.end_one(pick, Model::done, |attempt, value| Event::Done { attempt, value });
            }
            Op::Fail { attempt, again } => {
                let failure = Failure { retryable: again, ..Failure::FINAL };
                let fail = |model: &mut Model, run, node| model.fail(run, node, again);
                self.end_one(attempt, fail, |attempt, error| Event::Failed {
                    attempt,
                    error,
                    failure,
                });
            }
            Op::EndCancelled(pick) => {
                let told = |start: &&Start| self.engine.is_cancelled(start.attempt);
                if pick_of(pick, &self.running).is_some_and(|start| told(&start)) {
                    self.end_one(pick, Model::withdraw, |attempt, error| Event::Cancelled {
                        attempt,
                        error,
                    });
                }
            }
            Op::Interrupt(pick) => {
                self.end_one(pick, Model::withdraw, |attempt, _| Event::Interrupted { attempt });
            }
            Op::CancelRun(pick) => self.cancel(pick),
            Op::Advance(ticks) => {
                self.now_ns += ticks * TICK_NS;
                self.model.advance(ticks);
                self.handle(Event::Tick);
            }
            Op::Stale(pick) => self.stale(pick),
        }
        self.compare();
    }

    /// Brings every run to its end: each must have one, and leave no value but its result.
    pub(crate) fn finish(&mut self) {
        while self.ended.iter().any(Option::is_none) {
            while self.dispatch().is_some() {}
            while let Some(start) = self.running.first() {
                let cancelled = self.engine.is_cancelled(start.attempt);
                self.play(if cancelled { Op::EndCancelled(0) } else { Op::Done(0) });
            }
            self.play(Op::Advance(1));
        }
        for outcome in self.ended.iter().flatten() {
            if let Outcome::Succeeded(Base::Value(value))
            | Outcome::Failed { cause: penstock_engine::Cause::Error(value), .. } = outcome
            {
                assert!(self.values.remove(value), "a result was dropped");
            }
        }
        assert!(self.values.is_empty(), "values leaked: {:?}", self.values);
        assert_eq!((self.engine.run_count(), self.engine.running()), (0, 0));
    }

    fn accept(&mut self, shape: usize, priority: u8) {
        let accept = Accept {
            plan: PlanId(shape as u32),
            inputs: &[],
            tenant: TenantId::NONE,
            priority: Some(priority),
            deadline_ns: None,
            durability: Durability::Sync,
            budget: None,
            admitted: false,
        };
        let key = self.engine.accept(self.now_ns, &accept).expect("there is room");
        assert!(!self.keys.contains(&key), "a key was used twice");
        self.keys.push(key);
        self.ended.push(None);
        self.model.accept(shape, priority);
        self.drain();
    }

    fn dispatch(&mut self) -> Option<Start> {
        let start = self.engine.dispatch(self.now_ns);
        let expected = self.model.dispatch();
        let told = start.map(|it| (self.index(it.run), it.node.index(), it.number));
        assert_eq!(told, expected, "the next attempt");
        self.note(&start);
        self.running.extend(start);
        if let Some(start) = start {
            self.handle(Event::Suspended { attempt: start.attempt });
        }
        start
    }

    fn cancel(&mut self, pick: u8) {
        let Some(&key) = pick_of(pick, &self.keys) else { return };
        let run = self.index(key);
        let going_on = self.model.runs[run].ending.is_none();
        assert_eq!(self.engine.cancel(self.now_ns, key), going_on);
        if going_on {
            self.model.stop(run, End::Cancelled);
        }
        self.drain();
    }

    fn end_one(
        &mut self,
        pick: u8,
        model: impl FnOnce(&mut Model, usize, usize),
        event: impl FnOnce(penstock_engine::AttemptKey, ValueId) -> Event,
    ) {
        if self.running.is_empty() {
            return;
        }
        let start = self.running.remove(usize::from(pick) % self.running.len());
        self.over.push(start);
        let run = self.index(start.run);
        model(&mut self.model, run, start.node.index());
        let value = self.value();
        let event = event(start.attempt, value);
        if matches!(event, Event::Interrupted { .. }) {
            self.values.remove(&value);
        }
        self.handle(event);
    }

    fn stale(&mut self, pick: u8) {
        if let Some(&Start { attempt, .. }) = pick_of(pick, &self.over) {
            let failure = Failure { retryable: true, ..Failure::FINAL };
            let (value, error, cancelled) = (self.value(), self.value(), self.value());
            self.handle(Event::Suspended { attempt });
            self.handle(Event::Heartbeat { attempt });
            self.handle(Event::Done { attempt, value });
            self.handle(Event::Failed { attempt, error, failure });
            self.handle(Event::Cancelled { attempt, error: cancelled });
            self.handle(Event::Interrupted { attempt });
        }
        if let Some(&run) = pick_of(pick, &self.keys) {
            let node = Place(u32::from(pick) % 11);
            let (value, error) = (self.value(), self.value());
            self.handle(Event::Decided { run, node, value });
            self.handle(Event::DecidedFailed { run, node, error, refusal: None });
        }
    }

    fn handle(&mut self, event: Event) {
        self.engine.handle(self.now_ns, event);
        self.drain();
    }

    /// Takes every action, then answers the inline nodes in the order they were asked for.
    fn drain(&mut self) {
        let mut inline = VecDeque::new();
        loop {
            while let Some(action) = self.engine.poll() {
                self.note(&action);
                match action {
                    Action::Evaluate { run, node, .. } => inline.push_back((run, node)),
                    Action::Cancel { attempt, .. } => {
                        assert!(self.running.iter().any(|start| start.attempt == attempt));
                    }
                    Action::Drop { value } => {
                        assert!(self.values.remove(&value), "{value:?} was dropped twice");
                    }
                    Action::Ended { run, outcome, .. } => {
                        let run = self.index(run);
                        assert!(self.ended[run].replace(outcome).is_none(), "ended twice");
                    }
                    Action::Stalled { .. } => panic!("nothing is compensated"),
                    // Much may fail here, which may look like a storm.
                    Action::Queue { .. } => {}
                }
            }
            let Some((run, node)) = inline.pop_front() else { return };
            let value = self.value();
            self.engine.handle(self.now_ns, Event::Decided { run, node, value });
        }
    }

    fn compare(&self) {
        for (index, run) in self.model.runs.iter().enumerate() {
            let key = self.keys[index];
            let outcome = self.ended[index].map(|outcome| match outcome {
                Outcome::Succeeded(_) => End::Succeeded,
                Outcome::Failed { node, .. } => End::Failed { node: node.index() },
                Outcome::Cancelled | Outcome::DeadlineExceeded => End::Cancelled,
            });
            assert_eq!(outcome, run.ending.filter(|_| run.over), "how run {index} ended");
            for (node, cell) in run.nodes.iter().enumerate().filter(|_| !run.over) {
                let state = self.engine.node_state(key, Place(node as u32));
                assert_eq!(state, Some(cell.state), "node {node} of run {index}");
            }
        }
        for start in &self.running {
            let ending = self.model.runs[self.index(start.run)].ending.is_some();
            assert_eq!(self.engine.is_cancelled(start.attempt), ending);
        }
    }

    fn note(&mut self, what: &impl std::fmt::Debug) {
        write!(self.log, "{what:?}").expect("a string takes all");
    }

    fn index(&self, key: RunKey) -> usize {
        self.keys.iter().position(|it| *it == key).expect("a run that was accepted")
    }

    fn value(&mut self) -> ValueId {
        self.next_value += 1;
        self.values.insert(ValueId(self.next_value));
        ValueId(self.next_value)
    }
}

fn pick_of<T>(pick: u8, from: &[T]) -> Option<&T> {
    from.get(usize::from(pick) % from.len().max(1))
}

fn add_plan(engine: &mut Engine, shape: &Shape) {
    let ids = |nodes: &[usize]| nodes.iter().map(|&node| node as u32).collect::<Vec<u32>>();
    let specs: Vec<NodeSpec> = shape
        .steps
        .iter()
        .zip(&shape.producers)
        .enumerate()
        .map(|(index, (step, producers))| {
            let kind = if step.is_some() { NodeKind::Step } else { NodeKind::Apply };
            let inputs: Vec<u32> = ids(&producers[..producers.len() / 2]);
            let after = ids(&producers[producers.len() / 2..]);
            NodeSpec { after, ..NodeSpec::new(&format!("model/{index}"), kind, &inputs) }
        })
        .collect();
    let output = specs.len() as u32 - 1;
    let plan = Plan::compile(GraphSpec::flat("model", "1", specs, output)).expect("a graph");
    let policies = shape.steps.iter().map(|step| step.map(policy)).collect();
    engine.add_plan(Arc::new(plan), policies);
}

fn policy(step: Step) -> Policy {
    Policy {
        step: StepId(0),
        queue: QueueId(step.queue as u32),
        lane: Lane::Loop,
        priority: step.priority,
        step_priority: None,
        retry: RetryPolicy {
            attempts_max: NonZeroU32::new(step.attempts_max).expect("at least one"),
            initial_ns: step.wait * TICK_NS,
            coefficient: 1.0,
            max_ns: step.wait * TICK_NS,
            jitter: Jitter::None,
        },
        once: false,
        retry_timeouts: true,
        tokens: 0,
        fallback: false,
        stands_in: false,
        estimate_nanos: 0,
        max_nanos: 0,
        handoffs: 0,
        cross_handoffs: 0,
        hedge: None,
        timeout_ns: 0,
        total_timeout_ns: 0,
        queue_timeout_ns: 0,
        heartbeat_timeout_ns: 0,
    }
}
