//! The read side of a store, for whoever operates on it: what is there, commands for the owner, and what
//! can be done while nobody is the owner.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use penstock_engine::{Layout, Place, Record, ValueId};
use penstock_journal::{Filter, Line, NewCommand, Note, Reader, Retention, RunRow, StoreError};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::books::{FigureRow, NoteRow, RollupRow};
use crate::durable::durability_name;
use crate::plan::{Plan, nanoseconds};
use crate::recovery::{folded, layout_of};

/// Reads a store, in any thread, one call at a time; the interpreter is free meanwhile.
#[pyclass(frozen, module = "penstock._engine")]
pub(crate) struct StoreReader {
    path: PathBuf,
    reader: Mutex<Option<Reader>>,
}

impl StoreReader {
    fn read<T: Send>(
        &self,
        py: Python<'_>,
        read: impl Send + FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> PyResult<T> {
        let result = py.detach(|| {
            let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.as_ref().map(read)
        });
        match result {
            Some(result) => result.map_err(|error| raised(py, &error)),
            None => Err(PyValueError::new_err("the reader of the store is closed")),
        }
    }
}

#[pymethods]
impl StoreReader {
    /// Opens a store that is there.
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let reader = py.detach(|| Reader::open(&path)).map_err(|error| raised(py, &error))?;
        Ok(Self { path, reader: Mutex::new(Some(reader)) })
    }

    /// Figures of windows from one time until before another, in seconds since 1970: `(window, kind, key, body)`.
    fn metrics(&self, py: Python<'_>, since: f64, until: f64) -> PyResult<Vec<FigureRow>> {
        let (since_ns, until_ns) = (nanoseconds(since), nanoseconds(until));
        let rows = self.read(py, |reader| reader.metrics(since_ns, until_ns))?;
        let rows = rows.into_iter();
        Ok(rows.map(|row| (row.window_ns as f64 / 1e9, row.kind, row.key, row.body)).collect())
    }

    /// When the first window begins that there are figures of, in seconds since 1970.
    fn first_window(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let first = self.read(py, Reader::first_window)?;
        Ok(first.map(|window_ns| window_ns as f64 / 1e9))
    }

    /// The same with the number that tells a row from others of its window, kind and key:
    /// `(window in nanoseconds, kind, key, number, body)`.
    fn rollups(&self, py: Python<'_>, since: f64, until: f64) -> PyResult<Vec<RollupRow>> {
        let (since_ns, until_ns) = (nanoseconds(since), nanoseconds(until));
        let rows = self.read(py, |reader| reader.metrics(since_ns, until_ns))?;
        let rows = rows.into_iter();
        Ok(rows.map(|row| (row.window_ns, row.kind, row.key, row.part, row.body)).collect())
    }

    /// What was set down of a kind, and of a name if one is given: `(id, name, at, body)`.
    #[pyo3(signature = (kind, name=None))]
    #[expect(clippy::needless_pass_by_value, reason = "what Python gives is extracted")]
    fn notes(&self, py: Python<'_>, kind: String, name: Option<String>) -> PyResult<Vec<NoteRow>> {
        let notes = self.read(py, |reader| reader.notes(&kind, name.as_deref()))?;
        let notes = notes.into_iter();
        Ok(notes.map(|it| (it.id, it.name, it.at_ns as f64 / 1e9, it.body)).collect())
    }

    /// What was kept last with the figures, under a key.
    #[expect(clippy::needless_pass_by_value, reason = "what Python gives is extracted")]
    fn state(&self, py: Python<'_>, key: String) -> PyResult<Option<String>> {
        self.read(py, |reader| reader.state(&key))
    }

    /// Sets something down; nothing where that was done with this key before.
    #[expect(clippy::too_many_arguments, reason = "what a note is made of")]
    fn note(
        &self,
        py: Python<'_>,
        key: String,
        kind: String,
        name: String,
        at: f64,
        body: String,
    ) -> PyResult<()> {
        let note = Note { id: 0, key, kind, name, at_ns: nanoseconds(at), body };
        let result = py.detach(|| {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.as_mut().map(|reader| reader.note(&note))
        });
        match result {
            Some(result) => result.map_err(|error| raised(py, &error)),
            None => Err(PyValueError::new_err("the reader of the store is closed")),
        }
    }

