//! Runs of an earlier process: those that are not over go on, those that are can be asked for.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use penstock_engine::{
    Again, Body, Cause, Durability, Identity, Layout, NodeId, Plan, PlanId, Record, Restore, Run,
    RunKey, RunStatus, TenantId, ValueId,
};
use penstock_journal::{Head, Line, NewRun, Reader, RunRow, StoreError};
use pyo3::prelude::*;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::again;
use crate::books::Resource;
use crate::core::{Core, Hooks};
use crate::durable::Accepting;
use crate::plan::PlanParts;
use crate::python::current_context;
use crate::state::{Effects, Ended, Extra, FailedAt, Past, Side, State};
use crate::tags::overlay_of;
use crate::values::Payload;

/// What came of opening a store: how many runs go on, which are kept aside, with the reason, and of how many the
/// figures are lost.
pub(crate) type Recovered = (usize, Vec<(String, String)>, usize);

/// A payload that stands for a value until somebody needs it.
struct Stored {
    json: Box<[u8]>,
    /// The node whose codec reads it; None for an error.
    node: Option<NodeId>,
}

/// How a run comes to be under way that is in the store.
#[derive(Clone, Copy)]
pub(crate) enum How<'a> {
    /// Its process has ended, or went down for so many times while it was under way.
    Recovered(u32),
    /// It was over, and is tried again.
    Again(Again),
    /// It is a copy of another.
    Fork(&'a NewRun),
}

/// A run of the store, taken apart.
struct Taken {
    records: Vec<Record>,
    inputs: Vec<ValueId>,
    stored: HashMap<ValueId, Stored>,
}

impl Core {
    /// Takes in every run of the store that is not over.
    ///
    /// # Errors
    /// `StoreError`; the runtime can't be opened then.
    pub(crate) fn recover_all(core: &Bound<'_, Self>, most: u32) -> PyResult<Recovered> {
        let py = core.py();
        let this = core.get();
        let mut restored = 0;
        let mut asked = Effects::default();
        let mut held: Vec<(String, String)> = Vec::new();
        let mut problem: Option<PyErr> = None;
        let reader = this.another_reader(py)?;
        let now_ns = this.read_clock(py);
        let before = this.lock(py).spent_before(now_ns, &reader);
        before.map_err(|error| this.store_error(py, &error))?;
        let costs = this.lock(py).read_costs(&reader);
        costs.map_err(|error| this.store_error(py, &error))?;
        let lost = this.lock(py).recount(&reader).map_err(|error| this.store_error(py, &error))?;
        let crashed = match &mut this.lock(py).durable {
            Some(durable) => std::mem::take(&mut durable.crashed),
            None => BTreeSet::new(),
        };
        let result = reader.unfinished(&mut |row, lines| {
            let recoveries = if crashed.contains(&row.run) { row.recoveries + 1 } else { 0 };
            let outcome = if let Some(why) = this.why_held(py, &row, recoveries, most) {
                Ok(Err(why))
            } else {
                let holding = this.holding(py, &row, &lines);
                this.restore(py, &row, (&lines, &holding), How::Recovered(recoveries))
            };
            match outcome {
                Ok(Ok((_, effects))) => {
                    restored += 1;
                    asked.absorb(effects);
                }
                Ok(Err(why)) => {
                    this.hold(py, &row, &lines, recoveries, &why);
                    held.push((row.run_id, why));
                }
                Err(error) => {
                    problem.get_or_insert(error);
                    return Err(StoreError::Stopped);
                }
            }
            Ok(())
        });
        if let Some(error) = problem {
            return Err(error);
        }
        result.map_err(|error| this.store_error(py, &error))?;
        let now_ns = this.read_clock(py);
        let effects = {
            let mut state = this.lock(py);
            state.engine.go_on(now_ns);
            state.drain(py)
        };
        // Who holds which key is known only now.
        this.perform(py, asked);
        this.perform(py, effects);
        this.schedule_pump(core)?;
        Ok((restored, held, lost))
    }

