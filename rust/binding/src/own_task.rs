//! One `asyncio.Task` per attempt: the plain way, correct by construction.
//!
//! From Python 3.12 the Task starts eagerly, so that a step that does not suspend is over when the Task
//! is made; on 3.11 it is an ordinary Task.

use std::sync::Arc;

use penstock_engine::AttemptKey;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;

use crate::carrier::is_fatal;
use crate::core::{Core, Prepared};
use crate::plan::StepPart;
use crate::python::{call, copy_context};

/// Starts an attempt in a Task of its own.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit` of the step, for the loop.
pub(crate) fn launch(core: &Bound<'_, Core>, prepared: Prepared) -> PyResult<()> {
    let py = core.py();
    let Prepared { attempt, part, arguments, context } = prepared;
    let coroutine = match call(part.function.bind(py), &arguments) {
        Ok(coroutine) => coroutine,
        Err(error) => {
            core.get().complete(py, attempt, &part, Err(error));
            return Ok(());
        }
    };
    drop(arguments);
    let asyncio = &core.get().asyncio;
    let context = copy_context(context.bind(py))?;
    let task = asyncio.new_task(py)?;
    if let Err(error) = asyncio.start(&task, coroutine, part.name.bind(py), &context) {
        let fatal = is_fatal(py, &error).then(|| error.clone_ref(py));
        core.get().complete(py, attempt, &part, Err(error));
        return fatal.map_or(Ok(()), Err);
    }
    if asyncio.eager && task.call_method0(intern!(py, "done"))?.is_truthy()? {
        let outcome = task.call_method0(intern!(py, "result"));
        core.get().complete(py, attempt, &part, outcome);
        return Ok(());
    }
    let ended = Bound::new(py, Ended { core: core.clone().unbind(), attempt, part })?;
    asyncio.add_done_callback(&task, ended.into_any())?;
    core.get().suspended(py, attempt, task.unbind());
    Ok(())
}

/// Done-callback of an attempt's Task.
#[pyclass(frozen, module = "penstock._engine", name = "AttemptEnded")]
struct Ended {
    core: Py<Core>,
    attempt: AttemptKey,
    part: Arc<StepPart>,
}

#[pymethods]
impl Ended {
    fn __call__(&self, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let outcome = task.call_method0(intern!(py, "result"));
        let core = self.core.bind(py);
        core.get().complete(py, self.attempt, &self.part, outcome);
        core.get().schedule_pump(core)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.core)
    }
}
