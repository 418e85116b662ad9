//! The engine: decides what follows from an event, records it, and schedules what the record changed.

mod again;
mod attempts;
mod commands;
mod hedges;
mod inspect;
mod limits;
mod parts;
mod paying;
mod restore;
mod settle;
mod spending;
mod timeouts;
mod watch;

pub use again::kept;
pub use commands::Resolution;
pub use inspect::{AttemptView, Hold, Inspection, QueueCounts, Stage};
pub use restore::{Again, Restore};
pub use watch::{Closed, Load};

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::accounts::Accounts;
use crate::action::{Action, Outcome, Start};
use crate::attempt::{Attempt, Phase};
use crate::books::Books;
use crate::coverage::Coverage;
use crate::event::{Accept, AcceptError, Event};
use crate::failure::Cause;
use crate::ids::{AttemptKey, Lsn, NodeId, Place, PlanId, QueueId, RunKey, TenantId, ValueId};
use crate::keys::Keys;
use crate::layout::Layout;
use crate::metrics::{Metrics, SeriesId, WorkflowMetrics};
use crate::plan::{Lane, NodeKind, Plan, Policy};
use crate::queues::{BANDS, Charge, QueueModel, QueueView, Queues, Started};
use crate::record::{Body, Record};
use crate::run::{Base, Blame, Changes, Identity, Run, Source};
use crate::slab::Slab;
use crate::state::{NodeState, RunStatus};
use crate::timers::Timers;
use limits::Judged;

/// What an engine is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Attempts under way at once, over all queues.
    pub concurrency: u32,
    /// Attempts under way at once in the driver's thread pool.
    pub threads: u32,
    /// Runs under way at once.
    pub runs_max: usize,
    /// How long a cancelled attempt may take to end before it is given up.
    pub cancel_grace_ns: u64,
    /// Seed of every retry's jitter.
    pub seed: u64,
    /// Whether records become durable later, by [`Event::Synced`]; if not, each counts as synced at once.
    pub journaled: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 1_024,
            threads: 32,
            runs_max: 16_000_000,
            cancel_grace_ns: 5_000_000_000,
            seed: 0,
            journaled: false,
        }
    }
}

/// The state of every run of one runtime.
///
/// Its methods are of four kinds. *Getters* take `&self`. *Commands* ([`Engine::accept`], [`Engine::restore`],
/// [`Engine::cancel`], [`Engine::resolve`], [`Engine::pause_dispatch`], [`Engine::interrupt`],
/// [`Engine::give_up`]) carry what a user wants.
/// [`Engine::handle`] takes what happened outside, [`Engine::dispatch`] gives the next attempt to start,
/// and *outputs* are drained by [`Engine::poll`] and [`Engine::clear_records`];
/// [`Engine::next_deadline_ns`] says when to come back with [`Event::Tick`].
///
/// The same configuration and the same calls with the same times give the same outputs. Time is in
/// nanoseconds from an epoch of the driver's choice and never goes back.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    now_ns: u64,
    plans: Vec<Registered>,
    runs: Slab<Run>,
    attempts: Slab<Attempt>,
    queues: Queues,
    timers: Timers,
    /// Nodes that became eligible by a record that is not on disk yet, in order.
    gated: VecDeque<(Lsn, RunKey, Place)>,
    /// Attempts whose own start is not on disk yet, in order.
    starting: VecDeque<(Lsn, Start)>,
    /// What restored runs wait for, until [`Engine::go_on`].
    restored: restore::Restored,
    synced: Lsn,
    lsn: Lsn,
    /// Runs accepted so far.
    number: u64,
    /// Entries that ever stood in a line.
    arrivals: u64,
    /// Attempts under way, abandoned ones included.
    running: u32,
    threads_running: u32,
    /// Nodes with an abandoned attempt, and whether the node waits for its end to start the next one.
    abandoned: BTreeMap<(RunKey, Place), bool>,
    /// Attempts that nobody waits for, and the nodes they are of.
    given_up: BTreeMap<AttemptKey, NodeId>,
    /// What queues said of entries and of themselves, to be told with the next tick.
    told: limits::Told,
    keys: Keys,
    dispatching: bool,
    changes: Changes,
    actions: VecDeque<Action>,
    records: Vec<Record>,
    metrics: Metrics,
    books: Books,
    /// What may be spent; `None` as long as nothing is limited.
    accounts: Option<Box<Accounts>>,
    watching: watch::Watching,
    /// Whose retries are paid apart from others'.
    parts: parts::Parts,
}

