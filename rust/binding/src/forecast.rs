//! The modelled engine: workflows and queues are registered as with a runtime, then played in virtual time.
//!
//! Scenes are played by threads of their own, without the interpreter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use penstock_engine::{
    AccountModel, AttemptKind, Config, Distribution, Lane, NodeId, Place, Policy, QueueId,
    QueueModel, ResourceId, RunEnd, Waste,
};
use penstock_simulator::forecast::{
    Arrivals, Batch, Desk, Drift, End, FailureRow, Judged, Length, Model, NodeModel, Outage,
    Played, Price, Progress, Scene, Shape, SignalModel, StepModel, Weekly, Which, arrivals,
    foretell, trace,
};
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::budgets::{BudgetParts, model as account};
use crate::core::RegisteredNode;
use crate::plan::{Plan, nanoseconds};
use crate::queues::{QueueParts, Tenants};

/// Workflows and queues, registered as with a `Core`, for what follows to be played.
#[pyclass(frozen, module = "penstock._engine")]
pub(crate) struct Simulation {
    registered: Mutex<Registered>,
}

#[derive(Default)]
struct Registered {
    queues: Vec<QueueModel>,
    plans: Vec<RegisteredPlan>,
    tenants: Tenants,
}

/// A graph, the policies of its steps, and what a run of it may spend.
type RegisteredPlan = (Arc<penstock_engine::Plan>, Vec<Option<Policy>>, Option<AccountModel>);

/// A workflow in a world that behaves as a model says.
#[pyclass(frozen, module = "penstock._engine")]
pub(crate) struct Scenario {
    scene: Scene,
}

/// A shape as Python gives it: its kind, and its numbers.
type ShapeParts = (String, Vec<f64>);
/// A resource, its units and what one costs: (number, units, nano-dollars, units booked for one).
type SpendParts = (u32, ShapeParts, f64, f64);
/// From which attempt on, after what, and the shares of errors, of final ones and of hanging.
type FailureParts = (u32, Option<String>, f64, f64, f64);

#[derive(FromPyObject)]
struct StepParts {
    #[pyo3(item)]
    latency: ShapeParts,
    #[pyo3(item)]
    failed_latency: Option<ShapeParts>,
    #[pyo3(item)]
    load: Vec<(f64, f64)>,
    #[pyo3(item)]
    failures: Vec<FailureParts>,
    #[pyo3(item)]
    spend: Vec<SpendParts>,
    #[pyo3(item)]
    failed_spend: f64,
    #[pyo3(item)]
    cut_spend: f64,
    #[pyo3(item)]
    quality: Option<f64>,
    #[pyo3(item)]
    group: Option<u8>,
}

/// What the world knows of a node: what it is, and the fields of that.
#[derive(FromPyObject)]
struct NodeParts {
    #[pyo3(item)]
    kind: String,
    #[pyo3(item, default)]
    step: Option<StepParts>,
    #[pyo3(item, default)]
    shares: Vec<f64>,
    #[pyo3(item, default)]
    shape: Option<ShapeParts>,
    #[pyo3(item, default)]
    tier: bool,
    #[pyo3(item, default)]
    group: Option<u8>,
    #[pyo3(item, default)]
    quality: Option<f64>,
    #[pyo3(item, default)]
    keys: u64,
}

#[derive(FromPyObject)]
struct OutageParts {
    #[pyo3(item)]
    queue: u32,
    #[pyo3(item)]
    at: Vec<(f64, f64)>,
    #[pyo3(item)]
    every: f64,
    #[pyo3(item)]
    lasts: f64,
    #[pyo3(item)]
    error: f64,
    #[pyo3(item)]
    slower: f64,
}

#[derive(FromPyObject)]
struct SignalParts {
    #[pyo3(item)]
    answered: f64,
    #[pyo3(item)]
    latency: ShapeParts,
    #[pyo3(item)]
    minutes: Option<ShapeParts>,
    /// The resource, nano-dollars of a minute, and units booked for one.
    #[pyo3(item)]
    price: Option<(u32, f64, f64)>,
    #[pyo3(item)]
    desk: Option<u32>,
}

