//! The way to the disk and back: handing records over, hearing that they are there, and commands that other
//! processes have left in the store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use penstock_engine::{Event, Lsn, Resolution, RunKey};
use pyo3::prelude::*;

use crate::codec;
use crate::core::Core;
use crate::durable::Ack;
use crate::plan::NodePart;
use crate::state::{Ended, EndedRun};

impl Core {
    /// Hands what was recorded over to the journal, and takes in what has reached the disk.
    pub(crate) fn hand_over(&self, py: Python<'_>) {
        if !self.durable {
            return;
        }
        let now_ns = self.now_ns.load(Ordering::Relaxed);
        self.lock(py).keep_figures_if_due(now_ns);
        loop {
            // A start that has to reach the disk first is recorded by the dispatch that held it back.
            let effects = self.lock(py).drain(py);
            self.perform(py, effects);
            let now_ns = self.now_ns.load(Ordering::Relaxed);
            if let Some(durable) = &mut self.lock(py).durable {
                durable.flush(now_ns);
                durable.journal.arm();
            }
            if !self.take_synced(py) {
                break;
            }
        }
        self.cool_some(py, self.now_ns.load(Ordering::Relaxed));
    }

    /// Tells the engine what has reached the disk, and those who waited for it; whether anything has.
    pub(crate) fn take_synced(&self, py: Python<'_>) -> bool {
        let effects = {
            let mut state = self.lock(py);
            let Some(durable) = &mut state.durable else { return false };
            let synced = durable.journal.synced();
            let due = durable.due_acks(synced);
            if due.is_empty() && synced <= state.engine.synced().0 {
                return false;
            }
            let now_ns = self.now_ns.load(Ordering::Relaxed);
            let mut effects = state.handle(py, now_ns, Event::Synced { lsn: Lsn(synced) });
            for ack in due {
                match ack {
                    Ack::Future(future) => effects.rest().on_disk.push(future),
                    Ack::Ended(ended) => effects.rest().ended.push(*ended),
                }
            }
            effects
        };
        self.perform(py, effects);
        true
    }

    /// Hands over the commands that came while nobody watched the pipe.
    pub(crate) fn take_new_commands(&self, py: Python<'_>) -> PyResult<()> {
        let new = match &self.lock(py).durable {
            Some(durable) => durable.journal.has_commands(),
            None => false,
        };
        if new { self.take_commands(py) } else { Ok(()) }
    }

    /// Hands commands of other processes to Python, and tells those who wait for the disk if it fails.
    pub(crate) fn take_commands(&self, py: Python<'_>) -> PyResult<()> {
        let (commands, failure, futures) = {
            let mut state = self.lock(py);
            let Some(durable) = &mut state.durable else { return Ok(()) };
            let failure = durable.journal.failure();
            let futures = match &failure {
                Some(_) => durable.take_futures(),
                None => Vec::new(),
            };
            (durable.journal.take_commands(), failure, futures)
        };
        for future in futures {
            let why = failure.as_deref().unwrap_or_default();
            let error = self.hooks.refusal.call1(py, ("stalled", why, 0.0))?;
            if !future.call_method0(py, "done")?.is_truthy(py)? {
                future.call_method1(py, "set_exception", (error,))?;
            }
        }
        for it in commands {
            let command = (it.id, it.cmd, it.run_id, it.verb, it.args, it.actor);
            self.hooks.command.call1(py, command)?;
        }
        Ok(())
    }

    /// Somebody has found out what became of a node whose outcome was not known.
    pub(crate) fn found_out(
        &self,
        py: Python<'_>,
        run: RunKey,
        path: &str,
        how: &str,
        value: Py<PyAny>,
    ) -> PyResult<bool> {
        let (place, part) = {
            let state = self.lock(py);
            let mut unknown = state.engine.unknown(run).into_iter();
            let place = unknown.find(|&it| state.engine.path(run, it).as_deref() == Some(path));
            let template = place.and_then(|place| state.engine.template(run, place));
            let parts = state.parts_of(run);
            let (Some(place), Some(template), Some(parts)) = (place, template, parts) else {
                return Ok(false);
            };
            let NodePart::Step(part) = &parts.nodes[template.index()] else { return Ok(false) };
            (place, part.clone())
        };
        let (value, payload) = if how == "done" {
            let value = part.contract.check(value.into_bound(py))?;
            let payload = codec::payload(part.codec.as_deref(), &value)?;
            (value.unbind(), payload)
        } else {
            let payload = self.error_payload(py, &value);
            (value, payload)
        };
        let now_ns = self.read_clock(py);
        let (resolved, unused, effects) = {
            let mut state = self.lock(py);
            let value = state.values.insert_with(value, payload);
            let resolution = match how {
                "done" => Resolution::Done(value),
                "retry" => Resolution::Retry,
                _ => Resolution::Failed(value),
            };
            let resolved = state.engine.resolve(now_ns, run, place, resolution);
            let kept = resolved && how != "retry";
            let unused = if kept { None } else { state.values.take(value) };
            (resolved, unused, state.drain(py))
        };
        drop(unused);
        self.perform(py, effects);
        Ok(resolved)
    }

    /// Ends the work of a durable runtime; what is left stays in the store.
    pub(crate) fn suspend_all(&self, py: Python<'_>) -> PyResult<usize> {
        self.closed.store(true, Ordering::Relaxed);
        let now_ns = self.read_clock(py);
        let (runs, effects) = {
            let mut state = self.lock(py);
            let runs: Vec<RunKey> = state.engine.runs().collect();
            state.engine.pause_dispatch();
            state.engine.give_up(now_ns);
            (runs, state.drain(py))
        };
        self.perform(py, effects);
        let durable = {
            let mut state = self.lock(py);
            if !state.counted.by_hand {
                state.keep_figures(now_ns, Vec::new());
            }
            let mut durable = state.durable.take();
            if let Some(durable) = &mut durable {
                durable.flush_all();
            }
            durable
        };
        if let Some(mut durable) = durable {
            let flushed = py.detach(|| durable.journal.flush(FLUSH_MAX));
            let synced = durable.journal.synced();
            for ack in durable.due_acks(synced) {
                self.tell(py, ack)?;
            }
            let left = durable.take_acks();
            let closed = py.detach(move || durable.journal.close());
            for ack in left {
                if let Ack::Ended(ended) = ack {
                    let run = (ended.run, ended.plan);
                    self.resolve(py, run, &Ended::Closed, &ended.waiters);
                }
            }
            flushed.map(|_| ()).and(closed).map_err(|error| self.store_error(py, &error))?;
        }
        for &run in &runs {
            let waiting = self.lock(py).take_waiters(run);
            if let Some((plan, waiters)) = waiting {
                self.resolve(py, (run, plan), &Ended::Closed, &waiters);
            }
        }
        self.let_go(py)?;
        Ok(runs.len())
    }

    fn tell(&self, py: Python<'_>, ack: Ack) -> PyResult<()> {
        match ack {
            Ack::Future(future) => crate::pump::resolve_all(py, vec![future]),
            Ack::Ended(ended) => {
                let EndedRun { run, plan, ended, waiters } = *ended;
                self.resolve(py, (run, plan), &ended, &waiters);
                Ok(())
            }
        }
    }
}

/// How long closing waits for a disk that does not answer.
const FLUSH_MAX: Duration = Duration::from_secs(5);