/// A plan with what this engine knows about its nodes.
#[derive(Debug)]
struct Registered {
    plan: Arc<Plan>,
    /// By node; `None` for what is not a step.
    policies: Box<[Option<Policy>]>,
    /// By node; what a step's attempts are counted by.
    series: Box<[SeriesId]>,
    /// The queues its steps wait in, each once.
    queues: Box<[QueueId]>,
    /// Whether any step has a limit on all its attempts together.
    timed: bool,
    /// What its runs have shown.
    coverage: Coverage,
}

impl Registered {
    /// The policy of a run's node.
    ///
    /// # Panics
    /// As for [`Registered::policy`].
    fn policy_at(&self, run: &Run, place: Place) -> &Policy {
        self.policy(run.locate(&self.plan, place).1)
    }

    /// # Panics
    /// If the node is no step: registration checked that each step has a policy.
    fn policy(&self, node: NodeId) -> &Policy {
        self.policies[node.index()].as_ref().expect("a dispatched node is a step")
    }
}

impl Engine {
    /// An engine with its default queue, at time 0.
    pub fn new(config: Config) -> Self {
        let mut queues = Queues::default();
        queues.add(QueueModel::default(), config.seed, 0);
        Self {
            config,
            now_ns: 0,
            plans: Vec::new(),
            runs: Slab::new(),
            attempts: Slab::new(),
            queues,
            timers: Timers::default(),
            gated: VecDeque::new(),
            starting: VecDeque::new(),
            restored: restore::Restored::default(),
            synced: if config.journaled { Lsn(0) } else { Lsn(u64::MAX) },
            lsn: Lsn(0),
            number: 0,
            arrivals: 0,
            running: 0,
            threads_running: 0,
            abandoned: BTreeMap::new(),
            given_up: BTreeMap::new(),
            told: limits::Told::default(),
            keys: Keys::default(),
            dispatching: true,
            changes: Changes::default(),
            actions: VecDeque::new(),
            records: Vec::new(),
            metrics: Metrics::default(),
            books: Books::default(),
            accounts: None,
            watching: watch::Watching::default(),
            parts: parts::Parts::default(),
        }
    }

    // Registration.

    /// Adds a queue, with a full retry budget if it has one.
    pub fn add_queue(&mut self, model: QueueModel) -> QueueId {
        self.queues.add(model, self.config.seed, self.now_ns)
    }

    /// Adds a workflow; `policies` has one entry per node, `Some` for each step.
    ///
    /// # Panics
    /// If a step has no policy, or a policy names a queue that was not added.
    pub fn add_plan(&mut self, plan: Arc<Plan>, policies: Vec<Option<Policy>>) -> PlanId {
        assert_eq!(plan.len(), policies.len(), "one policy per node");
        let plan_id = PlanId(self.plans.len() as u32);
        let mut queues: Vec<QueueId> = Vec::new();
        let mut series = vec![SeriesId::NONE; policies.len()];
        for ((node, policy), series) in plan.nodes.iter().zip(&policies).zip(&mut series) {
            assert_eq!(node.kind.is_step(), policy.is_some(), "{} has no policy", node.path);
            if let Some(policy) = policy {
                *series = self.metrics.register(plan_id, policy.step, policy.queue);
                queues.push(policy.queue);
            }
        }
        queues.sort_unstable();
        queues.dedup();
        self.metrics.workflows.push(WorkflowMetrics::default());
        let coverage = Coverage::new(&plan);
        let timed = policies.iter().flatten().any(|policy| policy.total_timeout_ns > 0);
        let (policies, series, queues) = (policies.into(), series.into(), queues.into());
        self.plans.push(Registered { plan, policies, series, queues, timed, coverage });
        plan_id
    }

    // Getters.

    /// Runs under way.
    pub const fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// The time of the last call.
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Attempts under way, abandoned ones included.
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// Keys of the runs under way, in no order a user should rely on. O(runs ever under way at once).
    pub fn runs(&self) -> impl Iterator<Item = RunKey> {
        self.runs.iter().map(|(key, _)| RunKey(key))
    }

