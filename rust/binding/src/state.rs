//! What a runtime holds under its lock: the engine and the Python objects that go with its handles.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use penstock_engine::{
    Action, AttemptKey, Base, Blame, Cause, Engine, Event, Layout, Ledger, News, NodeId, Outcome,
    Place, PlanId, QueueId, Run, RunKey, RunStatus, Source, Start,
};
use penstock_journal::MemoryStore;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use smallvec::SmallVec;

use crate::books::{ClosedRow, Counted, Resources};
use crate::budgets::Budgets;
use crate::core::Prepared;
use crate::durable::{Ack, Durable};
use crate::inline::Inline;
use crate::notes::Note;
use crate::plan::{Mode, NodePart, PlanParts, StepPart};
use crate::queues::Tenants;
use crate::values::Values;

/// The engine's side and Python's side of all runs. Nothing here calls Python or drops a Python object:
/// what has to be called or dropped leaves in [`Effects`], and is performed after the lock is released.
pub(crate) struct State {
    pub(crate) engine: Engine,
    pub(crate) values: Values,
    pub(crate) plans: Vec<Arc<PlanParts>>,
    /// What is known of runs, and of the last ones that ended.
    pub(crate) store: MemoryStore<Past>,
    /// Whom runs are for.
    pub(crate) tenants: Tenants,
    /// What attempts spend.
    pub(crate) resources: Resources,
    /// Nano-dollars that were spent in all.
    pub(crate) spent: i64,
    pub(crate) counted: Counted,
    /// Who may spend how much.
    pub(crate) budgets: Budgets,
    /// Where runs outlive the process, if anywhere.
    pub(crate) durable: Option<Box<Durable>>,
    /// By run slot.
    pub(crate) sides: Vec<Option<Side>>,
    /// Tasks of suspended attempts, by attempt slot.
    pub(crate) tasks: Vec<Option<Py<PyAny>>>,
    /// An attempt that was taken from the engine and has to be started another way than was tried.
    pub(crate) pending: Option<Start>,
    /// Outcomes of ended runs that somebody still has a handle of, with the number of handles.
    pub(crate) kept: HashMap<u64, Kept>,
    pub(crate) turn: Turn,
    /// Futures of callers that a full queue refused, oldest first.
    pub(crate) waiting_for_room: VecDeque<(PlanId, Py<PyAny>)>,
    /// Futures of those who wait for the last attempt to end.
    pub(crate) waiting_for_idle: Vec<Py<PyAny>>,
    /// Runs that somebody follows; while it is 0 no event is made.
    pub(crate) followed: usize,
}

/// What one turn of the pump may still do before it yields to the service's own tasks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Turn {
    pub(crate) starts_left: u32,
    pub(crate) until_ns: u64,
}

impl Turn {
    pub(crate) const STARTS: u32 = 256;
    pub(crate) const LENGTH_NS: u64 = 2_000_000;
}

/// Python's side of a run under way.
pub(crate) struct Side {
    /// The caller's context, copied when the run was accepted.
    pub(crate) context: Py<PyAny>,
    /// The first future that waits for the run; most runs have one at most.
    pub(crate) waiter: Option<Py<PyAny>>,
    pub(crate) plan: PlanId,
    pub(crate) extra: Option<Box<Extra>>,
}

/// What few runs have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) tenant: Option<Py<PyAny>>,
    /// What it is found by, if runs that it starts are to know.
    pub(crate) tags: Box<[(String, String)]>,
    pub(crate) waiters: Vec<Py<PyAny>>,
    pub(crate) followers: Vec<Py<PyAny>>,
    /// Live handles: the outcome is kept for them beyond the store's last ones.
    pub(crate) handles: u32,
}

impl Side {
    pub(crate) fn tenant(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let tenant = self.extra.as_ref()?.tenant.as_ref();
        tenant.map(|tenant| tenant.clone_ref(py))
    }

