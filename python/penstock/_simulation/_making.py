"""Making: a model to start from, of what a workflow says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock._errors import DefinitionError
from penstock._graph import GraphNode, Loop
from penstock._policies import Cost, seconds

from ._arrivals import Arrivals
from ._distributions import Distribution
from ._model import Model
from ._parts import nearest, tried
from ._places import Choice, SignalModel
from ._steps import SpendRow, StepModel
from ._subject import Subject, subject_of

if TYPE_CHECKING:
    from penstock._workflows import Workflow


def made(
    workflow: Workflow[..., Any],
    *,
    latency: Mapping[str, float],
    default_latency: float | None,
    rate: float,
) -> tuple[Model, list[str]]:
    """The model, and what was taken for granted; see `Model.of`.

    Raises:
        DefinitionError: with the steps and signals whose latency is not known, or with those that
            are named and not there.
    """
    subject = subject_of(workflow.graph)
    _refuse_unknown(subject, latency, default_latency, f"workflow {workflow.name!r}")
    judged = set(subject.judged.values())
    steps = {
        name: StepModel(
            latency=Distribution.constant(latency.get(name, default_latency or 0.0)),
            spend=list(_spend(node)),
            accepted=_HALF if name in judged else None,
        )
        for name, node in subject.steps.items()
    }
    by_path = {node.path: node for node in workflow.graph.nodes}
    model = Model(
        workflow=workflow.name,
        version=workflow.version,
        graph=workflow.digest,
        arrivals=Arrivals(rate=rate),
        steps=steps,
        choices={
            path: _choice(by_path[path], gives, subject.labels.get(path, ()))
            for path, gives in subject.decisions.items()
        },
        signals={
            name: SignalModel(latency=Distribution.constant(latency[name]))
            for name in subject.signals
        },
    )
    return model, list(_granted(model, judged))


def _refuse_unknown(
    subject: Subject, latency: Mapping[str, float], default: float | None, of: str
) -> None:
    known = {**subject.steps, **subject.signals}
    problems = [
        f"a latency is given for {name!r}, which it does not have; {nearest(name, known, 'names')}"
        for name in latency
        if name not in known
    ]
    given = latency if default is None else {**latency, "all steps": default}
    for name, value in given.items():
        tried(partial(seconds, value, f"the latency of {name}", zero=True), "", problems)
    missing = [name for name in subject.steps if name not in latency and default is None]
    if missing:
        problems.append(
            f"the latency of {', '.join(missing)} is not known; give it in seconds, or one for all "
            "(latency={step: seconds}, default_latency=; --latency STEP=SECONDS, --latency SECONDS)"
        )
    unanswered = [name for name in subject.signals if name not in latency]
    if unanswered:
        problems.append(
            f"when signal {', '.join(unanswered)} is answered is not known; give seconds "
            "(latency={signal: seconds}; --latency SIGNAL=SECONDS)"
        )
    if problems:
        raise DefinitionError.of(of, problems)


def _spend(node: GraphNode) -> Iterator[SpendRow]:
    estimate: Cost | None = node.option("estimate")
    if estimate is not None and estimate.usd is not None and estimate.usd.nanos:
        yield SpendRow.fixed("estimate", float(estimate.usd.text))


def _choice(node: GraphNode, gives: str, labels: tuple[str, ...]) -> Choice:
    if gives == "outcomes":
        return Choice(outcomes={label: 1 / len(labels) for label in labels})
    if gives == "until":
        most = node.detail.max_iterations if isinstance(node.detail, Loop) else 1
        return Choice(until=(_HALF,) if most > 1 else (1.0,))
    return Choice(keys=1) if gives == "keys" else Choice(count=Distribution.constant(_ITEMS))


def _granted(model: Model, judged: set[str | None]) -> Iterator[str]:
    """What was not known, in words."""
    yield f"arrivals: {model.arrivals.mean_rate:g} runs a second, each for itself"
    yield "steps: attempts take the same time each, whatever the load, and none fails"
    costless = [name for name, step in model.steps.items() if not step.spend]
    if costless:
        yield f"steps without an estimate cost nothing: {', '.join(costless)}"
    for name in judged & set(model.steps):
        yield f"steps.{name}: half of its values are accepted"
    for path, choice in model.choices.items():
        yield f'choices."{path}": {_WORDS[choice.gives]}'
    for name in model.signals:
        yield f"signals.{name}: always answered, after the same time"


_HALF = 0.5
_ITEMS = 3
_WORDS = {
    "outcomes": "each outcome is equally likely",
    "until": "each iteration is the last one half of the time",
    "count": f"there are {_ITEMS} items",
    "keys": "all share one key",
}
