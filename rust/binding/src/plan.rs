//! The Python side of a registered workflow: functions, contracts and constants by node.

use std::sync::Arc;

use penstock_engine::{Jitter, Lane, NodeKind, NodeSpec, Policy, QueueId, RetryPolicy, StepId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

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
        nodes: Vec<(String, String, Vec<u32>, Vec<u32>)>,
        output: u32,
    ) -> PyResult<Self> {
        let specs = nodes
            .into_iter()
            .map(|(kind, path, inputs, after)| {
                let kind = match kind.as_str() {
                    "input" => NodeKind::Input,
                    "constant" => NodeKind::Constant,
                    "apply" => NodeKind::Apply,
                    "step" => NodeKind::Step,
                    other => {
                        let problem = format!("node {path}: there is no kind of node {other:?}");
                        return Err(PyValueError::new_err(vec![problem]));
                    }
                };
                Ok(NodeSpec { path, kind, inputs, after })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let plan = penstock_engine::Plan::compile(name, version, &specs, output)
            .map_err(PyValueError::new_err)?;
        Ok(Self { plan: Arc::new(plan) })
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
        if self.anything
            || self.exact.iter().any(|class| is_exactly(&value, class))
            || self
                .instances
                .iter()
                .any(|class| is_exactly(&value, class) || inherits(&value, class))
        {
            return Ok(value);
        }
        self.validate.bind(value.py()).call1((value,))
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
}

/// What the driver knows of a node.
pub(crate) enum NodePart {
    Input(Contract),
    Constant(Py<PyAny>),
    Apply(Py<PyAny>, Contract),
    Step(Arc<StepPart>),
}

/// A registered workflow.
pub(crate) struct PlanParts {
    pub(crate) plan: Arc<penstock_engine::Plan>,
    pub(crate) nodes: Vec<NodePart>,
}

/// A step's policy as Python gives it; times in seconds, 0 for none.
#[derive(FromPyObject)]
pub(crate) struct PolicyParts {
    #[pyo3(item)]
    step: u32,
    #[pyo3(item)]
    queue: u32,
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
    retry_timeouts: bool,
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
            retry_timeouts: self.retry_timeouts,
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
    /// From what Python registers for a node: `(contract, detail)`, where the detail is the constant's
    /// value, the applied function, or `(step, function, name, retry, mode, context)`.
    pub(crate) fn new(
        kind: NodeKind,
        contract: &Bound<'_, PyAny>,
        detail: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        Ok(match kind {
            NodeKind::Input => Self::Input(Contract::new(contract)?),
            NodeKind::Constant => Self::Constant(detail.clone().unbind()),
            NodeKind::Apply => Self::Apply(detail.clone().unbind(), Contract::new(contract)?),
            NodeKind::Step => {
                type Detail =
                    (Py<PyAny>, Py<PyAny>, Py<PyString>, Py<PyAny>, String, Option<String>);
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
                Self::Step(Arc::new(StepPart {
                    step,
                    function,
                    name,
                    retry,
                    mode,
                    context,
                    contract,
                }))
            }
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
            Self::Input(_) => Vec::new(),
            Self::Constant(value) => vec![value],
            Self::Apply(function, _) => vec![function],
            Self::Step(part) => vec![&part.step, &part.function, &part.retry],
        }
    }
}
