//! One runtime's native side: the engine, what Python objects go with it, and the pump that starts steps.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use penstock_engine::{
    AttemptKey, Config, Engine, Event, Failure, Lsn, NodeKind, PlanId, Refusal, RunKey,
};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use smallvec::SmallVec;

use crate::asyncio::Asyncio;
use crate::budgets::BudgetParts;
use crate::carrier::is_fatal;
use crate::cell::{GilCell, Guard};
use crate::clock::Clock;
use crate::codec::{self, Codec};
use crate::durable::Durable;
use crate::plan::{ContextPlace, Mode, NodePart, Plan, PlanParts, PolicyParts, StepPart};
use crate::pump::{Pump, resolve_all};
use crate::python::{current_context, refuse_unsupported};
use crate::runs::{Admission, BatchItem, BatchOptions, RunOptions};
use crate::state::{Effects, Ended, State};
use crate::values::Payload;
use crate::{faults, report};

/// The native half of a `Runtime`.
#[pyclass(frozen, module = "penstock._engine")]
pub(crate) struct Core {
    pub(crate) state: GilCell<State>,
    pub(crate) asyncio: Asyncio,
    pub(crate) hooks: Hooks,
    clock: Clock,
    pub(crate) pump: GilCell<Pump>,
    pub(crate) pump_scheduled: AtomicBool,
    /// Engine time of the last reading, for what follows at once.
    pub(crate) now_ns: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// Where the store is, if there is one.
    pub(crate) store_path: Option<PathBuf>,
    /// Whether there is a store.
    pub(crate) durable: bool,
}

/// Python functions the native side calls.
pub(crate) struct Hooks {
    /// `(step, retry, exception) -> (retryable, retry_after | None)`
    pub(crate) classify: Py<PyAny>,
    /// `(run_id | None, path, error) -> exception`: what a contract or an inline function raised, with
    /// the place where it did.
    pub(crate) locate: Py<PyAny>,
    /// `(core, attempt, step) -> Context`
    pub(crate) context: Py<PyAny>,
    /// `(plan, run_id, cause, why, (path, node, attempts, error, stalled) | None) -> exception`: what a run
    /// that did not succeed raises.
    pub(crate) failure: Py<PyAny>,
    /// `(plan, (cause, path, node, attempts, error)) -> Failure`: what stands for an item that failed.
    pub(crate) item_failure: Py<PyAny>,
    /// `(attempt, function, arguments, context)`: runs a plain function in the thread pool.
    pub(crate) submit: Py<PyAny>,
    /// `(follower, note)`: hands a note to one who follows a run.
    pub(crate) publish: Py<PyAny>,
    /// `(kind, what, retry_after) -> exception`: why a run was not accepted, or is not known.
    pub(crate) refusal: Py<PyAny>,
    /// `(exception) -> bytes`: how a store keeps it.
    pub(crate) encode_error: Py<PyAny>,
    /// `(bytes) -> exception`.
    pub(crate) decode_error: Py<PyAny>,
    /// `(id, key, run id, verb, arguments, actor)`: another process wants something.
    pub(crate) command: Py<PyAny>,
    /// `(queue, what)`: something happened to a queue.
    pub(crate) news: Py<PyAny>,
    pub(crate) closed: Py<PyAny>,
}

/// What Python registers for a node: `(contract, detail, policy | None, codec | None)`; see
/// [`NodePart::new`].
pub(crate) type RegisteredNode<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyAny>, Option<PolicyParts>, Bound<'py, PyAny>);

/// An attempt that is ready to be called.
pub(crate) struct Prepared {
    pub(crate) attempt: AttemptKey,
    pub(crate) part: Arc<StepPart>,
    pub(crate) arguments: SmallVec<[Py<PyAny>; 6]>,
    /// The run's context, to be copied.
    pub(crate) context: Py<PyAny>,
}

impl Prepared {
    /// Drops the arguments: the step's frame holds them now, and a second reference would keep them for
    /// too long.
    pub(crate) fn release(&mut self, py: Python<'_>) {
        while let Some(argument) = self.arguments.pop() {
            argument.drop_ref(py);
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.arguments.iter().try_for_each(|argument| visit.call(argument))?;
        visit.call(&self.context)
    }
}

impl Core {
    /// The state, for as long as no Python is called.
    pub(crate) fn lock<'a>(&'a self, py: Python<'a>) -> Guard<'a, State> {
        self.state.lock(py)
    }

