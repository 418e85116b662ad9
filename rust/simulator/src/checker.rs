//! What must hold after every event, checked beside the engine with books of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use penstock_engine::{
    Base, Body, CancelCause, Durability, Engine, GraphSpec, Lane, LedgerEntry, Lsn, NodeId,
    NodeKind, NodeState, Outcome, Place, PlanId, Policy, QueueId, Record, RunKey, RunStatus, Start,
    TenantId, Then, ValueId, draw,
};

use crate::coverage::Coverage;
use crate::effects::is_undone;
use crate::money::Money;
use crate::shadow::{Shadow, Until, Watched};
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
    /// What happened, with the number of the invariant.
    pub what: String,
    /// The point at which the process was made to go down, if it was.
    pub down_at: Option<u64>,
    /// The commit it happened at; "unknown" outside a repository.
    pub commit: String,
}

impl Violation {
    /// What must not happen has happened in a world.
    pub fn of(workload: &Workload, what: String) -> Self {
        let (world, seed, runs) = (workload.name, workload.seed, workload.runs);
        Self { world, seed, runs, what, down_at: workload.down_at, commit: commit() }
    }
}

/// The commit that is checked out where this was built.
fn commit() -> String {
    let mut git = std::process::Command::new("git");
    git.args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let said = git.stderr(std::process::Stdio::null()).output().ok();
    let hash =
        said.filter(|it| it.status.success()).and_then(|it| String::from_utf8(it.stdout).ok());
    hash.map_or_else(|| "unknown".into(), |hash| hash.trim().into())
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { world, seed, runs, what, down_at, commit } = self;
        write!(formatter, "seed {seed}: {what}\nat commit {commit}\n")?;
        write!(formatter, "replay: make simulate SEED={seed} WORLD={world} RUNS={runs}")?;
        down_at.map_or(Ok(()), |point| write!(formatter, " POINT={point}"))
    }
}

impl std::error::Error for Violation {}

pub(crate) type Checked = Result<(), String>;

/// An invariant does not hold: its number stands before what happened.
pub(crate) fn broken<T>(invariant: u8, mut what: String) -> Result<T, String> {
    what.insert_str(0, &format!("I{invariant}: "));
    Err(what)
}

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
    busy: BTreeMap<(RunKey, Place), u32>,
    /// Concurrency keys that acquire nodes have asked for.
    keys: BTreeMap<(RunKey, Place), u64>,
    /// By node with an attempt under way that has not been given up: the key it holds, and for which
    /// acquire node.
    holders: BTreeMap<(RunKey, Place), (u64, Place)>,
    /// By plan and node, whether it may carry nothing.
    nothing: Vec<Vec<bool>>,
    touched: Vec<RunKey>,
    starts: u64,
    /// Workflows whose runs are told of one by one.
    watched: BTreeSet<PlanId>,
    /// Runs of those that have ended and were not told of yet, with what each cost.
    pub(crate) closing: Vec<(RunKey, PlanId, i64)>,
    /// The last record.
    lsn: Lsn,
    /// What was spent.
    pub(crate) money: Money,
    /// Whom runs are for, those that are over included.
    tenants: BTreeMap<RunKey, TenantId>,
    /// When the last tick came.
    pub(crate) ticked_ns: u64,
    /// By queue, how many attempts of it may be under way.
    limits: Vec<u32>,
    /// Inline nodes that the driver was asked for and has not answered.
    pub(crate) asked: BTreeSet<(RunKey, Place)>,
    /// The last record on disk, as far as the engine knows.
    synced: Lsn,
    /// Runs that are over, as long as that is not on disk.
    leaving: Vec<Shadow>,
}

/// What came of the records that had not reached the disk.
pub(crate) struct Crashed {
    /// Runs that go on.
    pub(crate) runs: Vec<Shadow>,
    /// Numbers of those that had ended, as the driver thought, and have not.
    pub(crate) revived: Vec<u64>,
    /// Runs that nobody was told of.
    pub(crate) vanished: u64,
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
            busy: BTreeMap::new(),
            keys: BTreeMap::new(),
            holders: BTreeMap::new(),
            nothing: workload.graphs.iter().map(|(spec, _)| may_be_nothing(spec)).collect(),
            touched: Vec::new(),
            starts: 0,
            watched: BTreeSet::new(),
            closing: Vec::new(),
            lsn: Lsn(0),
            money: Money::default(),
            tenants: BTreeMap::new(),
            ticked_ns: 0,
            limits: limits(workload),
            asked: BTreeSet::new(),
            synced: if workload.config.journaled { Lsn(0) } else { Lsn(u64::MAX) },
            leaving: Vec::new(),
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