    /// Why a run can't go on here; None if it can.
    fn why_held(&self, py: Python<'_>, row: &RunRow, recoveries: u32, most: u32) -> Option<String> {
        if let Some(why) = row.held.as_ref().filter(|why| why.starts_with(DEAD_LETTER)) {
            return Some(why.clone());
        }
        if recoveries > most {
            return Some(format!(
                "{DEAD_LETTER}: the process went down {recoveries} times while it was under way"
            ));
        }
        let state = self.lock(py);
        let mut same = state.plans.iter().filter(|parts| {
            parts.plan.name() == row.workflow && parts.plan.version() == row.version
        });
        match same.next() {
            None => Some(format!(
                "workflow '{}' version '{}' is not registered",
                row.workflow, row.version
            )),
            Some(parts) if parts.digest != row.graph => Some(format!(
                "the graph of '{}' version '{}' is another one than the run was started with",
                row.workflow, row.version
            )),
            Some(_) if state.plan_for(row).is_none() => Some(format!(
                "overlay {:.8} of '{}' is not known: no release has it",
                overlay_of(row),
                row.workflow
            )),
            Some(_) => None,
        }
    }

    /// Has the engine take a run in as the records that hold leave it; `lines` are all it has had. The reason if
    /// it has to be held instead. What it asks of Python is to be performed after `go_on`.
    pub(crate) fn restore(
        &self,
        py: Python<'_>,
        row: &RunRow,
        (lines, holding): (&[Line], &[Line]),
        how: How<'_>,
    ) -> PyResult<Result<(RunKey, Effects), String>> {
        let now_ns = self.read_clock(py);
        let context = current_context(py)?.unbind();
        let tenant = row.tenant.as_ref().map(|tenant| tenant.into_pyobject(py)).transpose()?;
        let (key, parts, stored, mut effects, ends) = {
            let mut state = self.lock(py);
            let name = row.tenant.as_ref();
            let tenant_id = name.map_or(TenantId::NONE, |it| state.tenant_id(now_ns, it));
            let Some(plan) = state.plan_for(row) else {
                return Ok(Err("its workflow is not registered".into()));
            };
            let parts = state.plans[plan.0 as usize].clone();
            let is_fork = matches!(how, How::Fork(_));
            let mut taken = match state.take_apart(py, &parts, row, holding, is_fork) {
                Ok(taken) => taken,
                Err(why) => return Ok(Err(why)),
            };
            if let (How::Fork(_) | How::Again(_), Some(accepted)) =
                (&how, taken.records.first_mut())
            {
                *accepted = accepted.renewed(now_ns);
            }
            let restore = Restore {
                number: row.run,
                plan,
                inputs: &taken.inputs,
                tenant: tenant_id,
                durability: row.durability,
                records: &taken.records,
                records_had: lines.len() as u32,
                recoveries: if let How::Recovered(count) = how { count } else { 0 },
                again: if let How::Again(again) = how { Some(again) } else { None },
            };
            let key = match how {
                How::Fork(run) => state.fork(now_ns, &restore, run, holding),
                _ => state.restored(now_ns, &restore, row, lines),
            };
            let tags = match how {
                How::Fork(run) => &run.tags,
                _ => &row.tags,
            };
            let tags = state.tags_to_keep(plan, tags.clone());
            let some = tenant.is_some() || !tags.is_empty();
            let extra = some.then(|| {
                let tenant = tenant.map(|tenant| tenant.into_any().unbind());
                Box::new(Extra { tenant, tags, ..Extra::default() })
            });
            state.put_side(key, Side { context, waiter: None, plan, extra });
            // A run may end by being restored; its result is read first.
            let (effects, ends) = state.drain_but_ends(py);
            (key, parts, taken.stored, effects, ends)
        };
        let values: Vec<ValueId> = stored.keys().copied().collect();
        let why = self.decode_stored(py, &parts, stored);
        if let Some(why) = why {
            let garbage = self.lock(py).forget(key, &values);
            drop((garbage, effects));
            return Ok(Err(why));
        }
        for end in ends {
            self.lock(py).take_action(py, end, &mut effects);
        }
        Ok(Ok((key, effects)))
    }

