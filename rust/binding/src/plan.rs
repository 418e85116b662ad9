//! The Python side of a registered workflow: functions, contracts and constants by node.

use std::sync::Arc;

use penstock_engine::{
    Hedge, Jitter, Lane, NodeId, NodeKind, Policy, QueueId, RetryPolicy, StepId,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::codec::Codec;
use crate::graph::{NodeParts, RegionParts, graph};
use crate::python::{inherits, is_exactly};

/// A verified graph, made when a workflow is defined.
#[pyclass(frozen, module = "penstock._engine")]
pub(crate) struct Plan {
    pub(crate) plan: Arc<penstock_engine::Plan>,
}

#[pymethods]
impl Plan {
    #[new]
    fn new(
        name: &str,
        version: &str,
        nodes: Vec<NodeParts>,
        regions: Vec<RegionParts>,
        calls: Vec<(u32, u32)>,
        scopes: Vec<Option<u32>>,
    ) -> PyResult<Self> {
        let spec = graph(name, version, nodes, regions, calls, scopes)?;
        let plan = penstock_engine::Plan::compile(spec).map_err(PyValueError::new_err)?;
        Ok(Self { plan: Arc::new(plan) })
    }

    /// Pairs `(decision, outcome, other decision, outcome)` that can occur together in one frame; None if
    /// there are too many decisions to tell.
    fn branch_pairs(&self) -> Option<Vec<(u32, u32, u32, u32)>> {
        self.plan.branch_pairs()
    }

    #[getter]
    fn name(&self) -> &str {
        self.plan.name()
    }

    #[getter]
    fn version(&self) -> &str {
        self.plan.version()
    }

    fn __len__(&self) -> usize {
        self.plan.len()
    }

    fn __repr__(&self) -> String {
        format!("<Plan {} {}: {} nodes>", self.plan.name(), self.plan.version(), self.plan.len())
    }
}

/// What a value must be to travel on an edge.
pub(crate) struct Contract {
    anything: bool,
    exact: Vec<Py<PyAny>>,
    instances: Vec<Py<PyAny>>,
    validate: Py<PyAny>,
}

impl Contract {
    fn new(contract: &Bound<'_, PyAny>) -> PyResult<Self> {
        let classes = |name: &str| -> PyResult<Vec<Py<PyAny>>> {
            contract
                .getattr(name)?
                .try_iter()?
                .map(|class| Ok(class?.cast_into::<PyType>()?.into_any().unbind()))
                .collect()
        };
        Ok(Self {
            anything: contract.getattr("anything")?.extract()?,
            exact: classes("exact")?,
            instances: classes("instances")?,
            validate: contract.getattr("validate")?.unbind(),
        })
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        let classes = |all: &[Py<PyAny>]| all.iter().map(|class| class.clone_ref(py)).collect();
        Self {
            anything: self.anything,
            exact: classes(&self.exact),
            instances: classes(&self.instances),
            validate: self.validate.clone_ref(py),
        }
    }

    /// The value to pass on: itself if its class says enough, else what the validator makes of it.
    pub(crate) fn check<'py>(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if self.admits(&value) { Ok(value) } else { self.validate.bind(value.py()).call1((value,)) }
    }

    /// Whether the class of a value says enough.
    pub(crate) fn admits(&self, value: &Bound<'_, PyAny>) -> bool {
        self.anything
            || self.exact.iter().any(|class| is_exactly(value, class))
            || self.instances.iter().any(|class| is_exactly(value, class) || inherits(value, class))
    }
}

/// Which way an attempt runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// On a carrier Task that steps share as long as nobody can tell.
    Carrier,
    /// In an `asyncio.Task` of its own.
    Own,
    /// In the thread pool.
    Threads,
}

/// Where a step wants its `Context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContextPlace {
    Nowhere,
    First,
    Last,
}

/// A step node: what to call, and what to hold its result against.
pub(crate) struct StepPart {
    /// The Python `Step`, for hooks.
    pub(crate) step: Py<PyAny>,
    pub(crate) function: Py<PyAny>,
    pub(crate) name: Py<PyString>,
    /// The retry policy of this node, for the verdict on its exceptions.
    pub(crate) retry: Py<PyAny>,
    pub(crate) mode: Mode,
    pub(crate) context: ContextPlace,
    pub(crate) contract: Contract,
    /// How its result is written to a durable store.
    pub(crate) codec: Option<Arc<Codec>>,
}

impl StepPart {
    /// From `(step, function, name, retry, mode, context)`.
    fn new(
        contract: &Bound<'_, PyAny>,
        detail: &Bound<'_, PyAny>,
        codec: Option<Arc<Codec>>,
    ) -> PyResult<Self> {
        type Detail = (Py<PyAny>, Py<PyAny>, Py<PyString>, Py<PyAny>, String, Option<String>);
        let (step, function, name, retry, mode, context): Detail = detail.extract()?;
        let mode = match mode.as_str() {
            "carrier" => Mode::Carrier,
            "own" => Mode::Own,
            _ => Mode::Threads,
        };
        let context = match context.as_deref() {
            Some("first") => ContextPlace::First,
            Some(_) => ContextPlace::Last,
            None => ContextPlace::Nowhere,
        };
        let contract = Contract::new(contract)?;
        Ok(Self { step, function, name, retry, mode, context, contract, codec })
    }
}