#[derive(FromPyObject)]
struct DeskParts {
    #[pyo3(item)]
    staff: u32,
    #[pyo3(item)]
    minutes: ShapeParts,
    /// Seconds of a day, from and to.
    #[pyo3(item)]
    hours: (f64, f64),
    #[pyo3(item)]
    days: [bool; 7],
}

/// A model as Python gives it; times in seconds.
#[derive(FromPyObject)]
pub(crate) struct ModelParts {
    /// `poisson` and its rate; `bursty` and rate and mean seconds of both states; `trace` and its gaps.
    #[pyo3(item)]
    arrivals: (String, Vec<f64>),
    #[pyo3(item)]
    tenants: Vec<(String, f64)>,
    #[pyo3(item)]
    frailty: f64,
    #[pyo3(item)]
    nodes: Vec<NodeParts>,
    #[pyo3(item)]
    outages: Vec<OutageParts>,
    /// By name.
    #[pyo3(item)]
    signals: std::collections::HashMap<String, SignalParts>,
    #[pyo3(item)]
    desks: Vec<DeskParts>,
    #[pyo3(item)]
    resources: u32,
    #[pyo3(item)]
    concurrency: u32,
    #[pyo3(item)]
    threads: u32,
    #[pyo3(item)]
    seed: u64,
    #[pyo3(item)]
    deadline: Option<f64>,
    #[pyo3(item)]
    budget: Option<BudgetParts>,
}

fn unknown(what: &str, word: &str) -> PyErr {
    PyValueError::new_err(format!("there is no {what} {word:?}"))
}

fn shape((kind, numbers): ShapeParts) -> PyResult<Shape> {
    Ok(match (kind.as_str(), numbers.as_slice()) {
        ("constant", [value]) => Shape::Constant(*value),
        ("uniform", [low, high]) => Shape::Uniform(*low, *high),
        ("exponential", [mean]) => Shape::Exponential(*mean),
        ("lognormal", [median, sigma]) => Shape::Lognormal(*median, *sigma),
        ("gamma", [mean, 0.0]) => Shape::Constant(*mean),
        ("gamma", [mean, cv]) => Shape::Gamma(1.0 / (cv * cv), mean * cv * cv),
        ("samples", values) if !values.is_empty() => Shape::Samples(values.into()),
        _ => return Err(unknown("shape", &kind)),
    })
}

fn maybe(parts: Option<ShapeParts>) -> PyResult<Option<Shape>> {
    parts.map(shape).transpose()
}

impl StepParts {
    fn model(self) -> PyResult<StepModel> {
        let failures = self.failures.into_iter().map(|(attempt, after, error, fatal, hang)| {
            let after = match after.as_deref() {
                None => None,
                Some("error") => Some(End::Error),
                Some("timeout") => Some(End::Hang),
                Some(other) => return Err(unknown("class of failures", other)),
            };
            Ok(FailureRow { attempt, after, error, fatal, hang })
        });
        let spend = self.spend.into_iter().map(|(resource, units, nanos, scale)| {
            Ok((ResourceId(resource), shape(units)?, Price { nanos, scale }))
        });
        Ok(StepModel {
            latency: shape(self.latency)?,
            failed_latency: maybe(self.failed_latency)?,
            load: self.load,
            failures: failures.collect::<PyResult<_>>()?,
            spend: spend.collect::<PyResult<_>>()?,
            failed_spend: self.failed_spend,
            cut_spend: self.cut_spend,
            quality: self.quality,
            group: self.group,
        })
    }
}