    /// Reads the values that are still needed; the reason if one can't be read.
    fn decode_stored(
        &self,
        py: Python<'_>,
        parts: &PlanParts,
        stored: HashMap<ValueId, Stored>,
    ) -> Option<String> {
        let mut why = None;
        for (value, Stored { json, node }) in stored {
            if !self.lock(py).values.holds(value) {
                continue;
            }
            match self.decode(py, parts, node, &json) {
                Ok(object) => {
                    let placeholder = self.lock(py).values.replace(value, object);
                    drop(placeholder);
                }
                Err(error) => why = Some(error.value(py).to_string()),
            }
        }
        why
    }

    /// A value or an error from its JSON.
    pub(crate) fn decode(
        &self,
        py: Python<'_>,
        parts: &PlanParts,
        node: Option<NodeId>,
        json: &[u8],
    ) -> PyResult<Py<PyAny>> {
        match node {
            None => self.hooks.decode_error.call1(py, (json,)),
            Some(node) => match parts.codec(node) {
                Some(codec) => codec.decode(py, json),
                None => Ok(py.None()),
            },
        }
    }

    /// Keeps a run aside: it is listed, and nobody guesses.
    fn hold(&self, py: Python<'_>, row: &RunRow, lines: &[Line], recoveries: u32, why: &str) {
        let ended = Ended::Held(why.into());
        let mut state = self.lock(py);
        let forgotten = state.keep_past(row, lines, RunStatus::Held, ended);
        let told = row.status == RunStatus::Held && row.held.as_deref() == Some(why);
        if !told && let Some(durable) = &mut state.durable {
            durable.outbox().heads.push(Head {
                run: row.run,
                status: RunStatus::Held,
                ended_ns: None,
                generation: None,
                recoveries: (recoveries > 0).then_some(recoveries),
                held: Some(why.into()),
            });
        }
        drop(state);
        drop(forgotten);
    }

    /// Brings back what the store knows of a run that this runtime does not: one that is over.
    ///
    /// # Errors
    /// `StoreError`, or what reading its result raises.
    pub(crate) fn load(&self, py: Python<'_>, run_id: &str) -> PyResult<Option<RunKey>> {
        if !self.durable {
            return Ok(self.lock(py).store.find(run_id));
        }
        let found = {
            let state = self.lock(py);
            if let Some(run) = state.store.find(run_id) {
                return Ok(Some(run));
            }
            let Some(durable) = &state.durable else { return Ok(None) };
            let row = durable.reader.run(run_id);
            row.and_then(|row| {
                let lines = row.as_ref().map(|row| durable.reader.lines(row.run)).transpose()?;
                Ok(row.zip(lines))
            })
        };
        let found = found.map_err(|error| self.store_error(py, &error))?;
        let Some((row, lines)) = found else { return Ok(None) };
        let ended = self.outcome_of(py, &row, &lines)?;
        let forgotten = self.lock(py).keep_past(&row, &lines, row.status, ended);
        drop(forgotten);
        Ok(Some(past_key(row.run)))
    }

