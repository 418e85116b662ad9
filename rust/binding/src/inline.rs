//! Evaluating inline nodes: functions, decisions, lists, and the start of detached runs.

use std::sync::Arc;

use penstock_engine::{Evaluation, Event, NodeId, Place, PlanId, RunKey, Score};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySequence, PyTuple};
use smallvec::SmallVec;

use crate::codec;
use crate::core::Core;
use crate::graph::concurrency_key;
use crate::plan::{NodePart, PlanParts};
use crate::python::{call, copy_context, within};
use crate::runs::RunOptions;
use crate::state::Effects;
use crate::tags::inherited;
use crate::values::Payload;

/// An inline node to evaluate.
#[derive(Clone, Copy)]
pub(crate) struct Inline {
    pub(crate) run: RunKey,
    pub(crate) node: Place,
    pub(crate) template: NodeId,
    pub(crate) what: Evaluation,
}

/// What came of it.
enum Answer {
    Value(Py<PyAny>),
    Outcome(u64),
    Count(u32),
    /// Whether a value is good enough, how good it is if it has to reach a threshold, and whether it is a cascade's.
    Judged(bool, Option<Score>, bool),
}

/// What an inline node is evaluated with.
struct Given {
    parts: Arc<PlanParts>,
    arguments: SmallVec<[Py<PyAny>; 6]>,
    context: Py<PyAny>,
}

impl Core {
    /// Evaluates an inline node and tells the engine.
    pub(crate) fn evaluate(&self, py: Python<'_>, inline: Inline) -> Effects {
        let mut spawned = Effects::default();
        let answer = self.answer(py, inline, &mut spawned);
        let answer = answer
            .and_then(|answer| self.written(py, inline, answer))
            .map_err(|error| (self.refusal_of(py, &error), error.into_value(py).into_any()))
            .map_err(|(refusal, error)| (self.error_payload(py, &error), error, refusal));
        let now_ns = self.read_clock(py);
        let mut state = self.lock(py);
        let (run, node) = (inline.run, inline.node);
        let event = match answer {
            Ok((Answer::Value(value), payload)) => {
                Event::Decided { run, node, value: state.values.insert_with(value, payload) }
            }
            Ok((Answer::Outcome(outcome), _)) => Event::Chosen { run, node, outcome, score: None },
            Ok((Answer::Judged(accepted, score, true), _)) => {
                Event::Judged { run, node, accepted, score }
            }
            Ok((Answer::Judged(accepted, score, false), _)) => {
                Event::Chosen { run, node, outcome: u64::from(accepted), score }
            }
            Ok((Answer::Count(count), _)) => Event::Counted { run, node, count },
            Err((payload, error, refusal)) => {
                let error = state.values.insert_with(error, payload);
                Event::DecidedFailed { run, node, error, refusal }
            }
        };
        let mut effects = state.handle(py, now_ns, event);
        drop(state);
        effects.garbage.extend(spawned.garbage);
        if let Some(rest) = spawned.rest {
            effects.rest().absorb(*rest);
        }
        effects
    }

    /// An answer with what a durable store is to know of it.
    fn written(
        &self,
        py: Python<'_>,
        inline: Inline,
        answer: Answer,
    ) -> PyResult<(Answer, Payload)> {
        let Answer::Value(value) = &answer else { return Ok((answer, Payload::Unknown)) };
        let Some(parts) = self.lock(py).parts_of(inline.run) else {
            return Ok((answer, Payload::Unknown));
        };
        match codec::payload(parts.codec(inline.template), value.bind(py)) {
            Ok(payload) => Ok((answer, payload)),
            Err(error) => Err(self.located(py, inline, &error)),
        }
    }

    /// An error with the run and the node it happened to.
    fn located(&self, py: Python<'_>, inline: Inline, error: &PyErr) -> PyErr {
        let (run_id, path) = {
            let state = self.lock(py);
            (state.run_id(inline.run), state.engine.path(inline.run, inline.node))
        };
        self.locate(py, run_id, &path.unwrap_or_default(), error)
    }

    fn answer(&self, py: Python<'_>, inline: Inline, spawned: &mut Effects) -> PyResult<Answer> {
        self.warm(py, inline.run)?;
        let Some(given) = self.given(py, inline) else { return Ok(Answer::Value(py.None())) };
        let part = &given.parts.nodes[inline.template.index()];
        let answer = match (inline.what, part) {
            (Evaluation::Count, _) => count(given.arguments[0].bind(py)),
            (Evaluation::Gather, _) => self.gather(py, inline),
            (_, NodePart::Spawn(plan)) => self.spawn(py, inline, *plan, given, spawned),
            (_, part) => {
                let context = copy_context(given.context.bind(py))?;
                within(&context, || decide(py, part, &given.arguments))?
            }
        };
        answer.map_err(|error| self.located(py, inline, &error))
    }

    fn given(&self, py: Python<'_>, inline: Inline) -> Option<Given> {
        let Inline { run, node, what, .. } = inline;
        let state = self.lock(py);
        let side = state.side(run)?;
        let parts = state.plans[side.plan.0 as usize].clone();
        let arguments = match what {
            Evaluation::Gather => SmallVec::new(),
            Evaluation::Until => state
                .engine
                .iteration(run, node)
                .map(|last| state.value(py, run, last, &parts))
                .into_iter()
                .collect(),
            Evaluation::Function | Evaluation::Count => state.arguments(py, run, node, &parts),
        };
        Some(Given { parts, arguments, context: side.context.clone_ref(py) })
    }

