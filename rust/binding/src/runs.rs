//! Accepting runs and waiting for them.

use std::collections::HashMap;

use penstock_engine::{
    Accept, AcceptError, AccountModel, Durability, NodeId, PlanId, RunKey, TenantId,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use smallvec::SmallVec;

use penstock_journal::NewRun;

use crate::core::Core;
use crate::durable::{Accepting, Ack};
use crate::plan::{NodePart, nanoseconds};
use crate::python::current_context;
use crate::state::{Effects, Ended, EndedRun, Extra, Side, State};
use crate::values::Payload;

/// How a run is to be accepted.
#[derive(Default)]
pub(crate) struct RunOptions {
    pub(crate) run_id: Option<String>,
    /// Hash of the workflow's name and the input, where the user gave a run id.
    pub(crate) fingerprint: Option<[u8; 32]>,
    pub(crate) priority: Option<u8>,
    /// Seconds from now.
    pub(crate) deadline: Option<f64>,
    /// What it may spend; if it says nothing, what its workflow says.
    pub(crate) budget: Option<AccountModel>,
    pub(crate) tenant: Option<Py<PyAny>>,
    /// The tenant as a store takes it.
    pub(crate) tenant_text: Option<String>,
    /// Whether a handle is made of it.
    pub(crate) watch: bool,
    /// Whether its queues' room was seen to before.
    pub(crate) admitted: bool,
    /// Whether whoever starts it waits where it is refused, and asks again.
    pub(crate) waits: bool,
    /// What must be on disk before what.
    pub(crate) durability: Durability,
    /// What it is found by in a store.
    pub(crate) tags: Vec<(String, String)>,
    /// The id of the run it comes from.
    pub(crate) parent: Option<String>,
}

enum Refused {
    Duplicate(String),
    Full(AcceptError),
}

/// What came of a start.
pub(crate) enum Admission {
    New(RunKey),
    /// The run id was taken by a run with the same workflow and input.
    Existing(RunKey),
}

/// One run of a batch: `(inputs, run_id, fingerprint, tenant)`.
pub(crate) type BatchItem<'py> =
    (Bound<'py, PyTuple>, Option<String>, Option<[u8; 32]>, Option<Py<PyAny>>);

impl Core {
    /// Accepts a run whose first steps start in a later turn of the loop.
    ///
    /// # Errors
    /// `ContractError`, `Overloaded`, `DuplicateRun`; nothing has changed then.
    pub(crate) fn accept(
        &self,
        py: Python<'_>,
        plan: PlanId,
        inputs: &Bound<'_, PyTuple>,
        context: Py<PyAny>,
        options: RunOptions,
    ) -> PyResult<Admission> {
        let (admission, effects) = self.take_in(py, plan, inputs, context, options)?;
        self.perform(py, effects);
        Ok(admission)
    }

    /// As [`Core::accept`], with what follows left to the caller.
    pub(crate) fn take_in(
        &self,
        py: Python<'_>,
        plan: PlanId,
        inputs: &Bound<'_, PyTuple>,
        context: Py<PyAny>,
        options: RunOptions,
    ) -> PyResult<(Admission, Effects)> {
        let checked = self.check_inputs(py, plan, inputs)?;
        let payload = self.input_payload(py, plan, &checked)?;
        if let Some(run_id) = &options.run_id {
            self.load(py, run_id)?;
        }
        let now_ns = self.read_clock(py);
        let waits = options.waits;
        let mut options = options;
        options.tenant_text = Self::tenant_text(py, options.tenant.as_ref());
        let mut state = self.lock(py);
        match state.existing(&options) {
            Ok(None) => {}
            Ok(Some(run)) => {
                if options.watch {
                    state.watch(run, py);
                }
                return Ok((Admission::Existing(run), Effects::default()));
            }
            Err(run_id) => {
                drop(state);
                return Err(self.refusal(py, "duplicate", &run_id, 0.0));
            }
        }
        match state.accept(now_ns, plan, (checked, payload), context, options) {
            Ok(key) => Ok((Admission::New(key), state.drain(py))),
            Err((error, _unused)) => {
                if !waits {
                    state.turned_away(error, 1);
                }
                drop(state);
                Err(self.not_accepted(py, error))
            }
        }
    }

    /// Accepts a batch of runs, all or none, in the caller's present context.
    ///
    /// # Errors
    /// As for [`Core::accept`]; nothing has changed then.
    pub(crate) fn accept_many(
        &self,
        py: Python<'_>,
        plan: PlanId,
        batch: Vec<BatchItem<'_>>,
        common: &BatchOptions,
    ) -> PyResult<Vec<u64>> {
        let context = current_context(py)?.unbind();
        let items = batch
            .into_iter()
            .map(|(inputs, run_id, fingerprint, tenant)| {
                let checked = self.check_inputs(py, plan, &inputs)?;
                let payload = self.input_payload(py, plan, &checked)?;
                if let Some(run_id) = &run_id {
                    self.load(py, run_id)?;
                }
                let options = RunOptions {
                    run_id,
                    fingerprint,
                    priority: common.priority,
                    deadline: common.deadline,
                    budget: common.budget,
                    tenant_text: Self::tenant_text(py, tenant.as_ref()),
                    tenant,
                    watch: true,
                    admitted: true,
                    waits: false,
                    durability: common.durability,
                    tags: common.tags.clone(),
                    parent: None,
                };
                Ok((checked, payload, options))
            })
            .collect::<PyResult<Vec<_>>>()?;
        let now_ns = self.read_clock(py);
        let mut keys = Vec::with_capacity(items.len());
        let mut all = Vec::new();
        // What is not needed is dropped after the lock is released.
        let mut unused = Vec::new();
        let refused = {
            let mut state = self.lock(py);
            let taken = items.iter().find_map(|(.., options)| state.existing(options).err());
            if let Some(run_id) = taken.or_else(|| named_twice(&items)) {
                unused = items;
                Some(Refused::Duplicate(run_id))
            } else if let Err(error) = state.engine.admits(plan, items.len()) {
                state.turned_away(error, items.len() as u64);
                unused = items;
                Some(Refused::Full(error))
            } else {
                for (checked, payload, options) in items {
                    if let Ok(Some(run)) = state.existing(&options) {
                        state.watch(run, py);
                        keys.push(run.0);
                        unused.push((checked, payload, options));
                        continue;
                    }
                    let context = context.clone_ref(py);
                    match state.accept(now_ns, plan, (checked, payload), context, options) {
                        Ok(key) => keys.push(key.0),
                        Err((error, _)) => unreachable!("the batch was admitted: {error}"),
                    }
                    all.push(state.drain(py));
                }
                None
            }
        };
        drop(unused);
        for effects in all {
            self.perform(py, effects);
        }
        match refused {
            None => Ok(keys),
            Some(Refused::Duplicate(run_id)) => Err(self.refusal(py, "duplicate", &run_id, 0.0)),
            Some(Refused::Full(error)) => Err(self.not_accepted(py, error)),
        }
    }

    /// The inputs of a run, held against the workflow's contracts.
    fn check_inputs(
        &self,
        py: Python<'_>,
        plan: PlanId,
        inputs: &Bound<'_, PyTuple>,
    ) -> PyResult<SmallVec<[Py<PyAny>; 6]>> {
        let Some(parts) = self.lock(py).plans.get(plan.0 as usize).cloned() else {
            return Err(PyValueError::new_err("the workflow is not registered"));
        };
        let contracts = (0..).zip(&parts.nodes).filter_map(|(node, part)| match part {
            NodePart::Input(contract) => Some((node, contract)),
            _ => None,
        });
        if inputs.len() != parts.plan.input_count() {
            let (expected, given) = (parts.plan.input_count(), inputs.len());
            return Err(self.not_accepted(py, AcceptError::InputCount { expected, given }));
        }
        // The inputs are a workflow's first nodes: none is looked for beyond the last.
        inputs
            .iter_borrowed()
            .zip(contracts)
            .map(|(value, (node, contract))| match contract.check(value.to_owned()) {
                Ok(value) => Ok(value.unbind()),
                Err(error) => Err(self.locate(py, None, parts.plan.path(NodeId(node)), &error)),
            })
            .collect()
    }

    /// A tenant as text, taken before the lock is.
    fn tenant_text(py: Python<'_>, tenant: Option<&Py<PyAny>>) -> Option<String> {
        tenant.and_then(|tenant| tenant.extract(py).ok())
    }

    /// The inputs of a run as the store takes them, if there is one.
    fn input_payload(
        &self,
        py: Python<'_>,
        plan: PlanId,
        inputs: &Values,
    ) -> PyResult<InputPayload> {
        if !self.durable {
            return Ok(None);
        }
        let parts = self.lock(py).plans[plan.0 as usize].clone();
        let mut payload = vec![b'['];
        for (index, value) in inputs.iter().enumerate() {
            let node = NodeId(index as u32);
            if index > 0 {
                payload.push(b',');
            }
            if let Some(codec) = parts.codec(node) {
                let json = codec
                    .encode(value.bind(py))
                    .map_err(|error| self.locate(py, None, parts.plan.path(node), &error))?;
                payload.extend_from_slice(&json);
            }
        }
        payload.push(b']');
        Ok(Some(payload.into()))
    }

    /// A future of a run's result.
    ///
    /// # Errors
    /// `RunNotFound` if the run is over and its outcome is no longer kept.
    pub(crate) fn wait_for<'py>(
        &self,
        py: Python<'py>,
        run: RunKey,
    ) -> PyResult<Bound<'py, PyAny>> {
        let future = self.asyncio.future(py)?;
        let ended = {
            let mut state = self.lock(py);
            let stalled = state.engine.stalled(run);
            if let Some(blame) = stalled {
                let plan = state.plan_of(run).unwrap_or(PlanId(0));
                Some((plan, Ended::Stalled(state.blamed(py, run, blame))))
            } else if let Some(side) = state.side_mut(run) {
                let waiter = future.clone().unbind();
                if side.waiter.is_none() {
                    side.waiter = Some(waiter);
                } else {
                    side.extra.get_or_insert_default().waiters.push(waiter);
                }
                return Ok(future);
            } else if let Some(past) = state.past(run) {
                let (plan, ended, lsn) = (past.plan, past.ended.clone_ref(py), past.lsn);
                match &mut state.durable {
                    // Nobody is told before it is on disk.
                    Some(durable) if lsn > durable.journal.synced() => {
                        let waiters = SmallVec::from_iter([future.clone().unbind()]);
                        let ended = EndedRun { run, plan, ended, waiters };
                        durable.await_disk(lsn, Ack::Ended(Box::new(ended)));
                        return Ok(future);
                    }
                    _ => Some((plan, ended)),
                }
            } else {
                None
            }
        };
        let Some((plan, ended)) = ended else {
            return Err(self.refusal(py, "forgotten", "", 0.0));
        };
        let waiters = SmallVec::from_iter([future.clone().unbind()]);
        self.resolve(py, (run, plan), &ended, &waiters);
        Ok(future)
    }

    fn not_accepted(&self, py: Python<'_>, error: AcceptError) -> PyErr {
        match error {
            AcceptError::QueueFull { retry_after_ns, queue } => {
                self.refusal(py, "queue", &queue.0.to_string(), retry_after_ns as f64 / 1e9)
            }
            AcceptError::Shedding { retry_after_ns, queue } => {
                self.refusal(py, "shedding", &queue.0.to_string(), retry_after_ns as f64 / 1e9)
            }
            AcceptError::RunsFull { .. } => self.refusal(py, "runs", &error.to_string(), 1.0),
            other => self.refusal(py, "input", &other.to_string(), 0.0),
        }
    }

    fn refusal(&self, py: Python<'_>, kind: &str, what: &str, retry_after: f64) -> PyErr {
        let refusal = self.hooks.refusal.call1(py, (kind, what, retry_after));
        refusal.map_or_else(|broken| broken, |it| PyErr::from_value(it.into_bound(py)))
    }
}

