"""Changes: what a policy changes in a workflow, in the words of `--set` and of the vary file.

    step.NAME.retry.FIELD               step.NAME.accept.at
    step.NAME.hedge.FIELD               step.NAME.timeout | total_timeout | queue_timeout | priority
    queue.NAME.FIELD                    queue.NAME.PART.FIELD
    cascade.PATH.order                  cascade.PATH.at         cascade.PATH.at.TIER
    map.PATH.concurrency                setting.NAME
    budget.usd | when_spent | degrade_at                        arrivals.rate

"none" takes away what may be away: a timeout, a hedge, a breaker, a budget.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel

from penstock._errors import DefinitionError
from penstock._policies import Budget, Queue, RetryPolicy, canonical, plain
from penstock._settings import Overlay

from ._drafts import Draft
from ._targets import DEFAULT, Targets, split

if TYPE_CHECKING:
    from penstock._workflows import Workflow

    from ._model import Model


class Change:
    """What one policy changes in a workflow. Immutable; two that change the same are equal.

    Args:
        workflow: that is changed.
        values: by what is changed, such as "queue.gpt.concurrency"; plain data.
        queues: the runtime's own, which stand in for those that steps bring along.

    Attributes:
        workflow: as given.
        values: as given, paths in full.
        retry: policies that are changed, by step.
        queues: queues that are changed, by name.
        options: by step, the changed ones of `timeout`, `total_timeout`, `queue_timeout`,
            `priority` and `hedge`; None takes one away.
        orders: names of a cascade's tiers in the order in which they are tried, by its path.
        thresholds: least scores that are accepted, by the path of the node that judges.
        maps: items that run at once, by the path of the map; 0 for all.
        settings: values, by the setting's name.
        budget: of each run, the workflow's own if it is not changed; None for no limit.
        arrivals: "rate", runs per second.

    Raises:
        DefinitionError: a name is unknown or a value out of its range; all of them at once.

    >>> import penstock as ps
    >>> gpt = ps.Queue("gpt", concurrency=8)
    >>> @ps.step(queue=gpt)
    ... async def draft(ticket: str) -> str:
    ...     return ticket
    >>> change = Change(draft.as_workflow(), {"queue.gpt.concurrency": 32})
    >>> change.queues["gpt"].concurrency
    32
    >>> change
    Change('queue.gpt.concurrency=32')
    """

    __slots__ = (
        "_targets",
        "_text",
        "arrivals",
        "budget",
        "maps",
        "options",
        "orders",
        "queues",
        "retry",
        "settings",
        "thresholds",
        "values",
        "workflow",
    )

    workflow: Workflow[..., Any]
    values: Mapping[str, Any]
    retry: Mapping[str, RetryPolicy]
    queues: Mapping[str, Queue]
    options: Mapping[str, Mapping[str, Any]]
    orders: Mapping[str, tuple[str, ...]]
    thresholds: Mapping[str, float]
    maps: Mapping[str, int]
    settings: Mapping[str, Any]
    budget: Budget | None
    arrivals: Mapping[str, float]
    _targets: Targets
    _text: str

    def __init__(
        self,
        workflow: Workflow[..., Any],
        values: Mapping[str, Any] | None = None,
        *,
        queues: Iterable[Queue] = (),
    ) -> None:
        self._make(Targets(workflow, queues), values or {})

    @classmethod
    def of(cls, targets: Targets, values: Mapping[str, Any]) -> Change:
        """A change of what is known already, as for each policy of many."""
        made = cls.__new__(cls)
        made._make(targets, values)
        return made

    @classmethod
    def parse(
        cls,
        workflow: Workflow[..., Any],
        texts: Iterable[str],
        *,
        queues: Iterable[Queue] = (),
    ) -> Change:
        """A change in the words of `--set`: "queue.gpt.concurrency=32".

        A value is written as in TOML; what is none there is a text.

        Raises:
            DefinitionError: as for the change itself, or one has no "=", or two set the same.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for text in texts:
            key, equals, value = text.partition("=")
            name = key.strip()
            if not equals or not name:
                problems.append(f"{text!r} sets nothing; write it as queue.gpt.concurrency=32")
            elif name in values:
                problems.append(f"{name} is set twice; set it once")
            else:
                values[name] = _value(value.strip())
        if problems:
            raise DefinitionError.of("the changes", problems)
        return cls(workflow, values, queues=queues)

    def _make(self, targets: Targets, values: Mapping[str, Any]) -> None:
        made = Draft(targets)
        for key, value in values.items():
            made.take(key, value)
        made.finish()
        if made.problems:
            what = f"the changes of workflow {targets.workflow.name!r}"
            raise DefinitionError.of(what, made.problems)
        ordered = MappingProxyType(dict(made.values))
        for field, content in (
            ("_targets", targets),
            ("_text", canonical({key: _plain(value) for key, value in ordered.items()})),
            ("workflow", targets.workflow),
            ("values", ordered),
            ("retry", MappingProxyType(made.retry)),
            ("queues", MappingProxyType(made.queues)),
            ("options", MappingProxyType(made.options)),
            ("orders", MappingProxyType(made.orders)),
            ("thresholds", MappingProxyType(made.thresholds)),
            ("maps", MappingProxyType(made.maps)),
            ("settings", MappingProxyType(made.settings)),
            ("budget", made.budget),
            ("arrivals", MappingProxyType(made.arrivals)),
        ):
            object.__setattr__(self, field, content)

    @property
    def texts(self) -> tuple[str, ...]:
        """It as `parse` reads it, one text for each value."""
        return tuple(f"{key}={_written(value)}" for key, value in self.values.items())

    @property
    def effect(self) -> str:
        """What comes of it, as canonical JSON.

        That of two changes is equal if they come to the same, though one sets what is so already.
        """
        targets, workflow = self._targets, self.workflow
        retry = {step: it for step, it in self.retry.items() if it != targets.retry(step)}
        queues = {name: it for name, it in self.queues.items() if it != targets.queues[name]}
        options = {
            f"{step}.{name}": it
            for step, changed in self.options.items()
            for name, it in changed.items()
            if it != targets.option(step, name)
        }
        orders = {path: it for path, it in self.orders.items() if it != targets.ladders[path].tiers}
        thresholds = {path: it for path, it in self.thresholds.items() if it != targets.at(path)}
        maps = {path: it for path, it in self.maps.items() if it != targets.maps[path].concurrency}
        settings = {
            name: _plain(it)
            for name, it in self.settings.items()
            if it != targets.settings[name].value
        }
        budget = None if self.budget == workflow.budget else [plain(self.budget)]
        parts = (retry, queues, options, orders, thresholds, maps, settings, budget, self.arrivals)
        return canonical([_plain_parts(part) for part in parts])

    def simplified(self) -> Change:
        """It without the values that change nothing."""
        values = dict(self.values)
        for key in self.values:
            less = {name: value for name, value in values.items() if name != key}
            try:
                same = Change.of(self._targets, less).effect == self.effect
            except DefinitionError:
                continue  # what is left can't be without it
            if same:
                values = less
        return self if len(values) == len(self.values) else Change.of(self._targets, values)

    def extrapolates(self, model: Model) -> tuple[str, ...]:
        """Why what a model says of it is more than was seen; empty if it is not.

        A threshold can be raised and an order changed only where the tiers that get other values
        then were explored with such values.
        """
        return tuple(dict.fromkeys((*self._unexplored(model), *self._unseen(model))))

    def is_extrapolated(self, model: Model) -> bool:
        """Whether what a model says of it is more than was seen."""
        return bool(self.extrapolates(model))

    def overlay(self) -> Overlay:
        """What releases it without another version of the workflow.

        Raises:
            DefinitionError: it changes nothing, or what only another version can hold: all but
                retry policies, queues and settings. It names what.
        """
        held = [key for key in self.values if not _fits_overlay(key)]
        if held:
            only_load = all(key.startswith("arrivals.") for key in held)
            raise DefinitionError(
                f"an overlay can't hold {', '.join(held)}",
                remedy="leave it out: it is what comes, and no part of a policy"
                if only_load
                else "write it into the code as another version of the workflow, and release that",
            )
        nodes = self.workflow.graph.nodes
        steps = {node.step.name: node.step for node in nodes if node.step is not None}
        known = self._targets.settings
        return Overlay(
            settings={known[name]: value for name, value in self.settings.items()},
            retry={steps[name]: policy for name, policy in self.retry.items()},
            queues=self.queues.values(),
        )

    def to_dict(self) -> dict[str, Any]:
        """The values as plain data, ready for JSON."""
        return {key: _plain(value) for key, value in self.values.items()}

    def _unexplored(self, model: Model) -> Iterable[str]:
        for path, ladder in self._targets.ladders.items():
            blind = [
                tier
                for tier, step in zip(ladder.tiers, ladder.steps, strict=True)
                if not _explored(model, path, tier, step)
            ]
            if path in self.orders and self.orders[path] != ladder.tiers and blind:
                yield f"{path}: another order, and {', '.join(blind)} never explored"
            order = self.orders.get(path, ladder.tiers)
            for place, judge in enumerate(ladder.judges):
                raised, at = self.thresholds.get(judge), ladder.at[place]
                if raised is None or at is None or raised == at:
                    continue
                step = ladder.steps[ladder.tiers.index(order[place])]
                if not _scored(model, step):
                    yield f"{path}: another threshold, and no scores of {order[place]}"
                later = [tier for tier in order[place + 1 :] if tier in blind]
                if raised > at and later:
                    yield f"{path}: a higher threshold, and {', '.join(later)} never explored"
        for step, (paths, at) in self._targets.bars.items():
            changed = {self.thresholds.get(path, at) for path in paths}
            if changed != {at} and not _scored(model, step):
                yield f"step {step}: another threshold, and no scores of it"

    def _unseen(self, model: Model) -> Iterable[str]:
        for name in self.settings:
            yield f"setting {name}: what its value changes is in no model"
        if model.fitted is None:
            return
        for step, policy in self.retry.items():
            known = model.steps.get(step)
            seen = max((row.attempt for row in known.failures), default=1) if known else 1
            most = max(seen, self._targets.retry(step).max_attempts)
            if policy.max_attempts > most:
                yield f"step {step}: {policy.max_attempts} attempts, and {most} were seen"

    def __bool__(self) -> bool:
        return bool(self.values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Change):
            return NotImplemented
        return (self.workflow.digest, self._text) == (other.workflow.digest, other._text)

    def __hash__(self) -> int:
        return hash((self.workflow.digest, self._text))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Change is immutable; make another one to set {name!r}")

    def __repr__(self) -> str:
        return f"Change({', '.join(map(repr, self.texts))})"