    /// The list a collect or map gives. Items that failed stand in it as `Failure`.
    fn gather(&self, py: Python<'_>, inline: Inline) -> PyResult<Answer> {
        let Inline { run, node, .. } = inline;
        let (mut items, mut failed) = (Vec::new(), Vec::new());
        {
            let state = self.lock(py);
            let Some(parts) = state.parts_of(run) else { return Ok(Answer::Value(py.None())) };
            let Some(it) = state.engine.run(run) else { return Ok(Answer::Value(py.None())) };
            it.gather(&parts.plan, node, |result| match result {
                Ok((base, of)) => items.push(state.value_of(py, base, of, &parts)),
                Err(blame) => {
                    failed.push((items.len(), state.blamed(py, run, blame)));
                    items.push(py.None());
                }
            });
        }
        for (index, at) in failed {
            let told = (at.cause, &*at.path, at.node.0, at.attempts, at.error.as_ref());
            let plan = self.lock(py).plan_of(run).map_or(0, |plan| plan.0);
            items[index] = self.hooks.item_failure.call1(py, (plan, told))?;
        }
        Ok(Answer::Value(PyList::new(py, items)?.into_any().unbind()))
    }

    /// Accepts a detached run, which inherits tenant, tags and priority. Its id says where it comes from.
    fn spawn(
        &self,
        py: Python<'_>,
        inline: Inline,
        plan: u32,
        given: Given,
        spawned: &mut Effects,
    ) -> PyResult<Answer> {
        let (run_id, parent, tenant, tags, priority, durability) = {
            let state = self.lock(py);
            let path = state.engine.path(inline.run, inline.node).unwrap_or_default();
            let place = path.split_once('/').map_or("", |(_, place)| place);
            let parent = state.run_id(inline.run).unwrap_or_default();
            let tenant = state.side(inline.run).and_then(|side| side.tenant(py));
            let priority =
                state.engine.run(inline.run).and_then(penstock_engine::Run::own_priority);
            let durability = state.engine.run(inline.run).map(penstock_engine::Run::durability);
            let tags = state.side(inline.run).map_or(&[][..], |side| side.tags());
            let tags = inherited(tags, &parent);
            let run_id = format!("{parent}/{place}");
            (run_id, parent, tenant, tags, priority, durability.unwrap_or_default())
        };
        let inputs = PyTuple::new(py, given.arguments)?;
        let options = RunOptions {
            run_id: Some(run_id.clone()),
            priority,
            tenant,
            admitted: true,
            durability,
            tags,
            parent: self.durable.then_some(parent),
            // The id says it all: after a crash the same child is found by it.
            fingerprint: self.durable.then_some(SPAWNED),
            ..RunOptions::default()
        };
        let (_, effects) = self.take_in(py, PlanId(plan), &inputs, given.context, options)?;
        *spawned = effects;
        Ok(Answer::Value(run_id.into_pyobject(py)?.into_any().unbind()))
    }
}

/// What stands for the input of a run that another run started.
const SPAWNED: [u8; 32] = *b"spawned: its id says from where ";

/// How many items a map has.
fn count(items: &Bound<'_, PyAny>) -> PyResult<Answer> {
    if items.is_instance_of::<PyList>() || items.is_instance_of::<PyTuple>() {
        let count = items.cast::<PySequence>()?.len()?;
        let count = u32::try_from(count).ok().filter(|&count| count <= MAP_ITEMS_MAX);
        return count.map(Answer::Count).ok_or_else(|| {
            PyTypeError::new_err(format!(
                "a map takes at most {MAP_ITEMS_MAX} items; split them over several runs"
            ))
        });
    }
    let kind = items.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "a map takes a list or a tuple of items, not a {kind}; return list(...) from the step before"
    )))
}

/// Items of one map.
const MAP_ITEMS_MAX: u32 = 10_000_000;

/// What a function says of a node's inputs.
fn decide(py: Python<'_>, part: &NodePart, arguments: &[Py<PyAny>]) -> PyResult<Answer> {
    let yes = |function: &Py<PyAny>| -> PyResult<Answer> {
        Ok(Answer::Outcome(u64::from(call(function.bind(py), arguments)?.is_truthy()?)))
    };
    match part {
        NodePart::Apply(function, contract) => {
            let value = call(function.bind(py), arguments)?;
            Ok(Answer::Value(contract.check(value)?.unbind()))
        }
        NodePart::Switch(chooser) => chooser.choose(arguments[0].bind(py)).map(Answer::Outcome),
        NodePart::Predicate(function) => yes(function),
        NodePart::Accept(function, at, is_tier) => {
            let said = call(function.bind(py), arguments)?;
            let (accepted, score) = match at {
                None => (said.is_truthy()?, None),
                Some(at) => {
                    let score = said.extract::<f64>()?;
                    (score >= *at, Score::of(score))
                }
            };
            Ok(Answer::Judged(accepted, score, *is_tier))
        }
        NodePart::Acquire(function) => {
            let key = match function {
                Some(function) => call(function.bind(py), arguments)?,
                None => arguments[0].bind(py).clone(),
            };
            Ok(Answer::Outcome(concurrency_key(key.str()?.to_str()?)))
        }
        _ => Ok(Answer::Value(py.None())),
    }
}
