"""What the commands on stores share: opening one, naming runs, times, and orders to its owner."""

from __future__ import annotations

import getpass
import json
import re
import socket
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NoReturn, cast

import typer
from rich.console import Console
from rich.text import Text

from penstock._commands import Outcome
from penstock._durability import location
from penstock._errors import PenstockError
from penstock._run import RunStatus
from penstock._stored import RunFilter, RunInfo, StoreView

from ._load import errors, fail

StorePath = Annotated[str, typer.Argument(metavar="STORE", help="Path of the store.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
Wait = Annotated[
    float, typer.Option(min=0.0, help="Seconds to wait for the runtime that has the store open.")
]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="Of this status; may be repeated.")
]
Workflow = Annotated[str | None, typer.Option(help="Of this workflow.")]
Version = Annotated[str | None, typer.Option(help="Of this version of it.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="With this tag; repeatable.")
]
Tenant = Annotated[str | None, typer.Option(help="Of this tenant.")]
Since = Annotated[
    str | None,
    typer.Option(help="Accepted in this time: 90s, 15m, 24h, 7d; or since a date: 2026-03-01."),
]
Until = Annotated[str | None, typer.Option(help="Accepted before this; as for --since.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

out = Console(soft_wrap=True, highlight=False)


@contextmanager
def opened(store: str) -> Generator[StoreView]:
    """A store's read side; what is wrong with it is told, and exits with 2."""
    try:
        path = location(store)
        if path is None:
            fail("name a store")
        view = StoreView(path)
        try:
            yield view
        finally:
            view.close()
    except PenstockError as error:
        fail(str(error))


def named(view: StoreView, run_id: str) -> RunInfo:
    """A run by its id; exits with 2 if there is none."""
    info = view.run(run_id)
    if info is None:
        fail(f"{view.path} has no run {run_id!r}; `penstock runs {view.path}` lists them")
    return info


def refused(what: str) -> NoReturn:
    """Tell that something was not done, and exit with 1."""
    errors.print(f"penstock: {what}", markup=False, style="red")
    raise typer.Exit(1)


def filtered(
    *,
    status: Sequence[str] | None,
    workflow: str | None,
    version: str | None,
    tags: Sequence[str] | None,
    tenant: str | None,
    since: str | None,
    until: str | None,
    limit: int | None,
) -> RunFilter:
    """What a user's options ask for."""
    pairs: dict[str, str] = {}
    for tag in tags or ():
        key, equals, value = tag.partition("=")
        if not equals:
            fail(f"--tag {tag!r} has no '='; write it as key=value")
        pairs[key] = value
    return {
        "status": cast("list[RunStatus]", list(status or ())),
        "workflow": workflow,
        "version": version,
        "tags": pairs,
        "tenant": tenant,
        "accepted_after": None if since is None else moment(since, "--since"),
        "accepted_before": None if until is None else moment(until, "--until"),
        "limit": limit,
    }


def duration(text: str, option: str) -> float:
    """Seconds that a text such as "90s", "15m", "24h" or "7d" stands for."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        fail(f"{option} {text!r} is no duration; write it as 90s, 15m, 24h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def moment(text: str, option: str) -> float:
    """Seconds since 1970 of a date, or of a duration ago."""
    if _DURATION.fullmatch(text.strip()):
        return time.time() - duration(text, option)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text!r} is no time; write it as 24h, 7d or 2026-03-01T10:30")
    return (found if found.tzinfo else found.astimezone()).timestamp()


def order(
    view: StoreView, verb: str, info: RunInfo, arguments: Mapping[str, Any], *, wait: float
) -> None:
    """Leave a command for the store's owner, and tell what came of it.

    Exits with 1 if it is refused, or not answered in time.
    """
    if info.ended is not None and verb not in _OF_THE_OVER:
        refused(f"run {info.run_id!r} is over: {info.status}")
    number = leave(view, verb, info.run_id, arguments)
    if not view.reader.owner()[0]:
        print_line(
            f"No runtime has {view.path} open: `{verb}` of run {info.run_id!r} is left in it, and "
            "is carried out when it is opened next."
        )
        return
    answered(view, number, f"{verb} of run {info.run_id!r}", wait=wait)


def leave(view: StoreView, verb: str, run_id: str, arguments: Mapping[str, Any]) -> int:
    """Leave a command for the store's owner; gives its number."""
    content = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    actor = f"{getpass.getuser()}@{socket.gethostname()}"
    return view.reader.command(uuid.uuid4().hex, run_id, verb, content, actor, time.time())


def answered(view: StoreView, number: int, what: str, *, wait: float) -> None:
    """Wait for the outcome of a command, and tell it."""
    until = time.monotonic() + wait
    with errors.status(Text(f"{what}: waiting for the runtime")):
        text = view.reader.outcome(number)
        while text is None and time.monotonic() < until:
            time.sleep(_PATIENCE)
            text = view.reader.outcome(number)
    if text is None:
        refused(
            f"{what} was not answered within {wait:g} s; it stays in the store and is carried out "
            "when the runtime comes to it (is its loop blocked?)"
        )
    outcome = Outcome.of_json(text)
    if not outcome.done:
        refused(f"{what} was refused: {outcome.told}")
    print_line(f"{what}: {outcome.told}")


def print_line(text: str | Text) -> None:
    """Print text as it is."""
    out.print(text, markup=False)


def clock(at: float, *, date: bool = True) -> str:
    """A time as people write it, in the local zone."""
    local = datetime.fromtimestamp(at, tz=UTC).astimezone()
    text = local.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")
    return text if date else f"{text}.{local.microsecond // 1000:03d}"


def short(text: str, most: int = 80) -> str:
    """The beginning of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def coloured(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_COLOURS.get(status, ""))


_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PATIENCE: Final = 0.005
_COLOURS: Final = {
    "running": "cyan",
    "paused": "yellow",
    "held": "bold yellow",
    "compensating": "yellow",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "compensated": "magenta",
    "compensation_failed": "bold red",
}


# What can be asked of a run that is over.
_OF_THE_OVER: Final = ("retry", "fork")
