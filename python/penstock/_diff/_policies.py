"""Policies: what a change of an option means for the runs and for what the step depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, Final, cast

from ._changes import Verdict
from ._parts import ESTIMATE, HEDGE, Told, queues, told


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
        elif name in _PARTS:
            yield from _PARTS[name].compared("its", before, after)
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
    models = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    yield from queues(models[1]["name"], *models)


def _name(queue: Any) -> str | None:
    name: str | None = cast("dict[str, Any]", queue)["name"] if isinstance(queue, dict) else queue
    return name


def _limit(shorter: str, longer: str) -> Callable[[Any, Any], tuple[Verdict, str]]:
    def judge(old: Any, new: Any) -> tuple[Verdict, str]:
        before, after = old or inf, new or inf
        return ("risky", shorter) if after < before else ("compatible", longer)

    return judge


_ONCE: Final[Mapping[str, Any]] = {"max_attempts": 1}
_PARTS: Final = {"hedge": HEDGE, "estimate": ESTIMATE}
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
