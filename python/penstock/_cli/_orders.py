"""penstock cancel, pause, resume, budget, retry...: orders to who has a store open."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from penstock._errors import DefinitionError
from penstock._policies import Budget

from ._load import fail
from ._store import RunId, StorePath, Wait, named, opened, order

Node = Annotated[str, typer.Argument(metavar="NODE", help="Path of the node, from 'show'.")]


def cancel(store: StorePath, run: RunId, *, wait: Wait = 5.0) -> None:
    """Ask a run to stop; it ends once what runs has ended and its effects are undone."""
    with opened(store) as view:
        order(view, "cancel", named(view, run), {}, wait=wait)


def pause(store: StorePath, run: RunId, *, wait: Wait = 5.0) -> None:
    """Let no further step of a run start; what runs goes on to its end."""
    with opened(store) as view:
        order(view, "pause", named(view, run), {}, wait=wait)


def resume(store: StorePath, run: RunId, *, wait: Wait = 5.0) -> None:
    """Let a paused run go on, or try again to undo what could not be undone."""
    with opened(store) as view:
        order(view, "resume", named(view, run), {}, wait=wait)


def budget(
    store: StorePath,
    run: RunId,
    *,
    usd: Annotated[str, typer.Option(metavar="DOLLARS", help="What it may spend in all.")],
    wait: Wait = 5.0,
) -> None:
    """Let a run spend so much from now on; one that was paused for want of it goes on."""
    try:
        limit = Budget(usd=usd).usd
    except DefinitionError as error:
        fail(f"--usd {usd!r} is no budget: {error}")
    with opened(store) as view:
        order(view, "budget", named(view, run), {"usd": limit.text}, wait=wait)


def retry(
    store: StorePath,
    run: RunId,
    *,
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="Change the idempotency keys of its steps.")
    ] = False,
    wait: Wait = 5.0,
) -> None:
    """Try a run again that failed, was cancelled, undone or held; what it has given is kept."""
    with opened(store) as view:
        order(view, "retry", named(view, run), {"new_keys": new_keys}, wait=wait)


def fork(
    store: StorePath,
    run: RunId,
    *,
    from_step: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Run this node again, and all that comes after it."),
    ] = None,
    run_id: Annotated[str | None, typer.Option(metavar="ID", help="Of the copy.")] = None,
    wait: Wait = 5.0,
) -> None:
    """Start a copy of a run that is over; what was paid for before the node is kept."""
    content = {"from_step": from_step, "run_id": run_id}
    with opened(store) as view:
        order(view, "fork", named(view, run), content, wait=wait)


def signal(
    store: StorePath,
    run: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the signal.")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="What it brings, as JSON.")],
    *,
    wait: Wait = 5.0,
) -> None:
    """Bring a run a signal; it is kept for the node that will wait for it."""
    content = {"name": name, "value": _json(value)}
    with opened(store) as view:
        order(view, "signal", named(view, run), content, wait=wait)


def resolve(
    store: StorePath,
    run: RunId,
    node: Node,
    *,
    result: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="It had its effect; what the step would have returned."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="It had none: run it again.")] = False,
    failed: Annotated[
        str | None, typer.Option("--fail", metavar="TEXT", help="It has failed, and how.")
    ] = None,
    wait: Wait = 5.0,
) -> None:
    """Tell what became of a step with effects "once" that was cut off."""
    if (result is not None) + retry + (failed is not None) != 1:
        fail("give exactly one of --result JSON, --retry and --fail TEXT")
    content: dict[str, Any] = {"node": node}
    if result is not None:
        content |= {"how": "done", "value": _json(result)}
    elif retry:
        content |= {"how": "retry"}
    else:
        content |= {"how": "failed", "value": failed}
    with opened(store) as view:
        order(view, "resolve", named(view, run), content, wait=wait)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        fail(f"{text!r} is no JSON: {error}; quote a text as '\"text\"'")