impl NodeParts {
    fn model(self) -> PyResult<NodeModel> {
        let missing = || PyValueError::new_err(format!("a {} node lacks what it needs", self.kind));
        Ok(match self.kind.as_str() {
            "passive" => NodeModel::Passive,
            "answer" => NodeModel::Answer(self.quality, self.group),
            "step" => NodeModel::Step(Box::new(self.step.ok_or_else(missing)?.model()?)),
            "fails" => NodeModel::Fails(*self.shares.first().ok_or_else(missing)?),
            "choice" => {
                let mut sum = 0.0;
                let sums = self.shares.iter().map(|share| {
                    sum += share;
                    sum
                });
                NodeModel::Choice(sums.collect())
            }
            "judge" => NodeModel::Judge(Judged {
                accepted: *self.shares.first().ok_or_else(missing)?,
                tier: self.tier,
                group: self.group,
            }),
            "count" => NodeModel::Count(maybe(self.shape.clone())?.ok_or_else(missing)?),
            "until" if !self.shares.is_empty() => NodeModel::Until(self.shares),
            "key" => NodeModel::Key(self.keys),
            _ => return Err(missing()),
        })
    }
}

impl ModelParts {
    fn arrivals(&self) -> PyResult<Arrivals> {
        Ok(match (self.arrivals.0.as_str(), self.arrivals.1.as_slice()) {
            ("poisson", [rate]) => Arrivals::Poisson(*rate),
            ("bursty", [calm_rate, calm, busy_rate, busy]) => {
                Arrivals::Bursty([(*calm_rate, *calm), (*busy_rate, *busy)])
            }
            ("trace", gaps) if !gaps.is_empty() => Arrivals::Trace(gaps.into()),
            (kind, _) => return Err(unknown("arrivals", kind)),
        })
    }

    fn scene(self, plan: u32, registered: &mut Registered) -> PyResult<Scene> {
        let arrivals = self.arrivals()?;
        let (graph, policies, budget) = registered.plans[plan as usize].clone();
        let mut signals = self.signals;
        let signals = graph.signals().map(|name| {
            let Some(parts) = signals.remove(name) else { return Ok(None) };
            let price = parts
                .price
                .map(|(resource, nanos, scale)| (ResourceId(resource), Price { nanos, scale }));
            Ok(Some(SignalModel {
                answered: parts.answered,
                latency: shape(parts.latency)?,
                minutes: maybe(parts.minutes)?,
                price,
                desk: parts.desk,
            }))
        });
        let signals = signals.collect::<PyResult<_>>()?;
        let outages = self.outages.into_iter().map(|it| {
            let OutageParts { queue, at, every, lasts, error, slower } = it;
            (QueueId(queue), Outage { at, every, lasts, error, slower })
        });
        let desks = self.desks.into_iter().map(|it| {
            let (from_ns, to_ns) = (nanoseconds(it.hours.0), nanoseconds(it.hours.1));
            let hours = Weekly { from_ns, to_ns, days: it.days };
            Ok(Desk { staff: it.staff, minutes: shape(it.minutes)?, hours })
        });
        let nodes: Vec<NodeModel> =
            self.nodes.into_iter().map(NodeParts::model).collect::<PyResult<_>>()?;
        let stepless = nodes
            .iter()
            .zip(&policies)
            .any(|(node, policy)| policy.is_some() != matches!(node, NodeModel::Step(_)));
        if nodes.len() != graph.len() || stepless {
            return Err(PyValueError::new_err("each node needs its model, each step that of one"));
        }
        let tenants = self.tenants.iter();
        let tenants = tenants.map(|(name, share)| (registered.tenants.id(name), *share)).collect();
        Ok(Scene {
            plan: graph,
            policies,
            queues: registered.queues.clone(),
            config: Config {
                concurrency: self.concurrency,
                threads: self.threads,
                seed: self.seed,
                ..Config::default()
            },
            deadline_ns: self.deadline.map(nanoseconds),
            budget: self.budget.map(account).transpose()?.or(budget),
            model: Model {
                arrivals,
                tenants,
                frailty: self.frailty,
                nodes,
                drift: None,
                outages: outages.collect(),
                signals,
                desks: desks.collect::<PyResult<_>>()?,
                resources: self.resources,
            },
        })
    }
}

#[pymethods]
impl Simulation {
    #[new]
    fn new() -> Self {
        let queues = vec![QueueModel::default()];
        Self { registered: Mutex::new(Registered { queues, ..Registered::default() }) }
    }

