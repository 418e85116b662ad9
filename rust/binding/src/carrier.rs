//! The carrier: one real `asyncio.Task` under which ready steps run in turn.
//!
//! Each step runs in a context copy of its own. The first one that suspends keeps the Task for life, and
//! a step that left a trace on the Task retires it; so every attempt that suspends or looks at its Task
//! has a Task of its own, and only steps that nobody could tell apart share one.
//!
//! From Python 3.12 the Task starts eagerly and the steps run inside its first send. On 3.11 the pump
//! drives the coroutine with the Task as the current one; the first future it yields is stashed and
//! handed over at the Task's own first step.

use std::sync::Arc;

use penstock_engine::AttemptKey;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;

use crate::cell::GilCell;
use crate::core::{Core, Prepared};
use crate::plan::StepPart;
use crate::python::{Fingerprint, Sent, call, copy_context, send, send_within, within};

/// The native coroutine of a carrier Task.
#[pyclass(frozen, module = "penstock._engine", name = "Carrier")]
pub(crate) struct Carrier {
    core: Py<Core>,
    state: GilCell<Ride>,
}

/// Where a carrier is.
enum Ride {
    /// It has not been sent into yet; the Task is the one it is the coroutine of.
    Fresh(Prepared, Py<PyAny>),
    /// Steps are running inside this very call.
    Driving,
    /// A step keeps the Task.
    Riding(Rider),
    /// Python 3.11: a step suspended on this before the Task's own first step.
    Stashed(Rider, Py<PyAny>),
    /// Nothing is left but to tell the Task how it ended.
    Over(Option<PyErr>),
}

/// A suspended step.
struct Rider {
    coroutine: Py<PyAny>,
    /// `None` where the Task's own context is the step's.
    context: Option<Py<PyAny>>,
    task: Py<PyAny>,
    attempt: AttemptKey,
    part: Arc<StepPart>,
}

/// What a drive or a resumed step gives to the Task: a future to wait for, or nothing more.
type Yield = PyResult<Option<Py<PyAny>>>;

/// Starts an attempt on a new carrier, and what else is ready as long as the carrier stays free.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit` of a step, for the loop.
pub(crate) fn launch(core: &Bound<'_, Core>, prepared: Prepared) -> PyResult<()> {
    let py = core.py();
    let context = copy_context(prepared.context.bind(py))?;
    let name = prepared.part.name.clone_ref(py);
    let asyncio = &core.get().asyncio;
    let task = asyncio.new_task(py)?;
    let state = GilCell::new(Ride::Fresh(prepared, task.clone().unbind()));
    let carrier = Bound::new(py, Carrier { core: core.clone().unbind(), state })?;
    asyncio
        .start(&task, carrier.clone().into_any(), name.bind(py), &context)
        .inspect_err(|_| carrier.get().abort(py))?;
    if asyncio.eager {
        return Ok(());
    }
    let driven = asyncio.as_current(&task, || within(&context, || carrier.get().drive(py)))??;
    carrier.get().settle_early(py, driven)
}

impl Carrier {
    fn put(&self, py: Python<'_>, ride: Ride) {
        let replaced = std::mem::replace(&mut *self.state.lock(py), ride);
        drop(replaced);
    }

    fn take(&self, py: Python<'_>) -> Ride {
        std::mem::replace(&mut *self.state.lock(py), Ride::Driving)
    }

    /// The Task could not be made: the attempt that was to start fails with it.
    fn abort(&self, py: Python<'_>) {
        if let Ride::Fresh(prepared, _) = self.take(py) {
            let error = PyRuntimeError::new_err("asyncio refused to make a Task for this attempt");
            self.core.bind(py).get().complete(py, prepared.attempt, &prepared.part, Err(error));
        }
    }

    /// Python 3.11: keeps what the pre-driven steps gave until the Task's own first step.
    fn settle_early(&self, py: Python<'_>, driven: Yield) -> PyResult<()> {
        let ride = match driven {
            Ok(Some(future)) => {
                let Ride::Riding(rider) = self.take(py) else {
                    unreachable!("a drive that yields leaves a rider");
                };
                Ride::Stashed(rider, future)
            }
            Ok(None) => Ride::Over(None),
            Err(error) if is_fatal(py, &error) => {
                self.put(py, Ride::Over(None));
                return Err(error);
            }
            Err(error) => Ride::Over(Some(error)),
        };
        self.put(py, ride);
        Ok(())
    }

    /// Runs the prepared step and, while nobody can tell, those that are ready after it.
    fn drive(&self, py: Python<'_>) -> Yield {
        match self.take(py) {
            Ride::Fresh(prepared, task) => self.carry(prepared, task.bind(py)),
            _ => Err(PyRuntimeError::new_err("a carrier is driven once")),
        }
    }

