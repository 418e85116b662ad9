"""Fitting: a model out of what was seen, with everything that it does not tell said in `gaps`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from penstock._errors import DefinitionError
from penstock._simulation._distributions import Distribution
from penstock._simulation._model import Fitted, Model
from penstock._simulation._parts import EMPTY
from penstock._simulation._steps import StepModel

from ._coming import Wanted, arrivals_of
from ._deciding import acceptance_of, choices_of, quality_of, signals_of
from ._failures import ends, failure_rows, frailty_of, tell_fatal_apart
from ._flight import Load, count_in_flight, factor_at, load_of
from ._outages import mark_outages
from ._seen import Attempt, Seen
from ._spending import spending_of
from ._survival import Incidence, sampled
from ._tiers import Tier, tiers_of

if TYPE_CHECKING:
    from ._loading import Loaded

DRAFT: Final = 100
"""A model of fewer runs is a draft."""
THIN: Final = 30
"""What is known of fewer attempts is said."""


def model_of(
    loaded: Loaded,
    *,
    arrivals: Wanted = "auto",
    default_latency: float | None = None,
    loads: Mapping[str, Load] = EMPTY,
) -> Model:
    """The model of what was read; see `fit_of_store`. O(attempts * log attempts).

    Args:
        loaded: what was read.
        arrivals: as there.
        default_latency: likewise.
        loads: by step, how its latency grows with what is under way, where that is known already.
    """
    seen, gaps = loaded.seen, list(loaded.gaps)
    accepted = sorted(seen.accepted)
    outages = mark_outages(seen.attempts, accepted[0], accepted[-1])
    count_in_flight(seen.attempts, seen.others)
    never_retried = tell_fatal_apart(seen.attempts, loaded.allowed)
    tried: dict[str, list[Attempt]] = {}
    for attempt in seen.attempts:
        tried.setdefault(attempt.step, []).append(attempt)
    usual = {step: [it for it in of if not it.outage] or of for step, of in tried.items()}
    loads = {
        step: _unloaded(of, loads.get(step) or load_of(usual[step])) for step, of in tried.items()
    }
    frailty = frailty_of(
        (it for of in usual.values() for it in of),
        {step: _first_failures(of) for step, of in usual.items()},
    )
    tiers = tiers_of(seen.graph)
    quality = quality_of(loaded.scores, seen.values, gaps)
    steps: dict[str, StepModel] = {}
    for step in seen.subject.steps:
        if step in tried:
            steps[step] = _step(step, usual[step], loads[step], frailty, seen, gaps)
            if step in never_retried:
                gaps.append(f"step {step}: never retried, so what a retry would do is not known")
        elif default_latency is not None:
            gaps.append(f"step {step}: never ran; the latency is the given {default_latency:g} s")
            steps[step] = StepModel(latency=Distribution.constant(default_latency))
        else:
            gaps.append(
                f"step {step}: never ran; add [steps.{step}], or fit with a latency for such steps"
            )
            continue
        steps[step] = _judged(step, steps[step], quality, seen, tiers, gaps)
    if not steps:
        raise DefinitionError(
            f"no step of workflow {loaded.workflow!r} has run", remedy="wait until some have"
        )
    _explored(tiers, seen, gaps)
    return Model(
        workflow=loaded.workflow,
        version=loaded.version,
        graph=loaded.digest,
        arrivals=arrivals_of(accepted, arrivals, gaps),
        tenants=_tenants([run.tenant for run in loaded.runs]),
        frailty=frailty,
        outages=outages,
        steps=steps,
        choices=choices_of(seen, gaps),
        signals=signals_of(seen, quality, gaps),
        fitted=Fitted(
            runs=len(accepted),
            since=_iso(accepted[0]),
            until=_iso(accepted[-1]),
            draft=len(accepted) < DRAFT,
            gaps=list(dict.fromkeys(gaps)),
        ),
    )


def _unloaded(tried: Sequence[Attempt], load: Load) -> Load:
    """The load of a step, whose part in its times is taken out of them."""
    for attempt in tried:
        attempt.alone = attempt.seconds / factor_at(load, attempt.flight)
    return load


def _step(
    step: str,
    usual: Sequence[Attempt],
    load: Load,
    frailty: float,
    seen: Seen,
    gaps: list[str],
) -> StepModel:
    found = ends(usual)
    attempts = len(seen.ends[step])
    if len(usual) < THIN:
        gaps.append(f"step {step}: {attempts} attempts")
    lines = seen.spend.get(step, [])
    if any(line.nanos is None for line in lines):
        gaps.append(f"step {step}: some of its spend has no price, and costs nothing here")
    failed = found.times("error", "fatal")
    return StepModel(
        latency=_latency(step, usual, found, gaps),
        failed_latency=sampled(failed) if failed else None,
        load=load,
        failures=failure_rows(usual, frailty),
        **spending_of(lines, seen.ends[step]),
        attempts_seen=attempts,
    )


def _latency(
    step: str, usual: Sequence[Attempt], found: Incidence, gaps: list[str]
) -> Distribution:
    """Of attempts that return; beyond the longest one that was seen to, something is taken."""
    times = found.times("done")
    cut = max((it.alone for it in usual if it.how in ("cut", "timeout")), default=0.0)
    if found.left > _TINY and any(it.how == "timeout" for it in usual):
        gaps.append(
            f"step {step}: {found.left:.1%} of its attempts take more than {found.longest:.4g} s, "
            "and were cut off; they are taken never to end"
        )
    elif found.left > _TINY:
        gaps.append(
            f"step {step}: {found.left:.1%} of its attempts take more than {found.longest:.4g} s, "
            f"and were not waited for; {cut:.4g} s is taken"
        )
        times = sorted([*times, (cut, found.left)])
    if not times:
        gaps.append(f"step {step}: no attempt returned; how long that takes is not known")
        times = found.times("error", "fatal") or [(cut, 1.0)]
    return sampled(times)


def _judged(
    step: str,
    model: StepModel,
    quality: Mapping[str, float],
    seen: Seen,
    tiers: Sequence[Tier],
    gaps: list[str],
) -> StepModel:
    """With how its values are judged, and how good they are."""
    fields: dict[str, Any] = {name: getattr(model, name) for name in StepModel.__slots__}
    if step in quality:
        fields["quality"] = quality[step]
    paths = [path for path, of in seen.subject.judged.items() if of == step]
    found = acceptance_of(
        step,
        {path: seen.judged.get(path, ()) for path in paths},
        later=any(tier.judge in paths for tier in tiers),
    )
    if found is not None:
        fields |= found.fields
        gaps += found.gaps
    return StepModel(**fields)


def _explored(tiers: Iterable[Tier], seen: Seen, gaps: list[str]) -> None:
    """Say which tiers of cascades ran only where those before had not been accepted.

    `Change.extrapolates` knows these gaps by how they begin.
    """
    ran = {attempt.path for attempt in seen.attempts}
    for tier in tiers:
        if tier.explorer not in ran:
            gaps.append(f"cascade {tier.cascade}: tier {tier.step} was never explored")
        elif tier.judge is not None and not any(it.weight for it in seen.judged[tier.judge]):
            gaps.append(f"cascade {tier.cascade}: tier {tier.step} was explored, but not judged")


def _first_failures(usual: Iterable[Attempt]) -> float:
    """How often a first attempt fails."""
    first = [it.how != "done" for it in usual if it.number == 1 and it.how != "cut"]
    return sum(first) / len(first) if first else 0.0


def _tenants(names: Sequence[str | None]) -> dict[str, float]:
    """The share of each; those with few runs together."""
    if not any(names):
        return {}
    counts = Counter(name or "none" for name in names)
    kept = dict(counts.most_common(_TENANTS))
    rest = len(names) - sum(kept.values())
    if rest:
        kept["others"] = kept.get("others", 0) + rest
    return {name: round(count / len(names), 9) for name, count in kept.items()}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_TENANTS: Final = 50
_TINY: Final = 1e-9