    /// As `Core.add_queue`.
    fn add_queue(&self, parts: QueueParts) -> PyResult<u32> {
        let mut registered = self.lock();
        let model = parts.model(&mut registered.tenants)?;
        registered.queues.push(model);
        Ok(registered.queues.len() as u32 - 1)
    }

    /// As `Core.configure_queue`.
    fn configure_queue(&self, queue: u32, parts: QueueParts) -> PyResult<()> {
        let mut registered = self.lock();
        let model = parts.model(&mut registered.tenants)?;
        registered.queues[queue as usize] = model;
        Ok(())
    }

    /// As `Core.add_plan`; what only runs with the user's code is left aside.
    fn add_plan(
        &self,
        plan: &Plan,
        _digest: &str,
        nodes: Vec<RegisteredNode<'_>>,
        _overlay: &str,
    ) -> PyResult<u32> {
        let policies = nodes.into_iter().map(|(_, detail, policy, _)| {
            let Some(policy) = policy else { return Ok(None) };
            let threads = detail.get_item(4)?.extract::<String>()? == "threads";
            policy.policy(if threads { Lane::Threads } else { Lane::Loop }).map(Some)
        });
        let policies = policies.collect::<PyResult<_>>()?;
        let mut registered = self.lock();
        registered.plans.push((plan.plan.clone(), policies, None));
        Ok(registered.plans.len() as u32 - 1)
    }

    /// As `Core.limit_runs`.
    fn limit_runs(&self, plan: u32, parts: BudgetParts) -> PyResult<()> {
        self.lock().plans[plan as usize].2 = Some(account(parts)?);
        Ok(())
    }

    /// A registered workflow in a world that behaves as a model says.
    ///
    /// # Errors
    /// `ValueError` for a model that does not go with it; Python checks models before.
    fn scenario(&self, plan: u32, model: ModelParts) -> PyResult<Scenario> {
        Ok(Scenario { scene: model.scene(plan, &mut self.lock())? })
    }
}

