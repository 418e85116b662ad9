//! The pump: one bounded turn of starting what is ready, called by the loop.

use std::sync::atomic::Ordering;

use penstock_engine::Event;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::carrier;
use crate::core::{Core, Prepared};
use crate::durable::Durable;
use crate::own_task;
use crate::plan::Mode;
use crate::python::copy_context;
use crate::state::Turn;

/// What the pump has asked of the loop.
#[derive(Default)]
pub(crate) struct Pump {
    /// The bound method the loop calls.
    pub(crate) callback: Option<Py<PyAny>>,
    /// The timer that is set: when, and its handle.
    pub(crate) timer: Option<(u64, Py<PyAny>)>,
}

impl Core {
    /// Has the loop call the pump in its next turn, unless it will already.
    pub(crate) fn schedule_pump(&self, core: &Bound<'_, Self>) -> PyResult<()> {
        if self.closed.load(Ordering::Relaxed) || self.pump_scheduled.swap(true, Ordering::Relaxed)
        {
            return Ok(());
        }
        let callback = self.pump_callback(core)?;
        self.asyncio.call_soon(&callback)
    }

    fn pump_callback<'py>(&self, core: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = core.py();
        let known = self.pump.lock(py).callback.as_ref().map(|callback| callback.clone_ref(py));
        if let Some(callback) = known {
            return Ok(callback.into_bound(py));
        }
        let callback = core.getattr("_pump")?;
        self.pump.lock(py).callback = Some(callback.clone().unbind());
        Ok(callback)
    }

    /// One turn: fires due timers, starts what is ready within the turn's bounds, sets the next timer.
    pub(crate) fn turn(&self, core: &Bound<'_, Self>) -> PyResult<()> {
        let py = core.py();
        let now_ns = self.read_clock(py);
        let effects = {
            let mut state = self.lock(py);
            state.turn = Turn { starts_left: Turn::STARTS, until_ns: now_ns + Turn::LENGTH_NS };
            state.handle(py, now_ns, Event::Tick)
        };
        self.perform(py, effects);
        self.take_synced(py);
        while let Some(prepared) = self.next(core, false)? {
            match prepared.part.mode {
                Mode::Carrier => carrier::launch(core, prepared)?,
                Mode::Own => own_task::launch(core, prepared)?,
                Mode::Threads => self.launch_in_thread(py, prepared),
            }
        }
        Ok(())
    }

    fn launch_in_thread(&self, py: Python<'_>, prepared: Prepared) {
        let Prepared { attempt, part, arguments, context } = prepared;
        let submit = || -> PyResult<()> {
            let context = copy_context(context.bind(py))?;
            let arguments = PyTuple::new(py, arguments)?;
            self.hooks.submit.call1(py, (attempt.0, &part.function, arguments, context))?;
            Ok(())
        };
        match submit() {
            Ok(()) => self.handle(py, Event::Suspended { attempt }),
            Err(error) => self.complete(py, attempt, &part, Err(error)),
        }
    }

    /// Wakes those who wait for room in a queue or for the last attempt to end.
    pub(crate) fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let futures = self.lock(py).due_waiters();
        resolve_all(py, futures)
    }

    /// Sets the loop's timer to the engine's next deadline, if that is earlier than what is set.
    pub(crate) fn set_timer(&self, core: &Bound<'_, Self>) -> PyResult<()> {
        let py = core.py();
        let (ready, deadline_ns) = {
            let mut state = self.lock(py);
            let ready = state.pending.is_some() || state.engine.has_ready();
            let flush_ns = state.durable.as_deref().and_then(Durable::flush_ns);
            let figures_ns = state.figures_ns();
            let due_ns = [state.engine.next_deadline_ns(), state.look_ns(), flush_ns, figures_ns];
            (ready, due_ns.into_iter().flatten().min())
        };
        if ready {
            self.schedule_pump(core)?;
        }
        let Some(deadline_ns) = deadline_ns else { return Ok(()) };
        let earlier = match &self.pump.lock(py).timer {
            Some((set_ns, _)) => deadline_ns < *set_ns,
            None => true,
        };
        if earlier {
            let now_ns = self.now_ns.load(Ordering::Relaxed);
            let delay = deadline_ns.saturating_sub(now_ns) as f64 / 1e9;
            let callback = core.getattr("_tick")?;
            let handle = self.asyncio.call_later(delay, &callback)?;
            let replaced = self.pump.lock(py).timer.replace((deadline_ns, handle));
            if let Some((_, handle)) = replaced {
                handle.call_method0(py, "cancel")?;
            }
        }
        Ok(())
    }
}

/// Sets futures done whose only message is that they are.
pub(crate) fn resolve_all(py: Python<'_>, futures: Vec<Py<PyAny>>) -> PyResult<()> {
    for future in futures {
        let future = future.bind(py);
        if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
            future.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
    }
    Ok(())
}
