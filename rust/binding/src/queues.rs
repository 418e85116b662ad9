//! Queues as Python describes them, whom their slots are shared out to, and what is told of them.

use std::collections::HashMap;

use penstock_engine::{
    AdaptiveModel, AttemptKey, BreakerModel, BudgetModel, Cost, Event, FairnessModel, News,
    OnDenial, PartId, PartModel, PlanId, QueueId, QueueModel, Rate, ShedModel, TenantId,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::core::Core;
use crate::plan::nanoseconds;

/// A queue as Python gives it; times in seconds.
#[derive(FromPyObject)]
pub(crate) struct QueueParts {
    #[pyo3(item)]
    concurrency: Option<u32>,
    #[pyo3(item)]
    capacity: Option<u32>,
    /// Initial, least and most attempts.
    #[pyo3(item)]
    adaptive: Option<(u32, u32, u32)>,
    /// Units, seconds, and units at once.
    #[pyo3(item)]
    requests: Option<(f64, f64, u32)>,
    #[pyo3(item)]
    tokens: Option<(f64, f64, u32)>,
    /// What counts, and weights by tenant.
    #[pyo3(item)]
    fairness: Option<(String, HashMap<String, f64>)>,
    #[pyo3(item)]
    aging: f64,
    #[pyo3(item)]
    aging_share: f64,
    /// Ratio, floor, stored, window, and what happens on denial.
    #[pyo3(item)]
    budget: Option<(f64, f64, f64, f64, String)>,
    /// Failure ratio, least calls, window, shortest and longest time open, probes.
    #[pyo3(item)]
    breaker: Option<(f64, u32, f64, f64, f64, u32)>,
    /// Target and interval.
    #[pyo3(item)]
    shed: Option<(f64, f64)>,
}

/// Millionths of a share or count; what does not fit is the most there is.
fn ppm(share: f64) -> u32 {
    (share * 1e6).round() as u32
}

fn rate((units, seconds, burst): (f64, f64, u32)) -> Rate {
    Rate { gap_ps: ((seconds * 1e12 / units).round() as u64).max(1), burst }
}

impl QueueParts {
    pub(crate) fn model(self, tenants: &mut Tenants) -> PyResult<QueueModel> {
        let fairness = match self.fairness {
            None => None,
            Some((by, weights)) => Some(FairnessModel {
                by: match by.as_str() {
                    "time" => Cost::Time,
                    "tokens" => Cost::Tokens,
                    "attempts" => Cost::Attempts,
                    other => {
                        return Err(PyValueError::new_err(format!("there is no cost {other:?}")));
                    }
                },
                weights: weights.iter().map(|(name, &weight)| (tenants.id(name), weight)).collect(),
            }),
        };
        let budget = match self.budget {
            None => None,
            Some((ratio, floor, stored, window, on_denial)) => Some(BudgetModel {
                ratio_ppm: ppm(ratio),
                floor_ppm: ppm(floor),
                stored_ppm: ppm(stored),
                window_ns: nanoseconds(window),
                on_denial: match on_denial.as_str() {
                    "park" => OnDenial::Park,
                    "fail" => OnDenial::Fail,
                    "dead_letter" => OnDenial::DeadLetter,
                    other => {
                        return Err(PyValueError::new_err(format!("there is no denial {other:?}")));
                    }
                },
            }),
        };
        let breaker = self.breaker.map(|(ratio, calls_min, window, open, most, probes)| {
            let (open_ns, open_max_ns) = (nanoseconds(open), nanoseconds(most));
            let (failure_ppm, window_ns) = (ppm(ratio), nanoseconds(window));
            BreakerModel { failure_ppm, calls_min, window_ns, open_ns, open_max_ns, probes }
        });
        Ok(QueueModel {
            concurrency: self.concurrency.unwrap_or(u32::MAX),
            capacity: self.capacity.unwrap_or(QueueModel::CAPACITY_MAX),
            adaptive: self.adaptive.map(|(initial, least, most)| AdaptiveModel {
                initial,
                least,
                most,
            }),
            requests: self.requests.map(rate),
            tokens: self.tokens.map(rate),
            fairness,
            aging_ns: nanoseconds(self.aging),
            aging_share_ppm: ppm(self.aging_share),
            budget,
            breaker,
            shed: self.shed.map(|(target, interval)| ShedModel {
                target_ns: nanoseconds(target),
                interval_ns: nanoseconds(interval),
            }),
        })
    }
}

/// The numbers of tenants.
#[derive(Default)]
pub(crate) struct Tenants {
    ids: HashMap<String, TenantId>,
    /// By number, from 1.
    names: Vec<String>,
}

/// Tenants that are told apart; those that come later count as nobody in particular.
const TENANTS_MAX: usize = 100_000;

impl Tenants {
    /// The number of a tenant, given now if it is new.
    pub(crate) fn id(&mut self, name: &str) -> TenantId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        if self.names.len() >= TENANTS_MAX {
            return TenantId::NONE;
        }
        self.names.push(name.to_owned());
        let id = TenantId(self.names.len() as u32);
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// The name of a number.
    pub(crate) fn name(&self, id: TenantId) -> Option<&str> {
        self.names.get((id.0 as usize).checked_sub(1)?).map(String::as_str)
    }
}

impl Core {
    /// Tells Python what happened to queues.
    pub(crate) fn tell_news(&self, py: Python<'_>, news: Vec<(QueueId, News)>) {
        for (queue, news) in news {
            if let Err(error) = self.hooks.news.call1(py, (queue.0, news.name())) {
                self.asyncio.report(py, "what happened to a queue could not be told", &error);
            }
        }
    }
}

#[pymethods]
impl Core {
    /// Adds a queue; gives its number. Its retry budget is empty if the store was there before: nobody knows
    /// what was left of it.
    fn add_queue(&self, py: Python<'_>, parts: QueueParts) -> PyResult<u32> {
        let now_ns = self.read_clock(py);
        let mut state = self.lock(py);
        let model = parts.model(&mut state.tenants)?;
        let queue = state.engine.add_queue(model);
        if state.durable.as_ref().is_some_and(|durable| durable.journal.last_lsn() > 0) {
            state.engine.set_tokens(now_ns, queue, 0);
        }
        Ok(queue.0)
    }

    /// Retries of each group's runs, `(millionths, workflows)`, are paid from that share of their queues' budgets alone,
    /// from now on; no other group's are.
    fn part_retries(slf: &Bound<'_, Self>, groups: Vec<(u32, Vec<u32>)>) -> PyResult<()> {
        let (core, py) = (slf.get(), slf.py());
        let now_ns = core.read_clock(py);
        let groups = groups.into_iter().filter_map(|(share_ppm, plans)| {
            let part = PartId(plans.first()? + 1);
            let plans = plans.into_iter().map(PlanId).collect();
            Some((PartModel { part, share_ppm }, plans))
        });
        let groups: Vec<_> = groups.collect();
        core.lock(py).engine.part_retries(now_ns, &groups);
        core.schedule_pump(slf)
    }

    /// Serves a queue by another model from now on; what runs or waits is not touched.
    fn configure_queue(slf: &Bound<'_, Self>, queue: u32, parts: QueueParts) -> PyResult<()> {
        let (core, py) = (slf.get(), slf.py());
        let now_ns = core.read_clock(py);
        let effects = {
            let mut state = core.lock(py);
            let model = parts.model(&mut state.tenants)?;
            state.engine.configure_queue(now_ns, QueueId(queue), model);
            state.drain(py)
        };
        core.perform(py, effects);
        core.schedule_pump(slf)
    }

    /// An attempt says what it has used, in addition to what it said before; from any thread.
    fn used(&self, py: Python<'_>, attempt: u64, tokens: u32) {
        self.handle(py, Event::Used { attempt: AttemptKey(attempt), tokens });
    }
}

/// Where a queue may stay, given first attempts per second, servers, seconds of service, seconds until an attempt
/// is given up, attempts in all, and what a budget allows as a share: `(attempts per second at each such load,
/// attempts per first attempt at worst, utilisation, utilisation up to which no storm lasts, vulnerable)`.
#[pyfunction]
pub(crate) fn stability(
    arrivals: f64,
    servers: u32,
    service: f64,
    timeout: f64,
    attempts: u32,
    retry_ratio: f64,
) -> (Vec<f64>, f64, f64, f64, bool) {
    let demand = penstock_engine::Demand {
        arrivals,
        servers,
        service_s: service,
        timeout_s: timeout,
        attempts_max: attempts,
        retry_ratio,
    };
    let found = demand.stability();
    let vulnerable = found.is_vulnerable();
    (found.loads, found.amplification_max, found.utilisation, found.safe_utilisation, vulnerable)
}