    /// The run under way in a slot of the table.
    pub fn run_in(&self, slot: u32) -> Option<RunKey> {
        self.runs.key_of(slot).map(RunKey)
    }

    /// A run under way.
    pub fn run(&self, run: RunKey) -> Option<&Run> {
        self.runs.get(run.0)
    }

    /// State of a run under way; paused, held and compensating runs come with their parts of the table.
    pub fn status(&self, run: RunKey) -> Option<RunStatus> {
        self.runs.get(run.0).map(|run| run.status)
    }

    /// A run's number: the n-th that was accepted, from 0.
    pub fn number(&self, run: RunKey) -> Option<u64> {
        self.runs.get(run.0).map(|run| run.number)
    }

    /// The number that the next run will have.
    pub const fn next_number(&self) -> u64 {
        self.number
    }

    /// When a run must be over, if ever.
    pub fn deadline_ns(&self, run: RunKey) -> Option<u64> {
        self.runs.get(run.0).map(|run| run.deadline_ns).filter(|&deadline| deadline != u64::MAX)
    }

    /// Where a node of a run under way is.
    pub fn node_state(&self, run: RunKey, node: Place) -> Option<NodeState> {
        self.runs.get(run.0)?.cells.get(node.index()).map(|cell| cell.state)
    }

    /// A node's place in its plan.
    pub fn template(&self, run: RunKey, node: Place) -> Option<NodeId> {
        let run = self.runs.get(run.0)?;
        Some(run.locate(&self.plans[run.plan.0 as usize].plan, node).1)
    }

    /// A node's readable path.
    pub fn path(&self, run: RunKey, node: Place) -> Option<String> {
        let run = self.runs.get(run.0)?;
        let plan = &self.plans[run.plan.0 as usize].plan;
        Some(run.layout().path(plan, node))
    }

    /// Where the value of a node is to be found.
    pub fn source(&self, run: RunKey, node: Place) -> Option<Source> {
        let run = self.runs.get(run.0)?;
        Some(run.source(&self.plans[run.plan.0 as usize].plan, node))
    }

    /// The value a node carries; [`ValueId::NONE`] while it has none, and for constants.
    pub fn value(&self, run: RunKey, node: Place) -> Option<ValueId> {
        Some(match self.source(run, node)?.base {
            Base::Value(value) => value,
            _ => ValueId::NONE,
        })
    }

    /// Attempts a node had; 0 for what is no step.
    pub fn attempts_of(&self, run: RunKey, node: Place) -> u32 {
        self.runs
            .get(run.0)
            .map_or(0, |run| run.attempts_of(&self.plans[run.plan.0 as usize].plan, node))
    }

    /// What the run waits for somebody to see to: a compensation that failed, or an outcome that is not
    /// known.
    pub fn stalled(&self, run: RunKey) -> Option<Blame> {
        let run = self.runs.get(run.0)?;
        if run.has_unknown() {
            let node = run.unknown_nodes().next()?;
            return Some(Blame { node, cause: Cause::OutcomeUnknown });
        }
        if run.status == RunStatus::Paused
            && let Some(node) = run.parked_for_good()
        {
            let unpaid = run.unpaid() == Some(node);
            let cause = if unpaid { Cause::Budget } else { Cause::RetryDenied };
            return Some(Blame { node, cause });
        }
        let stalled = run.status == RunStatus::CompensationFailed;
        run.more.as_ref().filter(|_| stalled)?.undo.blame
    }

    /// How a run ended whose end has not been drained yet. O(actions to be drained).
    pub fn outcome(&self, key: RunKey) -> Option<Outcome> {
        self.actions.iter().find_map(|action| match action {
            Action::Ended { run, outcome, .. } if *run == key => Some(*outcome),
            _ => None,
        })
    }

    /// Where the nodes of a run stand, as long as it is under way or its end has not been drained.
    pub fn layout(&self, key: RunKey) -> Option<Layout> {
        if let Some(run) = self.runs.get(key.0) {
            return Some(run.layout());
        }
        self.actions.iter().find_map(|action| match action {
            Action::Ended { run, layout, .. } if *run == key => {
                Some(layout.as_deref().cloned().unwrap_or_default())
            }
            _ => None,
        })
    }

