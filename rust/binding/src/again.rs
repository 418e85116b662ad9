//! Runs that are tried again or copied: what their steps have given is kept.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use penstock_engine::{
    Again, Body, Identity, Place, Plan, PlanId, Record, Run, RunKey, RunStatus, TenantId, ValueId,
};
use penstock_journal::{Line, NewRun, RunRow};
use pyo3::prelude::*;

use crate::core::Core;
use crate::plan::PlanParts;
use crate::recovery::{DEAD_LETTER, How};
use crate::state::Effects;
use crate::tags::without_root;

/// What came of a wish to try again: the run's key, or why not.
pub(crate) type Wish = Result<RunKey, String>;

impl Core {
    /// Tries a run again that has failed, was cancelled or undone, or lets one go on that is held as a dead
    /// letter. What it has recorded has to be on disk.
    pub(crate) fn retry_run(
        core: &Bound<'_, Self>,
        run_id: &str,
        new_keys: bool,
    ) -> PyResult<Wish> {
        let (py, this) = (core.py(), core.get());
        let Some((row, lines)) = this.stored(py, run_id)? else {
            return Ok(Err("there is no run of that id".into()));
        };
        let over =
            matches!(row.status, RunStatus::Failed | RunStatus::Cancelled | RunStatus::Compensated);
        let dead = row.held.as_deref().is_some_and(|why| why.starts_with(DEAD_LETTER));
        if !over && !dead {
            return Ok(Err(format!("it is {}, and there is nothing to retry", row.status.name())));
        }
        let Some(parts) = this.parts_for(py, &row) else {
            return Ok(Err("its workflow is not registered as it was".into()));
        };
        let holding = holding(&parts.plan, &row, &lines);
        let generation = row.generation + 1;
        let keys = if new_keys { generation } else { crate::recovery::keys_of(&lines) };
        let kept = if over {
            match kept(&parts.plan, &row, &holding, None) {
                Some(kept) => Cow::Owned(kept),
                None => return Ok(Err("its records do not fit its graph".into())),
            }
        } else {
            holding
        };
        let was = if over { this.lock(py).end_of(&row, &lines) } else { None };
        let again = Again { generation, keys, was };
        let taken = this.restore(py, &row, (&lines, &kept), How::Again(again))?;
        match taken {
            Ok((key, effects)) => Self::set_off(core, effects).map(|()| Ok(key)),
            Err(why) => Ok(Err(why)),
        }
    }

    /// Starts a copy of a run under another id: what the run has recorded is kept, but for a node and all that
    /// comes after it.
    pub(crate) fn fork_run(
        core: &Bound<'_, Self>,
        run_id: &str,
        new_id: String,
        from: Option<&str>,
    ) -> PyResult<Wish> {
        let (py, this) = (core.py(), core.get());
        let Some((row, lines)) = this.stored(py, run_id)? else {
            return Ok(Err("there is no run of that id".into()));
        };
        if !row.status.is_terminal() && row.status != RunStatus::Held {
            return Ok(Err(format!("it is {}; cancel it first, or wait", row.status.name())));
        }
        let Some(parts) = this.parts_for(py, &row) else {
            return Ok(Err("its workflow is not registered as it was".into()));
        };
        if let Some(from) = from.filter(|from| !has_node(&parts, from)) {
            return Ok(Err(format!("its workflow has no node {from:?}")));
        }
        let holding = holding(&parts.plan, &row, &lines);
        let Some(mut kept) = kept(&parts.plan, &row, &holding, from) else {
            return Ok(Err("its records do not fit its graph".into()));
        };
        // What was spent is on the books of the run that spent it.
        kept.retain(|line| !matches!(line.record.body, Body::Spent { .. }));
        let fork = NewRun {
            run: 0,
            run_id: new_id,
            workflow: row.workflow.clone(),
            version: row.version.clone(),
            graph: row.graph.clone(),
            tenant: row.tenant.clone(),
            priority: row.priority,
            durability: row.durability,
            accepted_ns: this.read_clock(py),
            // Whoever starts a run of this id with that input means this one.
            fingerprint: row.fingerprint,
            parent: Some(row.run_id.clone()),
            // It is no part of what a run came to that was over.
            tags: without_root(row.tags.clone()),
            generation: 0,
        };
        let taken = this.restore(py, &row, (&kept, &kept), How::Fork(&fork))?;
        match taken {
            Ok((key, effects)) => Self::set_off(core, effects).map(|()| Ok(key)),
            Err(why) => Ok(Err(why)),
        }
    }