def _explored(model: Model, path: str, tier: str, step: str | None) -> bool:
    """Whether what a tier gives is known also of values that do not reach it as things are."""
    known = None if step is None else model.steps.get(step)
    gaps = () if model.fitted is None else model.fitted.gaps
    told = tuple(f"cascade {path}: tier {name} was " for name in (tier, step))
    if any(gap.startswith(told) for gap in gaps):
        return False
    return known is None or known.scores_seen != "above"


def _scored(model: Model, step: str | None) -> bool:
    known = None if step is None else model.steps.get(step)
    return known is not None and bool(known.scores)


def _fits_overlay(key: str) -> bool:
    kind, _, rest = key.partition(".")
    if kind == "queue":
        return split(rest, [DEFAULT.name]) is None
    return kind == "setting" or (kind == "step" and _RETRY.search(rest) is not None)


def _value(text: str) -> Any:
    """A value as TOML has it; what is none there is a text, and so is a time."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = found.pop("value")
    return text if found or isinstance(value, date | time) else value


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else plain(value)


def _plain_parts(part: Any) -> Any:
    """A mapping of policies as plain data."""
    if not isinstance(part, Mapping):
        return part
    return {name: plain(value) for name, value in cast("Mapping[str, Any]", part).items()}


def _written(value: Any, *, inside: bool = False) -> str:
    """A value as `_value` reads it."""
    value = _plain(value)
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value).items()
        inner = (f"{json.dumps(key)} = {_written(it, inside=True)}" for key, it in parts)
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, list):
        items = cast("Sequence[object]", value)
        return f"[{', '.join(_written(item, inside=True) for item in items)}]"
    if isinstance(value, str) and not inside and _BARE.fullmatch(value):
        return value
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")  # JSON lets it stand, TOML does not


_RETRY: Final = re.compile(r"\.retry(\.[a-z_]+)?$")
_BARE: Final = re.compile(r"(?!true$|false$|inf$|nan$)[A-Za-z_][A-Za-z_-]*")