    /// A run was accepted.
    pub(crate) fn accepted(&mut self, engine: &Engine, shadow: Shadow) {
        let dice = draw(self.workload.seed, [shadow.number; 4]);
        let run = engine.run(shadow.key);
        let one_in = self.workload.watch_one_in;
        let close = one_in == 1 || (run.is_some() && dice.is_multiple_of(one_in));
        self.enter(Shadow { watched: close.then(Watched::default), ..shadow });
    }

    /// From now on, or no longer, runs of a workflow are told of one by one.
    pub(crate) fn watch(&mut self, plan: PlanId, on: bool) {
        if on {
            self.watched.insert(plan);
        } else {
            self.watched.remove(&plan);
        }
    }

    pub(crate) fn watched(&self) -> impl Iterator<Item = PlanId> {
        self.watched.iter().copied()
    }

    /// Whom a run is for, or was.
    pub(crate) fn tenant(&self, run: RunKey) -> TenantId {
        self.tenants.get(&run).copied().unwrap_or(TenantId::NONE)
    }

    /// I1: the runs under way are those that were accepted and are not over.
    pub(crate) fn runs_are_known(&self, engine: &Engine) -> Checked {
        let known: BTreeSet<RunKey> = self.runs.iter().flatten().map(|shadow| shadow.key).collect();
        let there: BTreeSet<RunKey> = engine.runs().collect();
        match known.symmetric_difference(&there).next() {
            Some(run) => broken(1, format!("{run:?} is in one of the tables of runs only")),
            None => Ok(()),
        }
    }

    fn enter(&mut self, shadow: Shadow) {
        self.tenants.insert(shadow.key, shadow.tenant);
        let slot = slot(shadow.key);
        if slot >= self.runs.len() {
            self.runs.resize_with(slot + 1, || None);
        }
        self.runs[slot] = Some(shadow);
    }

    pub(crate) fn recorded(&mut self, engine: &Engine, record: &Record) -> Checked {
        let workload = self.workload;
        if record.lsn <= self.lsn {
            return broken(2, format!("{record:?} comes after {:?}", self.lsn));
        }
        self.lsn = record.lsn;
        let shadow = self.shadow(record.run)?;
        let spec = &workload.graphs[shadow.plan.0 as usize].0;
        let (from, plan) = (shadow.status, shadow.plan);
        // The run may be over by now.
        let left = |watched: &Watched| watched.layout.template(engine.plan(plan), record.node);
        let template = engine.template(record.run, record.node);
        let template = template.or_else(|| shadow.watched.as_ref().map(left)).unwrap_or(NodeId(0));
        shadow.recorded(spec, record, template)?;
        let to = shadow.status;
        if let Some(watched) = &mut shadow.watched {
            watched.records.push(*record);
            self.touched.push(record.run);
        }
        if let Body::Failed { then: Then::Retry { .. }, .. } = record.body {
            let queue = self.policy(plan, template).queue;
            self.money.retried(queue);
        }
        self.note_key(record, spec.nodes[template.index()].kind);
        if from != to && !self.coverage.run_moved(from, to) {
            return Err(format!("I2: {:?}: {from:?} -> {to:?} is in no table", record.run));
        }
        Ok(())
    }

    /// Who has which concurrency key.
    fn note_key(&mut self, record: &Record, kind: NodeKind) {
        match (record.body, kind) {
            (Body::Chosen { outcome, .. }, NodeKind::Acquire { .. }) => {
                self.keys.insert((record.run, record.node), outcome);
            }
            (Body::Acquired, NodeKind::Acquire { key: Some(key) }) => {
                self.keys.insert((record.run, record.node), key);
            }
            (Body::Abandoned, _) => {
                self.holders.remove(&(record.run, record.node));
            }
            _ => {}
        }
    }

    /// Everything up to a record is on disk: who heard of it may count on it.
    pub(crate) fn synced(&mut self, lsn: Lsn) {
        self.synced = self.synced.max(lsn);
        self.leaving.retain(|shadow| shadow.lsn() > lsn);
    }

