//! Doing what the engine asked for, after the lock is released.

use penstock_engine::{Event, NodeId, PlanId, RunKey};
use pyo3::intern;
use pyo3::prelude::*;
use smallvec::SmallVec;

use crate::core::Core;
use crate::notes::Note;
use crate::plan::NodePart;
use crate::python::{call, copy_context, within};
use crate::state::{Effects, Ended, EndedRun, Rest};

impl Core {
    /// Performs effects, and what follows from them, until nothing is left.
    pub(crate) fn perform(&self, py: Python<'_>, effects: Effects) {
        let Effects { garbage, rest } = effects;
        for object in garbage {
            object.drop_ref(py);
        }
        let mut next = rest;
        while let Some(rest) = next {
            let Rest { evaluate, cancel, ended, notes, forgotten } = *rest;
            drop(forgotten);
            self.publish(py, notes);
            for task in cancel {
                if let Err(error) = task.call_method0(py, intern!(py, "cancel")) {
                    self.asyncio.report(py, "an attempt's task could not be cancelled", &error);
                }
            }
            for EndedRun { run, plan, ended, waiters } in ended {
                self.resolve(py, (run, plan), &ended, &waiters);
            }
            let mut more = Effects::default();
            for (run, node) in evaluate {
                let Effects { garbage, rest } = self.evaluate(py, run, node);
                drop(garbage);
                if let Some(rest) = rest {
                    more.rest().absorb(*rest);
                }
            }
            next = more.rest;
        }
    }

    /// Runs an inline function, in a copy of its run's context.
    fn evaluate(&self, py: Python<'_>, run: RunKey, node: NodeId) -> Effects {
        let outcome = self.call_inline(py, run, node);
        let outcome = outcome.map_err(|error| error.into_value(py).into_any());
        let now_ns = self.read_clock(py);
        let mut state = self.lock(py);
        let event = match outcome {
            Ok(value) => Event::Decided { run, node, value: state.values.insert(value) },
            Err(error) => Event::DecidedFailed { run, node, error: state.values.insert(error) },
        };
        state.handle(py, now_ns, event)
    }

    fn call_inline(&self, py: Python<'_>, run: RunKey, node: NodeId) -> PyResult<Py<PyAny>> {
        let found = {
            let state = self.lock(py);
            state.side(run).map(|side| {
                let parts = state.plans[side.plan.0 as usize].clone();
                let arguments = state.arguments(py, run, node, &parts);
                (parts, arguments, side.context.clone_ref(py))
            })
        };
        let Some((parts, arguments, context)) = found else { return Ok(py.None()) };
        let NodePart::Apply(function, contract) = &parts.nodes[node.index()] else {
            return Ok(py.None());
        };
        let context = copy_context(context.bind(py))?;
        let value = within(&context, || call(function.bind(py), &arguments))?;
        value.and_then(|value| contract.check(value)).map(Bound::unbind).map_err(|error| {
            let run_id = self.lock(py).run_id(run);
            self.locate(py, run_id, parts.plan.path(node), &error)
        })
    }

    /// Gives futures the outcome of the run they wait for.
    pub(crate) fn resolve(
        &self,
        py: Python<'_>,
        run: (RunKey, PlanId),
        ended: &Ended,
        waiters: &SmallVec<[Py<PyAny>; 2]>,
    ) {
        for waiter in waiters {
            let waiter = waiter.bind(py);
            let result = (|| -> PyResult<()> {
                if waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                    return Ok(());
                }
                match ended {
                    Ended::Succeeded(value) => {
                        waiter.call_method1(intern!(py, "set_result"), (value,))?;
                    }
                    ended => {
                        let exception = self.failure(py, run, ended);
                        let exception =
                            exception.unwrap_or_else(|broken| broken.into_value(py).into_any());
                        waiter.call_method1(intern!(py, "set_exception"), (exception,))?;
                    }
                }
                Ok(())
            })();
            if let Err(error) = result {
                self.asyncio.report(py, "the outcome of a run could not be delivered", &error);
            }
        }
    }

    /// What awaiting a run that did not succeed raises.
    fn failure(
        &self,
        py: Python<'_>,
        (run, plan): (RunKey, PlanId),
        ended: &Ended,
    ) -> PyResult<Py<PyAny>> {
        let run_id = self.lock(py).run_id(run);
        let (cause, path, attempts, error) = match ended {
            Ended::Failed { path, attempts, cause, error } => {
                (*cause, &**path, *attempts, error.as_ref())
            }
            Ended::Cancelled => ("cancelled", "", 0, None),
            Ended::DeadlineExceeded => ("deadline", "", 0, None),
            Ended::Succeeded(_) => ("succeeded", "", 0, None),
        };
        self.hooks.failure.call1(py, (plan.0, run_id, cause, path, attempts, error))
    }

    pub(crate) fn publish(&self, py: Python<'_>, notes: Vec<(Vec<Py<PyAny>>, Note)>) {
        for (followers, note) in notes {
            let row = note.row();
            for follower in followers {
                if let Err(error) = self.hooks.publish.call1(py, (follower, row.clone())) {
                    self.asyncio.report(py, "an event of a run could not be delivered", &error);
                }
            }
        }
    }
}

impl Rest {
    fn absorb(&mut self, more: Self) {
        self.evaluate.extend(more.evaluate);
        self.cancel.extend(more.cancel);
        self.ended.extend(more.ended);
        self.notes.extend(more.notes);
        self.forgotten.extend(more.forgotten);
    }
}
