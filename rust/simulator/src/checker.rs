//! What must hold after every event, checked beside the engine with books of its own.

use std::collections::BTreeSet;
use std::fmt;

use penstock_engine::{
    Base, Body, Engine, Identity, Lane, NodeState, Outcome, Place, PlanId, Policy, Record, Run,
    RunKey, Start, Then, ValueId, draw,
};

use crate::coverage::Coverage;
use crate::workload::Workload;

/// Something that must not happen, and how to see it again.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which kind of world.
    pub world: &'static str,
    /// Its seed.
    pub seed: u64,
    /// Its number of runs.
    pub runs: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { world, seed, runs, what } = self;
        write!(
            formatter,
            "seed {seed}: {what}\nreplay: cargo run -p penstock-simulator --example simulate -- {world} {seed} {runs}"
        )
    }
}

impl std::error::Error for Violation {}

pub(crate) type Checked = Result<(), String>;

pub(crate) struct Checker<'a> {
    workload: &'a Workload,
    pub(crate) coverage: Coverage,
    /// By slot of the run's key.
    runs: Vec<Option<Shadow>>,
    /// By handle: whether somebody owns it.
    values: Vec<bool>,
    owned: usize,
    /// Attempts under way, by queue.
    running: Vec<u32>,
    running_in_all: u32,
    threads: u32,
    /// Nodes with an attempt under way, abandoned ones included.
    busy: BTreeSet<(RunKey, Place)>,
    touched: Vec<RunKey>,
    starts: u64,
}

struct Shadow {
    key: RunKey,
    number: u64,
    plan: PlanId,
    inputs: Vec<ValueId>,
    seq: u32,
    over: bool,
    watched: Option<Watched>,
}

/// What is kept of a run that is compared with the fold of its records.
#[derive(Default)]
struct Watched {
    records: Vec<Record>,
    states: Vec<NodeState>,
    retried: BTreeSet<Place>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(workload: &'a Workload) -> Self {
        Self {
            workload,
            coverage: Coverage::default(),
            runs: Vec::new(),
            values: Vec::new(),
            owned: 0,
            running: vec![0; workload.queues.len() + 1],
            running_in_all: 0,
            threads: 0,
            busy: BTreeSet::new(),
            touched: Vec::new(),
            starts: 0,
        }
    }

    /// A new handle, owned by the engine from now on.
    pub(crate) fn value(&mut self) -> ValueId {
        self.values.push(true);
        self.owned += 1;
        ValueId(self.values.len() as u32 - 1)
    }

    /// The engine gives a handle up.
    pub(crate) fn give_up(&mut self, value: ValueId) -> Checked {
        let Some(owned) = self.values.get_mut(value.0 as usize) else {
            return Err(format!("{value:?} was dropped, but never made"));
        };
        if !std::mem::replace(owned, false) {
            return Err(format!("{value:?} was dropped twice"));
        }
        self.owned -= 1;
        Ok(())
    }

    pub(crate) fn accepted(
        &mut self,
        engine: &Engine,
        run: RunKey,
        plan: PlanId,
        inputs: Vec<ValueId>,
    ) {
        let number = engine.number(run).unwrap_or_default();
        let dice = draw(self.workload.seed, [number; 4]);
        let close = engine.run(run).is_some() && dice.is_multiple_of(self.workload.watch_one_in);
        let watched = close.then(|| {
            let nodes = (0..engine.plan(plan).len() as u32).map(Place);
            let states = nodes.filter_map(|node| engine.node_state(run, node)).collect();
            Watched { states, ..Watched::default() }
        });
        let slot = slot(run);
        if slot >= self.runs.len() {
            self.runs.resize_with(slot + 1, || None);
        }
        let shadow = Shadow { key: run, number, plan, inputs, seq: 0, over: false, watched };
        self.runs[slot] = Some(shadow);
    }

    pub(crate) fn recorded(&mut self, record: &Record) -> Checked {
        let shadow = self.shadow(record.run)?;
        if shadow.over || record.seq != shadow.seq {
            return Err(format!("{record:?} comes after {} records, or after the end", shadow.seq));
        }
        shadow.seq += 1;
        shadow.over = matches!(record.body, Body::Ended { .. });
        if let Some(watched) = &mut shadow.watched {
            watched.records.push(*record);
            if matches!(record.body, Body::Failed { then: Then::Retry { .. }, .. }) {
                watched.retried.insert(record.node);
            }
            self.touched.push(record.run);
        }
        if let Body::Ended { status } = record.body
            && !self.coverage.run_ended(status)
        {
            return Err(format!("{:?} became {status:?}, which no row allows", record.run));
        }
        Ok(())
    }

