//! Fault injection for tests: while it is on, a Python function may replace what an attempt calls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::plan::StepPart;

/// One relaxed load on the dispatch path while it is off.
static INJECTED: AtomicBool = AtomicBool::new(false);
static SUBSTITUTE: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

pub(crate) fn are_injected() -> bool {
    INJECTED.load(Ordering::Relaxed)
}

/// What to call instead of the step's own function, if anything.
pub(crate) fn substitute(py: Python<'_>, part: &StepPart) -> PyResult<Option<Py<PyAny>>> {
    let function = {
        let Ok(function) = SUBSTITUTE.lock() else { return Ok(None) };
        function.as_ref().map(|function| function.clone_ref(py))
    };
    let Some(function) = function else { return Ok(None) };
    let substitute = function.call1(py, (&part.step,))?;
    Ok((!substitute.is_none(py)).then_some(substitute))
}

/// Has `function(step) -> callable | None` asked before each attempt; `None` turns it off.
#[pyfunction]
#[pyo3(signature = (function))]
pub(crate) fn inject_faults(function: Option<Py<PyAny>>) {
    INJECTED.store(function.is_some(), Ordering::Relaxed);
    if let Ok(mut substitute) = SUBSTITUTE.lock() {
        let replaced = std::mem::replace(&mut *substitute, function);
        drop(substitute);
        drop(replaced);
    }
}
