"""Deciding: what was chosen at nodes, what was accepted, when people answered, and how good it was.

What was not seen enough is taken somehow, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock._simulation._distributions import Distribution
from penstock._simulation._places import Choice, SignalModel

from ._seen import Answer, Judged, Line, Seen
from ._spending import row_of
from ._survival import incidence, rounded, sampled


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What is known of how a step's values are judged: fields of its `StepModel`.

    Attributes:
        fields: "accepted", or "scores" and "scores_seen".
        gaps: what is not known.
    """

    fields: Mapping[str, Any]
    gaps: tuple[str, ...] = ()


def choices_of(seen: Seen, gaps: list[str]) -> dict[str, Choice]:
    """What was chosen at each node that decides."""
    found: dict[str, Choice] = {}
    for path, gives in seen.subject.decisions.items():
        if gives == "until":
            found[path] = _until(path, seen.iterations.get(path, ()), gaps)
        elif gives == "count":
            found[path] = _count(path, seen.counts.get(path, ()), gaps)
        elif gives == "keys":
            found[path] = _keys(path, seen.keys.get(path, {}), gaps)
        else:
            labels = seen.subject.labels[path]
            counts = dict(seen.chosen.get(path, {}))
            for judged in seen.judged.get(path, ()):
                outcome = min(judged.outcome, 1)
                counts[outcome] = counts.get(outcome, 0) + 1
            found[path] = _outcomes(path, labels, counts, gaps)
    return found


def acceptance_of(
    step: str, judged: Mapping[str, Sequence[Judged]], *, later: bool
) -> Acceptance | None:
    """How the values of a step are judged; None if nobody does.

    Args:
        step: its name.
        judged: by the path of what judges it, each value.
        later: whether it is a later tier of a cascade, so that only what an earlier one did not
            settle is known, apart from what was explored.
    """
    if not judged:
        return None
    every = [value for values in judged.values() for value in values]
    if not every:
        return Acceptance(
            {"accepted": 0.5}, (f"step {step}: never judged; half is taken as accepted",)
        )
    gaps: list[str] = []
    if len(every) < LEAST:
        gaps.append(f"step {step}: {len(every)} values were judged")
    scored = [(value.score, _weight(value)) for value in every if value.score is not None]
    if not scored:
        accepted = sum(value.outcome > 0 for value in every) / len(every)
        return Acceptance({"accepted": rounded(accepted)}, tuple(gaps))
    explored = any(value.weight for value in every)
    seen = "explored" if explored else "above" if later else "all"
    return Acceptance({"scores": _scores(scored), "scores_seen": seen}, tuple(gaps))


def signals_of(seen: Seen, quality: Mapping[str, float], gaps: list[str]) -> dict[str, SignalModel]:
    """When each signal came, and what that cost. One that nobody waited for is left out."""
    found: dict[str, SignalModel] = {}
    for name in seen.subject.signals:
        answers = seen.answers.get(name, [])
        if not answers:
            gaps.append(f"signal {name}: nobody waited for it; add [signals.{name}]")
            continue
        if len(answers) < LEAST:
            gaps.append(f"signal {name}: waited for {len(answers)} times")
        found[name] = _signal(answers, seen.human.get(name, ()), quality.get(name))
    return found


def quality_of(scores: Mapping[str, float], values: Mapping[str, str], gaps: list[str]) -> Any:
    """By the step or signal whose value runs gave, the mean of their scores.

    Args:
        scores: by run.
        values: by run, the step or signal.
        gaps: what is not known.
    """
    by_step: dict[str, list[float]] = {}
    for run, score in scores.items():
        if run in values:
            by_step.setdefault(values[run], []).append(score)
    found: dict[str, float] = {}
    for step, given in sorted(by_step.items()):
        if min(given) < 0 or max(given) > 1:
            gaps.append(f"{step}: scores of {min(given):g} to {max(given):g} are no quality")
            continue
        if len(given) < LEAST:
            gaps.append(f"{step}: its quality is the mean of {len(given)} scores")
        found[step] = rounded(sum(given) / len(given))
    return found


