//! What the driver uses of asyncio, looked up once per runtime.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::python::{allocate, call_named, initialise};

/// Functions of one event loop, and the classes and names that go with them.
pub(crate) struct Asyncio {
    pub(crate) event_loop: Py<PyAny>,
    /// `contextvars` context of the runtime itself: what its own callbacks run in.
    pub(crate) context: Py<PyAny>,
    /// Whether Tasks can be started eagerly (Python 3.12 and later).
    pub(crate) eager: bool,
    task_class: Py<PyType>,
    future_class: Py<PyType>,
    call_soon: Py<PyAny>,
    call_at: Py<PyAny>,
    time: Py<PyAny>,
    enter_task: Py<PyAny>,
    leave_task: Py<PyAny>,
    pub(crate) cancelled_error: Py<PyAny>,
    /// Keyword arguments of a new Task; name and context change with each.
    task_arguments: Py<PyDict>,
    context_name: Py<PyTuple>,
    /// Keyword arguments of a new Future.
    future_arguments: Py<PyDict>,
}

impl Asyncio {
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>, context: Py<PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        // The C classes: a loop's own factory may hand out Tasks that do not start eagerly.
        let native = py.import("_asyncio")?;
        let eager = py.version_info() >= (3, 12);
        let future_arguments = PyDict::new(py);
        future_arguments.set_item("loop", event_loop)?;
        let task_arguments = PyDict::new(py);
        task_arguments.set_item("loop", event_loop)?;
        if eager {
            task_arguments.set_item("eager_start", true)?;
        }
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            context,
            eager,
            task_class: native.getattr("Task")?.cast_into::<PyType>()?.unbind(),
            future_class: native.getattr("Future")?.cast_into::<PyType>()?.unbind(),
            call_soon: event_loop.getattr("call_soon")?.unbind(),
            call_at: event_loop.getattr("call_at")?.unbind(),
            time: event_loop.getattr("time")?.unbind(),
            enter_task: native.getattr("_enter_task")?.unbind(),
            leave_task: native.getattr("_leave_task")?.unbind(),
            cancelled_error: py.import("asyncio")?.getattr("CancelledError")?.unbind(),
            task_arguments: task_arguments.unbind(),
            context_name: PyTuple::new(py, ["context"])?.unbind(),
            future_arguments: future_arguments.unbind(),
        })
    }

    /// Calls `callback()` in the loop's next turn.
    pub(crate) fn call_soon(&self, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = callback.py();
        let arguments = [callback.clone(), self.context.bind(py).clone()];
        call_named(self.call_soon.bind(py), &arguments, self.context_name.bind(py))?;
        Ok(())
    }

    /// Calls `callback()` after `delay` seconds; gives the handle.
    pub(crate) fn call_later(
        &self,
        delay: f64,
        callback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let py = callback.py();
        let now: f64 = self.time.call0(py)?.extract(py)?;
        let arguments = [
            (now + delay).into_pyobject(py)?.into_any(),
            callback.clone(),
            self.context.bind(py).clone(),
        ];
        Ok(call_named(self.call_at.bind(py), &arguments, self.context_name.bind(py))?.unbind())
    }

    /// A new future of the loop.
    pub(crate) fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let future = allocate(self.future_class.bind(py))?;
        initialise(&future, None, self.future_arguments.bind(py))?;
        Ok(future)
    }

    /// A Task that [`Asyncio::start`] has yet to make one.
    pub(crate) fn new_task<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        allocate(self.task_class.bind(py))
    }

    /// Makes `task` a Task of `coroutine` in `context`, started at once where Python can. `context` must
    /// be a fresh copy: an eager Task given one that is entered leaves the current task wrong for good
    /// (3.12, 3.13). Calling the slots spares building and parsing the keywords.
    ///
    /// # Errors
    /// What the constructor raises: with an eager start that includes `KeyboardInterrupt` and
    /// `SystemExit` of the coroutine itself.
    pub(crate) fn start(
        &self,
        task: &Bound<'_, PyAny>,
        coroutine: Bound<'_, PyAny>,
        name: &Bound<'_, PyString>,
        context: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = task.py();
        let arguments = self.task_arguments.bind(py);
        arguments.set_item(intern!(py, "name"), name)?;
        arguments.set_item(intern!(py, "context"), context)?;
        initialise(task, Some(coroutine), arguments)
    }

    /// Runs `body` with `task` as the current task, outside of the loop's own stepping.
    pub(crate) fn as_current<T>(
        &self,
        task: &Bound<'_, PyAny>,
        body: impl FnOnce() -> T,
    ) -> PyResult<T> {
        let py = task.py();
        let event_loop = self.event_loop.bind(py);
        self.enter_task.bind(py).call1((event_loop, task))?;
        let result = body();
        self.leave_task.bind(py).call1((event_loop, task))?;
        Ok(result)
    }

    /// Calls `callback(future)` once `future` is done, in the runtime's own context.
    pub(crate) fn add_done_callback(
        &self,
        future: &Bound<'_, PyAny>,
        callback: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = future.py();
        let method = future.getattr(intern!(py, "add_done_callback"))?;
        let arguments = [callback, self.context.bind(py).clone()];
        call_named(&method, &arguments, self.context_name.bind(py))?;
        Ok(())
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let held = [&self.event_loop, &self.context, &self.call_soon, &self.call_at, &self.time];
        held.into_iter().try_for_each(|object| visit.call(object))?;
        visit.call(&self.task_arguments)?;
        visit.call(&self.future_arguments)
    }

    /// Hands an unexpected error to the loop's exception handler.
    pub(crate) fn report(&self, py: Python<'_>, message: &str, error: &PyErr) {
        let report = || -> PyResult<()> {
            let context = PyDict::new(py);
            context.set_item("message", message)?;
            context.set_item("exception", error.value(py))?;
            self.event_loop.bind(py).call_method1("call_exception_handler", (context,))?;
            Ok(())
        };
        if let Err(error) = report() {
            error.write_unraisable(py, None);
        }
    }
}
