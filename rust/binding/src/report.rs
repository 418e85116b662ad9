//! What the native side tells of itself: histories, attempts, counts.

use penstock_engine::{AttemptKey, Body, Distribution, NodeId, QueueId, RunKey};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::state::State;

/// A record of a run: `(at, kind, path, attempt, detail, due)`; times in seconds since 1970.
pub(crate) type HistoryRow = (f64, &'static str, String, u32, &'static str, f64);

/// What an attempt belongs to: `(run id, path, attempt, deadline | None, tenant | None)`.
pub(crate) type AttemptRow = (String, String, u32, Option<f64>, Option<Py<PyAny>>);

/// What a record says beyond its kind.
pub(crate) const fn detail(body: &Body) -> &'static str {
    match body {
        Body::Failed { cause, .. } => cause.name(),
        Body::Ended { status } => status.name(),
        _ => "",
    }
}

pub(crate) fn history(state: &State, run: RunKey) -> Option<Vec<HistoryRow>> {
    let entries = state.store.history(run)?;
    let plan = state.plan_of(run).map(|plan| &state.plans[plan.0 as usize].plan);
    let path = |node: NodeId| plan.map_or_else(String::new, |plan| plan.path(node).to_owned());
    Some(
        entries
            .iter()
            .map(|entry| {
                let about_run = matches!(
                    entry.kind(),
                    "accepted" | "cancel_requested" | "deadline_passed" | "ended"
                );
                let path = if about_run { String::new() } else { path(entry.node) };
                let (at, when) = (entry.at_ns as f64 / 1e9, entry.when_ns as f64 / 1e9);
                (at, entry.kind(), path, u32::from(entry.attempt), entry.detail(), when)
            })
            .collect(),
    )
}

pub(crate) fn attempt(py: Python<'_>, state: &State, attempt: AttemptKey) -> Option<AttemptRow> {
    let (run, node, number) = state.engine.attempt(attempt)?;
    let side = state.side(run)?;
    let tenant = side.extra.as_ref().and_then(|extra| extra.tenant.as_ref());
    Some((
        state.store.id(run)?.to_string(),
        state.plans[side.plan.0 as usize].plan.path(node).to_owned(),
        number,
        state.engine.deadline_ns(run).map(|deadline| deadline as f64 / 1e9),
        tenant.map(|tenant| tenant.clone_ref(py)),
    ))
}

/// Counts by workflow, step and queue, each in the order they were registered.
pub(crate) fn stats<'py>(py: Python<'py>, state: &State) -> PyResult<Bound<'py, PyDict>> {
    let metrics = state.engine.metrics();
    let workflows = metrics
        .workflows
        .iter()
        .map(|it| {
            let counts = (it.accepted, it.succeeded, it.failed, it.cancelled);
            (counts, quantiles(&it.latency))
        })
        .collect::<Vec<_>>();
    let steps = metrics
        .steps
        .iter()
        .map(|it| {
            let counts = (it.attempts, it.retries, it.succeeded, it.failed, it.timeouts);
            (counts, quantiles(&it.queue_delay), quantiles(&it.duration))
        })
        .collect::<Vec<_>>();
    let queues = (0..state.engine.queue_count())
        .map(|queue| {
            let view = state.engine.queue(QueueId(queue));
            (view.running, view.waiting)
        })
        .collect::<Vec<_>>();
    let counts = PyDict::new(py);
    counts.set_item("workflows", workflows)?;
    counts.set_item("steps", steps)?;
    counts.set_item("queues", queues)?;
    counts.set_item("runs", state.engine.run_count())?;
    counts.set_item("running", state.engine.running())?;
    Ok(counts)
}

/// `(count, p50, p95, p99, longest)`, times in seconds.
fn quantiles(times: &Distribution) -> (u64, f64, f64, f64, f64) {
    let seconds = |time_ns: u64| time_ns as f64 / 1e9;
    let at = |quantile| seconds(times.quantile_ns(quantile));
    (times.len(), at(0.5), at(0.95), at(0.99), seconds(times.longest_ns()))
}