    /// How a run of the store ended, by its last record.
    fn outcome_of(&self, py: Python<'_>, row: &RunRow, lines: &[Line]) -> PyResult<Ended> {
        if let Some(why) = &row.held {
            return Ok(Ended::Held(why.as_str().into()));
        }
        let last = lines.iter().rev().find(|line| matches!(line.record.body, Body::Ended { .. }));
        let facts = last.and_then(|line| line.facts.as_deref());
        let facts: Json = facts.and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
        let plan = self.lock(py).plan_for(row);
        let Some(plan) = plan else {
            return Ok(Ended::Held(
                format!(
                    "workflow '{}' version '{}' is not registered, so its result can't be read",
                    row.workflow, row.version
                )
                .into(),
            ));
        };
        let parts = self.lock(py).plans[plan.0 as usize].clone();
        let payload = |place: &Json| -> Option<(&Line, Option<usize>)> {
            if place == "here" {
                return last.map(|line| (line, None));
            }
            let lsn = place["lsn"].as_u64()?;
            let line = lines.iter().find(|line| line.record.lsn.0 == lsn)?;
            Some((line, place["input"].as_u64().map(|input| input as usize)))
        };
        if row.status == RunStatus::Succeeded {
            let result = &facts["result"];
            if let Some(node) = result["constant"].as_u64() {
                return Ok(Ended::Succeeded(parts.constant(py, NodeId(node as u32))));
            }
            let Some((line, input)) = payload(result) else {
                return Ok(Ended::Succeeded(py.None()));
            };
            let json = line.payload.as_deref().unwrap_or(b"null");
            let value = if let Some(input) = input {
                let inputs = split(json).unwrap_or_default();
                let json = inputs.get(input).copied().unwrap_or(b"null");
                self.decode(py, &parts, Some(NodeId(input as u32)), json)?
            } else {
                let node = match line.record.body {
                    Body::Ended { .. } => parts.plan.output(),
                    Body::Signal { signal, .. } => {
                        parts.plan.awaits(signal).unwrap_or_else(|| parts.plan.output())
                    }
                    _ => layout_of(&parts.plan, row, lines).template(&parts.plan, line.record.node),
                };
                self.decode(py, &parts, Some(node), json)?
            };
            return Ok(Ended::Succeeded(value));
        }
        match facts["cause"].as_str() {
            Some("cancelled") => Ok(Ended::Cancelled),
            Some("deadline") => Ok(Ended::DeadlineExceeded),
            Some(cause) => {
                let json = payload(&facts["error"]).and_then(|(line, _)| line.payload.as_deref());
                let error = json.map(|json| self.decode(py, &parts, None, json)).transpose()?;
                Ok(Ended::Failed(FailedAt {
                    path: facts["path"].as_str().unwrap_or_default().into(),
                    node: NodeId(facts["template"].as_u64().unwrap_or_default() as u32),
                    attempts: facts["attempts"].as_u64().unwrap_or_default() as u32,
                    cause: penstock_journal::cause_word(cause).unwrap_or("error"),
                    error,
                }))
            }
            None => Ok(Ended::Held("the store does not say how it ended".into())),
        }
    }

    pub(crate) fn store_error(&self, py: Python<'_>, error: &StoreError) -> PyErr {
        store_error(py, &self.hooks, error)
    }

    pub(crate) fn another_reader(&self, py: Python<'_>) -> PyResult<Reader> {
        let path = self.store_path.as_ref().expect("only a durable runtime recovers");
        Reader::open(path).map_err(|error| self.store_error(py, &error))
    }
}

/// What Python raises for an error of the store.
pub(crate) fn store_error(py: Python<'_>, hooks: &Hooks, error: &StoreError) -> PyErr {
    let corrupt = matches!(error, StoreError::Corrupt { .. } | StoreError::Format { .. });
    let kind = if corrupt { "corrupt" } else { "store" };
    let made = hooks.refusal.call1(py, (kind, error.to_string(), 0.0));
    made.map_or_else(|broken| broken, |it| PyErr::from_value(it.into_bound(py)))
}

/// How the reason of a run begins that brought the process down too often.
pub(crate) const DEAD_LETTER: &str = "dead letter";

/// What stands for a run that is over, beside the engine's own keys.
pub(crate) const fn past_key(number: u64) -> RunKey {
    RunKey(1 << 63 | number)
}

/// The generation that a run's idempotency keys name.
pub(crate) fn keys_of(lines: &[Line]) -> u32 {
    let mut again = lines.iter().rev();
    again
        .find_map(|line| match line.record.body {
            Body::Retried { keys, .. } => Some(keys),
            _ => None,
        })
        .unwrap_or(0)
}

/// The elements of a JSON array, as they are written.
pub(crate) fn split(json: &[u8]) -> Option<Vec<&[u8]>> {
    let elements: Vec<&RawValue> = serde_json::from_slice(json).ok()?;
    Some(elements.into_iter().map(|element| element.get().as_bytes()).collect())
}