/// What the driver knows of a node.
pub(crate) enum NodePart {
    Input(Contract),
    Constant(Py<PyAny>),
    Apply(Py<PyAny>, Contract),
    /// A step, or the compensation of one.
    Step(Arc<StepPart>),
    Switch(Chooser),
    /// Yes or no: a when, or the end of a loop.
    Predicate(Py<PyAny>),
    /// What judges a value, the least score if it gives one, and whether it is a tier's of a cascade.
    Accept(Py<PyAny>, Option<f64>, bool),
    /// What gives a concurrency key; without a function it is the only input.
    Acquire(Option<Py<PyAny>>),
    /// The plan of the run to start.
    Spawn(u32),
    /// The engine does all there is to do.
    Passive,
}

/// How a switch chooses one of its outcomes.
pub(crate) enum Chooser {
    ByKey { key: Py<PyAny>, outcomes: Py<PyDict>, default: Option<u64> },
    ByType { types: Py<PyTuple>, default: Option<u64> },
}

impl Chooser {
    /// From `(key, outcomes, default)` or `(types, default)`.
    fn new(detail: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok((key, outcomes, default)) = detail.extract() {
            return Ok(Self::ByKey { key, outcomes, default });
        }
        let (types, default) = detail.extract()?;
        Ok(Self::ByType { types, default })
    }

    /// The outcome for a value.
    ///
    /// # Errors
    /// What the key function raised, or a `ValueError` where no case is for the value.
    pub(crate) fn choose(&self, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        let py = value.py();
        match self {
            Self::ByKey { key, outcomes, default } => {
                let key = key.bind(py).call1((value,))?;
                if let Some(outcome) = outcomes.bind(py).get_item(&key)? {
                    return outcome.extract();
                }
                default.ok_or_else(|| {
                    let problem = format!("no case is for the key {key:?}; add it, or a default");
                    PyValueError::new_err(problem)
                })
            }
            Self::ByType { types, default } => {
                for (outcome, class) in (0..).zip(types.bind(py).iter_borrowed()) {
                    if value.is_instance(&class)? {
                        return Ok(outcome);
                    }
                }
                default.ok_or_else(|| {
                    let problem =
                        format!("no case is for a {}; add it, or a default", value.get_type());
                    PyValueError::new_err(problem)
                })
            }
        }
    }
}

/// A registered workflow.
pub(crate) struct PlanParts {
    pub(crate) plan: Arc<penstock_engine::Plan>,
    /// Digest of the graph, in hex.
    pub(crate) digest: String,
    /// Digest of the overlay that it is served with; empty without one.
    pub(crate) overlay: String,
    pub(crate) nodes: Vec<NodePart>,
    /// How the nodes' values are written to a durable store; empty without one.
    pub(crate) codecs: Vec<Option<Arc<Codec>>>,
    /// Whether its runs may start others.
    pub(crate) spawns: bool,
}

impl PlanParts {
    /// How a node's values are written to a durable store, if there is one.
    pub(crate) fn codec(&self, node: NodeId) -> Option<&Codec> {
        self.codecs.get(node.index())?.as_deref()
    }

    /// The value of a constant node.
    pub(crate) fn constant(&self, py: Python<'_>, node: NodeId) -> Py<PyAny> {
        match &self.nodes[node.index()] {
            NodePart::Constant(value) => value.clone_ref(py),
            _ => py.None(),
        }
    }
}

/// A step's policy as Python gives it; times in seconds, 0 for none.
#[derive(FromPyObject)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the step on its own")]
pub(crate) struct PolicyParts {
    #[pyo3(item)]
    step: u32,
    #[pyo3(item)]
    pub(crate) step_name: String,
    #[pyo3(item)]
    queue: u32,
    #[pyo3(item)]
    pub(crate) queue_name: String,
    #[pyo3(item)]
    stands_in: bool,
    /// Inputs from other steps, and those of them from other owners'.
    #[pyo3(item)]
    handoffs: (u8, u8),
    #[pyo3(item)]
    priority: Option<u8>,
    #[pyo3(item)]
    step_priority: Option<u8>,
    #[pyo3(item)]
    max_attempts: std::num::NonZeroU32,
    #[pyo3(item)]
    initial_interval: f64,
    #[pyo3(item)]
    backoff_coefficient: f64,
    #[pyo3(item)]
    max_interval: f64,
    #[pyo3(item)]
    jitter: String,
    #[pyo3(item)]
    tokens: u32,
    /// Nano-dollars that an attempt is expected to spend, and at most; 0 where nobody has said.
    #[pyo3(item)]
    cost: (i64, i64),
    #[pyo3(item)]
    fallback: bool,
    /// Seconds, or 0 and a share of the attempts.
    #[pyo3(item)]
    hedge: Option<(f64, f64)>,
    #[pyo3(item)]
    retry_timeouts: bool,
    #[pyo3(item)]
    once: bool,
    #[pyo3(item)]
    timeout: f64,
    #[pyo3(item)]
    total_timeout: f64,
    #[pyo3(item)]
    queue_timeout: f64,
    #[pyo3(item)]
    heartbeat_timeout: f64,
}