    /// Reads the clock. It never goes back.
    pub(crate) fn read_clock(&self, py: Python<'_>) -> u64 {
        let now_ns = self.clock.now_ns(py).unwrap_or_else(|error| {
            error.write_unraisable(py, None);
            0
        });
        let last_ns = self.now_ns.load(Ordering::Relaxed);
        let now_ns = now_ns.max(last_ns);
        self.now_ns.store(now_ns, Ordering::Relaxed);
        now_ns
    }

    /// Takes in an event and does what follows from it.
    pub(crate) fn handle(&self, py: Python<'_>, event: Event) {
        let now_ns = self.read_clock(py);
        let effects = self.lock(py).handle(py, now_ns, event);
        self.perform(py, effects);
    }

    /// An attempt has ended: checks what it returned, or has its exception judged, and tells the engine.
    pub(crate) fn complete(
        &self,
        py: Python<'_>,
        attempt: AttemptKey,
        part: &StepPart,
        outcome: PyResult<Bound<'_, PyAny>>,
    ) {
        match outcome {
            Ok(value) => self.returned(py, attempt, part, value),
            Err(error) => self.raised(py, attempt, part, &error),
        }
    }

    /// An attempt has returned: checks its value, and tells the engine.
    pub(crate) fn returned(
        &self,
        py: Python<'_>,
        attempt: AttemptKey,
        part: &StepPart,
        value: Bound<'_, PyAny>,
    ) {
        let value = if part.contract.admits(&value) {
            value
        } else {
            match part.contract.check(value) {
                Ok(value) => value,
                Err(error) => {
                    let place = report::attempt(py, &self.lock(py), attempt);
                    let (run_id, path) =
                        place.map_or_else(Default::default, |it| (Some(it.0), it.1));
                    let error = self.locate(py, run_id, &path, &error);
                    return self.raised(py, attempt, part, &error);
                }
            }
        };
        let payload = match codec::payload(part.codec.as_deref(), &value) {
            Ok(payload) => payload,
            // It can't be kept, however often the step is tried.
            Err(error) => return self.unkept(py, attempt, &error),
        };
        let now_ns = self.read_clock(py);
        let mut effects = Effects::default();
        {
            let mut state = self.lock(py);
            let task = state.take_task(attempt);
            let value = state.values.insert_with(value.unbind(), payload);
            state.engine.handle(now_ns, Event::Done { attempt, value });
            state.drain_into(py, &mut effects);
            if let Some(task) = task {
                effects.garbage.push(task);
            }
        }
        self.perform_all(py, &mut effects);
    }

    /// An attempt has raised: has the exception judged, and tells the engine.
    pub(crate) fn raised(
        &self,
        py: Python<'_>,
        attempt: AttemptKey,
        part: &StepPart,
        error: &PyErr,
    ) {
        let effects = self.fail(py, attempt, part, error);
        self.perform(py, effects);
    }

    /// What a durable store is told of an exception.
    pub(crate) fn error_payload(&self, py: Python<'_>, exception: &Py<PyAny>) -> Payload {
        if !self.durable {
            return Payload::Unknown;
        }
        let bytes = self.hooks.encode_error.call1(py, (exception,));
        match bytes.and_then(|bytes| bytes.extract::<Vec<u8>>(py)) {
            Ok(bytes) => Payload::Fresh(bytes.into()),
            Err(broken) => {
                self.asyncio.report(py, "an exception could not be written", &broken);
                Payload::Fresh(UNWRITTEN.into())
            }
        }
    }

    /// An error with the run and the node it happened to.
    pub(crate) fn locate(
        &self,
        py: Python<'_>,
        run_id: Option<String>,
        path: &str,
        error: &PyErr,
    ) -> PyErr {
        let exception = error.clone_ref(py).into_value(py);
        let located = self.hooks.locate.call1(py, (run_id, path, exception));
        located.map_or_else(|broken| broken, |it| PyErr::from_value(it.into_bound(py)))
    }

