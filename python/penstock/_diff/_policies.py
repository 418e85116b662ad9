"""Policies: what a change of an option means for the runs and for what the step depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, Final, TypeAlias, cast

from ._changes import Verdict

Told: TypeAlias = tuple[Verdict, str, str]
"""Verdict, what changed, why it matters."""


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Told]:
    """The differences between the policies of a node."""
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name == "retry":
            yield from _retry(before or _ONCE, after or _ONCE)
        elif name == "queue":
            yield from _queue(before, after)
        else:
            verdict, reason = _JUDGES[name](before, after) if name in _JUDGES else _UNKNOWN
            yield verdict, f"{name} {told(before)} -> {told(after)}", reason


def _retry(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Told]:
    before, after = old["max_attempts"], new["max_attempts"]
    if before != after:
        reason = f"a failing dependency gets up to {after} times the calls, not {before}"
        if after < before:
            reason = "failures that a retry used to mend now fail the node"
        yield "risky", f"attempts {before} -> {after}", reason
    if 1 in (before, after):
        return  # there are no waits to compare
    for name in ("initial_interval", "backoff_coefficient", "max_interval"):
        if old[name] != new[name]:
            what = f"{name} {old[name]:g} -> {new[name]:g}"
            if new[name] < old[name]:
                yield "risky", what, "retries come sooner on what is just failing"
            else:
                yield "compatible", what, "retries come later"
    if old["jitter"] != new["jitter"]:
        what = f"jitter {old['jitter']} -> {new['jitter']}"
        if new["jitter"] == "none":
            yield "risky", what, "runs that fail together are retried together"
        else:
            yield "compatible", what, "retries spread differently"
    for name in ("retry_on", "never_on"):
        if old[name] != new[name]:
            what = f"{name} {told(old[name])} -> {told(new[name])}"
            yield "risky", what, "other failures are retried than before"


def _queue(old: Any, new: Any) -> Iterator[Told]:
    if _name(old) != _name(new):
        what = f"queue {told(_name(old))} -> {told(_name(new))}"
        yield "risky", what, "it waits with other work, under other limits"
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return
    limits_old, limits_new = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    for name, after in limits_new.items():
        before = limits_old.get(name)
        if before != after and name != "version":
            what = f"{name} of queue {_name(new)} {told(before)} -> {told(after)}"
            if (after or inf) > (before or inf):
                yield "risky", what, "more of it reaches the dependency at once"
            else:
                yield "risky", what, "work waits longer, or is refused, under the same load"


def _name(queue: Any) -> str | None:
    name: str | None = cast("dict[str, Any]", queue)["name"] if isinstance(queue, dict) else queue
    return name


def _limit(shorter: str, longer: str) -> Callable[[Any, Any], tuple[Verdict, str]]:
    def judge(old: Any, new: Any) -> tuple[Verdict, str]:
        before, after = old or inf, new or inf
        return ("risky", shorter) if after < before else ("compatible", longer)

    return judge


def told(value: Any) -> str:
    """A value from JSON, in a sentence."""
    if isinstance(value, list):
        return f"({', '.join(str(item) for item in cast('list[object]', value))})"
    if isinstance(value, dict):
        return " ".join(str(part) for part in cast("dict[str, object]", value).values())
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


_ONCE: Final[Mapping[str, Any]] = {"max_attempts": 1}
_UNKNOWN: Final[tuple[Verdict, str]] = ("risky", "it runs under another rule")
_JUDGES: Final[Mapping[str, Callable[[Any, Any], tuple[Verdict, str]]]] = {
    "timeout": _limit(
        "attempts that used to succeed slowly now fail", "an attempt that hangs is ended later"
    ),
    "total_timeout": _limit(
        "fewer attempts may fit in than before", "a node that fails holds its run for longer"
    ),
    "heartbeat_timeout": _limit(
        "attempts that beat more slowly now fail", "a dead attempt is noticed later"
    ),
    "queue_timeout": _limit(
        "work that used to wait its turn now fails", "work waits longer before it fails"
    ),
    "priority": lambda _old, _new: ("compatible", "it waits before or behind other work"),
    "task": lambda _old, _new: ("compatible", "attempts are dispatched another way"),
}
