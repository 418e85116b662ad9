"""Vary: what is varied to find better policies, and the policies that come of it.

policies = 200                # at most so many
combine = "grid"              # every combination; or "sample": spread over all of them
seed = 0

[vary]
"queue.gpt.concurrency" = [16, 32, 64]
"step.draft.retry.max_attempts" = { low = 1, high = 5 }
"cascade.answer.at" = { low = 0.5, high = 0.9, steps = 5 }
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import exp, isfinite, log, prod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from penstock._errors import DefinitionError
from penstock._policies import number, whole
from penstock._policies._checks import one_of
from penstock._simulation._changes import Change
from penstock._simulation._targets import Targets, did_you_mean

if TYPE_CHECKING:
    from penstock._policies import Queue
    from penstock._workflows import Workflow

Combine: TypeAlias = Literal["grid", "sample"]


@dataclass(frozen=True, slots=True, init=False)
class Range:
    """Numbers from `low` to `high`; whole ones if both ends are.

    Args:
        low: the least.
        high: the most.
        steps: how many; all whole ones, or any number, if not given. A grid then takes five.
        scale: "log" has them apart by a factor, as for a concurrency from 1 to 1,000.

    Raises:
        DefinitionError: it has no two numbers, or a logarithm of what is not above 0.

    >>> Range(1, 16, steps=3, scale="log").values()
    [1, 4, 16]
    """

    low: float
    high: float
    steps: int | None
    scale: str

    def __init__(
        self, low: float, high: float, *, steps: int | None = None, scale: str = "linear"
    ) -> None:
        number(low, "low")
        number(high, "high")
        if low >= high:
            raise DefinitionError(f"low is {low} and high is {high}", remedy="give low below high")
        one_of(scale, "scale", ("linear", "log"))
        if scale == "log" and low <= 0:
            raise DefinitionError(f"low is {low}", remedy='give more than 0 with scale = "log"')
        for field, value in (
            ("low", low),
            ("high", high),
            ("steps", None if steps is None else whole(steps, "steps", least=2, most=10_000)),
            ("scale", scale),
        ):
            object.__setattr__(self, field, value)

    @property
    def is_whole(self) -> bool:
        """Whether it has whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def values(self) -> list[float]:
        """Those of a grid."""
        count = self.steps or _USUAL_STEPS
        if self.steps is None and self.is_whole:
            count = min(count, int(self.high - self.low) + 1)
        return list(dict.fromkeys(self.at(place / (count - 1)) for place in range(count)))

    def at(self, share: float) -> float:
        """The number at a share of the way, from 0 to 1."""
        if self.scale == "log":
            value = exp(log(self.low) + share * (log(self.high) - log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        if self.is_whole:
            return round(value)
        value = float(f"{value:.6g}")  # nobody sets a threshold of 0.7342105263157894
        return min(max(value, float(self.low)), float(self.high))

    def drawn(self, share: float) -> float:
        """The number at a share of a sample: one of `steps`, or any."""
        if self.steps is None:
            return self.at(share)
        return self.at(min(int(share * self.steps), self.steps - 1) / (self.steps - 1))


Choice: TypeAlias = "Range | tuple[Any, ...]"


@dataclass(frozen=True, slots=True, init=False)
class Vary:
    """What is varied, and how many policies are made of it.

    Args:
        choices: by what is changed, as `Change` has it: the values, or a `Range`.
        policies: how many at most, without the present one.
        combine: "grid" for every combination, as long as there are not more; "sample" for a Latin
            hypercube: each value comes about as often as each other one of its kind.
        seed: of the sample.

    Raises:
        DefinitionError: nothing is varied, or a value is none; all of them at once.

    >>> Vary({"queue.gpt.concurrency": [16, 32], "arrivals.rate": Range(10, 40, steps=4)}).size
    8
    """

    choices: Mapping[str, Choice]
    policies: int
    combine: Combine
    seed: int

    def __init__(
        self,
        choices: Mapping[str, Range | Sequence[Any]],
        *,
        policies: int = 200,
        combine: Combine = "grid",
        seed: int = 0,
    ) -> None:
        problems: list[str] = []
        read: dict[str, Choice] = {}
        for key, given in choices.items():
            try:
                read[key] = _choice(given)
            except DefinitionError as error:
                problems += [f"{key}: {problem}" for problem in error.problems]
        if not choices:
            problems.append('nothing is varied; give "queue.gpt.concurrency" = [16, 32, 64]')
        if problems:
            raise DefinitionError.of("vary", problems)
        for field, value in (
            ("choices", MappingProxyType(read)),
            ("policies", whole(policies, "policies", most=_MOST)),
            ("combine", one_of(combine, "combine", get_args(Combine))),
            ("seed", whole(seed, "seed", least=0, most=2**63 - 1)),
        ):
            object.__setattr__(self, field, value)

    @classmethod
    def read(cls, path: Path | str) -> Vary:
        """A vary file.

        Raises:
            DefinitionError: it is no TOML, or something in it is wrong.
            OSError: it can't be read.
        """
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DefinitionError(f"{path}: {error}", remedy="write it as TOML") from error
        try:
            return cls.from_dict(content)
        except DefinitionError as error:
            raise DefinitionError.of(str(path), error.problems) from None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Vary:
        """What a vary file has.

        Raises:
            DefinitionError: something in it is wrong.
        """
        for name in content:
            if name not in _FIELDS:
                raise DefinitionError(
                    f"there is no field {name!r}", remedy=did_you_mean(name, _FIELDS)
                )
        choices = content.get("vary", {})
        if not isinstance(choices, Mapping):
            raise DefinitionError(f"vary is {choices!r}", remedy="make it a table: [vary]")
        options = {name: value for name, value in content.items() if name != "vary"}
        return cls(dict(_flat(cast("Mapping[str, Any]", choices))), **options)

    @property
    def size(self) -> int:
        """How many combinations a grid has."""
        return prod(len(_values(choice)) for choice in self.choices.values())

    def changes(
        self, workflow: Workflow[..., Any], *, queues: Iterable[Queue] = ()
    ) -> tuple[list[Change], list[str]]:
        """The policies, of which the first is the present one; and why others were left out.

        Values are tried by themselves first: one that can't be is an error. A combination that
        can't be is left out, and so is one that comes to the same as another.

        Raises:
            DefinitionError: a name is unknown or a value out of its range; all of them at once.
        """
        targets = Targets(workflow, queues)
        self._check(targets)
        present = Change.of(targets, {})
        found: dict[object, Change] = {present.effect: present}
        left_out: dict[str, None] = {}
        tried: set[str] = set()
        for values in self._combinations():
            if len(found) > self.policies:
                break
            if (text := repr(values)) in tried:
                continue
            tried.add(text)
            try:
                change = Change.of(targets, values)
            except DefinitionError as error:
                left_out.update(dict.fromkeys(error.problems))
                continue
            if change.effect not in found:
                found[change.effect] = change.simplified()
        return list(found.values()), list(left_out)

    def _check(self, targets: Targets) -> None:
        problems: dict[str, None] = {}
        for key, choice in self.choices.items():
            for value in _values(choice):
                try:
                    Change.of(targets, {key: value})
                except DefinitionError as error:
                    problems.update(dict.fromkeys(error.problems))
        if problems:
            raise DefinitionError.of("vary", list(problems))

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """Values by key; of a sample more than are asked for, as some come to the same."""
        if self.combine == "grid" and self.size <= self.policies:
            for values in product(*map(_values, self.choices.values())):
                yield dict(zip(self.choices, values, strict=True))
            return
        drawn = random.Random(self.seed)  # noqa: S311
        for _ in range(_ROUNDS):
            yield from self._hypercube(drawn)

    def _hypercube(self, drawn: random.Random) -> Iterator[dict[str, Any]]:
        """As many combinations as policies.

        Each key's range is cut into so many equal parts, of which each is taken once (McKay,
        Beckman, Conover 1979).
        """
        columns: list[list[Any]] = []
        for choice in self.choices.values():
            shares = [(place + drawn.random()) / self.policies for place in range(self.policies)]
            drawn.shuffle(shares)
            columns.append([_drawn(choice, share, grid=self.combine == "grid") for share in shares])
        for values in zip(*columns, strict=True):
            yield dict(zip(self.choices, values, strict=True))


def _choice(given: object) -> Choice:
    if isinstance(given, Range):
        return given
    if isinstance(given, Mapping) and {"low", "high"} <= set(cast("Mapping[str, Any]", given)):
        options = dict(cast("Mapping[str, Any]", given))
        unknown = [name for name in options if name not in ("low", "high", "steps", "scale")]
        if unknown:
            raise DefinitionError(
                f"a range has no {unknown[0]!r}", remedy="give low, high, steps and scale"
            )
        return Range(options.pop("low"), options.pop("high"), **options)
    if not isinstance(given, list | tuple) or not given:
        raise DefinitionError(
            f"it is {given!r}", remedy="give a list of values, or { low = 1, high = 9, steps = 5 }"
        )
    values = tuple(cast("Sequence[Any]", given))
    for value in values:
        if isinstance(value, float) and not isfinite(value):
            raise DefinitionError(f"{value} is no finite number", remedy="take it out")
    return values


def _values(choice: Choice) -> Sequence[Any]:
    return choice.values() if isinstance(choice, Range) else choice


def _drawn(choice: Choice, share: float, *, grid: bool) -> Any:
    """The value at a share of a choice; of a grid one of its values."""
    if isinstance(choice, Range) and not grid:
        return choice.drawn(share)
    values = _values(choice)
    return values[min(int(share * len(values)), len(values) - 1)]


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys in full, also where somebody has left the quotes out: TOML makes tables of the dots."""
    for name, value in content.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and not {"low", "high"} & set(
            cast("Mapping[str, Any]", value)
        ):
            yield from _flat(cast("Mapping[str, Any]", value), f"{key}.")
        else:
            yield key, value


_FIELDS: Final = ("vary", "policies", "combine", "seed")
_USUAL_STEPS: Final = 5
_ROUNDS: Final = 20
_MOST: Final = 100_000