    /// Its tags, as far as they are kept here.
    pub(crate) fn tags(&self) -> &[(String, String)] {
        self.extra.as_ref().map_or(&[], |extra| &extra.tags)
    }
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.handles == 0
            && self.tenant.is_none()
            && self.tags.is_empty()
            && self.waiters.is_empty()
            && self.followers.is_empty()
    }
}

/// How a run ended, with its Python objects.
pub(crate) enum Ended {
    Succeeded(Py<PyAny>),
    Failed(FailedAt),
    /// An effect of it could not be undone; it has not really ended.
    Stalled(FailedAt),
    Cancelled,
    DeadlineExceeded,
    /// It is kept aside, and why.
    Held(Box<str>),
    /// The runtime was closed before it ended; it goes on when its store is opened again.
    Closed,
}

/// The node that failed.
pub(crate) struct FailedAt {
    pub(crate) path: Box<str>,
    pub(crate) node: NodeId,
    pub(crate) attempts: u32,
    pub(crate) cause: &'static str,
    pub(crate) error: Option<Py<PyAny>>,
}

/// What is known of a run that is over.
pub(crate) struct Past {
    pub(crate) plan: PlanId,
    pub(crate) status: RunStatus,
    pub(crate) ended: Ended,
    /// Where the nodes of its frames stood.
    pub(crate) layout: Option<Box<Layout>>,
    /// What it has spent.
    pub(crate) ledger: Option<Box<Ledger>>,
    /// It may be told when everything up to here is on disk; 0 if it is.
    pub(crate) lsn: u64,
}

/// What a handle still knows of a run that the store may have forgotten.
pub(crate) struct Kept {
    pub(crate) run_id: String,
    pub(crate) past: Past,
    /// Live handles.
    pub(crate) handles: u32,
}

impl Past {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        let ended = self.ended.clone_ref(py);
        let Self { plan, status, lsn, .. } = *self;
        let (layout, ledger) = (self.layout.clone(), self.ledger.clone());
        Self { plan, status, ended, layout, ledger, lsn }
    }
}

impl FailedAt {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            path: self.path.clone(),
            node: self.node,
            attempts: self.attempts,
            cause: self.cause,
            error: self.error.as_ref().map(|error| error.clone_ref(py)),
        }
    }
}

impl Ended {
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Succeeded(value) => Self::Succeeded(value.clone_ref(py)),
            Self::Failed(at) => Self::Failed(at.clone_ref(py)),
            Self::Stalled(at) => Self::Stalled(at.clone_ref(py)),
            Self::Cancelled => Self::Cancelled,
            Self::DeadlineExceeded => Self::DeadlineExceeded,
            Self::Held(why) => Self::Held(why.clone()),
            Self::Closed => Self::Closed,
        }
    }
}

/// What a mutation asks of Python. Most steps leave nothing but garbage.
#[derive(Default)]
pub(crate) struct Effects {
    /// Objects that nobody needs any more; they are dropped with this.
    pub(crate) garbage: SmallVec<[Py<PyAny>; 2]>,
    pub(crate) rest: Option<Box<Rest>>,
}

/// What a mutation asks of Python beyond dropping objects.
#[derive(Default)]
pub(crate) struct Rest {
    pub(crate) evaluate: Vec<Inline>,
    pub(crate) cancel: Vec<Py<PyAny>>,
    pub(crate) ended: Vec<EndedRun>,
    pub(crate) notes: Vec<(Vec<Py<PyAny>>, Note)>,
    pub(crate) news: Vec<(QueueId, News)>,
    pub(crate) closed: Vec<ClosedRow>,
    pub(crate) forgotten: Vec<Past>,
    /// Futures of those whose record is on disk.
    pub(crate) on_disk: Vec<Py<PyAny>>,
    /// Runs that ended with a value that is to be read first.
    pub(crate) ended_cold: Vec<EndedCold>,
}