    fn fail(&self, py: Python<'_>, attempt: AttemptKey, part: &StepPart, error: &PyErr) -> Effects {
        let cancelled = error.matches(py, &self.asyncio.cancelled_error).unwrap_or(false);
        // What a thread raises is no exit of the process (concurrent.futures agrees).
        let fatal = part.mode != Mode::Threads && is_fatal(py, error);
        let failure =
            if cancelled || fatal { Failure::FINAL } else { self.classify(py, part, error) };
        self.failed(py, attempt, error, (cancelled, fatal), failure)
    }

    /// An attempt returned what can't be kept: it has failed, for good.
    fn unkept(&self, py: Python<'_>, attempt: AttemptKey, error: &PyErr) {
        let place = report::attempt(py, &self.lock(py), attempt);
        let (run_id, path) = place.map_or_else(Default::default, |it| (Some(it.0), it.1));
        let error = self.locate(py, run_id, &path, error);
        let effects = self.failed(py, attempt, &error, (false, false), Failure::FINAL);
        self.perform(py, effects);
    }

    fn failed(
        &self,
        py: Python<'_>,
        attempt: AttemptKey,
        error: &PyErr,
        (cancelled, fatal): (bool, bool),
        failure: Failure,
    ) -> Effects {
        // With its traceback, which a `PyErr` keeps apart before Python 3.12.
        let exception = error.clone_ref(py).into_value(py).into_any();
        let payload = self.error_payload(py, &exception);
        let now_ns = self.read_clock(py);
        let mut state = self.lock(py);
        let task = state.take_task(attempt);
        let event = if fatal {
            Event::Interrupted { attempt }
        } else {
            let error = state.values.insert_with(exception, payload);
            if cancelled {
                Event::Cancelled { attempt, error }
            } else {
                Event::Failed { attempt, error, failure }
            }
        };
        let mut effects = state.handle(py, now_ns, event);
        effects.garbage.extend(task);
        effects
    }

    /// Why a handoff is refused by what an inline node raised, if one is.
    pub(crate) fn refusal_of(&self, py: Python<'_>, error: &PyErr) -> Option<Refusal> {
        self.judged(py, None, error).refusal
    }

    fn classify(&self, py: Python<'_>, part: &StepPart, error: &PyErr) -> Failure {
        self.judged(py, Some(&part.retry), error)
    }

    fn judged(&self, py: Python<'_>, judge: Option<&Py<PyAny>>, error: &PyErr) -> Failure {
        let verdict = || -> PyResult<(bool, Option<f64>, Option<String>)> {
            self.hooks.classify.call1(py, (judge, error.value(py)))?.extract(py)
        };
        match verdict() {
            Ok((retryable, retry_after, refusal)) => Failure {
                retryable,
                retry_after_ns: retry_after.map(crate::plan::nanoseconds),
                refusal: refusal.as_deref().and_then(Refusal::named),
            },
            Err(broken) => {
                self.asyncio.report(py, "a retry policy could not judge an exception", &broken);
                Failure::FINAL
            }
        }
    }

    /// An attempt is waiting: it can be cancelled through `task` from now on, and its timeouts run.
    pub(crate) fn suspended(&self, py: Python<'_>, attempt: AttemptKey, task: Py<PyAny>) {
        // Its start was read a moment ago, and its timeouts count from there.
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        let effects = {
            let mut state = self.lock(py);
            state.put_task(attempt, task);
            state.handle(py, now_ns, Event::Suspended { attempt })
        };
        self.perform(py, effects);
    }

    /// An attempt was cut short and does not count.
    pub(crate) fn interrupted(&self, py: Python<'_>, attempt: AttemptKey) {
        let task = self.lock(py).take_task(attempt);
        drop(task);
        self.handle(py, Event::Interrupted { attempt });
    }