impl Simulation {
    fn lock(&self) -> std::sync::MutexGuard<'_, Registered> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an attempt ends, the seconds until then, and what it spends: (resource, units, nano-dollars).
type AttemptTold = (&'static str, f64, Vec<(u32, u64, i64)>);

#[pymethods]
impl Scenario {
    /// How an attempt goes: the luck that it has in a simulation with this seed.
    ///
    /// `node` is its place in the graph, `at` the seconds since the simulation began, `beside` the attempts in flight
    /// in its queue, itself among them, and `after` how the attempt before it ended: "error" or "timeout".
    #[pyo3(signature = (seed, run, node, number, *, at=0.0, after=None, beside=1))]
    #[expect(clippy::too_many_arguments, reason = "each says of itself what it is")]
    fn attempt(
        &self,
        seed: u64,
        run: u64,
        node: u32,
        number: u32,
        at: f64,
        after: Option<&str>,
        beside: u32,
    ) -> PyResult<AttemptTold> {
        let after = after.map(|word| if word == "timeout" { End::Hang } else { End::Error });
        let which = Which { run, node: Place(node), number, copy: false };
        let when = (nanoseconds(at), beside);
        let (drawn, model) = foretell(&self.scene, seed, which, NodeId(node), when, after)
            .map_err(|node| PyValueError::new_err(format!("node {} is no step", node.0)))?;
        let spends =
            drawn.spends(model, false).map(|(resource, units, nanos)| (resource.0, units, nanos));
        let end = match drawn.end {
            End::Done => "done",
            End::Error => "error",
            End::Fatal => "fatal",
            End::Hang => "hang",
        };
        Ok((end, drawn.seconds, spends.collect()))
    }

    /// The same, but that nodes behave as in one of other scenarios of the same workflow for so many seconds, then as
    /// in another, drawn again and again; all else stays.
    ///
    /// # Errors
    /// `ValueError` for scenarios of other workflows, or that spend what this one does not know.
    #[expect(clippy::needless_pass_by_value, reason = "so Python gives them")]
    fn drifting(&self, others: Vec<PyRef<'_, Self>>, seconds: f64) -> PyResult<Self> {
        let mut scene = self.scene.clone();
        let (nodes, resources) = (&self.scene.model.nodes, self.scene.model.resources);
        let is_alike = |other: &Scene| {
            other.model.resources <= resources
                && other.model.nodes.len() == nodes.len()
                && nodes.iter().zip(&other.model.nodes).all(|(one, other)| {
                    matches!(one, NodeModel::Step(_)) == matches!(other, NodeModel::Step(_))
                })
        };
        if !others.iter().all(|other| is_alike(&other.scene)) {
            return Err(PyValueError::new_err("a world of another workflow, or with other spend"));
        }
        let worlds = others.iter().map(|other| other.scene.model.nodes.clone()).collect();
        scene.model.drift = Some(Drift { stretch_ns: nanoseconds(seconds), worlds });
        Ok(Self { scene })
    }

    /// Seconds before each of the first runs.
    fn arrivals(&self, seed: u64, runs: u64) -> Vec<f64> {
        arrivals(&self.scene, seed, runs)
    }

    /// Every record that a journal would have got of so many runs: (which run it was to come, seconds, node,
    /// attempt, kind).
    fn trace(&self, py: Python<'_>, seed: u64, runs: u64) -> Vec<FactTold> {
        let facts = py.detach(|| trace(&self.scene, seed, runs));
        facts
            .into_iter()
            .map(|it| (it.run, it.at_ns as f64 / 1e9, it.node, it.attempt, it.kind))
            .collect()
    }
}

/// As [`penstock_simulator::forecast::Fact`].
type FactTold = (u64, f64, String, u32, &'static str);

/// Plays scenarios on so many threads; a scenario that was not played to its end gives None.
///
/// `length` is how many runs come first that do not count, how many that do, and in how many batches.
/// `progress(runs)` is told every tenth of a second, and at the end, how many runs came; an interrupt has the rest
/// stop, and the second of what is given be True; what else it raises is raised once they have.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "so Python gives them")]
pub(crate) fn play<'py>(
    py: Python<'py>,
    scenarios: Vec<PyRef<'py, Scenario>>,
    seed: u64,
    length: (u64, u64, u32),
    threads: usize,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<(Vec<Option<Bound<'py, PyDict>>>, bool)> {
    let (warm_up, runs, batches) = length;
    let length = Length { warm_up, runs, batches };
    let scenes: Vec<&Scene> = scenarios.iter().map(|it| &it.scene).collect();
    let table = Table {
        next: AtomicUsize::new(0),
        done: Mutex::new((0..scenes.len()).map(|_| None).collect()),
        working: Mutex::new(threads.clamp(1, scenes.len().max(1))),
        idle: Condvar::new(),
        progress: Progress::default(),
    };
    let count = *table.working.lock().unwrap_or_else(PoisonError::into_inner);
    let interrupted = std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| table.work(&scenes, seed, length));
        }
        let said = table.watch(py, progress.as_ref());
        table.progress.stop.store(said.is_err(), Ordering::Relaxed);
        // The workers end soon after they were told to stop.
        py.detach(|| while !table.wait() {});
        said
    });
    let interrupted = match interrupted {
        Ok(()) => false,
        Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => true,
        Err(error) => return Err(error),
    };
    let done = table.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let told = done.iter().map(|it| it.as_ref().map(|played| told(py, played)).transpose());
    Ok((told.collect::<PyResult<_>>()?, interrupted))
}

/// What threads share that play scenes.
struct Table {
    next: AtomicUsize,
    done: Mutex<Vec<Option<Played>>>,
    working: Mutex<usize>,
    idle: Condvar,
    progress: Progress,
}

