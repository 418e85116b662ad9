//! A graph as Python describes it: one dictionary per node.

use penstock_engine::{CallSpec, GraphSpec, NodeKind, NodeSpec, RegionSpec};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::plan::nanoseconds;

/// A node: what every kind has, and what only some have.
#[derive(FromPyObject)]
pub(crate) struct NodeParts {
    #[pyo3(item)]
    kind: String,
    #[pyo3(item)]
    path: String,
    #[pyo3(item)]
    inputs: Vec<u32>,
    #[pyo3(item)]
    gates: Vec<u32>,
    #[pyo3(item)]
    after: Vec<u32>,
    #[pyo3(item)]
    call: u32,
    #[pyo3(item)]
    scope: Option<u32>,
    #[pyo3(item)]
    holds: Option<u32>,
    #[pyo3(item, default)]
    outcomes: u32,
    #[pyo3(item, default)]
    taken: Vec<u32>,
    #[pyo3(item, default)]
    need: Option<u32>,
    #[pyo3(item, default)]
    concurrency: Option<u32>,
    #[pyo3(item, default)]
    tolerated: Option<u32>,
    #[pyo3(item, default)]
    limit: Option<u32>,
    #[pyo3(item, default)]
    cancel_rest: bool,
    #[pyo3(item, default)]
    body: u32,
    #[pyo3(item, default)]
    fail: bool,
    #[pyo3(item, default)]
    seconds: f64,
    #[pyo3(item, default)]
    signal: String,
    #[pyo3(item, default)]
    explore: f64,
    #[pyo3(item, default)]
    contains: u32,
    #[pyo3(item, default)]
    computed: bool,
    #[pyo3(item, default)]
    key: Option<String>,
    #[pyo3(item, default)]
    cancels: u32,
    #[pyo3(item, default)]
    of: u32,
}

/// `(prefix, start, stop, input_count, output)`
pub(crate) type RegionParts = (String, u32, u32, u32, u32);

/// The graph that these make.
pub(crate) fn graph(
    name: &str,
    version: &str,
    nodes: Vec<NodeParts>,
    regions: Vec<RegionParts>,
    calls: Vec<(u32, u32)>,
    scopes: Vec<Option<u32>>,
) -> PyResult<GraphSpec> {
    let mut signals: Vec<String> = Vec::new();
    let nodes = nodes
        .into_iter()
        .map(|parts| {
            let kind = parts.kind(&mut signals)?;
            let NodeParts { path, inputs, gates, after, call, scope, holds, .. } = parts;
            Ok(NodeSpec { path, kind, inputs, gates, after, call, scope, holds })
        })
        .collect::<PyResult<Vec<_>>>()?;
    let region = |(prefix, start, stop, input_count, output)| RegionSpec {
        prefix,
        start,
        stop,
        input_count,
        output,
    };
    Ok(GraphSpec {
        name: name.to_owned(),
        version: version.to_owned(),
        nodes,
        regions: regions.into_iter().map(region).collect(),
        calls: calls.into_iter().map(|(parent, output)| CallSpec { parent, output }).collect(),
        scopes,
        signals,
    })
}

impl NodeParts {
    fn kind(&self, signals: &mut Vec<String>) -> PyResult<NodeKind> {
        Ok(match self.kind.as_str() {
            "input" => NodeKind::Input,
            "constant" => NodeKind::Constant,
            "apply" => NodeKind::Apply,
            "step" => NodeKind::Step,
            "switch" => NodeKind::Switch { outcomes: self.outcomes },
            "case" => NodeKind::Case {
                taken: self
                    .taken
                    .iter()
                    .filter(|&&bit| bit < 64)
                    .fold(0, |all, bit| all | 1 << bit),
            },
            "when" => NodeKind::When,
            "merge" => NodeKind::Merge,
            "collect" => {
                NodeKind::Collect { need: self.need.unwrap_or(0), cancel_rest: self.cancel_rest }
            }
            "race" => NodeKind::Race { cancel_rest: self.cancel_rest },
            "optional" => NodeKind::Optional,
            "accept" => NodeKind::Accept {
                contains: self.contains,
                computed: self.computed,
                explore: (self.explore * f64::from(u32::MAX)) as u32,
            },
            "shield" => NodeKind::Shield { contains: self.contains },
            "map" => NodeKind::Map {
                body: self.body,
                concurrency: self.concurrency.unwrap_or(0),
                need: self.need.unwrap_or(0),
                tolerated: self.tolerated,
                cancel_rest: self.cancel_rest,
            },
            "loop" => {
                NodeKind::Loop { body: self.body, limit: self.limit.unwrap_or(0), fail: self.fail }
            }
            "recurse" => NodeKind::Recurse { body: self.body, limit: self.limit.unwrap_or(0) },
            "signal" => {
                let known = signals.iter().position(|name| *name == self.signal);
                let signal = known.unwrap_or_else(|| {
                    signals.push(self.signal.clone());
                    signals.len() - 1
                });
                NodeKind::Signal {
                    signal: signal as u32,
                    timeout_ns: nanoseconds(self.seconds),
                    fail: self.fail,
                }
            }
            "sleep" => NodeKind::Sleep { duration_ns: nanoseconds(self.seconds) },
            "spawn" => NodeKind::Spawn,
            "acquire" => NodeKind::Acquire { key: self.key.as_deref().map(concurrency_key) },
            "cancel" => NodeKind::Cancel { scope: self.cancels },
            "undo" => NodeKind::Undo { of: self.of },
            other => {
                let problem = format!("node {}: there is no kind of node {other:?}", self.path);
                return Err(PyValueError::new_err(vec![problem]));
            }
        })
    }
}

/// The number of a concurrency key: FNV-1a of its text, the same in every process.
pub(crate) fn concurrency_key(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
