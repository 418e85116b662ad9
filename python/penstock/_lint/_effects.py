"""R1 to R3: effects that may be repeated, and effects that can't be undone."""

from __future__ import annotations

from ._subject import Found, Subject, attempts, places


def check(subject: Subject) -> Found:
    """Findings about effects."""
    yield from _repeated(subject)
    yield from _compensations(subject)
    yield from _order(subject)


def _repeated(subject: Subject) -> Found:
    for step, nodes in subject.steps.items():
        retried = [index for index in nodes if attempts(subject.graph.nodes[index]) > 1]
        place = (retried or nodes)[0]
        if step.effects is None and retried:
            most = max(attempts(subject.graph.nodes[index]) for index in retried)
            yield subject.finding(
                "R1.1",
                place,
                f"step {step.name!r} has up to {most} attempts, and does not say what a repeated "
                f"one would do{places(retried)}",
            )
        elif step.effects is None:
            yield subject.finding(
                "R1.2",
                place,
                f"step {step.name!r} does not declare its effects, so it counts as idempotent and "
                f"may run again after a crash{places(nodes)}",
            )
        elif step.effects == "idempotent" and retried and step.takes_context is None:
            yield subject.finding(
                "R1.3",
                place,
                f"step {step.name!r} is retried and takes no Context, so what it calls can't tell "
                f"a repeated attempt{places(retried)}",
            )


def _compensations(subject: Subject) -> Found:
    for step, nodes in subject.undoing.items():
        place = nodes[0]
        if attempts(subject.graph.nodes[place]) == 1:
            yield subject.finding(
                "R2.2",
                place,
                f"compensation {step.name!r} has one attempt: if it fails, the effect stays"
                f"{places(nodes)}",
            )


def _order(subject: Subject) -> Found:
    """Effects should come as: those that can be undone, one that can't, those that never fail."""
    undone = sorted(subject.compensated)
    fragile = [
        index
        for nodes in subject.steps.values()
        for index in nodes
        if attempts(subject.graph.nodes[index]) == 1
    ]
    told: set[int] = set()
    for step, nodes in subject.steps.items():
        if step.effects not in ("idempotent", "once"):
            continue
        for pivot in nodes:
            if pivot in subject.compensated:
                continue
            later = [index for index in undone if subject.is_before(pivot, index)]
            if later:
                yield subject.finding(
                    "R2.1",
                    pivot,
                    f"the effect of step {step.name!r} has no compensation; when something fails "
                    f"after {subject.graph.nodes[later[0]].path!r}, that is undone and this is not",
                )
            elif any(subject.is_before(index, pivot) for index in undone):
                for index in fragile:
                    if index not in told and _may_strand(subject, pivot, index):
                        told.add(index)
                        yield subject.finding(
                            "R3.1",
                            index,
                            f"its only attempt comes after {subject.graph.nodes[pivot].path!r}, "
                            "which can't be undone; if it fails, only what came before that is",
                        )


def _may_strand(subject: Subject, pivot: int, index: int) -> bool:
    return (
        index not in subject.compensated
        and subject.is_before(pivot, index)
        and not subject.is_contained(index)
    )