type Values = SmallVec<[Py<PyAny>; 6]>;

/// JSON array of a run's inputs, if there is a durable store.
type InputPayload = Option<Box<[u8]>>;

/// What the runs of a batch have in common.
pub(crate) struct BatchOptions {
    pub(crate) priority: Option<u8>,
    pub(crate) deadline: Option<f64>,
    pub(crate) budget: Option<AccountModel>,
    pub(crate) durability: Durability,
    pub(crate) tags: Vec<(String, String)>,
}

/// An id that stands twice in a batch with different inputs.
fn named_twice(items: &[(Values, InputPayload, RunOptions)]) -> Option<String> {
    let mut named = HashMap::new();
    items.iter().find_map(|(.., options)| {
        let run_id = options.run_id.as_ref()?;
        let fingerprint = options.fingerprint;
        match named.insert(run_id, fingerprint) {
            Some(other) if other.is_none() || other != fingerprint => Some(run_id.clone()),
            _ => None,
        }
    })
}

impl State {
    /// The run that has the id asked for, if it was started with the same workflow and input.
    ///
    /// # Errors
    /// The id, if it was started with something else.
    fn existing(&self, options: &RunOptions) -> Result<Option<RunKey>, String> {
        let Some(run_id) = &options.run_id else { return Ok(None) };
        let Some(run) = self.store.find(run_id) else { return Ok(None) };
        let fingerprint = self.store.fingerprint(run);
        if fingerprint.is_some() && fingerprint == options.fingerprint {
            Ok(Some(run))
        } else {
            Err(run_id.clone())
        }
    }

