//! Engine time: wall clock when the runtime was opened, plus what has passed since on a monotonic clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

/// A clock that never goes back, in nanoseconds since 1970.
pub(crate) enum Clock {
    /// The machine's.
    Real { opened: Instant, base_ns: u64 },
    /// A Python function that gives seconds, such as a virtual loop's `time`.
    Given { time: Py<PyAny>, base_ns: u64 },
}

/// Where a given clock has its zero: a virtual run is the same whenever it is made (2025-01-01).
const GIVEN_BASE_NS: u64 = 1_735_689_600_000_000_000;

impl Clock {
    pub(crate) fn new(time: Option<Py<PyAny>>) -> Self {
        match time {
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Self::Real { opened: Instant::now(), base_ns: since.as_nanos() as u64 }
            }
            Some(time) => Self::Given { time, base_ns: GIVEN_BASE_NS },
        }
    }

    /// Has it go on from a time that an earlier process has seen.
    pub(crate) fn not_before(&mut self, py: Python<'_>, last_ns: u64) -> PyResult<()> {
        let behind_ns = last_ns.saturating_sub(self.now_ns(py)?);
        let (Self::Real { base_ns, .. } | Self::Given { base_ns, .. }) = self;
        *base_ns += behind_ns;
        Ok(())
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Real { .. } => Ok(()),
            Self::Given { time, .. } => visit.call(time),
        }
    }

    pub(crate) fn now_ns(&self, py: Python<'_>) -> PyResult<u64> {
        match self {
            Self::Real { opened, base_ns } => Ok(base_ns + opened.elapsed().as_nanos() as u64),
            Self::Given { time, base_ns } => {
                let now: f64 = time.call0(py)?.extract(py)?;
                Ok(base_ns + (now * 1e9).round() as u64)
            }
        }
    }
}
