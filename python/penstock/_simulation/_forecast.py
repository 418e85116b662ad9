"""Forecast: what runs under one policy would come to, each figure with an interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: the figure; None without data, and so are the ends.
        low: the interval's lower end.
        high: its upper end.
    """

    value: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """All of it, ready for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


NO_DATA = Estimate(None, None, None)
LEVEL: Final = 0.95
"""Of intervals, unless another one is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What runs under one policy would come to.

    Attributes:
        metrics: by name: "success", "quality", "latency_p50" and so on; see `docs/frontier.md`.
        runs: that were simulated.
        level: how likely the intervals are to hold what they are of.
        of_runs: they are of what so many real runs come to; None for the mean of endlessly many.
        extrapolated: why it says more than the model has seen; empty if it does not.
    """

    metrics: Mapping[str, Estimate]
    runs: int
    level: float = LEVEL
    of_runs: int | None = None
    extrapolated: tuple[str, ...] = ()

    def figure(self, metric: str) -> Estimate:
        """A figure by its name; one without data if it is not there."""
        return self.metrics.get(metric, NO_DATA)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON; `from_dict` reads it."""
        return {
            "runs": self.runs,
            "level": self.level,
            "of_runs": self.of_runs,
            "extrapolated": list(self.extrapolated),
            "metrics": {name: figure.to_dict() for name, figure in self.metrics.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Forecast:
        """What `to_dict` wrote."""
        metrics = {name: Estimate(**told) for name, told in data["metrics"].items()}
        return cls(
            metrics=MappingProxyType(metrics),
            runs=data["runs"],
            level=data.get("level", LEVEL),
            of_runs=data.get("of_runs"),
            extrapolated=tuple(data["extrapolated"]),
        )
