//! What Python asks of a runtime's store.

use penstock_engine::RunKey;
use penstock_journal::{CommandDone, Interface};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::durable::Ack;

#[pymethods]
impl Core {
    /// Tells what became of a node whose outcome is not known: "done" with its value, "retry", or "failed"
    /// with its error. Whether there was such a node.
    fn resolve_unknown(
        slf: &Bound<'_, Self>,
        run: u64,
        path: &str,
        how: &str,
        value: Py<PyAny>,
    ) -> PyResult<bool> {
        let resolved = slf.get().found_out(slf.py(), RunKey(run), path, how, value)?;
        slf.get().schedule_pump(slf)?;
        Ok(resolved)
    }

    /// Takes in the runs of the store that are not over; `(how many go on, [(run id, why held)])`.
    fn recover(slf: &Bound<'_, Self>, max_recoveries: u32) -> PyResult<crate::recovery::Recovered> {
        Self::recover_all(slf, max_recoveries)
    }

    /// Tries a run again; its key, or why not.
    fn retry(
        slf: &Bound<'_, Self>,
        run_id: &str,
        new_keys: bool,
    ) -> PyResult<(Option<u64>, String)> {
        Ok(told(Self::retry_run(slf, run_id, new_keys)?))
    }

    /// Starts a copy of a run, without what came of a node and after it; its key, or why not.
    #[pyo3(name = "fork", signature = (run_id, new_id, from_step=None))]
    fn py_fork(
        slf: &Bound<'_, Self>,
        run_id: &str,
        new_id: String,
        from_step: Option<&str>,
    ) -> PyResult<(Option<u64>, String)> {
        Ok(told(Self::fork_run(slf, run_id, new_id, from_step)?))
    }

    /// Keeps an interface with the runs: `(kind, name, version, digest)`, and its content.
    fn keep_interface(
        &self,
        py: Python<'_>,
        identity: (String, String, String, String),
        content: String,
    ) {
        let (kind, name, version, digest) = identity;
        let at_ns = self.read_clock(py);
        if let Some(durable) = &mut self.lock(py).durable {
            let interface = Interface { kind, name, version, digest, content, at_ns };
            durable.outbox().interfaces.push(interface);
        }
    }

    /// The interfaces of a kind, name and version that the store knows: `(digest, content)`.
    fn interfaces(
        &self,
        py: Python<'_>,
        kind: &str,
        name: &str,
        version: &str,
    ) -> PyResult<Vec<(String, String)>> {
        let known = match &self.lock(py).durable {
            Some(durable) => durable.reader.interfaces(Some(kind)),
            None => Ok(Vec::new()),
        };
        let known = known.map_err(|error| self.store_error(py, &error))?.into_iter();
        let same = known.filter(|it| it.name == name && it.version == version);
        Ok(same.map(|it| (it.digest, it.content)).collect())
    }

    /// A future that is done when everything said so far is on disk; None if it is already.
    fn when_synced<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, core) = (slf.py(), slf.get());
        if !core.durable {
            return Ok(None);
        }
        let future = core.asyncio.future(py)?;
        let waits = {
            let mut state = core.lock(py);
            match &mut state.durable {
                Some(durable) if !durable.is_synced(durable.lsn()) => {
                    let lsn = durable.lsn();
                    durable.await_disk(lsn, Ack::Future(future.clone().unbind()));
                    true
                }
                _ => false,
            }
        };
        core.schedule_pump(slf)?;
        Ok(waits.then_some(future))
    }

    /// What the loop is to watch for reading, and to answer with `_woken`.
    fn wake_fd(&self, py: Python<'_>) -> PyResult<i32> {
        let state = self.lock(py);
        let durable = state.durable.as_ref();
        let fd = durable.map(|durable| durable.journal.wake_fd());
        fd.ok_or_else(|| PyRuntimeError::new_err("the runtime has no store"))
    }

    /// What a forked child has to close, so as not to keep others out of the store.
    fn lock_fd(&self, py: Python<'_>) -> Option<i32> {
        self.lock(py).durable.as_ref().and_then(|durable| durable.journal.lock_fd())
    }

    /// Why the store can't be written at the moment, if it can't.
    fn store_failure(&self, py: Python<'_>) -> Option<String> {
        self.lock(py).durable.as_ref().and_then(|durable| durable.journal.failure())
    }

    /// Has the last record of each commit noted from now on, for who measures; gives those noted so far.
    fn trace_commits(&self, py: Python<'_>) -> Vec<u64> {
        let state = self.lock(py);
        state.durable.as_ref().map_or_else(Vec::new, |durable| durable.journal.trace_commits())
    }

    /// Commands that the records from now on carry out, until None.
    fn carry_out(&self, py: Python<'_>, command: Option<String>) {
        if let Some(durable) = &mut self.lock(py).durable {
            durable.command = command.map(Into::into);
        }
    }

    /// A command of another process is done with.
    fn command_done(slf: &Bound<'_, Self>, number: i64, outcome: String) -> PyResult<()> {
        let core = slf.get();
        let at_ns = core.read_clock(slf.py());
        if let Some(durable) = &mut core.lock(slf.py()).durable {
            durable.outbox().done.push(CommandDone { id: number, at_ns, outcome });
        }
        core.schedule_pump(slf)
    }

    /// Forgets ended runs of the store, by their numbers; gives how many that are. Those under way stay.
    fn prune(slf: &Bound<'_, Self>, runs: Vec<u64>) -> PyResult<usize> {
        let pruned = slf.get().forget_ended(slf.py(), runs);
        slf.get().schedule_pump(slf)?;
        Ok(pruned)
    }

    /// Has a held run go on when the store is opened next; whether it is held.
    fn release(slf: &Bound<'_, Self>, run_id: &str) -> PyResult<bool> {
        let released = slf.get().release_held(slf.py(), run_id)?;
        slf.get().schedule_pump(slf)?;
        Ok(released)
    }

    #[pyo3(name = "_woken")]
    fn py_woken(slf: &Bound<'_, Self>) -> PyResult<()> {
        if let Some(durable) = &slf.get().lock(slf.py()).durable {
            durable.journal.disarm_and_drain();
        }
        slf.get().take_commands(slf.py())?;
        Self::py_pump(slf)
    }

    /// Ends the work of a durable runtime: what is left stays in the store, and goes on when that is opened
    /// again. Whoever waits is told. Gives the number of runs that are not over.
    fn suspend(&self, py: Python<'_>) -> PyResult<usize> {
        self.suspend_all(py)
    }
}

/// As Python takes it.
fn told(wish: crate::again::Wish) -> (Option<u64>, String) {
    match wish {
        Ok(key) => (Some(key.0), String::new()),
        Err(why) => (None, why),
    }
}