impl Table {
    fn work(&self, scenes: &[&Scene], seed: u64, length: Length) {
        // Whatever happens to it, a worker says that it is gone.
        let _gone = Gone(self);
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(scene) = scenes.get(place) else { return };
            if self.progress.stop.load(Ordering::Relaxed) {
                return;
            }
            let played = penstock_simulator::forecast::play(scene, seed, length, &self.progress);
            if !played.stopped {
                let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
                done[place] = Some(played);
            }
        }
    }

    /// Waits a tenth of a second, or until all are gone; whether they are.
    fn wait(&self) -> bool {
        let working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        if *working == 0 {
            return true;
        }
        let tenth = Duration::from_millis(100);
        let waited = self.idle.wait_timeout_while(working, tenth, |working| *working > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }

    fn watch(&self, py: Python<'_>, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        loop {
            let gone = py.detach(|| self.wait());
            py.check_signals()?;
            if let Some(progress) = progress {
                progress.call1((self.progress.came.load(Ordering::Relaxed),))?;
            }
            if gone {
                return Ok(());
            }
        }
    }
}

struct Gone<'a>(&'a Table);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        *self.0.working.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.idle.notify_all();
    }
}

fn told<'py>(py: Python<'py>, played: &Played) -> PyResult<Bound<'py, PyDict>> {
    let content = PyDict::new(py);
    let batches = played.batches.iter().map(|batch| of_batch(py, batch));
    content.set_item("batches", batches.collect::<PyResult<Vec<_>>>()?)?;
    content.set_item("events", played.events)?;
    content.set_item("elapsed", played.elapsed_ns as f64 / 1e9)?;
    content.set_item("unfinished", played.unfinished)?;
    content.set_item("beyond", &played.beyond)?;
    content.set_item("hash", played.hash)?;
    Ok(content)
}

fn of_batch<'py>(py: Python<'py>, batch: &Batch) -> PyResult<Bound<'py, PyDict>> {
    let content = PyDict::new(py);
    content.set_item("offered", batch.offered)?;
    content.set_item("refused", batch.refused)?;
    let ended = RunEnd::ALL.iter().map(|end| (end.name(), batch.ended[*end as usize]));
    content.set_item("ended", filled(py, ended)?)?;
    content.set_item("first_pass", batch.first_pass)?;
    content.set_item("degraded", batch.degraded)?;
    content.set_item("latency", histogram(py, &batch.latency)?)?;
    let delays = batch.delays.iter().map(|delay| histogram(py, delay));
    content.set_item("queue_delays", delays.collect::<PyResult<Vec<_>>>()?)?;
    content.set_item("nanos", batch.nanos)?;
    let waste = Waste::ALL.iter().map(|it| (it.name(), batch.waste[*it as usize]));
    content.set_item("waste", filled(py, waste)?)?;
    let kinds = AttemptKind::ALL.iter();
    let attempts = kinds.map(|it| (it.name(), batch.attempts[*it as usize].cast_signed()));
    content.set_item("attempts", filled(py, attempts)?)?;
    content.set_item("hedges", batch.hedges)?;
    content.set_item("resources", &batch.resources)?;
    let held: Vec<f64> = batch.held_ns.iter().map(|it| *it as f64 / 1e9).collect();
    content.set_item("held", held)?;
    content.set_item("minutes", batch.minutes as f64 / 1e6)?;
    content.set_item("rated", batch.rated)?;
    content.set_item("span", batch.span_ns as f64 / 1e9)?;
    Ok(content)
}

/// What is not 0, by name.
fn filled(
    py: Python<'_>,
    all: impl Iterator<Item = (&'static str, i64)>,
) -> PyResult<Bound<'_, PyDict>> {
    let content = PyDict::new(py);
    for (name, number) in all.filter(|(_, number)| *number != 0) {
        content.set_item(name, number)?;
    }
    Ok(content)
}

/// Counts by bucket, as the store's rows have them.
fn histogram<'py>(py: Python<'py>, times: &Distribution) -> PyResult<Bound<'py, PyDict>> {
    let content = PyDict::new(py);
    for (bucket, count) in times.since(&Distribution::default()) {
        content.set_item(bucket.to_string(), count)?;
    }
    Ok(content)
}