    /// The next attempt to start in this turn. For a carrier, only one that may ride: another is left
    /// for the pump.
    pub(crate) fn next(&self, core: &Bound<'_, Self>, riding: bool) -> PyResult<Option<Prepared>> {
        let py = core.py();
        let mut state = self.lock(py);
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        let Some(start) = state.take_next(now_ns, riding) else { return Ok(None) };
        if state.is_cold(start.run) {
            let part = state.part(&start).clone();
            drop(state);
            if let Err(error) = self.warm(py, start.run) {
                self.complete(py, start.attempt, &part, Err(error));
                return self.next(core, riding);
            }
            state = self.lock(py);
        }
        let prepared = state.prepared(py, &start);
        if state.followed > 0 {
            let notes = state.note_start(py, &start);
            drop(state);
            self.publish(py, notes);
        } else {
            drop(state);
        }
        if prepared.part.context == ContextPlace::Nowhere && !faults::are_injected() {
            return Ok(Some(prepared));
        }
        let (attempt, part) = (prepared.attempt, prepared.part.clone());
        match self.adorn(core, prepared) {
            Ok(prepared) => Ok(Some(prepared)),
            Err(error) => {
                self.complete(py, attempt, &part, Err(error));
                self.next(core, riding)
            }
        }
    }

    /// As [`Core::next`] for a carrier, in place of an attempt that is over: whether there is one. Every step
    /// comes this way, and what it needs is made where it stays.
    pub(crate) fn renew(&self, core: &Bound<'_, Self>, prepared: &mut Prepared) -> PyResult<bool> {
        let py = core.py();
        let over = {
            let mut state = self.lock(py);
            let now_ns = self.now_ns.load(Ordering::Relaxed);
            let Some(start) = state.take_next(now_ns, true) else { return Ok(false) };
            let plain = state.part(&start).context == ContextPlace::Nowhere;
            let cold = state.is_cold(start.run);
            if plain && !cold && state.followed == 0 && !faults::are_injected() {
                Some(state.prepare(py, &start, prepared))
            } else {
                state.pending = Some(start);
                None
            }
        };
        if let Some((part, context)) = over {
            context.drop_ref(py);
            drop(part);
            return Ok(true);
        }
        let Some(next) = self.next(core, true)? else { return Ok(false) };
        *prepared = next;
        Ok(true)
    }

    /// The engine has a defect and has failed: nobody is to wait for it for ever.
    fn fail_waiters(&self, py: Python<'_>) {
        let Some(mut state) = self.state.salvage(py) else { return };
        let waiters = state.abandon();
        drop(state);
        for waiter in waiters {
            let error = PyRuntimeError::new_err(
                "penstock's engine has failed, which is a defect of penstock; this runtime can't go on",
            );
            let told = (|| -> PyResult<()> {
                if !waiter.call_method0(py, "done")?.is_truthy(py)? {
                    waiter.call_method1(py, "set_exception", (error.value(py),))?;
                }
                Ok(())
            })();
            if let Err(broken) = told {
                self.asyncio.report(py, "a failure could not be delivered", &broken);
            }
        }
    }

    /// Drops what is held for runs, and lets go of the loop.
    pub(crate) fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        let left = self.lock(py).let_go();
        drop(left);
        let waiting = self.lock(py).take_waiting();
        resolve_all(py, waiting)?;
        let pump = std::mem::take(&mut *self.pump.lock(py));
        if let Some((_, timer)) = pump.timer {
            timer.call_method0(py, "cancel")?;
        }
        Ok(())
    }

    /// Has the engine do what a user wants, and does what follows from it.
    fn command<T>(
        slf: &Bound<'_, Self>,
        wanted: impl FnOnce(&mut Engine, u64) -> T,
    ) -> PyResult<T> {
        let (py, core) = (slf.py(), slf.get());
        let now_ns = core.read_clock(py);
        let (answer, effects) = {
            let mut state = core.lock(py);
            (wanted(&mut state.engine, now_ns), state.drain(py))
        };
        core.perform(py, effects);
        core.schedule_pump(slf)?;
        Ok(answer)
    }

    /// Adds the `Context` where the step wants one, and replaces the function where a fault is injected.
    fn adorn(&self, core: &Bound<'_, Self>, mut prepared: Prepared) -> PyResult<Prepared> {
        let py = core.py();
        if prepared.part.context != ContextPlace::Nowhere {
            let arguments = (core, prepared.attempt.0, &prepared.part.step);
            let context = self.hooks.context.call1(py, arguments)?;
            match prepared.part.context {
                ContextPlace::First => prepared.arguments.insert(0, context),
                _ => prepared.arguments.push(context),
            }
        }
        if faults::are_injected()
            && let Some(function) = faults::substitute(py, &prepared.part)?
        {
            let part = &prepared.part;
            prepared.part = Arc::new(StepPart {
                step: part.step.clone_ref(py),
                function,
                name: part.name.clone_ref(py),
                retry: part.retry.clone_ref(py),
                // A script is a coroutine function whatever the step is.
                mode: if part.mode == Mode::Threads { Mode::Own } else { part.mode },
                context: part.context,
                contract: part.contract.clone_ref(py),
                codec: part.codec.clone(),
            });
        }
        Ok(prepared)
    }
}

