"""Drift: an alarm for after a promotion, when there is no baseline beside it any more."""

from __future__ import annotations

from math import exp, log
from typing import Any

from penstock._errors import DefinitionError
from penstock._policies import number


class DriftAlarm:
    """A CUSUM of log-likelihood ratios: tells when failures have become more frequent. O(1) a run.

    Without drift there is at most one alarm in `runs_between` runs on average; with it, one comes
    after about log(runs_between) / KL(drifted, usual) runs (Lorden, 1971).

    Args:
        usual: the failure rate of the release's evidence, above 0.
        drifted: the rate to find; that of twice the odds unless given.
        runs_between: runs from one false alarm to the next.

    Raises:
        DefinitionError: a value is out of its range.

    >>> alarm = DriftAlarm(0.02, drifted=0.1)
    >>> for run in range(1, 100):
    ...     if alarm.ran(failure=run % 5 == 0):
    ...         break
    >>> run
    35
    """

    __slots__ = ("_failed", "_passed", "alarmed", "drifted", "runs", "runs_between", "sum", "usual")

    def __init__(
        self, usual: float, *, drifted: float | None = None, runs_between: float = 10_000
    ) -> None:
        usual = number(usual, "DriftAlarm.usual", above=0, below=1)
        twice = 2 * usual / (1 + usual)
        drifted = twice if drifted is None else number(drifted, "DriftAlarm.drifted", below=1)
        if drifted <= usual:
            raise DefinitionError(
                f"DriftAlarm.drifted ({drifted:g}) is not above usual ({usual:g})",
                remedy="raise drifted",
            )
        self.usual, self.drifted = usual, drifted
        self.runs_between = number(runs_between, "DriftAlarm.runs_between", above=1)
        self._failed = log(self.drifted / usual)
        self._passed = log((1 - self.drifted) / (1 - usual))
        self.sum = 0.0
        self.runs = 0
        self.alarmed = False

    def ran(self, *, failure: bool) -> bool:
        """Take a run in, in start order; whether the alarm is on. Once on it stays on."""
        self.runs += 1
        self.sum = max(0.0, self.sum + (self._failed if failure else self._passed))
        self.alarmed = self.alarmed or self.sum >= log(self.runs_between)
        return self.alarmed

    @property
    def evidence(self) -> str:
        """What the alarm rests on, in a sentence."""
        return (
            f"drift {exp(min(self.sum, 700)):,.0f} of {self.runs_between:,.0f} after {self.runs:,} "
            f"runs: failures went from {self.usual:.2%} towards {self.drifted:.2%}"
        )

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restored` reads it, exactly."""
        names = ("usual", "drifted", "runs_between", "sum", "runs", "alarmed")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> DriftAlarm:
        """The alarm of `state`."""
        alarm = cls(state["usual"], drifted=state["drifted"], runs_between=state["runs_between"])
        alarm.sum, alarm.runs, alarm.alarmed = state["sum"], state["runs"], state["alarmed"]
        return alarm