/// A run that has ended with a value that is in the store only.
pub(crate) struct EndedCold {
    pub(crate) run: RunKey,
    pub(crate) status: RunStatus,
    pub(crate) outcome: Outcome,
    pub(crate) left: Left,
}

/// What an ended run leaves besides its outcome.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) layout: Option<Box<Layout>>,
    pub(crate) ledger: Option<Box<Ledger>>,
}

/// A run that has ended, for those who wait for it.
pub(crate) struct EndedRun {
    pub(crate) run: RunKey,
    pub(crate) plan: PlanId,
    pub(crate) ended: Ended,
    pub(crate) waiters: SmallVec<[Py<PyAny>; 2]>,
}

impl Effects {
    pub(crate) fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }
}

impl State {
    pub(crate) fn new(engine: Engine, seed: u64) -> Self {
        Self {
            engine,
            values: Values::default(),
            plans: Vec::new(),
            store: MemoryStore::new(seed),
            tenants: Tenants::default(),
            resources: Resources::default(),
            spent: 0,
            counted: Counted::default(),
            budgets: Budgets::default(),
            durable: None,
            sides: Vec::new(),
            tasks: Vec::new(),
            pending: None,
            kept: HashMap::new(),
            turn: Turn::default(),
            waiting_for_room: VecDeque::new(),
            waiting_for_idle: Vec::new(),
            followed: 0,
        }
    }

    /// Tells the engine what happened and gathers what follows from it.
    pub(crate) fn handle(&mut self, py: Python<'_>, now_ns: u64, event: Event) -> Effects {
        self.engine.handle(now_ns, event);
        self.drain(py)
    }

    /// Gathers what follows from the last mutation.
    #[inline]
    pub(crate) fn drain(&mut self, py: Python<'_>) -> Effects {
        let mut effects = Effects::default();
        self.drain_into(py, &mut effects);
        effects
    }

    /// As [`State::drain`], added to what is there.
    pub(crate) fn drain_into(&mut self, py: Python<'_>, effects: &mut Effects) {
        self.keep_records(py, effects);
        while let Some(action) = self.engine.poll() {
            self.take_action(py, action, effects);
        }
    }

    /// As [`State::drain`], but leaves the ends of runs to the caller: until they are taken in, the values
    /// that they bring can be replaced.
    pub(crate) fn drain_but_ends(&mut self, py: Python<'_>) -> (Effects, Vec<Action>) {
        let (mut effects, mut ends) = (Effects::default(), Vec::new());
        self.keep_records(py, &mut effects);
        while let Some(action) = self.engine.poll() {
            match action {
                end @ (Action::Ended { .. } | Action::Stalled { .. }) => ends.push(end),
                action => self.take_action(py, action, &mut effects),
            }
        }
        (effects, ends)
    }

    #[inline]
    pub(crate) fn take_action(&mut self, py: Python<'_>, action: Action, effects: &mut Effects) {
        match action {
            Action::Drop { value } => {
                if let Some(object) = self.values.take(value) {
                    effects.garbage.push(object);
                }
            }
            Action::Evaluate { run, node, template, what } => {
                effects.rest().evaluate.push(Inline { run, node, template, what });
            }
            Action::Cancel { attempt, .. } => {
                if let Some(Some(task)) = self.tasks.get(slot(attempt.0)) {
                    effects.rest().cancel.push(task.clone_ref(py));
                }
            }
            Action::Ended { run, status, outcome, layout, ledger } => {
                if self.engine.has_closed() {
                    let rows = self.closed_rows(None);
                    effects.rest().closed.extend(rows);
                }
                let left = Left { layout, ledger };
                if self.ends_cold(&outcome) {
                    effects.rest().ended_cold.push(EndedCold { run, status, outcome, left });
                } else {
                    self.end(py, run, status, (outcome, left), effects);
                }
            }
            Action::Queue { queue, news } => effects.rest().news.push((queue, news)),
            Action::Stalled { run, node, cause } => {
                self.stall(py, run, Blame { node, cause }, effects);
            }
        }
    }

