//! What Python asks of runs, attempts and queues; nothing here changes them.

use penstock_engine::{AttemptKey, PlanId, RunKey};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::Core;
use crate::report;

#[pymethods]
impl Core {
    /// Paths of the nodes of a run that wait for a signal, longest first.
    fn awaiting(&self, py: Python<'_>, run: u64) -> Vec<String> {
        let (state, run) = (self.lock(py), RunKey(run));
        let nodes = state.engine.awaiting(run).iter();
        nodes.filter_map(|&node| state.engine.path(run, node)).collect()
    }

    /// Paths of the nodes of a run whose outcome nobody knows.
    fn unknown(&self, py: Python<'_>, run: u64) -> Vec<String> {
        let (state, run) = (self.lock(py), RunKey(run));
        let nodes = state.engine.unknown(run).into_iter();
        nodes.filter_map(|node| state.engine.path(run, node)).collect()
    }

    /// What is known in memory of runs, newest first: `(run id, workflow's number | None, status, accepted,
    /// ended | None, tenant)`. O(runs).
    fn known_runs(&self, py: Python<'_>) -> Vec<crate::operate::KnownRun> {
        crate::operate::known_runs(py, &self.lock(py))
    }

    /// Paths of the nodes of a run whose effects are not undone, or could not be.
    fn left_to_undo(&self, py: Python<'_>, run: u64) -> Vec<String> {
        let (state, run) = (self.lock(py), RunKey(run));
        let nodes = state.engine.left_to_undo(run).into_iter();
        nodes.filter_map(|node| state.engine.path(run, node)).collect()
    }

    /// Keys of the runs under way.
    fn runs(&self, py: Python<'_>) -> Vec<u64> {
        self.lock(py).engine.runs().map(|run| run.0).collect()
    }

    /// The run's state by name, `None` if it is not known (any more).
    fn status(&self, py: Python<'_>, run: u64) -> Option<&'static str> {
        self.lock(py).status(RunKey(run)).map(penstock_engine::RunStatus::name)
    }

    /// The run's id, `None` if it is not known (any more).
    fn run_id(&self, py: Python<'_>, run: u64) -> Option<String> {
        self.lock(py).run_id(RunKey(run))
    }

    /// The number of a run's workflow, None if it is not known (any more).
    fn plan_of(&self, py: Python<'_>, run: u64) -> Option<u32> {
        self.lock(py).plan_of(RunKey(run)).map(|plan| plan.0)
    }

    /// The key of a run by its id.
    fn find(&self, py: Python<'_>, run_id: &str) -> PyResult<Option<u64>> {
        Ok(self.load(py, run_id)?.map(|run| run.0))
    }

    /// What is known of a run's past: `(at, kind, path, attempt, detail, due)` by record.
    fn history(&self, py: Python<'_>, run: u64) -> Option<Vec<report::HistoryRow>> {
        report::history(&self.lock(py), RunKey(run))
    }

    /// Counts by workflow, step and queue.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let (core, py) = (slf.get(), slf.py());
        let now_ns = core.read_clock(py);
        let tells = core.lock(py).engine.look(now_ns);
        if tells {
            core.schedule_pump(slf)?;
        }
        report::stats(py, &core.lock(py))
    }

    /// What the runs of a workflow that have ended have shown of it, by node.
    fn coverage<'py>(&self, py: Python<'py>, plan: u32) -> PyResult<Bound<'py, PyDict>> {
        report::coverage(py, &self.lock(py), PlanId(plan))
    }

    /// How many more runs of a workflow would be accepted now.
    fn room(&self, py: Python<'_>, plan: u32) -> usize {
        self.lock(py).engine.room(PlanId(plan))
    }

    /// What an attempt belongs to: `(run, run id, path, attempt, deadline | None, tenant)`.
    fn attempt(&self, py: Python<'_>, attempt: u64) -> Option<report::AttemptRow> {
        report::attempt(py, &self.lock(py), AttemptKey(attempt))
    }

    /// Whether an attempt has been told to stop; from any thread.
    fn is_cancelled(&self, py: Python<'_>, attempt: u64) -> bool {
        self.lock(py).engine.is_cancelled(AttemptKey(attempt))
    }

    /// Attempts under way, abandoned ones included.
    fn running(&self, py: Python<'_>) -> u32 {
        self.lock(py).engine.running()
    }

    /// Number of Python objects held for runs: what a leak would show in.
    fn object_count(&self, py: Python<'_>) -> usize {
        self.lock(py).values.len()
    }
}