    /// What was taken in may start.
    fn set_off(core: &Bound<'_, Self>, asked: Effects) -> PyResult<()> {
        let (py, this) = (core.py(), core.get());
        let now_ns = this.read_clock(py);
        let effects = {
            let mut state = this.lock(py);
            state.engine.go_on(now_ns);
            state.drain(py)
        };
        this.perform(py, asked);
        this.perform(py, effects);
        this.schedule_pump(core)
    }

    /// A run of the store with its records.
    fn stored(&self, py: Python<'_>, run_id: &str) -> PyResult<Option<(RunRow, Vec<Line>)>> {
        let reader = self.another_reader(py)?;
        let found = reader.run(run_id).and_then(|row| match row {
            Some(row) => Ok(Some((reader.lines(row.run)?, row))),
            None => Ok(None),
        });
        let found = found.map_err(|error| self.store_error(py, &error))?;
        Ok(found.map(|(lines, row)| (row, lines)))
    }

    fn parts_for(&self, py: Python<'_>, row: &RunRow) -> Option<std::sync::Arc<PlanParts>> {
        let state = self.lock(py);
        let plan = state.plan_for(row)?;
        Some(state.plans[plan.0 as usize].clone())
    }

    /// The records of a run that hold.
    pub(crate) fn holding<'a>(
        &self,
        py: Python<'_>,
        row: &RunRow,
        lines: &'a [Line],
    ) -> Cow<'a, [Line]> {
        match self.parts_for(py, row) {
            Some(parts) => holding(&parts.plan, row, lines),
            None => Cow::Borrowed(lines),
        }
    }
}

/// The records of a run that hold: those that every retry has kept, and what came since the last.
pub(crate) fn holding<'a>(plan: &Plan, row: &RunRow, lines: &'a [Line]) -> Cow<'a, [Line]> {
    let is_retry = |line: &&Line| matches!(line.record.body, Body::Retried { .. });
    if !lines.iter().any(|line| is_retry(&line)) {
        return Cow::Borrowed(lines);
    }
    let mut holding: Vec<Line> = Vec::new();
    for line in lines {
        if is_retry(&line) && holding.iter().any(|it| matches!(it.record.body, Body::Ended { .. }))
        {
            holding = kept(plan, row, &holding, None).unwrap_or_default();
            if let Some(accepted) = holding.first_mut() {
                accepted.record = accepted.record.renewed(line.record.at_ns);
            }
            // The books go by it.
            holding.push(line.clone());
        } else if !is_retry(&line) {
            holding.push(line.clone());
        }
    }
    Cow::Owned(holding)
}

/// What still holds of a run's records if it is done again; None if they do not fit its graph.
fn kept(plan: &Plan, row: &RunRow, lines: &[Line], from: Option<&str>) -> Option<Vec<Line>> {
    let records: Vec<Record> =
        (0..).zip(lines).map(|(seq, line)| Record { seq, ..line.record }).collect();
    let inputs = vec![ValueId::NONE; plan.input_count()];
    let identity = Identity {
        number: row.run,
        plan_id: PlanId(0),
        plan,
        inputs: &inputs,
        tenant: TenantId::NONE,
        durability: row.durability,
    };
    let select = AssertUnwindSafe(|| {
        let layout = Run::fold(&identity, &records).layout();
        let redone = |_: &Run, place: Place| {
            from.is_some_and(|from| is_within(&layout.path(plan, place), from))
        };
        penstock_engine::kept(&identity, &records, redone)
    });
    let kept = catch_unwind(select).ok()?;
    Some(kept.into_iter().map(|index| lines[index].clone()).collect())
}

/// Whether a node is the one named, or stands in the workflow, item or iteration named.
fn is_within(path: &str, name: &str) -> bool {
    let rest = path.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
}

fn has_node(parts: &PlanParts, name: &str) -> bool {
    let mut pattern = String::new();
    let mut rest = name;
    // The plan has `[]` where a run has a number.
    while let Some((before, after)) = rest.split_once('[') {
        let Some((_, after)) = after.split_once(']') else { return false };
        pattern += before;
        pattern += "[]";
        rest = after;
    }
    pattern += rest;
    let nodes = 0..parts.plan.len() as u32;
    nodes.map(penstock_engine::NodeId).any(|node| is_within(parts.plan.path(node), &pattern))
}