    /// Writes the records of the last mutation to the store, and tells those who follow their runs.
    fn keep_records(&mut self, py: Python<'_>, effects: &mut Effects) {
        for record in self.engine.records() {
            self.store.append(record);
        }
        if let Some(durable) = &mut self.durable {
            for record in self.engine.records() {
                let side = self.sides.get(slot(record.run.0)).and_then(Option::as_ref);
                let parts = side.map(|side| &*self.plans[side.plan.0 as usize]);
                durable.record(&self.engine, &mut self.values, &self.resources, parts, record);
            }
        }
        if self.followed > 0 {
            for record in self.engine.records() {
                self.note(py, record, effects);
            }
        }
        self.engine.clear_records();
    }

    /// A run is over: its outcome goes to the store, to live handles and to those who wait.
    pub(crate) fn end(
        &mut self,
        py: Python<'_>,
        run: RunKey,
        status: RunStatus,
        (outcome, left): (Outcome, Left),
        effects: &mut Effects,
    ) {
        let Some(plan) = self.plan_of_side(run) else { return };
        let ended = self.ended(py, plan, outcome, left.layout.as_deref());
        self.end_as(py, run, status, (ended, left), effects);
    }

    /// The same, where what it ended with is known already.
    pub(crate) fn end_as(
        &mut self,
        py: Python<'_>,
        run: RunKey,
        status: RunStatus,
        (ended, left): (Ended, Left),
        effects: &mut Effects,
    ) {
        let Some(side) = self.sides.get_mut(slot(run.0)).and_then(Option::take) else { return };
        let Side { context, waiter, plan, extra } = side;
        if let Some(durable) = &mut self.durable {
            durable.set_cold(run, false);
        }
        let lsn = self.durable.as_ref().map_or(0, |durable| durable.lsn());
        let Left { layout, ledger } = left;
        let past = Past { plan, status, ended, layout, ledger, lsn };
        let mut waiters: SmallVec<[Py<PyAny>; 2]> = waiter.into_iter().collect();
        effects.garbage.push(context);
        if let Some(extra) = extra {
            let Extra { tenant, tags: _, waiters: more, followers, handles } = *extra;
            waiters.extend(more);
            effects.garbage.extend(tenant);
            self.followed -= followers.len();
            effects.garbage.extend(followers);
            if handles > 0 {
                let run_id = self.store.id(run).map(ToString::to_string).unwrap_or_default();
                let past = past.clone_ref(py);
                self.kept.insert(run.0, Kept { run_id, past, handles });
            }
        }
        if !waiters.is_empty() {
            let ended = EndedRun { run, plan, ended: past.ended.clone_ref(py), waiters };
            match &mut self.durable {
                None => effects.rest().ended.push(ended),
                // Nobody is told before it is on disk.
                Some(durable) => {
                    durable.await_disk(lsn, Ack::Ended(Box::new(ended)));
                }
            }
        }
        let forgotten = self.store.end(run, past);
        if !forgotten.is_empty() {
            effects.rest().forgotten.extend(forgotten);
        }
    }

    /// A run can't undo what it did: those who wait are told, and it stays as it is.
    fn stall(&mut self, py: Python<'_>, run: RunKey, blame: Blame, effects: &mut Effects) {
        let ended = Ended::Stalled(self.blamed(py, run, blame));
        if let Some((plan, waiters)) = self.take_waiters(run) {
            effects.rest().ended.push(EndedRun { run, plan, ended, waiters });
        }
    }

    /// The futures that wait for a run under way.
    pub(crate) fn take_waiters(
        &mut self,
        run: RunKey,
    ) -> Option<(PlanId, SmallVec<[Py<PyAny>; 2]>)> {
        let side = self.side_mut(run)?;
        let more = side.extra.as_mut().map(|extra| std::mem::take(&mut extra.waiters));
        let waiters = side.waiter.take().into_iter().chain(more.unwrap_or_default());
        Some((side.plan, waiters.collect()))
    }