/// What stands for an exception that can't be written.
const UNWRITTEN: &[u8] =
    br#"{"type":"builtins.Exception","message":"(it could not be written)","traceback":""}"#;

#[pymethods]
impl Core {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
    #[pyo3(signature = (event_loop, hooks, *, concurrency, threads, cancel_grace, seed, clock=None, store=None, inline=false))]
    fn new(
        event_loop: &Bound<'_, PyAny>,
        hooks: &Bound<'_, PyAny>,
        concurrency: u32,
        threads: u32,
        cancel_grace: f64,
        seed: u64,
        clock: Option<Py<PyAny>>,
        store: Option<PathBuf>,
        inline: bool,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        refuse_unsupported(py)?;
        let hooks = Hooks::new(hooks)?;
        let durable =
            store.as_deref().map(|path| Durable::open(path, inline, concurrency)).transpose();
        let durable = durable.map_err(|error| crate::recovery::store_error(py, &hooks, &error))?;
        let mut clock = Clock::new(clock);
        if let Some(durable) = &durable {
            clock.not_before(py, durable.journal.last_at_ns())?;
        }
        let opened_ns = clock.now_ns(py)?;
        let mut engine = Engine::new(Config {
            journaled: durable.is_some(),
            concurrency,
            threads,
            cancel_grace_ns: crate::plan::nanoseconds(cancel_grace),
            seed,
            ..Config::default()
        });
        if let Some(durable) = &durable {
            let (lsn, run) = (durable.journal.last_lsn(), durable.journal.last_run());
            engine.continue_after(Lsn(lsn), run + 1);
        }
        let mut state = State::new(engine, seed);
        state.durable = durable.map(Box::new);
        Ok(Self {
            durable: store.is_some(),
            store_path: store,
            state: GilCell::new(state),
            asyncio: Asyncio::new(event_loop, current_context(py)?.unbind())?,
            hooks,
            clock,
            pump: GilCell::new(Pump::default()),
            pump_scheduled: AtomicBool::new(false),
            now_ns: AtomicU64::new(opened_ns),
            closed: AtomicBool::new(false),
        })
    }

    /// Adds a workflow; gives its number. One `(contract, detail, policy | None)` per node.
    #[pyo3(signature = (plan, digest, nodes, overlay=String::new()))]
    fn add_plan(
        &self,
        py: Python<'_>,
        plan: &Plan,
        digest: String,
        nodes: Vec<RegisteredNode<'_>>,
        overlay: String,
    ) -> PyResult<u32> {
        let mut parts = Vec::with_capacity(nodes.len());
        let mut policies = Vec::with_capacity(nodes.len());
        let mut codecs = Vec::new();
        let mut names = Vec::new();
        for (index, (contract, detail, policy, codec)) in nodes.into_iter().enumerate() {
            let kind: NodeKind = plan.plan.kind(penstock_engine::NodeId(index as u32));
            let codec = Codec::new(&codec)?.map(Arc::new);
            let part = NodePart::new(kind, &contract, &detail, codec.as_ref())?;
            let policy = match (part.lane(), policy) {
                (Some(lane), Some(given)) => {
                    let policy = given.policy(lane)?;
                    names.push((policy, given));
                    Some(policy)
                }
                _ => None,
            };
            parts.push(part);
            policies.push(policy);
            codecs.push(codec);
        }
        let mut state = self.lock(py);
        for (policy, PolicyParts { step_name, queue_name, .. }) in names {
            state.counted.steps.insert(policy.step.0, step_name);
            state.counted.queues.insert(policy.queue.0, queue_name);
        }
        let id = state.engine.add_plan(plan.plan.clone(), policies);
        state.plans.push(Arc::new(PlanParts {
            plan: plan.plan.clone(),
            digest,
            overlay,
            spawns: parts.iter().any(|part| matches!(part, NodePart::Spawn(_))),
            nodes: parts,
            codecs,
        }));
        state.charge(id);
        state.learn_costs();
        Ok(id.0)
    }

