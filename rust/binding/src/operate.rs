//! What operators do to runs that the engine does not have: listing, ending held ones, forgetting ended ones.

use std::collections::HashSet;

use penstock_engine::{Body, Place, Record, RunKey, RunStatus};
use penstock_journal::{Head, Line};
use pyo3::prelude::*;

use crate::core::Core;
use crate::state::{Ended, State};

/// A run as a runtime without a store knows it: `(run id, workflow's number | None, status, accepted, ended |
/// None, tenant | None)`.
pub(crate) type KnownRun = (String, Option<u32>, &'static str, f64, Option<f64>, Option<Py<PyAny>>);

/// The runs under way, then the last that ended; each kind latest first.
pub(crate) fn known_runs(py: Python<'_>, state: &State) -> Vec<KnownRun> {
    let seconds = |time_ns: u64| time_ns as f64 / 1e9;
    let mut live = 0;
    let mut runs: Vec<(u64, KnownRun)> = state
        .store
        .runs()
        .filter_map(|(run, id, history, outcome)| {
            let accepted_ns = history.first().map_or(0, |entry| entry.at_ns);
            let ended_ns = outcome.and(history.last()).map(|entry| entry.at_ns);
            let status = state.status(run)?;
            live += usize::from(outcome.is_none());
            let tenant = state.side(run).and_then(|side| side.tenant(py));
            let plan = state.plan_of(run).map(|plan| plan.0);
            let ended = ended_ns.map(seconds);
            let known = (id.to_string(), plan, status.name(), seconds(accepted_ns), ended, tenant);
            Some((accepted_ns, known))
        })
        .collect();
    runs[..live].sort_by_key(|(accepted_ns, _)| std::cmp::Reverse(*accepted_ns));
    runs.into_iter().map(|(_, known)| known).collect()
}

impl Core {
    /// Cancels a run that is held: it has nothing under way, and what it did is not undone. False if it is
    /// not held.
    ///
    /// # Errors
    /// `StoreError`: its records can't be read.
    pub(crate) fn end_held(&self, py: Python<'_>, run: RunKey) -> PyResult<bool> {
        let found = {
            let state = self.lock(py);
            let held = state.past(run).is_some_and(|past| matches!(past.ended, Ended::Held(_)));
            let (Some(durable), Some(run_id)) = (&state.durable, state.run_id(run)) else {
                return Ok(false);
            };
            if !held {
                return Ok(false);
            }
            durable.reader.run(&run_id).and_then(|row| {
                let row = row.filter(|row| row.ended_ns.is_none());
                let lines = row.as_ref().map(|row| durable.reader.lines(row.run)).transpose()?;
                Ok(row.zip(lines))
            })
        };
        let found = found.map_err(|error| self.store_error(py, &error))?;
        let Some((row, mut lines)) = found else { return Ok(false) };
        let now_ns = self.read_clock(py);
        let mut state = self.lock(py);
        let body = Body::Ended { status: RunStatus::Cancelled };
        let record = Record {
            lsn: state.engine.take_lsn(),
            run: RunKey(0),
            seq: lines.len() as u32,
            at_ns: now_ns,
            node: Place(0),
            attempt: 0,
            body,
        };
        let mut line = Line::new(row.run, record);
        line.facts = Some(r#"{"cause":"cancelled"}"#.into());
        if let Some(durable) = &mut state.durable {
            line.cmd.clone_from(&durable.command);
            durable.outbox().lines.push(line.clone());
            durable.outbox().heads.push(Head {
                run: row.run,
                status: RunStatus::Cancelled,
                ended_ns: Some(now_ns),
                generation: None,
                recoveries: None,
                held: None,
            });
        }
        lines.push(line);
        let mut forgotten = state.keep_past(&row, &lines, RunStatus::Cancelled, Ended::Cancelled);
        if let Some(kept) = state.kept.get_mut(&run.0) {
            kept.past.status = RunStatus::Cancelled;
            let ended = std::mem::replace(&mut kept.past.ended, Ended::Cancelled);
            drop(state);
            drop(ended);
        } else {
            drop(state);
        }
        forgotten.clear();
        Ok(true)
    }

    /// Has a run that is held go on when the store is opened next; false if it is not held.
    ///
    /// # Errors
    /// `StoreError`: its row can't be read.
    pub(crate) fn release_held(&self, py: Python<'_>, run_id: &str) -> PyResult<bool> {
        let row = match &self.lock(py).durable {
            Some(durable) => durable.reader.run(run_id),
            None => Ok(None),
        };
        let row = row.map_err(|error| self.store_error(py, &error))?;
        let Some(row) = row.filter(|row| row.status == RunStatus::Held) else { return Ok(false) };
        if let Some(durable) = &mut self.lock(py).durable {
            durable.outbox().heads.push(Head::released(&row));
        }
        Ok(true)
    }

    /// Deletes ended runs from the store, except for those that are under way again. O(runs under way).
    pub(crate) fn forget_ended(&self, py: Python<'_>, runs: Vec<u64>) -> usize {
        let mut state = self.lock(py);
        let mut ended: HashSet<u64> = runs.into_iter().collect();
        for run in state.engine.runs() {
            if let Some(number) = state.engine.number(run) {
                ended.remove(&number);
            }
        }
        let count = ended.len();
        if let Some(durable) = &mut state.durable {
            let mut deleted: Vec<u64> = ended.into_iter().collect();
            deleted.sort_unstable();
            durable.outbox().deleted.extend(deleted);
        }
        count
    }
}
