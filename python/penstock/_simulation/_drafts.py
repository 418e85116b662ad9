"""Drafts: a change while it is read, value by value, with everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from penstock._errors import DefinitionError
from penstock._options import checked
from penstock._policies import Budget, Hedge, Queue, RetryPolicy, number, whole
from penstock._policies._budgets import run_budget

from ._edits import changed_queue, edited, is_none
from ._targets import ONCE, Targets, did_you_mean, split


class Draft:
    """A change while it is read, with what is wrong with it."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.problems: list[str] = []
        self.values: dict[str, Any] = {}
        self.retry: dict[str, RetryPolicy] = {}
        self.queues: dict[str, Queue] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.orders: dict[str, tuple[str, ...]] = {}
        self.thresholds: dict[str, float] = {}
        self.maps: dict[str, int] = {}
        self.settings: dict[str, Any] = {}
        self.budget: Budget | None = targets.workflow.budget
        self.arrivals: dict[str, float] = {}
        self._fields: dict[tuple[str, str], dict[Any, Any]] = {}

    def take(self, key: str, value: Any) -> None:
        """Read one value; what is wrong is kept as a problem."""
        kind, _, rest = key.partition(".")
        reader = _READERS.get(kind)
        if reader is None:
            self.problems.append(f"{key}: {did_you_mean(kind, _READERS)}; {_HOW}")
            return
        value = tuple(cast("list[object]", value)) if isinstance(value, list) else value
        self._tried(key, lambda: self._keep(reader(self, rest, value), value))

    def _keep(self, key: str, value: Any) -> None:
        if key in self.values:
            raise DefinitionError("it is set twice", remedy="set it once")
        self.values[key] = value

    def finish(self) -> None:
        """Make the policies of what was read: several fields of one are checked together."""
        for (kind, name), fields in self._fields.items():
            if kind == "retry":
                where = f"step.{name}.retry"
                self._tried(where, partial(self._finish_retry, name, fields))
            elif kind == "hedge":
                self._tried(f"step.{name}.hedge", partial(self._finish_hedge, name, fields))
            elif kind == "queue":
                self._tried(f"queue.{name}", partial(self._finish_queue, name, fields))
            elif kind == "budget":
                self._tried("budget", partial(self._finish_budget, fields))
            else:
                self._tried(f"cascade.{name}", partial(self._finish_ladder, name, fields))

    def _tried(self, where: str, do: Callable[[], object]) -> None:
        try:
            do()
        except DefinitionError as error:
            self.problems += [f"{where}: {problem}" for problem in error.problems]

    def step(self, rest: str, value: Any) -> str:
        """What begins with "step."."""
        name, field = self._named("step", rest, self.targets.steps)
        option, _, inner = field.partition(".")
        if option in ("retry", "hedge"):
            self._fields.setdefault((option, name), {})[inner] = value
        elif option == "accept":
            if inner != "at":
                raise DefinitionError(
                    f"accept has no {inner!r}", remedy=f"set step.{name}.accept.at"
                )
            self._bar(name, value)
        elif inner or option not in _OPTIONS:
            raise DefinitionError(f"{field!r} can't be set", remedy=did_you_mean(option, _OPTIONS))
        else:
            good = None if is_none(value) else cast("Any", checked({option: value}))[option]
            self.options.setdefault(name, {})[option] = good
        return f"step.{name}.{field}"

    def queue(self, rest: str, value: Any) -> str:
        """What begins with "queue."."""
        name, field = self._named("queue", rest, self.targets.queues)
        self._fields.setdefault(("queue", name), {})[tuple(field.split("."))] = value
        return f"queue.{name}.{field}"

    def cascade(self, rest: str, value: Any) -> str:
        """What begins with "cascade."."""
        prefix = f"{self.targets.workflow.name}/"
        known = {name for it in self.targets.ladders for name in (it, it.removeprefix(prefix))}
        given, field = self._named("cascade", rest, known)
        if field not in ("order", "at") and not field.startswith("at."):
            raise DefinitionError(
                f"{field!r} can't be set",
                remedy='write cascade.PATH.order=["small", "large"] or cascade.PATH.at=0.8',
            )
        path = self.targets.path(given, self.targets.ladders)
        self._fields.setdefault(("cascade", path), {})[field] = value
        return f"cascade.{path}.{field}"

    def map(self, rest: str, value: Any) -> str:
        """What begins with "map."."""
        given, _, field = rest.rpartition(".")
        if field != "concurrency":
            raise DefinitionError(f"{field!r} can't be set", remedy="set map.PATH.concurrency")
        path = self.targets.path(given, self.targets.maps)
        self.maps[path] = 0 if is_none(value) else whole(value, "concurrency")
        return f"map.{path}.concurrency"

    def setting(self, rest: str, value: Any) -> str:
        """What begins with "setting."."""
        known = self.targets.settings
        if rest not in known:
            raise DefinitionError(f"there is no setting {rest!r}", remedy=did_you_mean(rest, known))
        given: object = list(cast("Any", value)) if isinstance(value, tuple) else value
        self.settings[rest] = known[rest].checked(given)
        return f"setting.{rest}"

    def budgeted(self, rest: str, value: Any) -> str:
        """What begins with "budget"."""
        if rest and rest not in _BUDGET:
            raise DefinitionError(f"{rest!r} can't be set", remedy=did_you_mean(rest, _BUDGET))
        self._fields.setdefault(("budget", ""), {})[rest] = value
        return f"budget.{rest}" if rest else "budget"

    def arrives(self, rest: str, value: Any) -> str:
        """What begins with "arrivals."."""
        if rest != "rate":
            raise DefinitionError(f"{rest!r} can't be set", remedy="set arrivals.rate")
        self.arrivals["rate"] = number(value, "rate", above=0)
        return "arrivals.rate"

    def _named(self, kind: str, rest: str, known: Collection[str]) -> tuple[str, str]:
        found = split(rest, known)
        if found is None:
            given = rest.partition(".")[0]
            raise DefinitionError(
                f"there is no {kind} {given!r}", remedy=did_you_mean(given, known)
            )
        if not found[1]:
            raise DefinitionError("it does not say what of it", remedy=f"write {kind}.NAME.FIELD")
        return found

    def _bar(self, step: str, value: Any) -> None:
        if step not in self.targets.bars:
            raise DefinitionError(
                f"step {step!r} has no threshold", remedy="give it accept=ps.Threshold(...) first"
            )
        at = number(value, "at")
        self.thresholds.update(dict.fromkeys(self.targets.bars[step][0], at))

    def _finish_retry(self, name: str, fields: Mapping[str, Any]) -> None:
        present = self.targets.retry(name)
        if "" in fields:
            if len(fields) > 1:
                raise DefinitionError("it is set as a whole and in parts", remedy="set one of both")
            given = fields[""]
            policy = ONCE if is_none(given) else RetryPolicy.from_dict(given)
        else:
            policy = edited(present, fields)
        step = self.targets.steps[name][0].step
        if step is not None and step.effects == "once" and policy.max_attempts > 1:
            raise DefinitionError(
                f"it has effects='once', and can't be given {policy.max_attempts} attempts",
                remedy="leave it at one",
            )
        self.retry[name] = policy

    def _finish_hedge(self, name: str, fields: Mapping[str, Any]) -> None:
        hedge: Hedge | None = self.targets.option(name, "hedge")
        if "" in fields:
            if len(fields) > 1:
                raise DefinitionError("it is set as a whole and in parts", remedy="set one of both")
            hedge = None if is_none(fields[""]) else Hedge.from_dict(fields[""])
        elif is_none(fields.get("after", 0.0)):
            hedge = None  # a hedge that never comes
        else:
            hedge = edited(hedge or Hedge(), fields)
        step = self.targets.steps[name][0].step
        twice = step is None or (step.effects != "once" and "compensate" not in step.options)
        if hedge is not None and not twice:
            raise DefinitionError("it may not run twice, as a hedge does", remedy="leave it out")
        self.options.setdefault(name, {})["hedge"] = hedge

    def _finish_queue(self, name: str, fields: Mapping[tuple[str, ...], Any]) -> None:
        self.queues[name] = changed_queue(self.targets.queues[name], fields)

    def _finish_budget(self, fields: Mapping[str, Any]) -> None:
        if "" in fields:
            if len(fields) > 1:
                raise DefinitionError("it is set as a whole and in parts", remedy="set one of both")
            whole_one = fields[""]
            self.budget = None if is_none(whole_one) else _budget(whole_one)
        elif self.budget is None:
            self.budget = _budget(fields)
        else:
            self.budget = edited(self.budget, fields)

    def _finish_ladder(self, path: str, fields: Mapping[str, Any]) -> None:
        ladder = self.targets.ladders[path]
        order = ladder.tiers
        if "order" in fields:
            order = _order(fields["order"], ladder.tiers)
            self.orders[path] = order
        for field, value in fields.items():
            if field == "order":
                continue
            tier = field.removeprefix("at").removeprefix(".")
            if tier and tier not in order:
                raise DefinitionError(f"it has no tier {tier!r}", remedy=did_you_mean(tier, order))
            if tier == order[-1]:
                raise DefinitionError(
                    f"{tier!r} is its last tier, whose value is taken as it is",
                    remedy=f"set the threshold of {order[0]!r}",
                )
            at = number(value, field)
            for place, judge in enumerate(ladder.judges):
                if tier and order[place] != tier:
                    continue
                if ladder.at[place] is None:
                    raise DefinitionError(
                        "it accepts by a function, which has no threshold",
                        remedy="give it accept=ps.Threshold(score, at=...)",
                    )
                if tier or f"at.{order[place]}" not in fields:
                    self.thresholds[judge] = at


def _budget(fields: Mapping[str, Any]) -> Budget:
    return run_budget(Budget.from_dict(fields), "budget")


def _order(value: object, tiers: Sequence[str]) -> tuple[str, ...]:
    given = cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()
    if sorted(map(str, given)) != sorted(tiers):
        raise DefinitionError(
            f"order is {value!r}", remedy=f"give each of its tiers once: {json.dumps(list(tiers))}"
        )
    return tuple(map(str, given))


_OPTIONS: Final = (
    "retry",
    "hedge",
    "timeout",
    "total_timeout",
    "queue_timeout",
    "priority",
    "accept",
)
_BUDGET: Final = ("usd", "when_spent", "degrade_at")
_READERS: Final[Mapping[str, Callable[[Draft, str, Any], str]]] = {
    "step": Draft.step,
    "queue": Draft.queue,
    "cascade": Draft.cascade,
    "map": Draft.map,
    "setting": Draft.setting,
    "budget": Draft.budgeted,
    "arrivals": Draft.arrives,
}
_HOW: Final = "a change begins with step, queue, cascade, map, setting, budget or arrivals"