    /// What Python is told of a failure within a run under way. Its error stays with the engine.
    pub(crate) fn blamed(&self, py: Python<'_>, run: RunKey, blame: Blame) -> FailedAt {
        let Blame { node: place, cause } = blame;
        FailedAt {
            path: self.engine.path(run, place).unwrap_or_default().into(),
            node: self.engine.template(run, place).unwrap_or(NodeId(0)),
            attempts: self.engine.attempts_of(run, place),
            cause: cause.name(),
            error: match cause {
                Cause::Error(error) => self.values.get(error).map(|error| error.clone_ref(py)),
                _ => None,
            },
        }
    }

    pub(crate) fn ended(
        &mut self,
        py: Python<'_>,
        plan: PlanId,
        outcome: Outcome,
        layout: Option<&Layout>,
    ) -> Ended {
        let parts = &self.plans[plan.0 as usize];
        match outcome {
            Outcome::Succeeded(base) => Ended::Succeeded(match base {
                Base::Value(value) => self.values.take(value).unwrap_or_else(|| py.None()),
                Base::Constant(node) => parts.constant(py, node),
                Base::Nothing => py.None(),
            }),
            Outcome::Failed { node: place, attempts, cause } => {
                let outermost = Layout::default();
                let layout = layout.unwrap_or(&outermost);
                Ended::Failed(FailedAt {
                    path: layout.path(&parts.plan, place).into(),
                    node: layout.template(&parts.plan, place),
                    attempts,
                    cause: cause.name(),
                    error: match cause {
                        Cause::Error(error) => self.values.take(error),
                        _ => None,
                    },
                })
            }
            Outcome::Cancelled => Ended::Cancelled,
            Outcome::DeadlineExceeded => Ended::DeadlineExceeded,
        }
    }

    /// Takes the next attempt this turn may start. For a carrier (`riding`), only one that may ride; another
    /// is left for the pump.
    #[inline]
    pub(crate) fn take_next(&mut self, now_ns: u64, riding: bool) -> Option<Start> {
        if self.pending.is_some() {
            return self.take_pending(riding);
        }
        if self.turn.starts_left == 0 || now_ns >= self.turn.until_ns {
            return None;
        }
        self.turn.starts_left -= 1;
        let start = self.engine.dispatch(now_ns)?;
        if let Some(durable) = &self.durable {
            durable.takes_off(&start);
        }
        if riding && self.part(&start).mode != Mode::Carrier {
            self.pending = Some(start);
            return None;
        }
        Some(start)
    }

    #[cold]
    fn take_pending(&mut self, riding: bool) -> Option<Start> {
        let rides = |state: &Self, start: &Start| state.part(start).mode == Mode::Carrier;
        let start = self.pending.filter(|start| !riding || rides(self, start))?;
        self.pending = None;
        Some(start)
    }

    /// An attempt with everything it needs to be called.
    pub(crate) fn prepared(&self, py: Python<'_>, start: &Start) -> Prepared {
        let parts = &self.plans[start.plan.0 as usize];
        Prepared {
            attempt: start.attempt,
            part: self.part(start).clone(),
            arguments: self.arguments(py, start.run, start.node, parts),
            context: self.context(py, start),
        }
    }

    /// As [`State::prepared`], in place of an attempt whose arguments are gone; gives what else it held, to
    /// be dropped after the lock is released.
    #[must_use]
    pub(crate) fn prepare(
        &self,
        py: Python<'_>,
        start: &Start,
        prepared: &mut Prepared,
    ) -> (Arc<StepPart>, Py<PyAny>) {
        let parts = &self.plans[start.plan.0 as usize];
        self.each_argument(py, (start.run, start.node), parts, &mut prepared.arguments);
        prepared.attempt = start.attempt;
        let part = std::mem::replace(&mut prepared.part, self.part(start).clone());
        (part, std::mem::replace(&mut prepared.context, self.context(py, start)))
    }