    /// Runs that the filter lets through, newest first, a dictionary each; times are in seconds since 1970.
    #[pyo3(signature = (*, statuses=Vec::new(), workflow=None, version=None, tenant=None, tags=Vec::new(), accepted_after=None, accepted_before=None, before_run=None, limit=0))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
    #[expect(clippy::needless_pass_by_value, reason = "what Python gives is extracted")]
    fn runs<'py>(
        &self,
        py: Python<'py>,
        statuses: Vec<String>,
        workflow: Option<String>,
        version: Option<String>,
        tenant: Option<String>,
        tags: Vec<(String, String)>,
        accepted_after: Option<f64>,
        accepted_before: Option<f64>,
        before_run: Option<u64>,
        limit: usize,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let statuses = statuses
            .iter()
            .map(|name| {
                penstock_journal::status_named(name)
                    .ok_or_else(|| PyValueError::new_err(format!("no status is {name:?}")))
            })
            .collect::<PyResult<Vec<_>>>()?;
        let filter = Filter {
            statuses,
            workflow,
            version,
            tenant,
            tags,
            accepted_after_ns: accepted_after.map(nanoseconds),
            accepted_before_ns: accepted_before.map(nanoseconds),
            before_run,
            limit,
        };
        let rows = self.read(py, |reader| reader.runs(&filter))?;
        rows.iter().map(|row| run_of(py, row)).collect()
    }

    /// The run that has an id.
    fn run<'py>(&self, py: Python<'py>, run_id: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let row = self.read(py, |reader| reader.run(run_id))?;
        row.map(|row| run_of(py, &row)).transpose()
    }

    /// A run's records in their order: `(lsn, seq, at, kind, place, path, attempt, body, value)`. Place and
    /// path are None where a record is about the run, the path also where no plan is given; body and value
    /// are JSON, or None.
    #[pyo3(signature = (run_id, plan=None))]
    fn records<'py>(
        &self,
        py: Python<'py>,
        run_id: &str,
        plan: Option<&Plan>,
    ) -> PyResult<Option<Vec<Bound<'py, PyTuple>>>> {
        let found = self.read(py, |reader| {
            let Some(row) = reader.run(run_id)? else { return Ok(None) };
            let lines = reader.lines(row.run)?;
            Ok(Some((row, lines)))
        })?;
        let Some((row, lines)) = found else { return Ok(None) };
        let layout = plan.map(|plan| (plan, layout_of(&plan.plan, &row, &lines)));
        lines
            .iter()
            .map(|line| record_of(py, line, layout.as_ref()))
            .collect::<PyResult<_>>()
            .map(Some)
    }

    /// Paths of the nodes of a run that its records leave in one of these states, with the state.
    #[expect(clippy::needless_pass_by_value, reason = "what Python gives is extracted")]
    fn nodes(
        &self,
        py: Python<'_>,
        run_id: &str,
        plan: &Plan,
        states: Vec<String>,
    ) -> PyResult<Vec<(String, &'static str)>> {
        let plan = &plan.plan;
        let nodes = self.read(py, |reader| {
            let Some(row) = reader.run(run_id)? else { return Ok(Vec::new()) };
            let lines = reader.lines(row.run)?;
            let records: Vec<Record> = lines.iter().map(|line| line.record).collect();
            let inputs = vec![ValueId::NONE; plan.input_count()];
            let fold = AssertUnwindSafe(|| folded(plan, &row, &records, &inputs));
            let Ok(run) = catch_unwind(fold) else { return Ok(Vec::new()) };
            let layout = run.layout();
            let found = (0..).zip(run.states()).filter_map(|(place, state)| {
                let wanted = states.iter().any(|name| name == state.name());
                wanted.then(|| (layout.path(plan, Place(place)), state.name()))
            });
            Ok(found.collect())
        })?;
        Ok(nodes)
    }

    /// The interfaces of a kind: `(name, version, digest, content)`.
    fn interfaces(
        &self,
        py: Python<'_>,
        kind: &str,
    ) -> PyResult<Vec<(String, String, String, String)>> {
        let all = self.read(py, |reader| reader.interfaces(Some(kind)))?;
        Ok(all.into_iter().map(|it| (it.name, it.version, it.digest, it.content)).collect())
    }

    /// How many runs there are of each status, of those that there are. O(runs).
    fn counts(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        self.read(py, Reader::counts)
    }

    /// Leaves a command for the owner; gives its number.
    #[expect(clippy::too_many_arguments, reason = "what a command is made of")]
    fn command(
        &self,
        py: Python<'_>,
        key: &str,
        run_id: &str,
        verb: &str,
        arguments: &str,
        actor: &str,
        at: f64,
    ) -> PyResult<i64> {
        let at_ns = nanoseconds(at);
        let command = NewCommand { cmd: key, run_id, verb, args: arguments, actor, at_ns };
        self.read(py, |reader| reader.command(&command))
    }

    /// What came of a command; None while nothing has.
    fn outcome(&self, py: Python<'_>, number: i64) -> PyResult<Option<String>> {
        self.read(py, |reader| reader.outcome(number))
    }

    /// Everything that is wrong with the store. O(store).
    fn verify(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.read(py, Reader::verify)
    }

    /// Whether a runtime owns the store, and its process if that is known.
    fn owner(&self, py: Python<'_>) -> (bool, Option<u32>) {
        let owner = py.detach(|| penstock_journal::owner(&self.path));
        (owner.is_some(), owner.flatten())
    }

    /// Numbers of the ended runs that are not kept, oldest first, in slices to be deleted at once. O(runs).
    #[pyo3(signature = (*, ended_after=None, ended_max=None))]
    fn prunable(
        &self,
        py: Python<'_>,
        ended_after: Option<f64>,
        ended_max: Option<u64>,
    ) -> PyResult<Vec<Vec<u64>>> {
        let retention = retention(ended_after, ended_max);
        self.read(py, |reader| reader.prunable(&retention))
    }

    /// Deletes the ended runs that are not kept, in a store that nobody owns; gives how many.
    #[pyo3(signature = (*, ended_after=None, ended_max=None))]
    fn prune(
        &self,
        py: Python<'_>,
        ended_after: Option<f64>,
        ended_max: Option<u64>,
    ) -> PyResult<u64> {
        let retention = retention(ended_after, ended_max);
        let pruned = py.detach(|| penstock_journal::prune(&self.path, &retention));
        pruned.map_err(|error| raised(py, &error))
    }

    /// Has a held run go on when the store is opened next; whether it was held. Of a store that nobody owns.
    fn release(&self, py: Python<'_>, run_id: &str) -> PyResult<bool> {
        let released = py.detach(|| penstock_journal::release(&self.path, run_id));
        released.map_err(|error| raised(py, &error))
    }

    /// Lets go of the file.
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            drop(reader.take());
        });
    }
}