    /// The nodes whose values make the list a node gathers, in order; `Err` for an item that failed. O(inputs
    /// or items).
    pub fn gathered(&self, run: RunKey, node: Place) -> Vec<Result<Place, Blame>> {
        self.runs
            .get(run.0)
            .map_or_else(Vec::new, |run| run.gathered(&self.plans[run.plan.0 as usize].plan, node))
    }

    /// The last value of a loop that is being asked whether it is over.
    pub fn iteration(&self, run: RunKey, node: Place) -> Option<Place> {
        let run = self.runs.get(run.0)?;
        run.iteration(&self.plans[run.plan.0 as usize].plan, node)
    }

    /// The failure that led to a node: of the tier before it, if it stands in the next.
    pub fn failure_before(&self, run: RunKey, node: Place) -> Option<Blame> {
        let run = self.runs.get(run.0)?;
        run.failure_before(&self.plans[run.plan.0 as usize].plan, node)
    }

    /// Nodes that wait for a signal, longest first.
    pub fn awaiting(&self, run: RunKey) -> &[Place] {
        let more = self.runs.get(run.0).and_then(|run| run.more.as_ref());
        more.map_or(&[], |more| &more.awaiting)
    }

    /// Nodes of a run whose outcome nobody knows. O(nodes).
    pub fn unknown(&self, run: RunKey) -> Vec<Place> {
        self.runs.get(run.0).map_or_else(Vec::new, |run| run.unknown_nodes().collect())
    }

    /// Nodes of a run whose effects are not undone, or could not be. O(nodes).
    pub fn left_to_undo(&self, run: RunKey) -> Vec<Place> {
        self.runs
            .get(run.0)
            .map_or_else(Vec::new, |run| run.left_to_undo(&self.plans[run.plan.0 as usize].plan))
    }

    /// A registered plan.
    pub fn plan(&self, plan: PlanId) -> &Arc<Plan> {
        &self.plans[plan.0 as usize].plan
    }

    /// The plan of a run under way.
    pub fn plan_of(&self, run: RunKey) -> Option<PlanId> {
        self.runs.get(run.0).map(|run| run.plan)
    }

    /// The attempt's run, node and number, while it is under way.
    pub fn attempt(&self, attempt: AttemptKey) -> Option<(RunKey, Place, u32)> {
        self.attempts.get(attempt.0).map(|it| (it.run, it.node, it.number))
    }

    /// Whether an attempt has been told to stop. An attempt that is over counts as told.
    pub fn is_cancelled(&self, attempt: AttemptKey) -> bool {
        self.attempts.get(attempt.0).is_none_or(|it| it.phase != Phase::Running)
    }

    /// A queue's load, and how it fares.
    pub fn queue(&self, queue: QueueId) -> QueueView {
        self.queues.get(queue).view()
    }

    /// What a queue is to be like.
    pub fn queue_model(&self, queue: QueueId) -> &QueueModel {
        self.queues.get(queue).model()
    }

    /// Number of queues, the default one included.
    pub fn queue_count(&self) -> u32 {
        self.queues.len()
    }

    /// Timers pending, those that nobody waits for any more included.
    pub fn timer_count(&self) -> usize {
        self.timers.len()
    }

    /// What the runs of a workflow that have ended have shown of it.
    pub fn coverage(&self, plan: PlanId) -> &Coverage {
        &self.plans[plan.0 as usize].coverage
    }

    /// What was counted so far.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What runs have spent, and how they fared.
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// The same, to take pages away.
    pub const fn books_mut(&mut self) -> &mut Books {
        &mut self.books
    }

    /// How many more runs of a workflow would be accepted now.
    pub fn room(&self, plan: PlanId) -> usize {
        let queues = &self.plans[plan.0 as usize].queues;
        let lines = queues.iter().map(|&queue| self.queues.get(queue).room() as usize).min();
        let runs = self.config.runs_max.saturating_sub(self.runs.len());
        lines.map_or(runs, |lines| lines.min(runs))
    }

