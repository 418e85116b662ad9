"""Coverage: which parts of a workflow's graph its runs have shown, and which they have not.

A value of its own: it names every part in words, so it can be added to another, written down, and
compared with what production saw, all without the workflow. `_coverage_graph` makes it of a graph
and the engine's counters, `_coverage_report` prints it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Final,
    Literal,
    NamedTuple,
    TypeAlias,
    cast,
    get_args,
)

from annotated_types import Ge, MinLen
from typing_extensions import TypedDict

from ._errors import PenstockError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MeasureName: TypeAlias = Literal[
    "nodes", "edges", "outcomes", "pairs", "exceptions", "loops", "moves"
]
MEASURES: Final = cast("tuple[MeasureName, ...]", get_args(MeasureName))
Identity: TypeAlias = tuple[str, str, str]
Count: TypeAlias = Annotated[int, Ge(0)]


class Missing(NamedTuple):
    """One part of a graph that was not seen: `Missing("support 1.0.0", "edges", "a -> b")`."""

    workflow: str
    measure: MeasureName
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How often each part of one kind was seen.

    Attributes:
        declared: count by part, 0 for what was never seen: all that the graph says can happen.
        others: count of parts that were seen although the graph does not declare them, such as a
            step that was cancelled.
        complete: whether `declared` has every part; branch pairs are not worked out where too many
            decisions meet.
    """

    declared: Mapping[str, Count] = field(default_factory=dict[str, int])
    others: Mapping[str, Count] = field(default_factory=dict[str, int])
    complete: bool = True

    @property
    def seen(self) -> int:
        """How many of the declared parts were seen."""
        return sum(count > 0 for count in self.declared.values())

    def missing(self, seen: Measure | None = None) -> list[str]:
        """The declared parts that were never seen, or those that `seen` has and this has not."""
        if seen is None:
            return [part for part, count in self.declared.items() if not count]
        mine, theirs = {**self.others, **self.declared}, {**seen.others, **seen.declared}
        return [part for part, count in theirs.items() if count and not mine.get(part)]

    def __add__(self, other: Measure) -> Measure:
        declared = _sum(self.declared, other.declared)
        others = _sum(self.others, other.others)
        for part in declared.keys() & others.keys():
            declared[part] += others.pop(part)
        complete = self.complete and other.complete
        return Measure(declared=declared, others=others, complete=complete)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCoverage:
    """What the runs of one workflow have shown.

    Attributes:
        name: of the workflow.
        version: of the workflow.
        digest: of its graph; only coverage of the same graph adds up.
        runs: that have ended.
        measures: parts and how often each was seen, by kind. For pairs, loops and moves the count
            is the number of runtimes that have seen it.
    """

    name: str
    version: str
    digest: str
    runs: Count
    measures: Annotated[Mapping[MeasureName, Measure], MinLen(len(MEASURES))]

    @property
    def identity(self) -> Identity:
        """Name, version and digest: what tells one graph from another."""
        return self.name, self.version, self.digest

    def __add__(self, other: WorkflowCoverage) -> WorkflowCoverage:
        return WorkflowCoverage(
            name=self.name,
            version=self.version,
            digest=self.digest,
            runs=self.runs + other.runs,
            measures={name: self.measures[name] + other.measures[name] for name in MEASURES},
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """What runs have shown of the graphs of their workflows.

    Coverage adds up, over tests as over hosts, and what production saw can be held against what was
    tested: `tested.missing(seen)` is the list of untested behaviour.

    - nodes, edges: executed, taken
    - outcomes: of each decision, the default included
    - pairs: two outcomes in one run, as far as the graph lets them meet
    - exceptions: retry, exhausted, timeout, compensate, reject and skip, where a node declares them
    - loops: no item, one, several, and the bound
    - moves: of the state machines of runs and nodes, as far as the graph can make them

    Attributes:
        workflows: one for each graph, by name, version and digest.

    >>> Coverage() + Coverage()
    Coverage(workflows=())
    """

    workflows: tuple[WorkflowCoverage, ...] = ()

    @staticmethod
    def of(parts: Iterable[WorkflowCoverage]) -> Coverage:
        """The sum of coverage of any workflows."""
        sums: dict[Identity, WorkflowCoverage] = {}
        for part in parts:
            known = sums.get(part.identity)
            sums[part.identity] = part if known is None else known + part
        return Coverage(tuple(sums[identity] for identity in sorted(sums)))

    def find(self, name: str, version: str, digest: str) -> WorkflowCoverage | None:
        """That of one graph, if it is in here."""
        identity = (name, version, digest)
        return next((w for w in self.workflows if w.identity == identity), None)

    def counts(self, measure: MeasureName) -> tuple[int, int]:
        """How many parts of a kind were seen, and how many are declared, over all workflows."""
        measures = [workflow.measures[measure] for workflow in self.workflows]
        return sum(m.seen for m in measures), sum(len(m.declared) for m in measures)

    def percent(self, measure: MeasureName) -> float | None:
        """Parts of a kind that were seen, of 100; None if there are none to be seen."""
        seen, declared = self.counts(measure)
        return 100.0 * seen / declared if declared else None

    def missing(self, seen: Coverage | None = None) -> list[Missing]:
        """What was never seen, or what `seen` has and this has not.

        Args:
            seen: coverage of production, say. Of graphs that are not in this one, everything is
                missing that was seen.
        """
        known = {workflow.identity: workflow.measures for workflow in self.workflows}
        return [
            Missing(label, name, part)
            for label, workflow in (self if seen is None else seen).labelled()
            for name in MEASURES
            for part in (
                workflow.measures[name].missing()
                if seen is None
                else known.get(workflow.identity, _NONE)[name].missing(workflow.measures[name])
            )
        ]

    def labelled(self) -> list[tuple[str, WorkflowCoverage]]:
        """Each workflow by name and version, and the start of its digest where these are shared."""
        names = [f"{workflow.name} {workflow.version}" for workflow in self.workflows]
        uses = Counter(names)
        return [
            (name if uses[name] == 1 else f"{name} ({workflow.digest[:8]})", workflow)
            for name, workflow in zip(names, self.workflows, strict=True)
        ]

    def to_json(self) -> str:
        """What `from_json` reads; parts in the order of the graph."""
        return _file().dump_json({"format": 1, "workflows": self.workflows}).decode()

    @staticmethod
    def from_json(text: str | bytes) -> Coverage:
        """What `to_json` has written.

        Raises:
            PenstockError: the text is something else, or of another format.
        """
        from pydantic import ValidationError

        try:
            file = _file().validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise PenstockError(
                f"this is no coverage: {f'{place}: ' if place else ''}{first['msg']}",
                remedy="give a file that --penstock-cov-json or Coverage.to_json has written",
            ) from None
        return Coverage.of(file["workflows"])

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage.of((*self.workflows, *other.workflows))


class _File(TypedDict):
    format: Literal[1]
    workflows: tuple[WorkflowCoverage, ...]


@cache
def _file() -> TypeAdapter[_File]:
    """Made on first use, so that a service that imports penstock does not pay for it."""
    from pydantic import TypeAdapter

    return TypeAdapter(_File)


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {part: one.get(part, 0) + other.get(part, 0) for part in {**one, **other}}


_NONE: Final[Mapping[MeasureName, Measure]] = dict.fromkeys(MEASURES, Measure())
