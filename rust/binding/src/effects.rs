//! Doing what the engine asked for, after the lock is released.

use penstock_engine::{PlanId, RunKey};
use pyo3::intern;
use pyo3::prelude::*;
use smallvec::SmallVec;

use crate::core::Core;
use crate::notes::Note;
use crate::pump::resolve_all;
use crate::state::{Effects, Ended, EndedRun, Rest};

impl Core {
    /// Performs effects, and what follows from them, until nothing is left.
    #[inline]
    pub(crate) fn perform(&self, py: Python<'_>, mut effects: Effects) {
        self.perform_all(py, &mut effects);
    }

    /// As [`Core::perform`], where they stand.
    pub(crate) fn perform_all(&self, py: Python<'_>, effects: &mut Effects) {
        // In their order: a destructor may tell.
        effects.garbage.reverse();
        while let Some(object) = effects.garbage.pop() {
            object.drop_ref(py);
        }
        if let Some(rest) = effects.rest.take() {
            self.perform_rest(py, rest);
        }
    }

    fn perform_rest(&self, py: Python<'_>, rest: Box<Rest>) {
        let mut next = Some(rest);
        while let Some(rest) = next {
            let Rest {
                evaluate,
                cancel,
                ended,
                notes,
                news,
                closed,
                forgotten,
                on_disk,
                ended_cold,
            } = *rest;
            let mut more = Effects::default();
            // First of all: their places in the tables are free already.
            for ended in ended_cold {
                self.end_warm(py, ended, &mut more);
            }
            drop(forgotten);
            if let Err(error) = resolve_all(py, on_disk) {
                self.asyncio.report(py, "an acknowledgement could not be delivered", &error);
            }
            self.publish(py, notes);
            self.tell_news(py, news);
            self.tell_closed(py, closed);
            for task in cancel {
                if let Err(error) = task.call_method0(py, intern!(py, "cancel")) {
                    self.asyncio.report(py, "an attempt's task could not be cancelled", &error);
                }
            }
            for EndedRun { run, plan, ended, waiters } in ended {
                self.resolve(py, (run, plan), &ended, &waiters);
            }
            for inline in evaluate {
                let Effects { garbage, rest } = self.evaluate(py, inline);
                drop(garbage);
                if let Some(rest) = rest {
                    more.rest().absorb(*rest);
                }
            }
            next = more.rest;
        }
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
                match ended {
                    Ended::Succeeded(value) => {
                        let set = waiter.call_method1(intern!(py, "set_result"), (value,));
                        if let Err(error) = set {
                            // A future that was cancelled is done already.
                            let done = py.import("asyncio")?.getattr("InvalidStateError")?;
                            return if error.is_instance(py, &done) { Ok(()) } else { Err(error) };
                        }
                    }
                    ended => {
                        if waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                            return Ok(());
                        }
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
        let (cause, at) = match ended {
            Ended::Failed(at) | Ended::Stalled(at) => (at.cause, Some(at)),
            Ended::Cancelled => ("cancelled", None),
            Ended::DeadlineExceeded => ("deadline", None),
            Ended::Succeeded(_) => ("succeeded", None),
            Ended::Held(_) => ("held", None),
            Ended::Closed => ("closed", None),
        };
        let why = match ended {
            Ended::Held(why) => &**why,
            _ => cause,
        };
        let stalled = matches!(ended, Ended::Stalled(_));
        let at = at.map(|at| (&*at.path, at.node.0, at.attempts, at.error.as_ref(), stalled));
        self.hooks.failure.call1(py, (plan.0, run_id, cause, why, at))
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

impl Effects {
    /// Adds what another call asks for.
    pub(crate) fn absorb(&mut self, more: Self) {
        self.garbage.extend(more.garbage);
        if let Some(rest) = more.rest {
            self.rest().absorb(*rest);
        }
    }
}

impl Rest {
    pub(crate) fn absorb(&mut self, more: Self) {
        self.evaluate.extend(more.evaluate);
        self.cancel.extend(more.cancel);
        self.ended.extend(more.ended);
        self.notes.extend(more.notes);
        self.news.extend(more.news);
        self.closed.extend(more.closed);
        self.forgotten.extend(more.forgotten);
        self.on_disk.extend(more.on_disk);
        self.ended_cold.extend(more.ended_cold);
    }
}