    /// Whether a batch of `count` runs would be accepted as a whole.
    ///
    /// # Errors
    /// [`AcceptError::QueueFull`] or [`AcceptError::RunsFull`].
    pub fn admits(&self, plan: PlanId, count: usize) -> Result<(), AcceptError> {
        let runs_max = self.config.runs_max;
        if count > runs_max.saturating_sub(self.runs.len()) {
            return Err(AcceptError::RunsFull { runs_max });
        }
        let queues = &self.plans[plan.0 as usize].queues;
        for &queue in queues {
            if let Some(retry_after_ns) = self.queues.get(queue).lacks_room(count) {
                return Err(AcceptError::QueueFull { retry_after_ns, queue });
            }
            if let Some(retry_after_ns) = self.queues.get(queue).sheds(count) {
                return Err(AcceptError::Shedding { retry_after_ns, queue });
            }
        }
        Ok(())
    }

    // Commands.

    /// Accepts a run. Its first steps are ready when this returns; none has started.
    ///
    /// # Errors
    /// [`AcceptError`]; nothing has changed then.
    pub fn accept(&mut self, now_ns: u64, accept: &Accept<'_>) -> Result<RunKey, AcceptError> {
        self.begin(now_ns);
        let plan = self.plans[accept.plan.0 as usize].plan.clone();
        if accept.inputs.len() != plan.input_count() {
            let (expected, given) = (plan.input_count(), accept.inputs.len());
            return Err(AcceptError::InputCount { expected, given });
        }
        if let Some(given) = accept.priority.filter(|given| !(1..=BANDS).contains(given)) {
            return Err(AcceptError::Priority { given });
        }
        if !accept.admitted {
            self.admits(accept.plan, 1)?;
        }
        let deadline_ns = accept.deadline_ns.unwrap_or(u64::MAX);
        let body = Body::Accepted { priority: accept.priority, deadline_ns };
        self.lsn.0 += 1;
        let mut record = Record {
            lsn: self.lsn,
            run: RunKey(0),
            seq: 0,
            at_ns: now_ns,
            node: Place(0),
            attempt: 0,
            body,
        };
        let number = self.number;
        self.number += 1;
        let identity = Identity {
            number,
            plan_id: accept.plan,
            plan: &plan,
            inputs: accept.inputs,
            tenant: accept.tenant,
            durability: accept.durability,
        };
        let run = Run::accepted(&identity, &record, &mut self.changes);
        let key = RunKey(self.runs.insert(run));
        record.run = key;
        self.records.push(record);
        if let Some(model) = accept.budget {
            self.budgeted(key, model);
        }
        if let Some(at_ns) = accept.deadline_ns {
            self.timers.insert(at_ns, crate::timers::TimerKind::Deadline { run: key });
        }
        self.metrics.workflows[accept.plan.0 as usize].accepted += 1;
        self.books.page(now_ns, accept.plan, accept.tenant).accepted += 1;
        self.settle(key);
        self.take_turns();
        Ok(key)
    }

    /// No attempt starts from now on; what runs goes on.
    pub const fn pause_dispatch(&mut self) {
        self.dispatching = false;
    }