def _outcomes(
    path: str, labels: Sequence[str], counts: Mapping[int, int], gaps: list[str]
) -> Choice:
    total = sum(counts.values())
    if not total:
        gaps.append(f"{path}: never decided; each outcome is taken as equally likely")
        return Choice(outcomes={label: 1 / len(labels) for label in labels})
    if total < LEAST:
        gaps.append(f"{path}: decided {total} times")
    shares = {label: round(counts.get(i, 0) / total, 9) for i, label in enumerate(labels)}
    return Choice(outcomes=shares)


def _until(path: str, seen: Sequence[tuple[int, bool]], gaps: list[str]) -> Choice:
    """The last share is that of all iterations from there on."""
    if not seen:
        gaps.append(f"{path}: never looped; each iteration is taken as the last half of the time")
        return Choice(until=(0.5,))
    if len(seen) < LEAST:
        gaps.append(f"{path}: {len(seen)} iterations")
    shares: list[float] = []
    rest = list(seen)
    number = 1
    while True:
        now = [last for at, last in rest if at == number]
        later = [it for it in rest if it[0] > number]
        if len(now) < LEAST or len(later) < LEAST:
            shares.append(rounded(sum(last for _, last in rest) / len(rest)))
            return Choice(until=shares)
        shares.append(rounded(sum(now) / len(now)))
        rest = later
        number += 1


def _count(path: str, counts: Sequence[int], gaps: list[str]) -> Choice:
    if not counts:
        gaps.append(f"{path}: never reached; one item is taken")
        return Choice(count=Distribution.constant(1.0))
    if len(counts) < LEAST:
        gaps.append(f"{path}: reached {len(counts)} times")
    return Choice(count=sampled([(float(it), 1.0) for it in sorted(counts)], whole=True))


def _keys(path: str, counts: Mapping[int, int], gaps: list[str]) -> Choice:
    """How many equally likely keys would meet as often as these do (Simpson 1949)."""
    total = sum(counts.values())
    meet = sum(count * (count - 1) for count in counts.values())
    if not total:
        gaps.append(f"{path}: never reached; one key is taken")
        return Choice(keys=1)
    if not meet:
        gaps.append(f"{path}: no key came twice; at least {total} are taken")
        return Choice(keys=total)
    return Choice(keys=max(round(total * (total - 1) / meet), 1))


def _signal(answers: Sequence[Answer], lines: Sequence[Line], quality: float | None) -> SignalModel:
    found = incidence((it.seconds, "came" if it.came else None) for it in answers)
    times = found.times("came")
    never = max((it.seconds for it in answers), default=0.0)
    human = [line for line in lines if line.resource == "human_minutes"]
    fields: dict[str, Any] = {}
    if human:
        row = row_of("human", human, len({line.key for line in human}))
        fields["minutes"] = row.units.scaled(1 / _MILLION)
        fields["role"] = max((line.name for line in human), key=[it.name for it in human].count)
        if row.usd_per_unit:
            fields["usd_per_hour"] = rounded(row.usd_per_unit * _MILLION * 60)
    return SignalModel(
        latency=sampled(times) if times else Distribution.constant(rounded(never)),
        answered=min(rounded(found.share("came")), 1.0),
        quality=quality,
        **fields,
    )


def _scores(scored: Iterable[tuple[float, float]]) -> list[float]:
    """Sorted, each standing for as many as the others: quantiles of the weighted scores."""
    ordered = sorted(scored)
    total = sum(weight for _, weight in ordered)
    count = min(len(ordered), _SCORES)
    found: list[float] = []
    at, place = 0.0, 0
    for score, weight in ordered:
        at += weight
        while place < count and at >= total * (place + 0.5) / count * (1 - _TINY):
            found.append(rounded(score))
            place += 1
    return found


def _weight(value: Judged) -> float:
    return value.weight or 1.0


LEAST: Final = 30
_SCORES: Final = 200
_MILLION: Final = 1_000_000
_TINY: Final = 1e-12