    /// Accepts a run and gives its key, and whether it is new.
    #[pyo3(signature = (plan, inputs, *, run_id=None, fingerprint=None, priority=None, deadline=None, budget=None, tenant=None, tags=Vec::new(), durability="sync", watch=false, waits=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
    fn start(
        slf: &Bound<'_, Self>,
        plan: u32,
        inputs: &Bound<'_, PyTuple>,
        run_id: Option<String>,
        fingerprint: Option<[u8; 32]>,
        priority: Option<u8>,
        deadline: Option<f64>,
        budget: Option<BudgetParts>,
        tenant: Option<Py<PyAny>>,
        tags: Vec<(String, String)>,
        durability: &str,
        watch: bool,
        waits: bool,
    ) -> PyResult<(u64, bool)> {
        let context = current_context(slf.py())?.unbind();
        let durability = crate::durable::durability(durability);
        let options = RunOptions {
            run_id,
            fingerprint,
            priority,
            deadline,
            budget: budget.map(crate::budgets::model).transpose()?,
            tenant,
            watch,
            waits,
            durability,
            tags,
            ..RunOptions::default()
        };
        let admission = slf.get().accept(slf.py(), PlanId(plan), inputs, context, options)?;
        slf.get().schedule_pump(slf)?;
        Ok(match admission {
            Admission::New(key) => (key.0, true),
            Admission::Existing(key) => (key.0, false),
        })
    }