    /// The store will know of a run that the engine has accepted.
    fn accept_on_disk(
        &mut self,
        (key, plan, now_ns): (RunKey, PlanId, u64),
        values: &[penstock_engine::ValueId],
        payload: InputPayload,
        options: &RunOptions,
    ) {
        let (Some(durable), Some(inputs)) = (&mut self.durable, payload) else { return };
        let lsn = self.engine.records().first().map_or(0, |record| record.lsn.0);
        for (index, &value) in (0..).zip(values) {
            *self.values.payload_mut(value) = Payload::Written { lsn, input: Some(index) };
        }
        let parts = &self.plans[plan.0 as usize];
        let tenant = options.tenant_text.clone();
        durable.accepting(Accepting {
            run: NewRun {
                run: self.engine.number(key).unwrap_or_default(),
                run_id: self.store.id(key).map(ToString::to_string).unwrap_or_default(),
                workflow: parts.plan.name().to_owned(),
                version: parts.plan.version().to_owned(),
                graph: parts.digest.clone(),
                tenant,
                priority: options.priority,
                durability: options.durability,
                accepted_ns: now_ns,
                fingerprint: options.fingerprint,
                parent: options.parent.clone(),
                tags: options.tags.clone(),
                generation: 0,
            },
            inputs,
        });
    }