impl PolicyParts {
    pub(crate) fn policy(&self, lane: Lane) -> PyResult<Policy> {
        let jitter = match self.jitter.as_str() {
            "full" => Jitter::Full,
            "equal" => Jitter::Equal,
            "none" => Jitter::None,
            other => {
                return Err(PyValueError::new_err(format!("there is no jitter {other:?}")));
            }
        };
        Ok(Policy {
            step: StepId(self.step),
            queue: QueueId(self.queue),
            lane,
            priority: self.priority,
            step_priority: self.step_priority,
            retry: RetryPolicy {
                attempts_max: self.max_attempts,
                initial_ns: nanoseconds(self.initial_interval),
                coefficient: self.backoff_coefficient,
                max_ns: nanoseconds(self.max_interval),
                jitter,
            },
            tokens: self.tokens,
            estimate_nanos: self.cost.0,
            max_nanos: self.cost.1,
            fallback: self.fallback,
            stands_in: self.stands_in,
            handoffs: self.handoffs.0,
            cross_handoffs: self.handoffs.1,
            hedge: self.hedge.map(|(after, share)| {
                if after > 0.0 { Hedge::After(nanoseconds(after)) } else { Hedge::Quantile(share) }
            }),
            retry_timeouts: self.retry_timeouts,
            once: self.once,
            timeout_ns: nanoseconds(self.timeout),
            total_timeout_ns: nanoseconds(self.total_timeout),
            queue_timeout_ns: nanoseconds(self.queue_timeout),
            heartbeat_timeout_ns: nanoseconds(self.heartbeat_timeout),
        })
    }
}

/// Seconds as nanoseconds; negative times are 0, and what does not fit is the longest there is.
pub(crate) fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

impl NodePart {
    /// From what Python registers for a node: `(contract, detail)`. The detail is the constant's value; the
    /// function of an apply, when or loop; `(step, function, name, retry, mode, context)`; `(key, outcomes,
    /// default)` or `(types, default)` of a switch; `(function, threshold, whether of a cascade)` of an accept; the key function
    /// or None of an acquire; the child's plan of a spawn; else None.
    pub(crate) fn new(
        kind: NodeKind,
        contract: &Bound<'_, PyAny>,
        detail: &Bound<'_, PyAny>,
        codec: Option<&Arc<Codec>>,
    ) -> PyResult<Self> {
        Ok(match kind {
            NodeKind::Input => Self::Input(Contract::new(contract)?),
            NodeKind::Constant => Self::Constant(detail.clone().unbind()),
            NodeKind::Apply => Self::Apply(detail.clone().unbind(), Contract::new(contract)?),
            NodeKind::Step => {
                Self::Step(Arc::new(StepPart::new(contract, detail, codec.cloned())?))
            }
            // What a compensation gives is of no use to anybody.
            NodeKind::Undo { .. } => Self::Step(Arc::new(StepPart::new(contract, detail, None)?)),
            NodeKind::Switch { .. } => Self::Switch(Chooser::new(detail)?),
            NodeKind::When | NodeKind::Loop { .. } => Self::Predicate(detail.clone().unbind()),
            NodeKind::Accept { computed: true, .. } => {
                let (function, at, is_tier) = detail.extract()?;
                Self::Accept(function, at, is_tier)
            }
            NodeKind::Acquire { key: None } => Self::Acquire(detail.extract()?),
            NodeKind::Spawn => Self::Spawn(detail.extract()?),
            _ => Self::Passive,
        })
    }

    /// Where the node's attempts run.
    pub(crate) fn lane(&self) -> Option<Lane> {
        match self {
            Self::Step(part) if part.mode == Mode::Threads => Some(Lane::Threads),
            Self::Step(_) => Some(Lane::Loop),
            _ => None,
        }
    }

    /// The Python objects held, for the garbage collector.
    pub(crate) fn objects(&self) -> Vec<&Py<PyAny>> {
        match self {
            Self::Input(_) | Self::Spawn(_) | Self::Passive | Self::Acquire(None) => Vec::new(),
            Self::Constant(value) => vec![value],
            Self::Apply(function, _)
            | Self::Predicate(function)
            | Self::Accept(function, ..)
            | Self::Acquire(Some(function)) => vec![function],
            Self::Switch(Chooser::ByKey { key, outcomes, .. }) => vec![key, outcomes.as_any()],
            Self::Switch(Chooser::ByType { types, .. }) => vec![types.as_any()],
            Self::Step(part) => vec![&part.step, &part.function, &part.retry],
        }
    }
}