    fn context(&self, py: Python<'_>, start: &Start) -> Py<PyAny> {
        let side = self.sides.get(slot(start.run.0)).and_then(Option::as_ref);
        side.map_or_else(|| py.None(), |side| side.context.clone_ref(py))
    }

    pub(crate) fn part(&self, start: &Start) -> &Arc<StepPart> {
        match &self.plans[start.plan.0 as usize].nodes[start.template.index()] {
            NodePart::Step(part) => part,
            _ => unreachable!("only steps are dispatched"),
        }
    }

    /// The values of a node's inputs, in order.
    pub(crate) fn arguments(
        &self,
        py: Python<'_>,
        run: RunKey,
        node: Place,
        parts: &PlanParts,
    ) -> SmallVec<[Py<PyAny>; 6]> {
        let mut arguments = SmallVec::new();
        self.each_argument(py, (run, node), parts, &mut arguments);
        arguments
    }

    fn each_argument(
        &self,
        py: Python<'_>,
        (run, node): (RunKey, Place),
        parts: &PlanParts,
        arguments: &mut SmallVec<[Py<PyAny>; 6]>,
    ) {
        let Some(run) = self.engine.run(run) else { return };
        run.given(&parts.plan, node, |base, items| {
            arguments.push(self.value_of(py, base, items, parts));
        });
    }

    /// The value a node carries; None if it carries nothing.
    pub(crate) fn value(
        &self,
        py: Python<'_>,
        run: RunKey,
        node: Place,
        parts: &PlanParts,
    ) -> Py<PyAny> {
        self.engine.run(run).map_or_else(|| py.None(), |run| self.value_in(py, run, node, parts))
    }

    #[inline]
    fn value_in(&self, py: Python<'_>, run: &Run, node: Place, parts: &PlanParts) -> Py<PyAny> {
        if let Some(base) = run.own_value(&parts.plan, node) {
            return self.value_of(py, base, &[], parts);
        }
        let Source { base, items } = run.source(&parts.plan, node);
        self.value_of(py, base, &items, parts)
    }

    #[inline]
    pub(crate) fn value_of(
        &self,
        py: Python<'_>,
        base: Base,
        items: &[u32],
        parts: &PlanParts,
    ) -> Py<PyAny> {
        let value = match base {
            Base::Value(value) => self.values.get(value).map(|value| value.clone_ref(py)),
            Base::Constant(node) => Some(parts.constant(py, node)),
            Base::Nothing => None,
        };
        let value = value.unwrap_or_else(|| py.None());
        items.iter().fold(value, |of, &item| item_of(of.bind(py), item as usize))
    }

    /// Futures whose condition holds now.
    pub(crate) fn due_waiters(&mut self) -> Vec<Py<PyAny>> {
        let mut due = Vec::new();
        if self.engine.running() == 0 {
            due.append(&mut self.waiting_for_idle);
        }
        let room = |state: &Self| {
            let (plan, _) = state.waiting_for_room.front()?;
            Some(state.engine.room(*plan))
        };
        // As many as there is room for now; each will ask again, and take it.
        let mut left = room(self).unwrap_or(0);
        while left > 0 {
            due.extend(self.waiting_for_room.pop_front().map(|(_, future)| future));
            left = room(self).unwrap_or(0).min(left - 1);
        }
        due
    }

    /// Futures of all who wait for room or for the last attempt to end.
    pub(crate) fn take_waiting(&mut self) -> Vec<Py<PyAny>> {
        let mut waiting = std::mem::take(&mut self.waiting_for_idle);
        waiting.extend(self.waiting_for_room.drain(..).map(|(_, future)| future));
        waiting
    }

