"""R12, R13 and R16: who answers for a step and a workflow, and what one owner hands to another."""

from __future__ import annotations

from typing import Any, Final, get_args, get_origin

from penstock._contracts import Contract
from penstock._handoffs import Handoff, handoffs

from ._subject import Found, Subject, places


def check(subject: Subject) -> Found:
    """Findings about owners and handoffs."""
    for step, nodes in (*subject.steps.items(), *subject.undoing.items()):
        if step.owner is None and subject.owner is None:
            yield subject.finding(
                "R12.1", nodes[0], f"step {step.name!r} has no owner{places(nodes)}"
            )
        open_ends = [f"takes {c.name} as {name!r}" for name, c in step.inputs if _is_open(c)]
        if _is_open(step.contract):
            open_ends.append(f"returns {step.contract.name}")
        if open_ends:
            what = f"step {step.name!r} {' and '.join(open_ends)}: anything passes{places(nodes)}"
            yield subject.finding("R12.2", nodes[0], what)
    for step, nodes in subject.steps.items():
        fatal = [index for index in nodes if not subject.is_contained(index)]
        if step.playbook is None and fatal:
            what = f"step {step.name!r} fails the run and has no playbook{places(fatal)}"
            yield subject.finding("R12.3", fatal[0], what)
    yield from _loose_handoffs(subject)
    yield from _unanswered(subject)


def _unanswered(subject: Subject) -> Found:
    """What is missing of a workflow whose steps have owners."""
    owners = dict.fromkeys(step.owner for step in subject.steps if step.owner is not None)
    if not owners:
        return
    whose = " and ".join(owners) if len(owners) < 4 else f"{len(owners)} owners"
    if subject.owner is None:
        what = f"its steps are of {whose}, and the workflow has no owner"
        yield subject.finding("R16.1", None, what)
    if not subject.has_rollback:
        what = f"its steps are of {whose}, and nothing says what takes a release of it back"
        yield subject.finding("R16.2", None, what)


def _loose_handoffs(subject: Subject) -> Found:
    nodes = subject.graph.nodes
    for handoff in handoffs(subject.graph, subject.owner):
        contract = _wanted(subject, handoff)
        if _is_loose(contract.annotation) or _is_loose(nodes[handoff.start].contract.annotation):
            loose = contract if _is_loose(contract.annotation) else nodes[handoff.start].contract
            yield subject.finding(
                "R13.1",
                handoff.end,
                f"it gets {loose.name} from {nodes[handoff.start].path!r}, of "
                f"{' and '.join(handoff.givers)}, into the hands of {handoff.taker}",
            )


def _wanted(subject: Subject, handoff: Handoff) -> Contract:
    """What the taking end of a handoff demands."""
    node = subject.graph.nodes[handoff.end]
    if node.step is None:
        return subject.graph.nodes[handoff.start].contract
    position = node.inputs.index(handoff.start)
    inputs = node.step.inputs
    return inputs[0 if node.step.variadic else min(position, len(inputs) - 1)][1]


def _is_open(contract: Contract) -> bool:
    return contract.annotation is Any or contract.annotation is object


def _is_loose(annotation: Any) -> bool:
    """Whether an annotation leaves open what is inside."""
    if annotation in _BARE:
        return True
    if get_origin(annotation) in _BARE:
        return any(argument in (Any, object) for argument in get_args(annotation))
    return False


_BARE: Final = (Any, object, dict, list, set, tuple, frozenset)