    /// The process goes down, and everything up to `cut` is on disk.
    pub(crate) fn crashed(&mut self, engine: &Engine, cut: Lsn) -> Result<Crashed, String> {
        let mut crashed = Crashed { runs: Vec::new(), revived: Vec::new(), vanished: 0 };
        let under_way = std::mem::take(&mut self.runs).into_iter().flatten();
        let leaving = std::mem::take(&mut self.leaving).into_iter();
        for mut shadow in under_way.chain(leaving) {
            let thought_over = shadow.over;
            let lost = shadow.is_lost_with(cut);
            if lost {
                let watched = shadow.watched.as_ref();
                if watched.is_some_and(|watched| watched.steps.any_called()) {
                    return Err(format!("I3: {:?} was begun before it was accepted", shadow.key));
                }
                crashed.vanished += 1;
            } else {
                let spec = &self.workload.graphs[shadow.plan.0 as usize].0;
                shadow.after_crash(engine, spec, cut)?;
            }
            if thought_over && (lost || !shadow.over) {
                crashed.revived.push(shadow.number);
            }
            if !lost && !shadow.over {
                crashed.runs.push(shadow);
            }
        }
        self.values.fill(false);
        for value in crashed.runs.iter().flat_map(Shadow::values) {
            self.values[value.0 as usize] = true;
        }
        self.owned = self.values.iter().filter(|&&owned| owned).count();
        self.running.fill(0);
        (self.running_in_all, self.threads) = (0, 0);
        self.busy.clear();
        self.keys.clear();
        self.holders.clear();
        self.touched.clear();
        self.asked.clear();
        self.limits = limits(self.workload);
        (self.synced, self.lsn) = (cut, cut);
        Ok(crashed)
    }

    /// A run is restored under a new key.
    pub(crate) fn restored(&mut self, engine: &Engine, key: RunKey, shadow: Shadow) {
        let shadow = Shadow { key, restored_ns: engine.now_ns(), ..shadow };
        let spec = &self.workload.graphs[shadow.plan.0 as usize].0;
        if let Some(watched) = &shadow.watched {
            for record in &watched.records {
                let template = watched.layout.template(engine.plan(shadow.plan), record.node);
                let record = Record { run: key, ..*record };
                self.note_key(&record, spec.nodes[template.index()].kind);
            }
        }
        self.touched.push(key);
        self.enter(shadow);
    }

    pub(crate) fn started(&mut self, engine: &Engine, start: &Start) -> Checked {
        let (workload, synced) = (self.workload, self.synced);
        let copy = self.busy.contains_key(&(start.run, start.node));
        let shadow = self.shadow(start.run)?;
        if shadow.over {
            return Err(format!("I2: {start:?} after the end of its run"));
        }
        let (seq, sync) = (shadow.seq, shadow.durability == Durability::Sync);
        let (spec, policies) = &workload.graphs[start.plan.0 as usize];
        let policy = policies[start.template.index()].as_ref().expect("only steps are started");
        let kind = spec.nodes[start.template.index()].kind;
        let gated = policy.once || is_undone(spec, start.template);
        // What had its slot before the pause goes on, and so does a second copy of what is under way.
        if shadow.status == RunStatus::Paused && kind == NodeKind::Step && !gated && !copy {
            return Err(format!("I1: {start:?} of a run that is paused"));
        }
        if let Some(watched) = &mut shadow.watched {
            if let NodeKind::Undo { of } = kind {
                watched.effects.begins(input_of(start.node, start.template, of), seq);
            }
            if copy {
                watched.steps.copies(start)?;
            } else {
                watched.steps.starts(start, policy, engine.now_ns())?;
            }
            let accepted = watched.records.first().is_some_and(|record| record.lsn <= synced);
            let known = !gated || watched.steps.start_is_synced(start.node, synced);
            let inputs = &spec.nodes[start.template.index()].inputs;
            let given = inputs.iter().map(|&it| input_of(start.node, start.template, it));
            let behind = |place: Place| sync && !watched.steps.is_synced(place, synced);
            if !accepted || !known || given.into_iter().any(behind) {
                return Err(format!("I3: {start:?} before what it depends on is on disk"));
            }
            self.touched.push(start.run);
        }
        let ticked_ns = self.ticked_ns;
        let late = engine.deadline_ns(start.run).is_some_and(|at_ns| at_ns < ticked_ns);
        if late && kind == NodeKind::Step {
            return Err(format!("{start:?} after the deadline of its run"));
        }
        self.hold_key(spec, start)?;
        self.inputs_are_there(engine, start.run, start.node, start.template)?;
        if start.number > policy.retry.attempts_max.get() {
            return Err(format!("I5: {start:?} is one attempt too many"));
        }
        let busy = self.busy.entry((start.run, start.node)).or_default();
        *busy += 1;
        if *busy > 1 + u32::from(policy.hedge.is_some()) {
            return Err(format!("I3: {start:?} while an earlier attempt is under way"));
        }
        self.starts += 1;
        if self.starts.is_multiple_of(self.workload.watch_one_in) {
            self.is_most_urgent(engine, start)?;
        }
        self.count(policy, 1);
        let config = &self.workload.config;
        let queue = policy.queue.0 as usize;
        let within = self.running[queue] <= self.limits[queue]
            && self.running_in_all <= config.concurrency
            && self.threads <= config.threads;
        // Copies hold their slots while others are started, and with a journal attempts do while their start is
        // on its way to the disk.
        let hedged = workload.is_hedged();
        let counts = |counted: u32, running: u32| {
            counted == running || ((config.journaled || hedged) && counted > running)
        };
        let agrees = counts(engine.queue(policy.queue).running, self.running[queue])
            && counts(engine.running(), self.running_in_all);
        match (within, agrees) {
            (true, true) => Ok(()),
            (false, _) => broken(10, format!("{start:?} is past a limit")),
            (_, false) => broken(10, format!("the engine miscounts what runs at {start:?}")),
        }
    }