/// A run as its records leave it.
pub(crate) fn folded(plan: &Plan, row: &RunRow, records: &[Record], inputs: &[ValueId]) -> Run {
    let identity = Identity {
        number: row.run,
        plan_id: PlanId(0),
        plan,
        inputs,
        tenant: TenantId::NONE,
        durability: Durability::Sync,
    };
    Run::fold(&identity, records)
}

/// Where the nodes of a run's frames stand.
pub(crate) fn layout_of(plan: &Plan, row: &RunRow, lines: &[Line]) -> Layout {
    let outermost = plan.outermost_len();
    if lines.iter().all(|line| line.record.node.index() < outermost) {
        return Layout::default();
    }
    let lines = again::holding(plan, row, lines);
    let records: Vec<Record> =
        (0..).zip(&*lines).map(|(seq, line)| Record { seq, ..line.record }).collect();
    let inputs = vec![ValueId::NONE; plan.input_count()];
    let fold = AssertUnwindSafe(|| folded(plan, row, &records, &inputs).layout());
    catch_unwind(fold).unwrap_or_default()
}

/// Values of nodes in frames, and of signals, are read by the codec of their node in the plan.
fn find_templates(parts: &PlanParts, layout: &Layout, taken: &mut Taken) {
    for record in &taken.records {
        let (value, node) = match record.body {
            Body::Done { value, .. } | Body::Decided { value } => {
                (value, Some(layout.template(&parts.plan, record.node)))
            }
            Body::Signal { signal, value } => (value, parts.plan.awaits(signal)),
            _ => continue,
        };
        if let Some(stored) = taken.stored.get_mut(&value) {
            stored.node = node;
        }
    }
}

impl State {
    /// The workflow that a run was started with, under the overlay that it was.
    pub(crate) fn plan_for(&self, row: &RunRow) -> Option<PlanId> {
        let overlay = overlay_of(row);
        self.plan_where(|parts| is_of(parts, row) && parts.overlay == overlay)
    }

    /// The same, or if the overlay is not known, that without it: figures are as good.
    pub(crate) fn plan_like(&self, row: &RunRow) -> Option<PlanId> {
        self.plan_for(row).or_else(|| self.plan_where(|parts| is_of(parts, row)))
    }

    fn plan_where(&self, wanted: impl Fn(&PlanParts) -> bool) -> Option<PlanId> {
        let place = self.plans.iter().position(|parts| wanted(parts))?;
        Some(PlanId(place as u32))
    }

    /// The records of a run with handles for their values, which stand for JSON so far.
    fn take_apart(
        &mut self,
        py: Python<'_>,
        parts: &PlanParts,
        row: &RunRow,
        lines: &[Line],
        fresh: bool,
    ) -> Result<Taken, String> {
        let mut taken = Taken {
            records: Vec::with_capacity(lines.len()),
            inputs: Vec::new(),
            stored: HashMap::new(),
        };
        let first = lines.first().and_then(|line| line.payload.as_deref());
        let inputs = first.and_then(split).ok_or("its inputs can't be read")?;
        if inputs.len() != parts.plan.input_count() {
            return Err("it was started with another number of inputs".into());
        }
        for (index, json) in (0..).zip(inputs) {
            let payload = Payload::Written { lsn: lines[0].record.lsn.0, input: Some(index) };
            let value = self.values.insert_with(py.None(), payload);
            taken.inputs.push(value);
            taken.stored.insert(value, Stored { json: json.into(), node: Some(NodeId(index)) });
        }
        for (seq, line) in (0..).zip(lines) {
            let mut record = Record { seq, ..line.record };
            let is_error = matches!(record.body, Body::Failed { .. });
            let handle = match &mut record.body {
                Body::Done { value, .. } | Body::Decided { value } | Body::Signal { value, .. } => {
                    Some(value)
                }
                Body::Failed { cause: Cause::Error(error), .. } => Some(error),
                Body::Spent { resource, .. } => {
                    let facts = line.facts.as_deref().unwrap_or_default();
                    *resource = self.resources.id(Resource::of_facts(facts));
                    None
                }
                _ => None,
            };
            if let (Some(handle), Some(json)) = (handle, &line.payload) {
                // A copy is written with a record of its own.
                let payload = if fresh {
                    Payload::Fresh(json.clone())
                } else {
                    Payload::Written { lsn: line.record.lsn.0, input: None }
                };
                *handle = self.values.insert_with(py.None(), payload);
                // Which node it is in the plan is known when the frames are.
                let node = (!is_error).then_some(NodeId(record.node.0));
                taken.stored.insert(*handle, Stored { json: json.clone(), node });
            }
            taken.records.push(record);
        }
        let fold =
            AssertUnwindSafe(|| folded(&parts.plan, row, &taken.records, &taken.inputs).layout());
        let layout = catch_unwind(fold).map_err(|_| "its records do not fit its graph")?;
        find_templates(parts, &layout, &mut taken);
        Ok(taken)
    }

