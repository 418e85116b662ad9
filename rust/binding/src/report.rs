//! What the native side tells of itself: histories, attempts, counts.

use std::collections::HashMap;

use penstock_engine::{
    AttemptKey, AttemptMetrics, Body, BreakerState, Counts, Distribution, Layout, NodeId, NodeKind,
    PlanId, QueueId, RunKey, StepId,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::state::State;

/// A record of a run: `(at, kind, path, attempt, detail, due, number, score)`; times in seconds since 1970. The
/// number is a decision's outcome or how many items a map has; the score is that of a value that was judged.
pub(crate) type HistoryRow = (f64, &'static str, String, u32, &'static str, f64, u64, Option<f64>);

/// What an attempt belongs to: `(run id, path, attempt, deadline | None, tenant | None, failure | None,
/// generation of its keys)`; the failure is that of the tier before: `(cause, exception | None)`.
pub(crate) type AttemptRow = (
    String,
    String,
    u32,
    Option<f64>,
    Option<Py<PyAny>>,
    Option<(&'static str, Option<Py<PyAny>>)>,
    u32,
);

/// What a record says beyond its kind.
pub(crate) const fn detail(body: &Body) -> &'static str {
    match body {
        Body::Failed { cause, .. } => cause.name(),
        Body::Ended { status } => status.name(),
        Body::Parked { denial } => denial.name(),
        _ => "",
    }
}

pub(crate) fn history(state: &State, run: RunKey) -> Option<Vec<HistoryRow>> {
    let entries = state.store.history(run)?;
    let parts = state.plan_of(run).map(|plan| state.plans[plan.0 as usize].clone());
    let live = state.engine.run(run).map(penstock_engine::Run::layout);
    let past = state.past(run).and_then(|past| past.layout.as_deref().cloned());
    let layout: Layout = live.or(past).unwrap_or_default();
    Some(
        entries
            .iter()
            .map(|entry| {
                let about_node = parts.as_ref().filter(|_| !entry.is_about_run());
                let path = about_node.map(|parts| layout.path(&parts.plan, entry.node));
                let (time_ns, number) = entry.time_or_number();
                let (at, when) = (entry.at_ns as f64 / 1e9, time_ns as f64 / 1e9);
                let attempt = u32::from(entry.attempt);
                let path = path.unwrap_or_default();
                (at, entry.kind(), path, attempt, entry.detail(), when, number, entry.score())
            })
            .collect(),
    )
}

pub(crate) fn attempt(py: Python<'_>, state: &State, attempt: AttemptKey) -> Option<AttemptRow> {
    let (run, node, number) = state.engine.attempt(attempt)?;
    let side = state.side(run)?;
    let failure = state.engine.failure_before(run, node).map(|blame| {
        let at = state.blamed(py, run, blame);
        (at.cause, at.error)
    });
    Some((
        state.store.id(run)?.to_string(),
        state.engine.path(run, node)?,
        number,
        state.engine.deadline_ns(run).map(|deadline| deadline as f64 / 1e9),
        side.tenant(py),
        failure,
        state.durable.as_ref().map_or(0, |durable| durable.keys(run)),
    ))
}

/// What the runs of a workflow have shown of it, by node.
pub(crate) fn coverage<'py>(
    py: Python<'py>,
    state: &State,
    plan: PlanId,
) -> PyResult<Bound<'py, PyDict>> {
    let seen = state.engine.coverage(plan);
    let graph = state.engine.plan(plan);
    let kinds = (0..graph.len() as u32).map(|node| graph.kind(NodeId(node)));
    let taken = |node: u32| seen.nodes[node as usize][0];
    let edges = (0..).zip(kinds).map(|(node, kind)| {
        let own = matches!(kind, NodeKind::Case { .. }).then(|| taken(node));
        let producers = graph.producers_of(NodeId(node));
        producers.map(|producer| own.unwrap_or_else(|| taken(producer.0))).collect::<Vec<_>>()
    });
    let mut exceptions: Vec<HashMap<&str, u64>> = vec![HashMap::new(); graph.len()];
    for (&(node, exception), &count) in &seen.exceptions {
        exceptions[node as usize].insert(exception.name(), count);
    }
    let moves = seen.moves().map(|(from, to)| (from.name(), to.name()));
    let run_moves = seen.run_moves().map(|(from, to)| (from.name(), to.name()));
    let counts = PyDict::new(py);
    counts.set_item("runs", seen.runs)?;
    let ends = seen
        .nodes
        .iter()
        .map(|&[succeeded, failed, cancelled, skipped]| (succeeded, failed, cancelled, skipped));
    counts.set_item("nodes", ends.collect::<Vec<_>>())?;
    counts.set_item("edges", edges.collect::<Vec<_>>())?;
    counts.set_item("outcomes", &seen.outcomes)?;
    counts.set_item("pairs", seen.pairs.iter().copied().collect::<Vec<_>>())?;
    counts.set_item("exceptions", exceptions)?;
    counts.set_item("loops", seen.loops.iter().map(|&bits| u32::from(bits)).collect::<Vec<_>>())?;
    counts.set_item("moves", moves.collect::<Vec<_>>())?;
    counts.set_item("run_moves", run_moves.collect::<Vec<_>>())?;
    Ok(counts)
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
    let steps = (0..metrics.step_count()).map(|step| attempts(&metrics.step(StepId(step))));
    let queues = (0..state.engine.queue_count()).map(QueueId).map(|queue| {
        let view = state.engine.queue(queue);
        let state = (view.stormy, view.shedding, view.breaker.map(BreakerState::name));
        let tokens = view.tokens_ppm.map(|tokens| tokens as f64 / 1e6);
        let load = (view.concurrency, view.running, view.waiting, view.parked, tokens);
        (load, state, counted(&view.total), counted(&view.last), attempts(&metrics.queue(queue)))
    });
    let priorities = (1..)
        .zip(&metrics.latency)
        .map(|(priority, latency)| (attempts(&metrics.priority(priority)), quantiles(latency)));
    let tenants = metrics.tenants().map(|(tenant, it)| {
        let (delay, duration) = (quantiles(&it.queue_delay), quantiles(&it.duration));
        let held = it.held_ns as f64 / 1e9;
        let name = state.tenants.name(tenant).map(str::to_owned);
        (name, it.attempts, held, delay, duration, quantiles(&it.latency))
    });
    let counts = PyDict::new(py);
    counts.set_item("workflows", workflows)?;
    counts.set_item("steps", steps.collect::<Vec<_>>())?;
    counts.set_item("queues", queues.collect::<Vec<_>>())?;
    counts.set_item("priorities", priorities.collect::<Vec<_>>())?;
    counts.set_item("tenants", tenants.collect::<Vec<_>>())?;
    counts.set_item("runs", state.engine.run_count())?;
    counts.set_item("running", state.engine.running())?;
    Ok(counts)
}

/// Attempts, retries, succeeded, failed, timeouts and hedges; queue delay; duration.
type AttemptsRow = ((u64, u64, u64, u64, u64, u64), Quantiles, Quantiles);
type Quantiles = (u64, f64, f64, f64, f64);

fn attempts(it: &AttemptMetrics) -> AttemptsRow {
    let counts = (it.attempts, it.retries, it.succeeded, it.failed, it.timeouts, it.hedges);
    (counts, quantiles(&it.queue_delay), quantiles(&it.duration))
}

/// First attempts, attempts sent, denied retries, successes in time, late ones, and attempts that ended.
fn counted(it: &Counts) -> (u64, u64, u64, u64, u64, u64) {
    (it.first, it.sent, it.denied, it.good, it.late, it.ended)
}

/// `(count, p50, p95, p99, longest)`, times in seconds.
fn quantiles(times: &Distribution) -> (u64, f64, f64, f64, f64) {
    let seconds = |time_ns: u64| time_ns as f64 / 1e9;
    let at = |quantile| seconds(times.quantile_ns(quantile));
    (times.len(), at(0.5), at(0.95), at(0.99), seconds(times.longest_ns()))
}