    pub(crate) fn put_task(&mut self, attempt: AttemptKey, task: Py<PyAny>) {
        let slot = slot(attempt.0);
        if slot >= self.tasks.len() {
            self.tasks.resize_with(slot + 1, || None);
        }
        self.tasks[slot] = Some(task);
    }

    /// The task of an attempt that has ended, if it had one.
    pub(crate) fn take_task(&mut self, attempt: AttemptKey) -> Option<Py<PyAny>> {
        if let Some(durable) = &self.durable {
            durable.lands(attempt);
        }
        self.tasks.get_mut(slot(attempt.0))?.take()
    }

    pub(crate) fn put_side(&mut self, run: RunKey, side: Side) {
        let slot = slot(run.0);
        if slot >= self.sides.len() {
            self.sides.resize_with(slot + 1, || None);
        }
        self.sides[slot] = Some(side);
    }

    /// Python's side of a run under way.
    pub(crate) fn side(&self, run: RunKey) -> Option<&Side> {
        self.engine.run(run)?;
        self.sides.get(slot(run.0))?.as_ref()
    }

    pub(crate) fn side_mut(&mut self, run: RunKey) -> Option<&mut Side> {
        self.engine.run(run)?;
        self.sides.get_mut(slot(run.0))?.as_mut()
    }

    /// The step an attempt executes.
    pub(crate) fn part_of(&self, attempt: AttemptKey) -> Option<Arc<StepPart>> {
        let (run, node, _) = self.engine.attempt(attempt)?;
        let node = self.engine.template(run, node)?;
        match &self.parts_of(run)?.nodes[node.index()] {
            NodePart::Step(part) => Some(part.clone()),
            _ => None,
        }
    }

    /// The workflow of a run under way.
    pub(crate) fn parts_of(&self, run: RunKey) -> Option<Arc<PlanParts>> {
        let plan = self.engine.plan_of(run)?;
        Some(self.plans[plan.0 as usize].clone())
    }

    /// A run's id, as long as the store or a handle keeps it.
    pub(crate) fn run_id(&self, run: RunKey) -> Option<String> {
        let known = self.store.id(run).map(ToString::to_string);
        known.or_else(|| self.kept.get(&run.0).map(|kept| kept.run_id.clone()))
    }

    /// What is still known of a run that is over.
    pub(crate) fn past(&self, run: RunKey) -> Option<&Past> {
        self.kept.get(&run.0).map(|kept| &kept.past).or_else(|| self.store.outcome(run))
    }

    /// The plan of a run, under way or over.
    pub(crate) fn plan_of(&self, run: RunKey) -> Option<PlanId> {
        let plan = self.side(run).map(|side| side.plan);
        plan.or_else(|| self.past(run).map(|past| past.plan))
            .filter(|plan| (plan.0 as usize) < self.plans.len())
    }

    pub(crate) fn status(&self, run: RunKey) -> Option<RunStatus> {
        self.engine.status(run).or_else(|| self.past(run).map(|past| past.status))
    }

    /// A handle of a run is made: its outcome is kept for it.
    pub(crate) fn watch(&mut self, run: RunKey, py: Python<'_>) {
        if let Some(side) = self.side_mut(run) {
            side.extra.get_or_insert_default().handles += 1;
        } else if let Some(kept) = self.kept.get_mut(&run.0) {
            kept.handles += 1;
        } else if let Some(past) = self.store.outcome(run) {
            let past = past.clone_ref(py);
            let run_id = self.store.id(run).map(ToString::to_string).unwrap_or_default();
            self.kept.insert(run.0, Kept { run_id, past, handles: 1 });
        }
    }

    /// A handle of a run is gone.
    #[must_use = "what is forgotten is dropped after the lock is released"]
    pub(crate) fn unwatch(&mut self, run: RunKey) -> Option<Past> {
        if let Some(side) = self.side_mut(run)
            && let Some(extra) = &mut side.extra
        {
            extra.handles -= 1;
            if extra.is_empty() {
                side.extra = None;
            }
            return None;
        }
        let kept = self.kept.get_mut(&run.0)?;
        kept.handles -= 1;
        if kept.handles == 0 { self.kept.remove(&run.0).map(|kept| kept.past) } else { None }
    }