    /// Has the engine accept a run and keeps what goes with it.
    ///
    /// # Errors
    /// Why not, with the inputs, to be dropped after the lock is released.
    fn accept(
        &mut self,
        now_ns: u64,
        plan: PlanId,
        (inputs, payload): (Values, InputPayload),
        context: Py<PyAny>,
        options: RunOptions,
    ) -> Result<RunKey, (AcceptError, Values)> {
        let values: SmallVec<[_; 6]> =
            inputs.into_iter().map(|value| self.values.insert(value)).collect();
        let name = options.tenant_text.as_ref();
        let tenant = name.map_or(TenantId::NONE, |it| self.tenant_id(now_ns, it));
        let accept = Accept {
            plan,
            inputs: &values,
            tenant,
            budget: options.budget.or_else(|| self.budgets.of_runs(plan)),
            priority: options.priority,
            deadline_ns: options.deadline.map(|it| now_ns.saturating_add(nanoseconds(it))),
            durability: options.durability,
            admitted: options.admitted,
        };
        match self.engine.accept(now_ns, &accept) {
            Ok(key) => {
                self.store.accept(key, now_ns, options.run_id.as_deref(), options.fingerprint);
                self.accept_on_disk((key, plan, now_ns), &values, payload, &options);
                let tags = self.tags_to_keep(plan, options.tags);
                let some = options.watch || options.tenant.is_some() || !tags.is_empty();
                let extra = some.then(|| {
                    let (tenant, handles) = (options.tenant, u32::from(options.watch));
                    Box::new(Extra { tenant, tags, handles, ..Extra::default() })
                });
                self.put_side(key, Side { context, waiter: None, plan, extra });
                Ok(key)
            }
            Err(error) => {
                let unused = values.iter().filter_map(|&value| self.values.take(value));
                let unused = unused.chain(options.tenant).chain([context]).collect();
                Err((error, unused))
            }
        }
    }
}