fn retention(ended_after: Option<f64>, ended_max: Option<u64>) -> Retention {
    Retention { ended_after_ns: ended_after.map(nanoseconds), ended_max }
}

/// What Python raises for an error of the store.
fn raised(py: Python<'_>, error: &StoreError) -> PyErr {
    let corrupt = matches!(error, StoreError::Corrupt { .. } | StoreError::Format { .. });
    let text = error.to_string();
    let make = || -> PyResult<PyErr> {
        let module = py.import(intern!(py, "penstock._durability"))?;
        let error = module.getattr("store_error")?.call1((text, corrupt))?;
        Ok(PyErr::from_value(error))
    };
    make().unwrap_or_else(|broken| broken)
}

fn seconds(time_ns: u64) -> f64 {
    time_ns as f64 / 1e9
}

fn run_of<'py>(py: Python<'py>, row: &RunRow) -> PyResult<Bound<'py, PyDict>> {
    let run = PyDict::new(py);
    run.set_item("number", row.run)?;
    run.set_item("run_id", &row.run_id)?;
    run.set_item("workflow", &row.workflow)?;
    run.set_item("version", &row.version)?;
    run.set_item("graph", &row.graph)?;
    run.set_item("status", row.status.name())?;
    run.set_item("tenant", row.tenant.as_deref())?;
    run.set_item("priority", row.priority)?;
    run.set_item("durability", durability_name(row.durability))?;
    run.set_item("accepted", seconds(row.accepted_ns))?;
    run.set_item("ended", row.ended_ns.map(seconds))?;
    run.set_item("generation", row.generation)?;
    run.set_item("recoveries", row.recoveries)?;
    run.set_item("held", row.held.as_deref())?;
    run.set_item("parent", row.parent.as_deref())?;
    run.set_item("tags", row.tags.clone())?;
    Ok(run)
}

fn record_of<'py>(
    py: Python<'py>,
    line: &Line,
    layout: Option<&(&Plan, Layout)>,
) -> PyResult<Bound<'py, PyTuple>> {
    let record = &line.record;
    let about_node = !record.body.is_about_run();
    let place = about_node.then_some(record.node.0);
    // Of a run that left no records of its frames, nobody knows where they stood.
    let is_known = |plan: &Plan, layout: &Layout| {
        *layout != Layout::default() || record.node.index() < plan.plan.outermost_len()
    };
    let path = layout
        .filter(|(plan, layout)| about_node && is_known(plan, layout))
        .map(|(plan, layout)| layout.path(&plan.plan, record.node));
    let body = line.body_text();
    let value = line.payload.as_deref().map(String::from_utf8_lossy);
    (
        record.lsn.0,
        record.seq,
        seconds(record.at_ns),
        record.body.name(),
        place,
        path,
        record.attempt,
        (!body.is_empty()).then_some(body),
        value,
    )
        .into_pyobject(py)
}