    /// A queue may have so many attempts under way from now on; those that are have begun.
    pub(crate) fn limits(&mut self, queue: QueueId, concurrency: u32, engine: &Engine) {
        self.limits[queue.0 as usize] = concurrency.max(engine.queue(queue).running);
    }

    /// What must be on disk before what, for a run under way.
    pub(crate) fn durability(&mut self, run: RunKey) -> Result<Durability, String> {
        self.shadow(run).map(|shadow| shadow.durability)
    }

    /// An attempt has really ended.
    pub(crate) fn stopped(&mut self, start: &Start) {
        let at = (start.run, start.node);
        if let Some(busy) = self.busy.get_mut(&at) {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(&at);
            }
        }
        self.holders.remove(&(start.run, start.node));
        self.count(self.policy(start.plan, start.template), -1);
    }

    /// Of all attempts under way with one concurrency key, all hold it for the same acquire node.
    fn hold_key(&mut self, spec: &GraphSpec, start: &Start) -> Checked {
        let Some(holds) = spec.nodes[start.template.index()].holds else { return Ok(()) };
        let acquire = input_of(start.node, start.template, holds);
        let Some(&key) = self.keys.get(&(start.run, acquire)) else {
            return Err(format!("I10: {start:?} without its concurrency key"));
        };
        let mut others = self.holders.iter().filter(|(_, (held, _))| *held == key);
        if let Some((other, _)) =
            others.find(|((run, _), (_, by))| (*run, *by) != (start.run, acquire))
        {
            return Err(format!("I10: {start:?} while {other:?} holds key {key}"));
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

    /// A run is over, as far as the driver knows. Answers its number.
    pub(crate) fn ended(
        &mut self,
        engine: &Engine,
        run: RunKey,
        outcome: Outcome,
        ledger: &[LedgerEntry],
    ) -> Result<u64, String> {
        let (workload, ticked_ns) = (self.workload, self.ticked_ns);
        let shadow = self.shadow(run)?;
        if !shadow.over {
            return Err(format!("I2: {run:?} ended without a record of it"));
        }
        if let Some(watched) = &shadow.watched {
            let spec = &workload.graphs[shadow.plan.0 as usize].0;
            let over = shadow.fold(engine, watched);
            let states: Vec<NodeState> = over.states().collect();
            if let Some(state) = states.iter().find(|state| !state.is_terminal()) {
                return Err(format!("I2: {run:?} ended with a node that is {state:?}"));
            }
            let plan = engine.plan(shadow.plan);
            watched.effects.check(plan, spec, &over.layout(), &states, shadow.status)?;
        }
        if matches!(outcome, Outcome::Succeeded(_)) && shadow.is_late(ticked_ns) {
            return Err(format!("{run:?} succeeded after its deadline"));
        }
        let number = shadow.number;
        let (of, watched) = ((shadow.plan, shadow.tenant), shadow.watched.as_ref());
        let records = watched.map_or_else(Vec::new, |watched| watched.records.clone());
        let cost = self.money.closed(of, &records, ledger)?;
        if self.watched.contains(&of.0) {
            self.closing.push((run, of.0, cost));
        }
        let shadow = self.runs[slot(run)].take();
        self.leaving.extend(shadow.filter(|shadow| shadow.lsn() > self.synced));
        match outcome {
            Outcome::Succeeded(Base::Value(value))
            | Outcome::Failed { cause: penstock_engine::Cause::Error(value), .. } => {
                self.give_up(value)?;
            }
            _ => {}
        }
        Ok(number)
    }

    /// An attempt is told to stop.
    pub(crate) fn told(&self, start: &Start, cause: CancelCause, now_ns: u64) -> Checked {
        let shadow = self.runs.get(slot(start.run)).and_then(Option::as_ref);
        let watched = shadow.and_then(|shadow| shadow.watched.as_ref());
        let until_ns = watched.map_or(0, |watched| watched.limit_ns(start.node));
        if cause == CancelCause::TotalTimeout && now_ns < until_ns {
            return Err(format!("{start:?} is stopped, though there is time until {until_ns}"));
        }
        Ok(())
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
        let ticked_ns = self.ticked_ns;
        while let Some(key) = self.touched.pop() {
            let Some(Some(shadow)) = self.runs.get_mut(slot(key)) else { continue };
            let Some(run) = engine.run(key).filter(|_| shadow.key == key) else { continue };
            let Some(watched) = &shadow.watched else { continue };
            if run.image() != shadow.fold(engine, watched).image() {
                return Err(format!("I7: {key:?} is not the fold of its {} records", shadow.seq));
            }
            if shadow.is_forgotten() {
                return Err(format!("I8: {key:?} stands still though every outcome is known"));
            }
            let (now_ns, restored_ns) = (engine.now_ns(), shadow.restored_ns);
            let Some(watched) = &mut shadow.watched else { continue };
            watched.layout = run.layout();
            watched.states.resize(run.states().count(), NodeState::Waiting);
            let mut moves = Vec::new();
            for (index, (before, now)) in watched.states.iter_mut().zip(run.states()).enumerate() {
                let node = Place(index as u32);
                if *before == now && !watched.retried.contains(&node) {
                    continue;
                }
                let spec = &self.workload.graphs[shadow.plan.0 as usize].0;
                let template = engine.template(key, node).unwrap_or(NodeId(0));
                let kind = spec.nodes[template.index()].kind;
                let from = std::mem::replace(before, now);
                if kind.is_source() {
                    continue;
                }
                if from != now {
                    moves.push((node, template, from, now));
                }
                let retried = watched.retried.remove(&node);
                if !self.coverage.node_moved(kind, from, now, retried) {
                    return Err(format!(
                        "I2: {node:?} of {key:?}: {from:?} -> {now:?} is in no table"
                    ));
                }
            }
            for (node, template, from, now) in moves {
                let (spec, policies) = &self.workload.graphs[shadow.plan.0 as usize];
                let policy = policies[template.index()].as_ref();
                let total_ns = policy.map_or(0, |policy| policy.total_timeout_ns);
                let kind = spec.nodes[template.index()].kind;
                let anew = from == NodeState::Unknown || from.is_terminal();
                watched.moved(node, kind, now, Until { now_ns, total_ns, anew });
            }
            if let Some(node) = watched.overdue(restored_ns, ticked_ns) {
                return Err(format!("I4: {node:?} of {key:?} waits for longer than it is to"));
            }
        }
        Ok(())
    }

    /// Everything is over: nothing may be left.
    pub(crate) fn finish(&self, engine: &Engine) -> Checked {
        if let Some(shadow) = self.runs.iter().flatten().next() {
            return Err(format!("I8: {:?} never ended", shadow.key));
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
            _ => Err(format!("I2: something happened to {run:?}, which is over")),
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
        let model = engine.queue_model(policy.queue);
        // The default queue's patience outlasts a world in which the clock does not jump.
        let ages = policy.queue.0 > 0 || self.workload.behaviour.jumps > 0;
        if (model.aging_share_ppm > 0 && ages) || policy.hedge.is_some() {
            return Ok(()); // What stood too long gets a share, and a copy has stood in no line.
        }
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
                    && engine.run(shadow.key).is_some_and(|run| run.is_lined(node))
                    && !self.busy.contains_key(&(shadow.key, node))
                    && shadow.status == RunStatus::Running
                    && engine.deadline_ns(shadow.key).is_none()
                {
                    return Err(format!("{start:?} before {node:?} of {:?}", shadow.key));
                }
            }
        }
        Ok(())
    }
}

fn limits(workload: &Workload) -> Vec<u32> {
    [u32::MAX].into_iter().chain(workload.queues.iter().map(|queue| queue.concurrency)).collect()
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
