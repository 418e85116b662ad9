//! What must hold after every event, checked beside the engine with books of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use penstock_engine::{
    Base, Body, Engine, GraphSpec, Identity, Lane, Layout, NodeId, NodeKind, NodeState, Outcome,
    Place, PlanId, Policy, Record, Run, RunKey, RunStatus, Start, Then, ValueId, draw,
};

use crate::coverage::Coverage;
use crate::effects::Effects;
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
    /// Concurrency keys that acquire nodes have asked for.
    keys: BTreeMap<(RunKey, Place), u64>,
    /// By node with an attempt under way that has not been given up: the key it holds, and for which
    /// acquire node.
    holders: BTreeMap<(RunKey, Place), (u64, Place)>,
    /// By plan and node, whether it may carry nothing.
    nothing: Vec<Vec<bool>>,
    touched: Vec<RunKey>,
    starts: u64,
}

struct Shadow {
    key: RunKey,
    number: u64,
    plan: PlanId,
    inputs: Vec<ValueId>,
    seq: u32,
    status: RunStatus,
    over: bool,
    watched: Option<Watched>,
}

/// What is kept of a run that is compared with the fold of its records.
#[derive(Default)]
struct Watched {
    records: Vec<Record>,
    states: Vec<NodeState>,
    retried: BTreeSet<Place>,
    effects: Effects,
    /// As it was after the last event.
    layout: Layout,
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
            keys: BTreeMap::new(),
            holders: BTreeMap::new(),
            nothing: workload.graphs.iter().map(|(spec, _)| may_be_nothing(spec)).collect(),
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
            let states = engine.run(run).into_iter().flat_map(Run::states).collect();
            Watched { states, ..Watched::default() }
        });
        let slot = slot(run);
        if slot >= self.runs.len() {
            self.runs.resize_with(slot + 1, || None);
        }
        let status = RunStatus::Running;
        let shadow =
            Shadow { key: run, number, plan, inputs, seq: 0, status, over: false, watched };
        self.runs[slot] = Some(shadow);
    }

    pub(crate) fn recorded(&mut self, engine: &Engine, record: &Record) -> Checked {
        let workload = self.workload;
        let shadow = self.shadow(record.run)?;
        if shadow.over || record.seq != shadow.seq {
            return Err(format!("{record:?} comes after {} records, or after the end", shadow.seq));
        }
        shadow.seq += 1;
        let from = shadow.status;
        shadow.status = match record.body {
            Body::Paused => RunStatus::Paused,
            Body::Resumed if from == RunStatus::Paused => RunStatus::Running,
            Body::Resumed | Body::Compensating => RunStatus::Compensating,
            Body::Ended { status } => status,
            _ => from,
        };
        let to = shadow.status;
        shadow.over =
            matches!(record.body, Body::Ended { .. }) && to != RunStatus::CompensationFailed;
        let spec = &workload.graphs[shadow.plan.0 as usize].0;
        let template = engine.template(record.run, record.node);
        if let Some(watched) = &mut shadow.watched {
            watched.records.push(*record);
            if matches!(record.body, Body::Failed { then: Then::Retry { .. }, .. }) {
                watched.retried.insert(record.node);
            }
            // The run may be over by now.
            let plan = engine.plan(shadow.plan);
            let template = template.unwrap_or_else(|| watched.layout.template(plan, record.node));
            watched.effects.recorded(spec, record, template)?;
            self.touched.push(record.run);
        }
        match (record.body, template.map(|it| spec.nodes[it.index()].kind)) {
            (Body::Chosen { outcome }, Some(NodeKind::Acquire { .. })) => {
                self.keys.insert((record.run, record.node), outcome);
            }
            (Body::Acquired, Some(NodeKind::Acquire { key: Some(key) })) => {
                self.keys.insert((record.run, record.node), key);
            }
            (Body::Abandoned, _) => {
                self.holders.remove(&(record.run, record.node));
            }
            _ => {}
        }
        if from != to && !self.coverage.run_moved(from, to) {
            return Err(format!("{:?}: {from:?} -> {to:?} is in no table", record.run));
        }
        Ok(())
    }

    pub(crate) fn started(&mut self, engine: &Engine, start: &Start) -> Checked {
        let workload = self.workload;
        let shadow = self.shadow(start.run)?;
        if shadow.over {
            return Err(format!("{start:?} after the end of its run"));
        }
        let seq = shadow.seq;
        let spec = &workload.graphs[start.plan.0 as usize].0;
        if let Some(watched) = &mut shadow.watched {
            if let NodeKind::Undo { of } = spec.nodes[start.template.index()].kind {
                watched.effects.begins(input_of(start.node, start.template, of), seq);
            }
            self.touched.push(start.run);
        }
        self.hold_key(spec, start)?;
        self.inputs_are_there(engine, start.run, start.node, start.template)?;
        let policy = self.policy(start.plan, start.template);
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
        // With a journal, attempts hold their slots while their start is on its way to the disk.
        let counts = |counted: u32, running: u32| {
            counted == running || (config.journaled && counted > running)
        };
        let agrees = counts(engine.queue(policy.queue).running, self.running[queue])
            && counts(engine.running(), self.running_in_all);
        match (within, agrees) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("{start:?} is past a limit")),
            (_, false) => Err(format!("the engine miscounts what runs at {start:?}")),
        }
    }

    /// An attempt has really ended.
    pub(crate) fn stopped(&mut self, start: &Start) {
        self.busy.remove(&(start.run, start.node));
        self.holders.remove(&(start.run, start.node));
        self.count(self.policy(start.plan, start.template), -1);
    }

    /// Of all attempts under way with one concurrency key, all hold it for the same acquire node.
    fn hold_key(&mut self, spec: &GraphSpec, start: &Start) -> Checked {
        let Some(holds) = spec.nodes[start.template.index()].holds else { return Ok(()) };
        let acquire = input_of(start.node, start.template, holds);
        let Some(&key) = self.keys.get(&(start.run, acquire)) else {
            return Err(format!("{start:?} without its concurrency key"));
        };
        let mut others = self.holders.iter().filter(|(_, (held, _))| *held == key);
        if let Some((other, _)) =
            others.find(|((run, _), (_, by))| (*run, *by) != (start.run, acquire))
        {
            return Err(format!("{start:?} while {other:?} holds key {key}"));
        }
        self.holders.insert((start.run, start.node), (key, acquire));
        Ok(())
    }

    /// A node's inputs must not have been dropped before it starts.
    pub(crate) fn inputs_are_there(
        &self,
        engine: &Engine,
        run: RunKey,
        node: Place,
        template: NodeId,
    ) -> Checked {
        let Some(plan) = engine.plan_of(run) else { return Ok(()) };
        let spec = &self.workload.graphs[plan.0 as usize].0;
        let undoes = matches!(spec.nodes[template.index()].kind, NodeKind::Undo { .. });
        for &input in &spec.nodes[template.index()].inputs {
            let source = engine.source(run, input_of(node, template, input));
            let there = match source.map(|source| source.base) {
                Some(Base::Value(value)) => self.values[value.0 as usize],
                Some(Base::Constant(_)) => true,
                _ => undoes || self.nothing[plan.0 as usize][input as usize],
            };
            if !there {
                let path = &spec.nodes[input as usize].path;
                return Err(format!("{path}, an input of {node:?} of {run:?}, was dropped"));
            }
        }
        Ok(())
    }

    pub(crate) fn ended(&mut self, engine: &Engine, run: RunKey, outcome: Outcome) -> Checked {
        let workload = self.workload;
        let shadow = self.shadow(run)?;
        if !shadow.over {
            return Err(format!("{run:?} ended without a record of it"));
        }
        if let Some(watched) = &shadow.watched {
            let spec = &workload.graphs[shadow.plan.0 as usize].0;
            let over = shadow.fold(engine, watched);
            let states: Vec<NodeState> = over.states().collect();
            if let Some(state) = states.iter().find(|state| !state.is_terminal()) {
                return Err(format!("{run:?} ended with a node that is {state:?}"));
            }
            let plan = engine.plan(shadow.plan);
            watched.effects.check(plan, spec, &over.layout(), &states, shadow.status)?;
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
            let Some(watched) = &shadow.watched else { continue };
            if run.image() != shadow.fold(engine, watched).image() {
                return Err(format!("{key:?} is not the fold of its {} records", shadow.seq));
            }
            let Some(watched) = &mut shadow.watched else { continue };
            watched.layout = run.layout();
            watched.states.resize(run.states().count(), NodeState::Waiting);
            for (index, (before, now)) in watched.states.iter_mut().zip(run.states()).enumerate() {
                let node = Place(index as u32);
                let spec = &self.workload.graphs[shadow.plan.0 as usize].0;
                let template = engine.template(key, node).unwrap_or(NodeId(0));
                let kind = spec.nodes[template.index()].kind;
                if kind.is_source() {
                    continue;
                }
                let from = std::mem::replace(before, now);
                let retried = watched.retried.remove(&node);
                if !self.coverage.node_moved(kind, from, now, retried) {
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

    fn policy(&self, plan: PlanId, node: NodeId) -> &'a Policy {
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
        let policy = self.policy(start.plan, start.template);
        let rank = |policy: &Policy, run: RunKey| engine.run(run).map(|run| run.priority(policy));
        let own = rank(policy, start.run);
        let going_on = |it: &&Shadow| it.status != RunStatus::Paused;
        for shadow in self.runs.iter().flatten().filter(going_on) {
            let (spec, policies) = &self.workload.graphs[shadow.plan.0 as usize];
            let outermost = policies.iter().take(spec.regions[0].stop as usize);
            for (index, other) in outermost.enumerate() {
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

impl Shadow {
    fn fold(&self, engine: &Engine, watched: &Watched) -> Run {
        let identity = Identity {
            number: self.number,
            plan_id: self.plan,
            plan: engine.plan(self.plan),
            inputs: &self.inputs,
            durability: penstock_engine::Durability::Sync,
        };
        Run::fold(&identity, &watched.records)
    }
}

/// The place of another node of the same frame.
const fn input_of(node: Place, template: NodeId, other: u32) -> Place {
    Place(node.0 + other - template.0)
}

/// By node, whether it may carry nothing although it is taken: what was made optional, and what passes that
/// on.
fn may_be_nothing(spec: &GraphSpec) -> Vec<bool> {
    let mut nothing = vec![false; spec.nodes.len()];
    loop {
        let before = nothing.clone();
        for (index, node) in spec.nodes.iter().enumerate() {
            let any = |nodes: &[u32]| nodes.iter().any(|&it| before[it as usize]);
            if node.kind == NodeKind::Optional || (node.kind.is_alias() && any(&node.inputs)) {
                nothing[index] = true;
            }
            if let Some(body) = node.kind.body() {
                let region = &spec.regions[body as usize];
                let given = node.inputs.iter().enumerate();
                for (at, _) in given.filter(|(_, input)| before[**input as usize]) {
                    nothing[region.start as usize + at] = true;
                }
                if node.kind.is_alias() && before[region.output as usize] {
                    nothing[index] = true;
                    nothing[region.start as usize] = true;
                }
            }
        }
        if nothing == before {
            return nothing;
        }
    }
}

const fn slot(run: RunKey) -> usize {
    (run.0 & 0xffff_ffff) as usize
}