    /// The futures of all who wait for a run, whatever has become of the engine.
    pub(crate) fn abandon(&mut self) -> Vec<Py<PyAny>> {
        let mut waiters = self.take_waiting();
        for ack in self.durable.iter_mut().flat_map(|durable| durable.take_acks()) {
            match ack {
                Ack::Future(future) => waiters.push(future),
                Ack::Ended(ended) => waiters.extend(ended.waiters),
            }
        }
        for side in self.sides.iter_mut().flatten() {
            waiters.extend(side.waiter.take());
            let extra = side.extra.as_mut();
            waiters.extend(extra.into_iter().flat_map(|extra| std::mem::take(&mut extra.waiters)));
        }
        waiters
    }

    /// What runs that can't go on hold, to be dropped after the lock is released.
    pub(crate) fn let_go(&mut self) -> impl Sized + use<> {
        self.followed = 0;
        (self.values.clear(), std::mem::take(&mut self.sides))
    }

    /// Every Python object held, to be dropped after the lock is released.
    pub(crate) fn clear(&mut self) -> impl Sized + use<> {
        (
            self.let_go(),
            std::mem::take(&mut self.tasks),
            std::mem::take(&mut self.kept),
            self.store.clear(),
            self.durable.as_mut().map(|durable| durable.take_acks()),
            std::mem::take(&mut self.waiting_for_room),
            std::mem::take(&mut self.waiting_for_idle),
        )
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.values.iter().try_for_each(|value| visit.call(value))?;
        self.tasks.iter().flatten().try_for_each(|task| visit.call(task))?;
        for side in self.sides.iter().flatten() {
            visit.call(&side.context)?;
            visit.call(&side.waiter)?;
            if let Some(extra) = &side.extra {
                visit.call(&extra.tenant)?;
                extra.waiters.iter().try_for_each(|waiter| visit.call(waiter))?;
                extra.followers.iter().try_for_each(|follower| visit.call(follower))?;
            }
        }
        let kept = self.kept.values().map(|kept| &kept.past);
        for past in self.store.outcomes().chain(kept) {
            match &past.ended {
                Ended::Succeeded(value) => visit.call(value)?,
                Ended::Failed(at) | Ended::Stalled(at) => visit.call(&at.error)?,
                Ended::Cancelled | Ended::DeadlineExceeded | Ended::Held(_) | Ended::Closed => {}
            }
        }
        self.waiting_for_idle.iter().try_for_each(|future| visit.call(future))?;
        for ack in self.durable.iter().flat_map(|durable| durable.acks()) {
            match ack {
                Ack::Future(future) => visit.call(future)?,
                Ack::Ended(ended) => {
                    ended.waiters.iter().try_for_each(|waiter| visit.call(waiter))?;
                }
            }
        }
        self.waiting_for_room.iter().try_for_each(|(_, future)| visit.call(future))?;
        for parts in &self.plans {
            for node in &parts.nodes {
                node.objects().into_iter().try_for_each(|object| visit.call(object))?;
            }
        }
        Ok(())
    }
}

/// An item of a list or tuple; None if it has got shorter, which it must not.
fn item_of(of: &Bound<'_, PyAny>, item: usize) -> Py<PyAny> {
    let found = if let Ok(list) = of.cast::<PyList>() {
        list.get_item(item)
    } else if let Ok(tuple) = of.cast::<PyTuple>() {
        tuple.get_item(item)
    } else {
        Ok(of.py().None().into_bound(of.py()))
    };
    found.map_or_else(|_| of.py().None(), Bound::unbind)
}

/// The slot of a run's or an attempt's key.
pub(crate) const fn slot(key: u64) -> usize {
    (key & 0xffff_ffff) as usize
}
