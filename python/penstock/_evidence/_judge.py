"""The judge: all criteria of a release together, over runs that come in start order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ._criteria import Criteria
from ._outcomes import NAMED, Pair, Reader, Seen, parted, reader
from ._watches import LEAST_PER_ARM, Evidence, Watch, watch
from ._words import percent

State: TypeAlias = Literal["running", "rollback", "promote", "hold", "void"]
UNPRICED_MOST: Final = 0.01
"""The share of runs with unpriced spend above which a cost says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to become of a release.

    Attributes:
        state: "running" until it is decided; then "rollback", "promote", "hold" (undecided at its
            end: a person decides) or "void" (it measured nothing).
        criterion: the metric that decided, or None.
        reason: why, in a sentence with its numbers.
        evidence: what is known of each criterion that it rests on; none while it is running.
        runs: of the canary, that were judged.
        others: of the baseline, that were judged.
    """

    state: State
    criterion: str | None
    reason: str
    evidence: tuple[Evidence, ...]
    runs: int
    others: int

    @property
    def decided(self) -> bool:
        """Whether it is final."""
        return self.state != "running"

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


class Reading(NamedTuple):
    """What all criteria read from a run, or from a unit of several."""

    pairs: list[Pair | None]
    unpriced: float


class Judge:
    """Weighs runs of both arms against the criteria. O(criteria) a run.

    `observe` takes them in start order; `harm` and `shown` may be asked after each.
    """

    def __init__(self, criteria: Criteria) -> None:
        self._criteria = criteria
        self.canary_runs = self.baseline_runs = 0
        self._unpriced = [0.0, 0.0]
        self._spent = False
        self._watches: dict[str, Watch] = {}
        # What is judged together: by outcomes under "", and each kind of score, which is late.
        self._lanes: dict[str, list[tuple[str, Reader, Watch]]] = {"": []}
        self._lanes |= {kind: [] for kind in criteria.scores}
        for metric, margin in {**criteria.objectives, **criteria.guardrails}.items():
            base, kind = parted(metric)
            watched = watch(
                metric,
                margin,
                objective=metric in criteria.objectives,
                alpha=criteria.alpha_of(metric),
                alpha_promote=criteria.alpha_promote,
            )
            self._watches[metric] = watched
            lane = self._lanes[kind if base in NAMED else ""]
            lane.append((metric, reader(metric, margin), watched))

        self._objectives = [(metric, self._watches[metric]) for metric in criteria.objectives]

    def read(self, seen: Seen, lane: str = "") -> Reading:
        """What the criteria of a lane read from a run: those of outcomes, or of a kind of score."""
        unpriced = seen.outcome is not None and seen.outcome.unpriced
        return Reading([read(seen) for _, read, _ in self._lanes[lane]], float(unpriced))

    def observe(self, reading: Reading, *, canary: bool, share: float, lane: str = "") -> None:
        """Take a run in, or a unit of several."""
        for (metric, _, watched), pair in zip(self._lanes[lane], reading.pairs, strict=True):
            if pair is not None:
                watched.add(pair, canary=canary, share=share)
                self._spent |= metric == "cost" and pair[0] > 0
        if lane:
            return
        self._unpriced[0 if canary else 1] += reading.unpriced
        if canary:
            self.canary_runs += 1
        else:
            self.baseline_runs += 1

    def harm(self, lane: str = "") -> str | None:
        """The first criterion of a lane by which the candidate is shown to be worse, or None."""
        for metric, _, watched in self._lanes[lane]:
            if watched.harmed() and not self._muted(metric):
                return metric
        return None

    @property
    def shown(self) -> bool:
        """Whether every objective is shown to be no worse, and guardrails could have spoken."""
        if self.canary_runs < LEAST_PER_ARM or self.baseline_runs < LEAST_PER_ARM:
            return False
        for metric, watched in self._objectives:
            if not watched.shown() or self._muted(metric):
                return False
        return True

    def evidence(self, metric: str, *, harm: bool, noun: str) -> Evidence:
        """What is known of a criterion."""
        return self._watches[metric].evidence(harm=harm, noun=noun)

    def objectives(self, noun: str) -> tuple[Evidence, ...]:
        """What is known of the objectives: whether they are no worse."""
        return tuple(
            self.evidence(metric, harm=False, noun=noun) for metric in self._criteria.objectives
        )

    @property
    def criteria(self) -> tuple[tuple[str, bool], ...]:
        """The metrics, and whether each is an objective."""
        return tuple((metric, metric in self._criteria.objectives) for metric in self._watches)

    @property
    def without_data(self) -> str | None:
        """Why there is a criterion that says nothing, or None."""
        if "cost" in self._criteria.objectives and not self._spent:
            return "cost has no data: nothing was spent"
        if "cost" in self._watches and self._priced_too_little:
            shares = [self._share(0), self._share(1)]
            return f"cost has no data: spend is unpriced in {percent(max(shares))} of an arm's runs"
        return None

    def _muted(self, metric: str) -> bool:
        return metric == "cost" and (not self._spent or self._priced_too_little)

    @property
    def _priced_too_little(self) -> bool:
        return max(self._share(0), self._share(1)) > UNPRICED_MOST

    def _share(self, arm: int) -> float:
        runs = (self.canary_runs, self.baseline_runs)[arm]
        return self._unpriced[arm] / runs if runs else 0.0

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restore` goes on from it."""
        return {
            "runs": [self.canary_runs, self.baseline_runs],
            "unpriced": list(self._unpriced),
            "spent": self._spent,
            "watches": {metric: each.state() for metric, each in self._watches.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` told."""
        self.canary_runs, self.baseline_runs = state["runs"]
        self._unpriced, self._spent = list(state["unpriced"]), state["spent"]
        for metric, kept in state["watches"].items():
            self._watches[metric].restore(kept)