    /// The engine has a run again that was in the store.
    fn restored(
        &mut self,
        now_ns: u64,
        restore: &Restore<'_>,
        row: &RunRow,
        lines: &[Line],
    ) -> RunKey {
        let key = self.engine.restore(now_ns, restore);
        self.store.accept(key, row.accepted_ns, Some(&row.run_id), row.fingerprint);
        for line in lines {
            self.store.append(&Record { run: key, ..line.record });
        }
        let keys = restore.again.map_or_else(|| keys_of(lines), |again| again.keys);
        if let Some(durable) = &mut self.durable {
            durable.restored(key, row.run, row.durability, lines.len() as u32);
            durable.set_keys(key, keys);
        }
        key
    }

    /// The engine has a copy of a run.
    fn fork(&mut self, now_ns: u64, restore: &Restore<'_>, run: &NewRun, lines: &[Line]) -> RunKey {
        let number = self.engine.next_number();
        let lsn = self.engine.lsn().0 + 1;
        for (index, &value) in (0..).zip(restore.inputs) {
            *self.values.payload_mut(value) = Payload::Written { lsn, input: Some(index) };
        }
        let key = self.engine.fork(now_ns, restore);
        self.store.accept(key, run.accepted_ns, Some(&run.run_id), run.fingerprint);
        let inputs = lines.first().and_then(|line| line.payload.clone()).unwrap_or_default();
        if let Some(durable) = &mut self.durable {
            durable.accepting(Accepting { run: NewRun { run: number, ..run.clone() }, inputs });
        }
        key
    }

    /// Keeps a run of the store among those that are over. Gives what is forgotten for it.
    pub(crate) fn keep_past(
        &mut self,
        row: &RunRow,
        lines: &[Line],
        status: RunStatus,
        ended: Ended,
    ) -> Vec<Past> {
        let plan = self.plan_for(row);
        let key = past_key(row.run);
        let layout = plan.map(|plan| layout_of(&self.plans[plan.0 as usize].plan, row, lines));
        let layout = layout.filter(|layout| *layout != Layout::default()).map(Box::new);
        let plan = plan.unwrap_or(PlanId(u32::MAX));
        let records = lines.iter().map(|line| Record { run: key, ..line.record });
        let records: Vec<Record> = records.collect();
        let ledger = self.ledger_of(row, lines);
        let past = Past { plan, status, ended, layout, ledger, lsn: 0 };
        self.store.keep_past(key, &row.run_id, row.fingerprint, &records, past)
    }

    /// A run that was taken in, and can't be kept: everything that was held for it.
    fn forget(&mut self, run: RunKey, values: &[ValueId]) -> impl Sized + use<> {
        self.engine.forget(run);
        self.store.forget(run);
        let side = self.sides.get_mut(crate::state::slot(run.0)).and_then(Option::take);
        let values: Vec<_> = values.iter().map(|&value| self.values.take(value)).collect();
        (side, values)
    }
}

fn is_of(parts: &PlanParts, row: &RunRow) -> bool {
    parts.plan.name() == row.workflow
        && parts.plan.version() == row.version
        && parts.digest == row.graph
}
