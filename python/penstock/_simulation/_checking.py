"""Checking: whether a model is one of a workflow, with everything that is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from penstock._errors import DefinitionError

from ._parts import nearest
from ._subject import Subject, subject_of

if TYPE_CHECKING:
    from penstock._workflows import Workflow

    from ._model import Model


def checked(model: Model, workflow: Workflow[..., Any]) -> tuple[str, ...]:
    """What may be meant, and should be looked at.

    Raises:
        DefinitionError: with everything that is missing, or that the workflow does not have.
    """
    subject = subject_of(workflow.graph)
    problems = list(
        chain(
            _other(model, workflow),
            _steps(model, subject),
            _choices(model, subject),
            _signals(model, subject),
            _queues(model, subject),
        )
    )
    if problems:
        raise DefinitionError.of(f"the model of workflow {workflow.name!r}", problems)
    return tuple(_warnings(model, workflow))


def _other(model: Model, workflow: Workflow[..., Any]) -> Iterator[str]:
    if model.workflow != workflow.name:
        yield (
            f"it is a model of workflow {model.workflow!r}; take that one, or change 'workflow' "
            f"to {workflow.name!r}"
        )


def _steps(model: Model, subject: Subject) -> Iterator[str]:
    yield from _unknown("steps", "step", model.steps, subject.steps)
    for name, node in subject.steps.items():
        if name not in model.steps:
            yield f"[steps.{name}] is missing, for node {node.path!r}; add it, with a latency"
    for path, judged in subject.judged.items():
        step = None if judged is None else model.steps.get(judged)
        if step is not None and step.accepted is None and not step.scores:
            yield (
                f"steps.{judged}: {path!r} judges its values, and there is no 'accepted'; add "
                "the probability that one is accepted, or 'scores'"
            )


def _choices(model: Model, subject: Subject) -> Iterator[str]:
    judged = dict.fromkeys(subject.judged, "outcomes")
    known = {**judged, **subject.decisions}
    yield from _unknown("choices", "node that decides", model.choices, known)
    for path, gives in subject.decisions.items():
        if path not in model.choices:
            yield f'[choices."{path}"] is missing; add it, with {_WHAT[gives]}'
    for path, choice in model.choices.items():
        wanted = known.get(path)
        if wanted is None:
            continue
        if choice.gives != wanted:
            yield f'choices."{path}": gives {choice.gives}; give {_WHAT[wanted]}'
            continue
        labels = subject.labels.get(path, ())
        for label in choice.outcomes:
            if label not in labels:
                yield (
                    f'choices."{path}": there is no outcome {label!r}; '
                    f"{nearest(label, list(labels), 'outcomes')}"
                )


def _signals(model: Model, subject: Subject) -> Iterator[str]:
    yield from _unknown("signals", "signal", model.signals, subject.signals)
    for name, node in subject.signals.items():
        if name not in model.signals:
            yield f"[signals.{name}] is missing, for node {node.path!r}; add it, with a latency"


def _queues(model: Model, subject: Subject) -> Iterator[str]:
    for place, outage in enumerate(model.outages, 1):
        if outage.queue not in subject.queues:
            yield (
                f"outages[{place}]: no step waits in queue {outage.queue!r}; "
                f"{nearest(outage.queue, sorted(subject.queues), 'queues')}"
            )


def _unknown(table: str, kind: str, given: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    there = list(known)
    for name in given:
        if name not in there:
            yield (
                f"{table}: the workflow has no {kind} {name!r}; "
                f"{nearest(name, there, 'names') if there else 'take it out'}"
            )


def _warnings(model: Model, workflow: Workflow[..., Any]) -> Iterator[str]:
    if model.version is not None and model.version != workflow.version:
        yield f"it is a model of version {model.version}, and this is {workflow.version}"
    if model.graph is not None and model.graph != workflow.digest:
        yield "the graph has changed since: fit it again, or check what is decided"
    if model.fitted is not None and model.fitted.draft:
        yield f"it is a draft, of {model.fitted.runs:,} runs"


_WHAT = {
    "outcomes": "'outcomes', a probability for each",
    "until": "'until', the probability that it ends after each iteration",
    "count": "'count', how many items there are",
    "keys": "'keys', how many different ones there are",
}
