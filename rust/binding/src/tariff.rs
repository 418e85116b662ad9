//! What tokens of a model cost, where that is known before they are booked: a request is one crossing.

use penstock_engine::{AttemptKey, Event};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use smallvec::SmallVec;

use crate::core::Core;

/// A resource's number, and its price: so many nano-dollars for so many units.
type Part = (u32, u64, u64);

/// Books tokens of one model, in one mode.
#[pyclass(frozen, module = "penstock._engine")]
pub(crate) struct Tariff {
    core: Py<Core>,
    /// Tokens whose amount fits into 64 bits.
    most: u64,
    /// Input that was read from no cache and written to none, cached, cache-write and output tokens.
    parts: [Part; 4],
}

#[pymethods]
impl Tariff {
    #[new]
    const fn new(core: Py<Core>, most: u64, parts: [Part; 4]) -> Self {
        Self { core, most, parts }
    }

    /// An attempt has sent and got so many tokens, in all and of these from and to caches; from any thread. False if it has
    /// ended; `None` if a number can't be meant, or is too large, and nothing is booked.
    ///
    /// # Errors
    /// `OverflowError` where totals would leave 64 bits; nothing is booked then.
    #[expect(clippy::too_many_arguments, reason = "what one request is made of")]
    fn book(
        &self,
        py: Python<'_>,
        attempt: u64,
        input: &Bound<'_, PyAny>,
        cached: &Bound<'_, PyAny>,
        cache_write: &Bound<'_, PyAny>,
        output: &Bound<'_, PyAny>,
    ) -> PyResult<Option<bool>> {
        // What is no int, such as a bool, is refused where the message is made.
        let count = |given: &Bound<'_, PyAny>| {
            let exact = given.is_exact_instance_of::<PyInt>();
            let count = if exact { given.extract::<u64>().ok() } else { None };
            count.filter(|&count| count <= self.most)
        };
        let (Some(input), Some(cached), Some(cache_write), Some(output)) =
            (count(input), count(cached), count(cache_write), count(output))
        else {
            return Ok(None);
        };
        let Some(sent) = input.checked_sub(cached).and_then(|rest| rest.checked_sub(cache_write))
        else {
            return Ok(None);
        };
        if input == 0 && output == 0 {
            return Ok(Some(true));
        }
        let counts = [sent, cached, cache_write, output];
        let lines: SmallVec<[_; 4]> = (self.parts.iter().zip(counts))
            .filter(|&(_, units)| units > 0)
            .map(|(&(number, price, per), units)| (number, units, Some(cost(units, price, per))))
            .collect();
        let tokens = counts.into_iter().fold(0, u64::saturating_add);
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let attempt = AttemptKey(attempt);
        let known = self.core.get().spend_of(py, attempt, &lines, |engine, now_ns| {
            let counts = engine.counts_use(attempt);
            if counts {
                engine.handle(now_ns, Event::Used { attempt, tokens });
            }
            counts
        })?;
        Ok(Some(known))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.core)
    }
}

/// Nano-dollars of so many units; a half is rounded to the even one. Whoever asks sees to it that it fits.
fn cost(units: u64, price: u64, per: u64) -> i64 {
    let (whole, per) = (u128::from(units) * u128::from(price), u128::from(per.max(1)));
    let (mut nanos, rest) = (whole / per, 2 * (whole % per));
    if rest > per || (rest == per && nanos % 2 == 1) {
        nanos += 1;
    }
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::cost;

    #[test]
    fn a_half_goes_to_the_even_one() {
        let cases = [(1, 1, 2, 0), (3, 1, 2, 2), (5, 1, 2, 2), (1, 3, 4, 1), (7, 0, 3, 0)];
        for (units, price, per, nanos) in cases {
            assert_eq!(cost(units, price, per), nanos, "{units} at {price} for {per}");
        }
        assert_eq!(cost(u64::MAX >> 1, 1, 1), i64::MAX);
    }
}
