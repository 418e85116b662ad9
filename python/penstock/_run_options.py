"""Run options: how a run is started, as the user says it and as the native side takes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypedDict

from pydantic_core import to_jsonable_python

from ._durability import Durability
from ._durability import durability as checked_durability
from ._durability import tags as checked_tags
from ._errors import DefinitionError
from ._options import priority
from ._policies import Budget, Seconds, seconds, word
from ._policies._budgets import run_budget

Admission: TypeAlias = Literal["raise", "wait"]
OnExisting: TypeAlias = Literal["return", "retry", "error"]


class RunOptions(TypedDict, total=False):
    """How a run is started.

    Attributes:
        run_id: the run's identity and idempotency key; made up if not given.
        priority: 1 to 5, lower first, for nodes without their own; if not given, what the steps
            say, or 3.
        tenant: whom the run is for.
        deadline: seconds from now in which it must be over.
        budget: what the run may spend, in place of what its workflow says; runs that it spawns have
            their own.
        admission: what to do when a queue is full: "raise" `Overloaded`, or "wait".
        durability: "sync", "async" or "exit", in a runtime with a store; the workflow's, or else
            the runtime's, if not given.
        tags: what the run is found by in a store.
        on_existing: when the id is taken by a run of the same workflow and input: "return" that
            run, "retry" it if it did not succeed, or raise `DuplicateRun` as an "error".
    """

    run_id: str | None
    priority: int
    tenant: str | None
    deadline: Seconds | None
    budget: Budget | None
    admission: Admission
    durability: Durability | None
    tags: Mapping[str, str]
    on_existing: OnExisting


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Run options in the native side's terms.

    Raises:
        DefinitionError: a value is out of its range.
    """
    checked = dict(options)
    if "priority" in checked:
        checked["priority"] = priority(checked["priority"])
    if checked.get("deadline") is not None:
        checked["deadline"] = seconds(checked["deadline"], "deadline", zero=True)
    if checked.get("budget") is not None:
        checked["budget"] = run_budget(checked["budget"], "budget").parts
    if checked.get("durability") is not None:
        checked_durability(checked["durability"], "durability")
    if checked.get("on_existing", "return") not in ("return", "retry", "error"):
        raise DefinitionError(
            f"on_existing is {checked['on_existing']!r}", remedy="give 'return', 'retry' or 'error'"
        )
    if "tags" in checked:
        checked["tags"] = checked_tags(checked["tags"])
    for name in ("run_id", "tenant"):
        if name in checked:
            checked[name] = optional_word(checked[name], name)
    if checked.get("admission", "raise") not in ("raise", "wait"):
        raise DefinitionError(
            f"admission is {checked['admission']!r}", remedy="give 'raise' or 'wait'"
        )
    if unknown := checked.keys() - RunOptions.__annotations__.keys():
        raise TypeError(f"a run has no option {min(unknown)!r}")
    return checked


def optional_word(value: object, name: str) -> str | None:
    """A word, if there is one."""
    return None if value is None else word(value, name)


def fingerprint(workflow: str, inputs: tuple[Any, ...]) -> bytes | None:
    """Hash of a workflow's name and canonical JSON of its input; None if that has no JSON."""
    try:
        content = to_jsonable_python([workflow, inputs])
    except ValueError:
        return None
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()