    pub(crate) fn started(&mut self, engine: &Engine, start: &Start) -> Checked {
        let shadow = self.shadow(start.run)?;
        if shadow.over {
            return Err(format!("{start:?} after the end of its run"));
        }
        if shadow.watched.is_some() {
            self.touched.push(start.run);
        }
        let policy = self.policy(start.plan, start.node);
        if start.number > policy.retry.attempts_max.get() {
            return Err(format!("{start:?} is one attempt too many"));
        }
        if !self.busy.insert((start.run, start.node)) {
            return Err(format!("{start:?} while an earlier attempt is under way"));
        }
        self.starts += 1;
        if self.starts.is_multiple_of(self.workload.watch_one_in) {
            self.is_most_urgent(engine, start)?;
        }
        self.count(policy, 1);
        let config = &self.workload.config;
        let queue = policy.queue.0 as usize;
        let limit =
            queue.checked_sub(1).map_or(u32::MAX, |it| self.workload.queues[it].concurrency);
        let within = self.running[queue] <= limit
            && self.running_in_all <= config.concurrency
            && self.threads <= config.threads;
        let agrees = engine.queue(policy.queue).running == self.running[queue]
            && engine.running() == self.running_in_all;
        match (within, agrees) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("{start:?} is past a limit")),
            (_, false) => Err(format!("the engine miscounts what runs at {start:?}")),
        }
    }

    /// An attempt has really ended.
    pub(crate) fn stopped(&mut self, start: &Start) {
        self.busy.remove(&(start.run, start.node));
        self.count(self.policy(start.plan, start.node), -1);
    }

    pub(crate) fn ended(&mut self, run: RunKey, outcome: Outcome) -> Checked {
        let shadow = self.shadow(run)?;
        if !shadow.over {
            return Err(format!("{run:?} ended without a record of it"));
        }
        self.runs[slot(run)] = None;
        match outcome {
            Outcome::Succeeded(Base::Value(value))
            | Outcome::Failed { cause: penstock_engine::Cause::Error(value), .. } => {
                self.give_up(value)
            }
            _ => Ok(()),
        }
    }

    /// To be asked about a run that an action names.
    pub(crate) fn is_under_way(&mut self, run: RunKey) -> Checked {
        self.shadow(run).map(|_| ())
    }

    /// Compares the runs that the last event touched with the folds of their records.
    pub(crate) fn settle(&mut self, engine: &Engine, tick: bool) -> Checked {
        if tick && self.workload.watch_one_in == 1 {
            self.touched.extend(self.runs.iter().flatten().map(|shadow| shadow.key));
        }
        while let Some(key) = self.touched.pop() {
            let Some(Some(shadow)) = self.runs.get_mut(slot(key)) else { continue };
            let Some(run) = engine.run(key).filter(|_| shadow.key == key) else { continue };
            let Some(watched) = &mut shadow.watched else { continue };
            let identity = Identity {
                number: shadow.number,
                plan_id: shadow.plan,
                plan: engine.plan(shadow.plan),
                inputs: &shadow.inputs,
                durability: penstock_engine::Durability::Sync,
            };
            if run.image() != Run::fold(&identity, &watched.records).image() {
                return Err(format!("{key:?} is not the fold of its {} records", shadow.seq));
            }
            for (index, before) in watched.states.iter_mut().enumerate() {
                let node = Place(index as u32);
                let Some(now) = engine.node_state(key, node) else { continue };
                let from = std::mem::replace(before, now);
                if !self.coverage.node_moved(from, now, watched.retried.remove(&node)) {
                    return Err(format!("{node:?} of {key:?}: {from:?} -> {now:?} is in no table"));
                }
            }
        }
        Ok(())
    }

    /// Everything is over: nothing may be left.
    pub(crate) fn finish(&self, engine: &Engine) -> Checked {
        if let Some(shadow) = self.runs.iter().flatten().next() {
            return Err(format!("{:?} never ended", shadow.key));
        }
        if self.owned > 0 {
            return Err(format!("{} values were never dropped", self.owned));
        }
        if engine.run_count() > 0 || engine.running() > 0 || self.running_in_all > 0 {
            return Err("the engine counts runs or attempts that are over".into());
        }
        Ok(())
    }

    fn shadow(&mut self, run: RunKey) -> Result<&mut Shadow, String> {
        match self.runs.get_mut(slot(run)) {
            Some(Some(shadow)) if shadow.key == run => Ok(shadow),
            _ => Err(format!("something happened to {run:?}, which is over")),
        }
    }

    fn policy(&self, plan: PlanId, node: Place) -> &'a Policy {
        let workload = self.workload;
        let policy = workload.graphs[plan.0 as usize].1[node.index()].as_ref();
        policy.expect("only steps are started")
    }

    fn count(&mut self, policy: &Policy, by: i32) {
        let counters = [&mut self.running[policy.queue.0 as usize], &mut self.running_in_all];
        for counter in counters {
            *counter = counter.wrapping_add_signed(by);
        }
        if policy.lane == Lane::Threads {
            self.threads = self.threads.wrapping_add_signed(by);
        }
    }

    /// Whether nothing more urgent stands in the same line. O(runs): for small or sampled worlds.
    fn is_most_urgent(&self, engine: &Engine, start: &Start) -> Checked {
        if self.workload.config.journaled {
            return Ok(()); // A ready node may stand before its gate instead of in line.
        }
        let policy = self.policy(start.plan, start.node);
        let rank = |policy: &Policy, run: RunKey| engine.run(run).map(|run| run.priority(policy));
        let own = rank(policy, start.run);
        for shadow in self.runs.iter().flatten() {
            for (index, other) in self.workload.graphs[shadow.plan.0 as usize].1.iter().enumerate()
            {
                let node = Place(index as u32);
                let Some(other) = other else { continue };
                if (other.queue, other.lane) == (policy.queue, policy.lane)
                    && rank(other, shadow.key) < own
                    && engine.node_state(shadow.key, node) == Some(NodeState::Ready)
                    && !self.busy.contains(&(shadow.key, node))
                {
                    return Err(format!("{start:?} before {node:?} of {:?}", shadow.key));
                }
            }
        }
        Ok(())
    }
}

const fn slot(run: RunKey) -> usize {
    (run.0 & 0xffff_ffff) as usize
}
