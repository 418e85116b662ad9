"""Steps: how attempts of a step behave: how long, how well, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar, cast, get_args

from penstock._errors import DefinitionError
from penstock._policies import instance, number, whole, word
from penstock._policies._checks import one_of

from ._distributions import Distribution, sample_numbers
from ._parts import Part, Reader, pairs, table, tables_of

T = TypeVar("T")
After: TypeAlias = Literal["error", "timeout"]
ScoresSeen: TypeAlias = Literal["all", "explored", "above"]


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class FailureRow(Part):
    """How attempts fail from some number on; the rest returns.

    Attributes:
        attempt: it holds for this attempt and later ones, from 1.
        after: only where the attempt before failed so; None for however.
        error: the probability of a failure that is retried.
        fatal: of one that is not.
        hang: of never ending: a timeout decides.
    """

    attempt: int
    after: After | None
    error: float
    fatal: float
    hang: float

    _WORD: ClassVar[str] = "failure"

    def __init__(
        self,
        *,
        attempt: int = 1,
        after: After | None = None,
        error: float = 0.0,
        fatal: float = 0.0,
        hang: float = 0.0,
    ) -> None:
        self._keep(
            attempt=whole(attempt, "attempt"),
            after=None if after is None else one_of(after, "after", get_args(After)),
            error=share(error, "error"),
            fatal=share(fatal, "fatal"),
            hang=share(hang, "hang"),
        )
        if self.total > 1 + TOLERANCE:
            raise DefinitionError(
                f"error, fatal and hang add up to {self.total:g}", remedy="give at most 1 in all"
            )
        if after is not None and attempt == 1:
            raise DefinitionError(
                f"attempt 1 comes after {after!r}", remedy="give attempt = 2, or no after"
            )

    @property
    def total(self) -> float:
        """The probability of any failure."""
        return self.error + self.fatal + self.hang


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class SpendRow(Part):
    """What an attempt spends on one resource.

    Attributes:
        resource: such as "gpt-4o:input".
        units: of it.
        usd_per_unit: exact, of at most 12 decimals.
    """

    resource: str
    units: Distribution
    usd_per_unit: float

    _WORD: ClassVar[str] = "spend"
    _PARTS: ClassVar[Mapping[str, Reader]] = {"units": Distribution.read_at}

    def __init__(self, *, resource: str, units: Distribution, usd_per_unit: float) -> None:
        self._keep(
            resource=word(resource, "resource"),
            units=instance(units, "units", Distribution, "give a Distribution"),
            usd_per_unit=_price(usd_per_unit),
        )

    @classmethod
    def fixed(cls, resource: str, usd: float) -> Self:
        """The same amount each time."""
        return cls(resource=resource, units=Distribution.constant(1.0), usd_per_unit=usd)

    @classmethod
    def read_at(cls, data: Any, place: str, problems: list[str]) -> Self | None:
        """As `Part.read_at`; `usd` is short for one unit of that price."""
        if isinstance(data, Mapping) and "usd" in data:
            content = dict(cast("Mapping[str, Any]", data))
            if "units" in content or "usd_per_unit" in content:
                problems.append(f"{place}: has two amounts; give units and usd_per_unit, or usd")
                return None
            content["usd_per_unit"] = content.pop("usd")
            data = {**content, "units": {"kind": "constant", "value": 1.0}}
        found = len(problems)
        given = table(data, place, problems)
        return None if len(problems) > found else cls._read_at(given, place, problems)

    @property
    def nanos_per_million(self) -> int:
        """Nano-dollars for a million units, exact."""
        return int(Fraction(Decimal(repr(self.usd_per_unit))) * 10**15)

    @property
    def mean_usd(self) -> float:
        """Dollars an attempt, on the average."""
        return self.units.mean() * self.usd_per_unit


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class StepModel(Part):
    """How attempts of a step behave.

    Attributes:
        latency: seconds from start to end of an attempt that returns, when it is alone in its
            queue.
        failed_latency: likewise of one that fails; None for the same.
        load: by attempts in flight in its queue when it starts, what its latency is multiplied
            with: linear between the points, and beyond the last one as there.
        failures: by attempt; the last row that fits holds.
        spend: of each attempt that returns.
        failed_spend: what part of that an attempt spends that fails.
        cut_spend: likewise one that is cut off: by a timeout, or as nobody needs it any more.
        accepted: the probability that its value is accepted, where it is judged.
        scores: sorted, of its values; those of the threshold in force or more are accepted.
        scores_seen: "all": there is one for each of its values; "explored": some stand for all, by
            inverse propensity; "above": only what an earlier judge sent here is known.
        quality: the probability that its value is right.
        attempts_seen: how many attempts this was fitted to.

    >>> draft = StepModel(latency=Distribution.constant(0.2), failures=[FailureRow(error=0.02)])
    >>> draft.failure(3, after="timeout").error
    0.02
    """

    latency: Distribution
    failed_latency: Distribution | None
    load: tuple[tuple[float, float], ...]
    failures: tuple[FailureRow, ...]
    spend: tuple[SpendRow, ...]
    failed_spend: float
    cut_spend: float
    accepted: float | None
    scores: tuple[float, ...]
    scores_seen: ScoresSeen
    quality: float | None
    attempts_seen: int | None

    _WORD: ClassVar[str] = "step"
    _PARTS: ClassVar[Mapping[str, Reader]] = {
        "latency": Distribution.read_at,
        "failed_latency": Distribution.read_at,
        "failures": tables_of(FailureRow.read_at),
        "spend": tables_of(SpendRow.read_at),
    }

    def __init__(
        self,
        *,
        latency: Distribution,
        failed_latency: Distribution | None = None,
        load: Sequence[Sequence[float]] = (),
        failures: Sequence[FailureRow] = (),
        spend: Sequence[SpendRow] = (),
        failed_spend: float = 1.0,
        cut_spend: float = 0.0,
        accepted: float | None = None,
        scores: Sequence[float] = (),
        scores_seen: ScoresSeen = "all",
        quality: float | None = None,
        attempts_seen: int | None = None,
    ) -> None:
        remedy = "give a Distribution, such as Distribution.constant(0.2)"
        if failed_latency is not None:
            instance(failed_latency, "failed_latency", Distribution, remedy)
        if accepted is not None and scores:
            raise DefinitionError(
                "there are both 'accepted' and 'scores'", remedy="give one: scores tell the other"
            )
        self._keep(
            latency=instance(latency, "latency", Distribution, remedy),
            failed_latency=failed_latency,
            load=_load(load),
            failures=_rows(failures, "failures", FailureRow),
            spend=_rows(spend, "spend", SpendRow),
            failed_spend=number(failed_spend, "failed_spend", least=0, most=LARGE),
            cut_spend=number(cut_spend, "cut_spend", least=0, most=LARGE),
            accepted=None if accepted is None else share(accepted, "accepted"),
            scores=sample_numbers(scores, "scores", least=-LARGE) if scores else (),
            scores_seen=one_of(scores_seen, "scores_seen", get_args(ScoresSeen)),
            quality=None if quality is None else share(quality, "quality"),
            attempts_seen=(
                None
                if attempts_seen is None
                else whole(attempts_seen, "attempts_seen", least=0, most=2**53)
            ),
        )
        resources = [row.resource for row in self.spend]
        for resource in resources:
            if resources.count(resource) > 1:
                raise DefinitionError(
                    f"spend has {resource!r} twice", remedy="give the attempt's whole use of it"
                )

    def failure(self, attempt: int, after: After | None = None) -> FailureRow:
        """The row that holds for an attempt: the last one that fits."""
        for row in reversed(self.failures):
            if row.attempt <= attempt and row.after in (None, after):
                return row
        return FailureRow()

    def accepts(self, at: float | None) -> float | None:
        """The probability that a value is accepted at a threshold; None if that is not known."""
        if not self.scores or at is None:
            return self.accepted
        return sum(score >= at for score in self.scores) / len(self.scores)

    @property
    def mean_usd(self) -> float:
        """Dollars an attempt that returns, on the average."""
        return sum(row.mean_usd for row in self.spend)


def share(value: object, name: str) -> float:
    """Check that `value` is a probability, and return it.

    Raises:
        DefinitionError: it is not.
    """
    return number(value, name, least=0, most=1, remedy="give a probability from 0 to 1")


def _rows(rows: Sequence[T], name: str, kind: type[T]) -> tuple[T, ...]:
    return tuple(instance(row, name, kind, f"give a list of {kind.__name__}") for row in rows)


def _load(points: object) -> tuple[tuple[float, float], ...]:
    remedy = "give pairs of attempts in flight and factor: [[1, 1.0], [16, 1.1]]"
    found: list[tuple[float, float]] = []
    for place, (flight, factor) in enumerate(pairs(points, "load", remedy), 1):
        found.append(
            (
                number(flight, f"load[{place}]", least=0),
                number(factor, f"the factor of load[{place}]", above=0),
            )
        )
        if place > 1 and found[-1][0] <= found[-2][0]:
            raise DefinitionError(
                f"load[{place}] is not above the one before", remedy="sort them, each once"
            )
    return tuple(found)


def _price(value: object) -> float:
    price = number(value, "usd_per_unit", least=0, most=LARGE)
    exponent = Decimal(repr(price)).normalize().as_tuple().exponent
    if int(exponent) < -DECIMALS:
        raise DefinitionError(
            f"usd_per_unit is {value!r}", remedy=f"give at most {DECIMALS} decimals"
        )
    return price


TOLERANCE = 1e-6
"""What probabilities that should add up to 1 may be off by."""
LARGE = 1e9
DECIMALS = 12
