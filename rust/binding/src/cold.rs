//! Runs that wait for long hold no values: those are in the store, and are read again when they are needed.
//!
//! A run of which nothing has been recorded for a second, and nothing is ready or under way, is *cooled*: its values
//! are dropped, and their handles stand for what the store has. Whatever is about to look at its values *warms* it
//! before: a step that starts, a question about an inline node, its end.

use penstock_engine::{Body, NodeId, Outcome, PlanId, RunKey, ValueId};
use penstock_journal::StoreError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::recovery::split;
use crate::state::{Effects, Ended, EndedCold, State};
use crate::values::Payload;

/// How long nothing may have been recorded of a run before it is cooled.
pub(crate) const COOL_AFTER_NS: u64 = 1_000_000_000;
/// Runs looked at in one turn.
const LOOKS: usize = 1_000;

/// A value that is in the store only.
struct Cold {
    value: ValueId,
    json: Box<[u8]>,
    node: Option<NodeId>,
}

impl Core {
    /// Cools some of the runs that wait; what they held is dropped here.
    pub(crate) fn cool_some(&self, py: Python<'_>, now_ns: u64) {
        let garbage = self.lock(py).cool_some(py, now_ns);
        drop(garbage);
    }

    /// Reads the values of a run again, if it is cold.
    ///
    /// # Errors
    /// A value can't be read, though it was written: the store is damaged.
    pub(crate) fn warm(&self, py: Python<'_>, run: RunKey) -> PyResult<()> {
        let (cold, plan) = {
            let mut state = self.lock(py);
            let Some(durable) = state.durable.as_mut().filter(|it| it.is_cold(run)) else {
                return Ok(());
            };
            durable.set_cold(run, false);
            let values = state.values_of(run);
            (state.cold(run, &values), state.plan_of(run))
        };
        let read = self.read(py, plan, cold);
        if let (Err(_), Some(durable)) = (&read, &mut self.lock(py).durable) {
            durable.set_cold(run, true);
        }
        read
    }

    /// A run has ended while it was cold: what it ended with is read first.
    pub(crate) fn end_warm(&self, py: Python<'_>, ended: EndedCold, effects: &mut Effects) {
        let EndedCold { run, status, outcome, left } = ended;
        let read = {
            let state = self.lock(py);
            let plan = state.plan_of_side(run);
            let value = match outcome {
                Outcome::Succeeded(penstock_engine::Base::Value(value)) => vec![value],
                _ => Vec::new(),
            };
            let template = |line: &penstock_journal::Line| {
                let parts = &state.plans[plan?.0 as usize];
                let layout = left.layout.as_deref().cloned().unwrap_or_default();
                Some(layout.template(&parts.plan, line.record.node))
            };
            (state.cold_by(&value, plan, template), plan)
        };
        let (cold, plan) = read;
        let Err(error) = self.read(py, plan, cold) else {
            return self.lock(py).end(py, run, status, (outcome, left), effects);
        };
        let why = format!("its result can't be read: {}", error.value(py));
        let let_go = {
            let mut state = self.lock(py);
            let let_go = plan.map(|plan| state.ended(py, plan, outcome, left.layout.as_deref()));
            state.end_as(py, run, status, (Ended::Held(why.into()), left), effects);
            let_go
        };
        drop(let_go);
    }

    fn read(
        &self,
        py: Python<'_>,
        plan: Option<PlanId>,
        cold: Result<Vec<Cold>, StoreError>,
    ) -> PyResult<()> {
        let cold = cold.map_err(|error| self.store_error(py, &error))?;
        let Some(plan) = plan else { return Ok(()) };
        let parts = self.lock(py).plans[plan.0 as usize].clone();
        for Cold { value, json, node } in cold {
            let object = self.decode(py, &parts, node, &json)?;
            let before = {
                let mut state = self.lock(py);
                state.values.warmed(value);
                state.values.replace(value, object)
            };
            drop(before);
        }
        Ok(())
    }
}

