"""Baselines: what is known of the runs of a window, kept so that it outlives them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from penstock._errors import PenstockError
from penstock._evidence import Comparison, Sample, compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The runs of one workflow.

    Attributes:
        workflow: its name.
        versions: that were running, overlays as "1.0.0 + 3fa85f64".
        since: start of its window, in seconds since 1970.
        until: its end, which does not belong to it: later runs were not all over.
        horizon: seconds after which a run that is open is a failure; None if no run was over.
        sample: what is known of them.
    """

    workflow: str
    versions: tuple[str, ...]
    since: float
    until: float
    horizon: float | None
    sample: Sample

    @property
    def runs(self) -> int:
        """Those that are over and that nobody has cancelled."""
        return self.sample.costs.count

    @property
    def values(self) -> dict[str, float | None]:
        """By metric: its value, costs in dollars; None without data."""
        return {metric: self.sample.value(metric) for metric in self.sample.margins}

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with what it tells beside what it is made of."""
        return {
            "workflow": self.workflow,
            "versions": list(self.versions),
            "since": self.since,
            "until": self.until,
            "horizon": self.horizon,
            "runs": self.runs,
            "values": self.values,
            "sample": self.sample.state(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a store is compared with later.

    Attributes:
        name: its own; the last one saved of a name is the one that counts.
        at: when it was saved, in seconds since 1970.
        parts: by workflow.
    """

    FORMAT: ClassVar[int] = 1

    name: str
    at: float
    parts: tuple[Part, ...]

    def to_json(self) -> str:
        """As JSON, which `from_json` reads."""
        parts = [part.to_dict() for part in self.parts]
        return json.dumps({"format": self.FORMAT, "parts": parts})

    @classmethod
    def from_json(cls, name: str, at: float, text: str) -> Baseline:
        """The baseline of `to_json`.

        Raises:
            PenstockError: it is none, or of another format.
        """
        try:
            content = json.loads(text)
            if content["format"] == cls.FORMAT:
                return cls(name=name, at=at, parts=tuple(map(_part, content["parts"])))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PenstockError(
                f"baseline {name!r} can't be read: {error!r}", remedy="save it again"
            ) from None
        raise PenstockError(
            f"baseline {name!r} has format {content['format']!r}",
            remedy=f"read it with a newer penstock: this one knows format {cls.FORMAT}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Two sets of runs of one workflow, compared.

    Attributes:
        workflow: its name.
        baseline: what is compared with.
        version: what is judged.
        comparison: metric by metric.
    """

    workflow: str
    baseline: Part
    version: Part
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        sides = {
            name: {key: it for key, it in side.to_dict().items() if key != "sample"}
            for name, side in (("baseline", self.baseline), ("version", self.version))
        }
        metrics = [
            {name: getattr(each, name) for name in each.__slots__}
            for each in self.comparison.metrics
        ]
        return {
            "workflow": self.workflow,
            **sides,
            "alpha": self.comparison.alpha,
            "metrics": metrics,
        }


def contest(baseline: Part, version: Part, *, alpha: float = 0.05) -> Contest:
    """Compare two sets of runs.

    Args:
        baseline: what is compared with.
        version: what is judged.
        alpha: the probability, for each metric, that its interval is wrong at any look.
    """
    return Contest(
        workflow=baseline.workflow,
        baseline=baseline,
        version=version,
        comparison=compare(baseline.sample, version.sample, alpha=alpha),
    )


def newest(baselines: Sequence[Baseline]) -> dict[str, Baseline]:
    """By name, the one that was saved last."""
    return {each.name: each for each in sorted(baselines, key=lambda each: each.at)}


def _part(content: Mapping[str, Any]) -> Part:
    return Part(
        workflow=content["workflow"],
        versions=tuple(content["versions"]),
        since=float(content["since"]),
        until=float(content["until"]),
        horizon=content["horizon"],
        sample=Sample.restored(content["sample"]),
    )