    /// Accepts a run with default options and gives a future of its result, and its key.
    #[pyo3(signature = (plan, inputs, durability="sync"))]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        plan: u32,
        inputs: &Bound<'py, PyTuple>,
        durability: &str,
    ) -> PyResult<(u64, Bound<'py, PyAny>)> {
        let py = slf.py();
        let context = current_context(py)?.unbind();
        let durability = crate::durable::durability(durability);
        let options = RunOptions { durability, ..RunOptions::default() };
        let Admission::New(key) = slf.get().accept(py, PlanId(plan), inputs, context, options)?
        else {
            return Err(PyRuntimeError::new_err("a fresh run id is never taken"));
        };
        slf.get().schedule_pump(slf)?;
        let future = slf.get().wait_for(py, key)?;
        Ok((key.0, future))
    }

    /// Accepts a batch of runs with one context, all or none: `(inputs, run_id, fingerprint, tenant)` each.
    #[pyo3(signature = (plan, batch, *, priority=None, deadline=None, budget=None, tags=Vec::new(), durability="sync"))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
    fn start_many(
        slf: &Bound<'_, Self>,
        plan: u32,
        batch: Vec<BatchItem<'_>>,
        priority: Option<u8>,
        deadline: Option<f64>,
        budget: Option<BudgetParts>,
        tags: Vec<(String, String)>,
        durability: &str,
    ) -> PyResult<Vec<u64>> {
        let durability = crate::durable::durability(durability);
        let budget = budget.map(crate::budgets::model).transpose()?;
        let common = BatchOptions { priority, deadline, budget, durability, tags };
        let keys = slf.get().accept_many(slf.py(), PlanId(plan), batch, &common)?;
        slf.get().schedule_pump(slf)?;
        Ok(keys)
    }

    /// A future of the run's result, on the runtime's loop.
    fn wait<'py>(&self, py: Python<'py>, run: u64) -> PyResult<Bound<'py, PyAny>> {
        self.wait_for(py, RunKey(run))
    }

    /// Asks a run to stop; whether there was anything to stop.
    fn cancel(slf: &Bound<'_, Self>, run: u64) -> PyResult<bool> {
        if slf.get().end_held(slf.py(), RunKey(run))? {
            slf.get().schedule_pump(slf)?;
            return Ok(true);
        }
        Self::command(slf, |engine, now_ns| engine.cancel(now_ns, RunKey(run)))
    }

    /// Lets no further step of a run start; whether it was running.
    fn pause(slf: &Bound<'_, Self>, run: u64) -> PyResult<bool> {
        Self::command(slf, |engine, now_ns| engine.pause(now_ns, RunKey(run)))
    }

    /// Lets a run go on that is paused or could not undo what it did; whether it was one.
    fn resume(slf: &Bound<'_, Self>, run: u64) -> PyResult<bool> {
        Self::command(slf, |engine, now_ns| engine.resume(now_ns, RunKey(run)))
    }

    /// Brings a signal to a run; whether it was taken in. `keep` for a node that will wait for it later.
    fn signal(
        slf: &Bound<'_, Self>,
        run: u64,
        name: &str,
        value: Py<PyAny>,
        keep: bool,
        payload: Option<Vec<u8>>,
    ) -> PyResult<bool> {
        let (py, core) = (slf.py(), slf.get());
        let now_ns = core.read_clock(py);
        let run = RunKey(run);
        let (taken, unused, effects) = {
            let mut state = core.lock(py);
            let signal = state.parts_of(run).and_then(|parts| parts.plan.signal(name));
            let payload = payload.map_or(Payload::Unknown, |it| Payload::Fresh(it.into()));
            let value = state.values.insert_with(value, payload);
            let taken =
                signal.is_some_and(|signal| state.engine.signal(now_ns, run, signal, value, keep));
            let unused = if taken { None } else { state.values.take(value) };
            (taken, unused, state.drain(py))
        };
        drop(unused);
        core.perform(py, effects);
        core.schedule_pump(slf)?;
        Ok(taken)
    }

    /// Notes of a run go to `follower` from now on; false if it is over.
    fn follow(&self, py: Python<'_>, run: u64, follower: Py<PyAny>) -> bool {
        self.lock(py).follow(RunKey(run), follower)
    }

    /// No more notes for `follower`.
    fn unfollow(&self, py: Python<'_>, run: u64, follower: &Bound<'_, PyAny>) {
        let removed = self.lock(py).unfollow(RunKey(run), follower);
        drop(removed);
    }

    /// A handle of the run is made: its outcome is kept for it.
    fn watch(&self, py: Python<'_>, run: u64) {
        self.lock(py).watch(RunKey(run), py);
    }

    /// A handle of the run is gone.
    fn unwatch(&self, py: Python<'_>, run: u64) {
        if !self.state.is_broken() {
            let forgotten = self.lock(py).unwatch(RunKey(run));
            drop(forgotten);
        }
    }

    /// A future that is done when a run of the workflow is likely to be accepted. First come, first
    /// served.
    fn when_room<'py>(&self, py: Python<'py>, plan: u32) -> PyResult<Bound<'py, PyAny>> {
        let future = self.asyncio.future(py)?;
        let mut state = self.lock(py);
        state.waiting_for_room.push_back((PlanId(plan), future.clone().unbind()));
        Ok(future)
    }

    /// A future that is done when no attempt is under way.
    fn when_idle<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let future = slf.get().asyncio.future(slf.py())?;
        slf.get().lock(slf.py()).waiting_for_idle.push(future.clone().unbind());
        slf.get().schedule_pump(slf)?;
        Ok(future)
    }

    /// A sign of life of an attempt; from any thread.
    fn heartbeat(&self, py: Python<'_>, attempt: u64) {
        self.handle(py, Event::Heartbeat { attempt: AttemptKey(attempt) });
    }

    /// Hands a note of the user's own to those who follow the attempt's run; from the loop's thread.
    fn emit(&self, py: Python<'_>, attempt: u64, event: &Bound<'_, PyAny>) -> PyResult<()> {
        let followers = self.lock(py).followers_of(py, AttemptKey(attempt));
        for follower in followers {
            self.hooks.publish.call1(py, (follower, event))?;
        }
        Ok(())
    }

    /// Engine time in seconds since 1970.
    fn now(&self, py: Python<'_>) -> f64 {
        self.read_clock(py) as f64 / 1e9
    }

    /// Attempts of plain functions that have ended: `(attempt, value, exception | None)`.
    fn threads_done(
        slf: &Bound<'_, Self>,
        ended: Vec<(u64, Bound<'_, PyAny>, Option<Bound<'_, PyAny>>)>,
    ) -> PyResult<()> {
        let (py, core) = (slf.py(), slf.get());
        for (attempt, value, error) in ended {
            let attempt = AttemptKey(attempt);
            let Some(part) = core.lock(py).part_of(attempt) else {
                core.interrupted(py, attempt);
                continue;
            };
            let outcome = error.map_or(Ok(value), |error| Err(PyErr::from_value(error)));
            core.complete(py, attempt, &part, outcome);
        }
        core.schedule_pump(slf)
    }

    /// No attempt starts from now on.
    fn pause_dispatch(&self, py: Python<'_>) {
        self.lock(py).engine.pause_dispatch();
    }

    /// Tells every attempt under way to stop, without counting it.
    fn interrupt(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::command(slf, Engine::interrupt)
    }

    /// Ends what is left and lets go of the loop: attempts that are still under way are given up, runs are
    /// cancelled, and whoever waits is told. Gives the number of those runs. No callback comes after this.
    fn close(&self, py: Python<'_>) -> PyResult<usize> {
        self.closed.store(true, Ordering::Relaxed);
        let now_ns = self.read_clock(py);
        let (runs, effects) = {
            let mut state = self.lock(py);
            let runs: Vec<RunKey> = state.engine.runs().collect();
            state.engine.pause_dispatch();
            state.engine.give_up(now_ns);
            (runs, state.drain(py))
        };
        self.perform(py, effects);
        for &run in &runs {
            let effects = {
                let mut state = self.lock(py);
                state.engine.cancel(now_ns, run);
                state.drain(py)
            };
            self.perform(py, effects);
        }
        // What still has effects to undo can't do so any more.
        for &run in &runs {
            let waiting = self.lock(py).take_waiters(run);
            if let Some((plan, waiters)) = waiting {
                self.resolve(py, (run, plan), &Ended::Cancelled, &waiters);
            }
        }
        self.let_go(py)?;
        Ok(runs.len())
    }

    #[pyo3(name = "_pump")]
    pub(crate) fn py_pump(slf: &Bound<'_, Self>) -> PyResult<()> {
        let core = slf.get();
        core.pump_scheduled.store(false, Ordering::Relaxed);
        if core.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let turn = catch_unwind(AssertUnwindSafe(|| {
            let turn = core.turn(slf);
            core.hand_over(slf.py());
            core.take_new_commands(slf.py())?;
            core.wake(slf.py())?;
            core.set_timer(slf)?;
            turn
        }));
        turn.unwrap_or_else(|panic| {
            core.fail_waiters(slf.py());
            resume_unwind(panic)
        })
    }

    #[pyo3(name = "_tick")]
    fn py_tick(slf: &Bound<'_, Self>) -> PyResult<()> {
        let fired = slf.get().pump.lock(slf.py()).timer.take();
        drop(fired);
        Self::py_pump(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(pump) = self.pump.peek() {
            visit.call(&pump.callback)?;
            if let Some((_, timer)) = &pump.timer {
                visit.call(timer)?;
            }
        }
        self.hooks.traverse(&visit)?;
        self.asyncio.traverse(&visit)?;
        self.clock.traverse(&visit)?;
        self.state.peek().map_or(Ok(()), |state| state.traverse(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        let pump = std::mem::take(&mut *self.pump.lock(py));
        let salvaged = self.state.salvage(py);
        let state = salvaged.unwrap_or_else(|| self.lock(py)).clear();
        drop((pump, state));
    }
}

impl Hooks {
    fn new(hooks: &Bound<'_, PyAny>) -> PyResult<Self> {
        let hook = |name: &str| hooks.getattr(name).map(Bound::unbind);
        Ok(Self {
            classify: hook("classify")?,
            locate: hook("locate")?,
            context: hook("context")?,
            failure: hook("failure")?,
            item_failure: hook("item_failure")?,
            submit: hook("submit")?,
            publish: hook("publish")?,
            refusal: hook("refusal")?,
            encode_error: hook("encode_error")?,
            decode_error: hook("decode_error")?,
            command: hook("command")?,
            news: hook("news")?,
            closed: hook("closed")?,
        })
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for hook in [
            &self.classify,
            &self.locate,
            &self.context,
            &self.failure,
            &self.item_failure,
            &self.submit,
            &self.publish,
            &self.refusal,
            &self.encode_error,
            &self.decode_error,
            &self.command,
            &self.news,
            &self.closed,
        ] {
            visit.call(hook)?;
        }
        Ok(())
    }
}