    fn carry<'py>(&self, mut prepared: Prepared, task: &Bound<'py, PyAny>) -> Yield {
        let py = task.py();
        let core = self.core.bind(py);
        let untouched = Fingerprint::of(task);
        let mut context: Option<Bound<'py, PyAny>> = None;
        loop {
            let coroutine = match call(prepared.part.function.bind(py), &prepared.arguments) {
                Ok(coroutine) => coroutine,
                Err(error) => {
                    core.get().complete(py, prepared.attempt, &prepared.part, Err(error));
                    prepared.release(py);
                    if !core.get().renew(core, &mut prepared)? {
                        return Ok(None);
                    }
                    context = Some(copy_context(prepared.context.bind(py))?);
                    continue;
                }
            };
            prepared.release(py);
            let sent = match &context {
                None => send(&coroutine),
                Some(context) => send_within(context, &coroutine).map_err(|error| *error)?,
            };
            match sent {
                Sent::Suspended(future) => {
                    if context.is_some() {
                        task.call_method1(intern!(py, "set_name"), (&prepared.part.name,))?;
                    }
                    let rider = Rider {
                        coroutine: coroutine.unbind(),
                        context: context.map(Bound::unbind),
                        task: task.clone().unbind(),
                        attempt: prepared.attempt,
                        part: prepared.part,
                    };
                    self.put(py, Ride::Riding(rider));
                    core.get().suspended(py, prepared.attempt, task.clone().unbind());
                    return Ok(Some(future.unbind()));
                }
                Sent::Returned(value) => {
                    drop(coroutine);
                    if untouched.is_of(task) {
                        core.get().returned(py, prepared.attempt, &prepared.part, value);
                    } else if let Some(last) = self.end(&prepared, task, true, Ok(value))? {
                        return self.retire(task, last);
                    }
                }
                Sent::Raised(error) => {
                    drop(coroutine);
                    let touched = !untouched.is_of(task);
                    if let Some(last) = self.end(&prepared, task, touched, Err(*error))? {
                        return self.retire(task, last);
                    }
                }
            }
            if !core.get().renew(core, &mut prepared)? {
                return Ok(None);
            }
            context = Some(copy_context(prepared.context.bind(py))?);
        }
    }

    /// A step raised, or left a trace on the Task. Gives how the Task is to end, if it can't be shared on.
    fn end(
        &self,
        prepared: &Prepared,
        task: &Bound<'_, PyAny>,
        touched: bool,
        outcome: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<Option<PyResult<Py<PyAny>>>> {
        let py = task.py();
        let outcome = if touched { honour_cancel(task, outcome)? } else { outcome };
        let fatal = outcome.as_ref().err().is_some_and(|error| is_fatal(py, error));
        let last = (touched || fatal).then(|| keep(py, &outcome));
        self.core.get().complete(py, prepared.attempt, &prepared.part, outcome);
        Ok(last)
    }

    /// Ends the Task the way its last step ended, for those who hold it.
    fn retire(&self, task: &Bound<'_, PyAny>, outcome: PyResult<Py<PyAny>>) -> Yield {
        let py = task.py();
        self.put(py, Ride::Over(None));
        match outcome {
            Ok(value) if value.is_none(py) => Ok(None),
            Ok(value) => {
                let stop = py.get_type::<PyStopIteration>().call1((value,))?;
                Err(PyErr::from_value(stop))
            }
            Err(error) => {
                if !is_fatal(py, &error) {
                    // The runtime has taken the exception; asyncio need not warn that nobody did.
                    let retrieve = task.getattr(intern!(py, "exception"))?;
                    let retrieve = Bound::new(py, Retrieve { exception: retrieve.unbind() })?;
                    self.core.get().asyncio.add_done_callback(task, retrieve.into_any())?;
                }
                Err(error)
            }
        }
    }

    /// Goes on with the step that keeps the Task.
    fn resume<'py>(
        &self,
        py: Python<'py>,
        rider: Rider,
        advance: impl FnOnce(&Bound<'py, PyAny>) -> Sent<'py>,
    ) -> Yield {
        let coroutine = rider.coroutine.bind(py);
        let sent = match &rider.context {
            None => advance(coroutine),
            Some(context) => within(context.bind(py), || advance(coroutine))?,
        };
        let outcome = match sent {
            Sent::Suspended(future) => {
                self.put(py, Ride::Riding(rider));
                return Ok(Some(future.unbind()));
            }
            Sent::Returned(value) => Ok(value),
            Sent::Raised(error) => Err(*error),
        };
        let task = rider.task.bind(py).clone();
        let outcome = honour_cancel(&task, outcome)?;
        let last = keep(py, &outcome);
        let core = self.core.bind(py);
        core.get().complete(py, rider.attempt, &rider.part, outcome);
        core.get().schedule_pump(core)?;
        drop(rider);
        self.retire(&task, last)
    }
}