impl State {
    /// Whether a run's values are in the store only.
    pub(crate) fn is_cold(&self, run: RunKey) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.is_cold(run))
    }

    /// When to look for runs to cool next, if any may be.
    pub(crate) fn look_ns(&self) -> Option<u64> {
        let durable = self.durable.as_ref()?;
        let warm = self.engine.run_count().saturating_sub(durable.cold_count());
        durable.look_ns().filter(|_| warm > 0)
    }

    /// Cools some of the runs that wait. Gives what they held.
    fn cool_some(&mut self, py: Python<'_>, now_ns: u64) -> Vec<Py<PyAny>> {
        let Some(durable) = &mut self.durable else { return Vec::new() };
        let Some(slots) = durable.next_looks(now_ns, LOOKS) else { return Vec::new() };
        let synced = durable.journal.synced();
        let mut garbage = Vec::new();
        for slot in slots {
            let Some(run) = self.engine.run_in(slot as u32) else { continue };
            let Some(durable) = &mut self.durable else { break };
            if !durable.may_cool(run, now_ns)
                || !self.engine.run(run).is_some_and(penstock_engine::Run::is_waiting)
            {
                continue;
            }
            durable.set_cold(run, true);
            for value in self.values_of(run) {
                garbage.extend(self.values.cool(value, synced, py));
            }
        }
        garbage
    }

    /// Handles of the values that a run under way holds.
    fn values_of(&self, run: RunKey) -> Vec<ValueId> {
        let Some(plan) = self.engine.plan_of(run) else { return Vec::new() };
        let plan = self.engine.plan(plan);
        self.engine.run(run).map_or_else(Vec::new, |run| run.values(plan))
    }

    fn cold(&self, run: RunKey, values: &[ValueId]) -> Result<Vec<Cold>, StoreError> {
        let plan = self.engine.plan_of(run);
        self.cold_by(values, plan, |line| self.engine.template(run, line.record.node))
    }

    /// What of the values is in the store only.
    fn cold_by(
        &self,
        values: &[ValueId],
        plan: Option<PlanId>,
        template: impl Fn(&penstock_journal::Line) -> Option<NodeId>,
    ) -> Result<Vec<Cold>, StoreError> {
        let (Some(durable), Some(plan)) = (&self.durable, plan) else { return Ok(Vec::new()) };
        let parts = &self.plans[plan.0 as usize];
        let mut cold = Vec::new();
        for &value in values {
            let Some((lsn, input)) = self.values.cold_at(value) else { continue };
            let gone = || StoreError::Corrupt {
                place: format!("record {lsn}"),
                why: "it is gone, and a run under way needs its value".into(),
            };
            let line = durable.reader.line(lsn)?.ok_or_else(gone)?;
            let payload = line.payload.as_deref().ok_or_else(gone)?;
            let (json, node) = match (input, line.record.body) {
                (Some(input), _) => {
                    let json = split(payload).and_then(|all| all.get(input as usize).copied());
                    (json.ok_or_else(gone)?, Some(NodeId(input)))
                }
                (None, Body::Signal { signal, .. }) => (payload, parts.plan.awaits(signal)),
                (None, _) => (payload, template(&line)),
            };
            cold.push(Cold { value, json: json.into(), node });
        }
        Ok(cold)
    }

    /// Whether the value that a run ends with is in the store only.
    pub(crate) fn ends_cold(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Succeeded(penstock_engine::Base::Value(value)) => {
                self.values.cold_at(*value).is_some()
            }
            _ => false,
        }
    }

    /// The plan of a run that the engine has let go of, and Python's side has not.
    pub(crate) fn plan_of_side(&self, run: RunKey) -> Option<PlanId> {
        self.sides.get(crate::state::slot(run.0))?.as_ref().map(|side| side.plan)
    }
}

impl crate::values::Values {
    /// Drops what a handle stands for, if the store has it. Gives it.
    fn cool(&mut self, value: ValueId, synced: u64, py: Python<'_>) -> Option<Py<PyAny>> {
        let payload = self.payload_mut(value);
        let Payload::Written { lsn, input } = *payload else { return None };
        if lsn > synced {
            return None;
        }
        *payload = Payload::Cold { lsn, input };
        self.replace(value, py.None())
    }

    /// Where in the store a value is that is only there.
    fn cold_at(&self, value: ValueId) -> Option<(u64, Option<u32>)> {
        match self.payload(value) {
            Some(&Payload::Cold { lsn, input }) => Some((lsn, input)),
            _ => None,
        }
    }

    fn warmed(&mut self, value: ValueId) {
        let payload = self.payload_mut(value);
        if let Payload::Cold { lsn, input } = *payload {
            *payload = Payload::Written { lsn, input };
        }
    }
}