    /// Tells every attempt under way to stop without counting it.
    pub fn interrupt(&mut self, now_ns: u64) {
        self.begin(now_ns);
        let keys: Vec<u64> = self.attempts.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.cancel_attempt(AttemptKey(key), crate::attempt::CancelCause::Interrupt);
        }
    }

    /// Gives up every attempt under way, as if its grace were over: the runs can end without them.
    pub fn give_up(&mut self, now_ns: u64) {
        self.begin(now_ns);
        let keys: Vec<u64> = self.attempts.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.cancel_attempt(AttemptKey(key), crate::attempt::CancelCause::Interrupt);
            self.abandon(AttemptKey(key));
        }
        self.take_turns();
    }

    // Events and dispatch.

    /// Takes in what happened outside.
    pub fn handle(&mut self, now_ns: u64, event: Event) {
        self.begin(now_ns);
        match event {
            Event::Tick => self.fire_timers(),
            Event::Suspended { attempt } => self.suspended(attempt),
            Event::Heartbeat { attempt } => {
                if let Some(attempt) = self.attempts.get_mut(attempt.0) {
                    attempt.alive_ns = now_ns;
                }
            }
            Event::Used { attempt, tokens } => self.used(attempt, tokens),
            Event::Spent { attempt, resource, units, nanos } => {
                self.spent(attempt, resource, units, nanos);
            }
            Event::Limits { queue, limits } => self.limit(queue, limits),
            Event::Done { attempt, value } => self.attempt_done(attempt, value),
            Event::Failed { attempt, error, failure } => {
                self.attempt_failed(attempt, error, failure);
            }
            Event::Cancelled { attempt, error } => self.attempt_cancelled(attempt, error),
            Event::Interrupted { attempt } => self.attempt_interrupted(attempt),
            Event::Decided { run, node, value } => {
                self.evaluated(run, node, Body::Decided { value });
            }
            Event::Chosen { run, node, outcome, score } => self.chosen(run, node, outcome, score),
            Event::Judged { run, node, accepted, score } => {
                self.judged(run, node, accepted, score);
            }
            Event::Counted { run, node, count } => {
                self.evaluated(run, node, Body::Opened { count });
            }
            Event::DecidedFailed { run, node, error, refusal } => {
                self.evaluation_failed(run, node, error, refusal);
            }
            Event::Synced { lsn } => self.open_gates(lsn),
        }
        self.take_turns();
    }

    /// The next attempt to start, if a ready one has its slots free. The driver calls this as often as it
    /// can start something. Records may have been written even if none is given: of starts that are to reach
    /// the disk first.
    #[expect(
        clippy::too_many_lines,
        reason = "the dispatch path, where a call more costs what it saves"
    )]
    pub fn dispatch(&mut self, now_ns: u64) -> Option<Start> {
        self.begin(now_ns);
        if !self.dispatching {
            return None;
        }
        if !self.starting.is_empty()
            && let Some(start) = self.started()
        {
            return Some(start);
        }
        if !self.told.copies.is_empty()
            && let Some(start) = self.next_copy()
        {
            return Some(start);
        }
        while self.running < self.config.concurrency {
            let Some((turn, entry)) = self.queues.peek(now_ns) else { break };
            let Some(run) = self
                .runs
                .get_mut(entry.run.0)
                .filter(|run| run.is_lined_since(entry.node, entry.seq))
            else {
                self.queues.discard(turn);
                continue;
            };
            let (plan, tenant, id) = (run.plan, run.tenant, turn.line.queue());
            let registered = &self.plans[plan.0 as usize];
            let template = entry.template;
            let policy = registered.policy(template);
            let queue = self.queues.get_mut(id);
            if queue.listens(now_ns) {
                self.told.roll(id, queue.roll(now_ns));
            }
            let (mut cost, controlled) = (0, queue.is_controlled());
            if controlled || run.has_deadline() {
                let forward = matches!(registered.plan.kind(template), NodeKind::Step);
                let deadline_ns = run.has_deadline().then_some(run.deadline_ns);
                // Compensations are never too late.
                let deadline_ns = deadline_ns.filter(|_| forward);
                match limits::judge(queue, &mut self.metrics, policy, now_ns, deadline_ns) {
                    Judged::Starts(charged) => cost = charged,
                    other => {
                        self.put_off(turn, &entry, other);
                        continue;
                    }
                }
            }
            if policy.lane == Lane::Threads && self.threads_running >= self.config.threads {
                self.queues.block(turn.line);
                continue;
            }
            let mut hold = None;
            if let Some(accounts) = &mut self.accounts {
                let forward = matches!(registered.plan.kind(template), NodeKind::Step);
                let of = (plan, tenant);
                match paying::pay(accounts, now_ns, &entry, of, policy, forward) {
                    Ok(paid) => hold = Some(paid),
                    Err(other) => {
                        self.put_off(turn, &entry, other);
                        continue;
                    }
                }
            }
            self.threads_running += u32::from(policy.lane == Lane::Threads);
            let number = run.cells[entry.node.index()].attempts + 1;
            self.queues.serve(turn, now_ns, cost, number == 1);
            self.running += 1;
            let series = registered.series[template.index()].of(turn.priority);
            let key = AttemptKey(self.attempts.insert(Attempt {
                run: entry.run,
                started_ns: now_ns,
                alive_ns: now_ns,
                twin: AttemptKey::NONE,
                node: entry.node,
                series,
                number,
                queue: id,
                lane: policy.lane,
                tenant,
                phase: Phase::Running,
                timers: 0,
                suspended: false,
                called: true,
                plan,
                copy: false,
            }));
            run.dispatched(entry.node, key);
            if let (Some(hold), Some(accounts)) = (hold, &mut self.accounts) {
                accounts.takes_off(key, policy.step, hold);
            }
            if policy.queue_timeout_ns > 0 {
                self.timers.cancel(1);
            }
            let delay_ns = now_ns - entry.eligible_ns;
            if self.watching.has(plan) {
                self.watching.dispatched(entry.run, delay_ns);
            }
            let metrics = self.metrics.of(series);
            metrics.attempts += 1;
            metrics.retries += u64::from(number > 1);
            metrics.queue_delay.record(delay_ns);
            if tenant != TenantId::NONE {
                let metrics = self.metrics.of_tenant(tenant);
                metrics.attempts += 1;
                metrics.queue_delay.record(delay_ns);
            }
            if controlled {
                let (lane, step, tokens) = (turn.line.lane(), policy.step, policy.tokens);
                let priority = turn.priority;
                let (used, lane) = (Charge::UNSAID, lane as u8);
                let charge = Charge { cost, tenant, step, tokens, used, lane, priority };
                let first = (number == 1).then(|| self.parts.of(plan));
                let started = Started { attempt: key, charge, first, delay_ns };
                self.queues.get_mut(id).started(now_ns, &started);
            }
            let start = Start {
                attempt: key,
                run: entry.run,
                plan,
                node: entry.node,
                template,
                number,
                lane: policy.lane,
            };
            if (policy.once || registered.plan.undoes) && self.waits_for_its_start(&start) {
                continue;
            }
            return Some(start);
        }
        self.set_told();
        None
    }

    /// Records that a step starts whose effect must be known, and whether that is yet to reach the disk.
    #[cold]
    fn waits_for_its_start(&mut self, start: &Start) -> bool {
        let registered = &self.plans[start.plan.0 as usize];
        let undone = registered.plan.node(start.template).undo.is_some();
        if !undone && !registered.policy(start.template).once {
            return false;
        }
        self.commit(start.run, start.node, start.number, Body::Started);
        let waits = self.lsn > self.synced;
        if waits {
            self.starting.push_back((self.lsn, *start));
            if let Some(attempt) = self.attempts.get_mut(start.attempt.0) {
                attempt.called = false;
            }
        }
        waits
    }

    /// The next attempt whose start has reached the disk.
    fn started(&mut self) -> Option<Start> {
        while let Some(&(lsn, start)) = self.starting.front()
            && lsn <= self.synced
        {
            self.starting.pop_front();
            // It may have been withdrawn meanwhile.
            if let Some(attempt) = self.attempts.get_mut(start.attempt.0) {
                attempt.called = true;
                attempt.started_ns = self.now_ns;
                attempt.alive_ns = self.now_ns;
                return Some(start);
            }
        }
        None
    }

    // Outputs.

    /// The next thing for the driver to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether an attempt could be dispatched now.
    pub fn has_ready(&self) -> bool {
        let started = self.starting.front().is_some_and(|(lsn, _)| *lsn <= self.synced);
        let free = self.running < self.config.concurrency;
        let copies = !self.told.copies.is_empty();
        self.dispatching && (started || copies || (free && self.queues.has_ready()))
    }

    /// The last record written so far.
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Takes the next place in the order of records, for one about a run that is not here.
    pub const fn take_lsn(&mut self) -> Lsn {
        self.lsn.0 += 1;
        self.lsn
    }

    /// The last record that is on disk; the largest there is without a journal.
    pub const fn synced(&self) -> Lsn {
        self.synced
    }

    /// Records written since the last [`Engine::clear_records`], in lsn order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Forgets the records written so far: the journal has them.
    pub fn clear_records(&mut self) {
        self.records.clear();
    }

    /// When to call [`Engine::handle`] with [`Event::Tick`] next.
    pub fn next_deadline_ns(&mut self) -> Option<u64> {
        self.prune_timers();
        while let Some(timer) = self.timers.peek() {
            if self.is_live(&timer.kind) {
                return Some(timer.at_ns);
            }
            self.timers.pop_stale();
        }
        None
    }

    fn begin(&mut self, now_ns: u64) {
        debug_assert!(self.actions.is_empty(), "drain poll() before the next mutation");
        debug_assert!(now_ns >= self.now_ns, "time never goes back");
        self.now_ns = now_ns;
    }
}