#[pymethods]
impl Carrier {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Yield {
        match self.take(py) {
            Ride::Fresh(prepared, task) => self.carry(prepared, task.bind(py)),
            Ride::Riding(rider) => self.resume(py, rider, send),
            Ride::Stashed(rider, future) => {
                self.put(py, Ride::Riding(rider));
                Ok(Some(future))
            }
            Ride::Over(None) => Ok(None),
            Ride::Over(Some(error)) => Err(error),
            Ride::Driving => Err(PyRuntimeError::new_err("a carrier is not re-entered")),
        }
    }

    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        debug_assert!(value.is_none());
        self.__next__(py)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (error, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        error: Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let throw = |coroutine: &Bound<'_, PyAny>| -> PyResult<Py<PyAny>> {
            let name = intern!(py, "throw");
            Ok(match (value, traceback) {
                (None, None) => coroutine.call_method1(name, (&error,))?,
                _ => coroutine.call_method1(name, (&error, value, traceback))?,
            }
            .unbind())
        };
        let rider = match self.take(py) {
            Ride::Riding(rider) => rider,
            Ride::Stashed(rider, future) => {
                let future = future.bind(py);
                if !future.is_none() {
                    future.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
                    future.call_method0(intern!(py, "cancel"))?;
                }
                rider
            }
            Ride::Fresh(prepared, _) => {
                let thrown = PyErr::from_value(error.clone());
                let core = self.core.get();
                core.complete(py, prepared.attempt, &prepared.part, Err(thrown));
                return Err(PyErr::from_value(error));
            }
            over => {
                self.put(py, over);
                return Err(PyErr::from_value(error));
            }
        };
        let advance = |coroutine: &Bound<'_, PyAny>| match throw(coroutine) {
            Ok(future) => Sent::Suspended(future.into_bound(py)),
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
                match error.value(py).getattr(intern!(py, "value")) {
                    Ok(value) => Sent::Returned(value),
                    Err(error) => Sent::Raised(Box::new(error)),
                }
            }
            Err(error) => Sent::Raised(Box::new(error)),
        };
        self.resume(py, rider, advance)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Ride::Riding(rider) | Ride::Stashed(rider, _) = self.take(py) {
            self.core.get().interrupted(py, rider.attempt);
            rider.coroutine.call_method0(py, intern!(py, "close"))?;
        }
        self.put(py, Ride::Over(None));
        Ok(())
    }

    #[getter]
    fn cr_frame(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.of_rider(py, "cr_frame")
    }

    #[getter]
    fn cr_await(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.of_rider(py, "cr_await")
    }

    #[getter]
    fn cr_code(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.of_rider(py, "cr_code")
    }

    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        matches!(*self.state.lock(py), Ride::Driving)
    }

    #[getter]
    fn __name__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.named(py, "__name__")
    }

    #[getter]
    fn __qualname__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.named(py, "__qualname__")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.core)?;
        if let Some(state) = self.state.peek() {
            match state {
                Ride::Fresh(prepared, task) => {
                    prepared.traverse(&visit)?;
                    visit.call(task)?;
                }
                Ride::Riding(rider) => rider.traverse(&visit)?,
                Ride::Stashed(rider, future) => {
                    rider.traverse(&visit)?;
                    visit.call(future)?;
                }
                Ride::Driving | Ride::Over(_) => {}
            }
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        self.put(py, Ride::Over(None));
    }
}

impl Carrier {
    fn of_rider(&self, py: Python<'_>, name: &str) -> PyResult<Option<Py<PyAny>>> {
        let coroutine = match &*self.state.lock(py) {
            Ride::Riding(rider) | Ride::Stashed(rider, _) => rider.coroutine.clone_ref(py),
            _ => return Ok(None),
        };
        Ok(coroutine.bind(py).getattr_opt(name)?.map(Bound::unbind))
    }

    fn named(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        match self.of_rider(py, name)? {
            Some(name) => Ok(name),
            None => Ok(intern!(py, "penstock").clone().into_any().unbind()),
        }
    }
}

impl Rider {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.coroutine)?;
        visit.call(&self.context)?;
        visit.call(&self.task)
    }
}

/// Done-callback that marks a Task's exception as retrieved.
#[pyclass(frozen, module = "penstock._engine")]
struct Retrieve {
    exception: Py<PyAny>,
}

#[pymethods]
impl Retrieve {
    fn __call__(&self, py: Python<'_>, _task: &Bound<'_, PyAny>) {
        // Raises for a Task that was cancelled, which has nothing to retrieve.
        let _retrieved = self.exception.call0(py);
    }
}

/// Whether an exception must reach the loop rather than the run alone.
pub(crate) fn is_fatal(py: Python<'_>, error: &PyErr) -> bool {
    use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PySystemExit};
    !error.is_instance_of::<PyException>(py)
        && (error.is_instance_of::<PyKeyboardInterrupt>(py)
            || error.is_instance_of::<PySystemExit>(py))
}

/// A step that cancelled its own Task and then returned was cancelled: that is what asyncio says.
fn honour_cancel<'py>(
    task: &Bound<'py, PyAny>,
    outcome: PyResult<Bound<'py, PyAny>>,
) -> PyResult<PyResult<Bound<'py, PyAny>>> {
    let py = task.py();
    if outcome.is_ok() && task.getattr(intern!(py, "_must_cancel"))?.is_truthy()? {
        let error = task.call_method0(intern!(py, "_make_cancelled_error"))?;
        return Ok(Err(PyErr::from_value(error)));
    }
    Ok(outcome)
}

fn keep(py: Python<'_>, outcome: &PyResult<Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(value) => Ok(value.clone().unbind()),
        Err(error) => Err(error.clone_ref(py)),
    }
}
