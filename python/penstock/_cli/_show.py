"""penstock show: what happened to a run, one record a line, and where it stands now."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from penstock._scorecard._words import span
from penstock._stored import RunInfo, StoredRecord

from ._runs import plain
from ._store import (
    AsJson,
    RunId,
    StorePath,
    clock,
    coloured,
    named,
    opened,
    print_line,
    short,
)


def show(
    store: StorePath,
    run: RunId,
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Values at their whole length, and tracebacks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run's timeline: attempts, waits, errors, and where it stands now."""
    with opened(store) as view:
        info = named(view, run)
        records = view.records(run)
        open_nodes = [] if info.ended is not None else view.nodes(run, _OPEN)
        graph = view.graph(run)
    if as_json:
        content = plain(info)
        content["records"] = [written(record) for record in records]
        content["open"] = [{"node": path, "state": state} for path, state in open_nodes]
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    _head(info)
    width = max((len(record.node) for record in records), default=0)
    for record in records:
        print_line(_line(info, record, width, full=full))
        if full and record.kind == "failed" and record.value:
            trace = json.loads(record.value).get("traceback", "")
            print_line(Text(str(trace).rstrip(), style="dim"))
    _now(info, records, open_nodes, graph, full=full)


def written(record: StoredRecord) -> dict[str, Any]:
    """A record as JSON has it."""
    return {
        "lsn": record.lsn,
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "node": record.node or None,
        "attempt": record.attempt or None,
        "facts": dict(record.facts),
        "value": None if record.value is None else json.loads(record.value),
    }


def result_of(records: Sequence[StoredRecord]) -> str | None:
    """JSON of the result that a run ended with; None if it has none, or it is a constant."""
    last = next((record for record in reversed(records) if record.kind == "ended"), None)
    place = None if last is None else last.facts.get("facts", {}).get("result")
    if last is None or place is None:
        return None
    if place == "here":
        return last.value
    source = next((record for record in records if record.lsn == place.get("lsn")), None)
    if source is None or source.value is None:
        return None
    if "input" in place:
        return json.dumps(json.loads(source.value)[place["input"]], ensure_ascii=False)
    return source.value


def _head(info: RunInfo) -> None:
    head = Text(info.run_id, style="bold")
    head.append(f"  {info.workflow} {info.version}  ", style="cyan")
    head.append_text(coloured(info.status))
    print_line(head)
    told = [f"accepted {clock(info.accepted)}"]
    if info.tenant:
        told.append(f"tenant {info.tenant}")
    if info.priority:
        told.append(f"priority {info.priority}")
    told.append(f"durability {info.durability}")
    told += [f"{key}={value}" for key, value in info.tags.items()]
    if info.parent:
        told.append(f"from run {info.parent}")
    if info.generation:
        told.append(f"retried {info.generation}x")
    if info.recoveries:
        told.append(f"the process went down {info.recoveries}x under it")
    print_line(Text(f"  {', '.join(told)}", style="dim"))
    print_line("")


def _line(info: RunInfo, record: StoredRecord, width: int, *, full: bool) -> Text:
    line = Text(f"  {clock(record.at, date=False)}  ", style="dim")
    line.append(f"{'+' + span(record.at - info.accepted):>10}  ", style="dim")
    line.append(f"{record.node:<{width}}  ", style="cyan")
    line.append(f"{record.attempt or '':>3}  ")
    line.append_text(_what(record, full=full))
    return line


def _what(record: StoredRecord, *, full: bool) -> Text:
    facts = record.facts
    kind = record.kind.replace("_", " ")
    what = Text(kind, style=_COLOURS.get(record.kind, ""))
    if "started" in facts:
        what.append(f" after {span(record.at - facts['started'] / 1e9)}")
    if record.kind == "failed":
        what.append(f": {_error(record)}")
        if "due" in facts:
            due = facts["due"] / 1e9
            until = clock(due, date=due - record.at > _DAY)
            if parked := facts.get("denial"):
                what.append(f"; parked: {parked.replace('_', ' ')}", style="yellow")
            else:
                what.append(f"; waits {span(due - record.at)}, until {until}", style="yellow")
        else:
            what.append("; for good")
        return what
    if record.kind == "accepted" and facts.get("deadline"):
        what.append(f", to be over by {clock(facts['deadline'] / 1e9)}")
    for name in ("signal", "outcome", "count", "status"):
        if name in facts:
            what.append(f" {facts[name]}")
    if "score" in facts:
        what.append(f" at a score of {facts['score']:.6g}")
    if "cmd" in facts:
        what.append(f" (by command {facts['cmd']})", style="dim")
    if record.value is not None:
        value = record.value if full else short(record.value, 60)
        what.append(f"  {value}", style="dim")
    return what


def _error(record: StoredRecord) -> str:
    if record.value is None:
        return str(record.facts.get("cause", "")).replace("_", " ")
    error = json.loads(record.value)
    return f"{str(error['type']).removeprefix('builtins.')}: {short(error['message'], 200)}"


def _now(
    info: RunInfo,
    records: Sequence[StoredRecord],
    open_nodes: Sequence[tuple[str, str]],
    graph: Mapping[str, Any] | None,
    *,
    full: bool,
) -> None:
    print_line("")
    end = Text("  ")
    end.append_text(coloured(info.status))
    if info.ended is not None:
        end.append(f" after {span(info.ended - info.accepted)}")
    if info.held:
        end.append(f": {info.held}")
    result = result_of(records)
    if result is not None:
        end.append(f": {result if full else short(result, 200)}")
    failure: Mapping[str, Any] = {}
    if records and info.status == "failed":
        failure = records[-1].facts.get("facts", {})
    if failure.get("path"):
        tries = "1 attempt" if failure["attempts"] == 1 else f"{failure['attempts']} attempts"
        end.append(f" at {failure['path']} after {tries}")
        last = [it for it in records if it.kind == "failed" and it.node == failure["path"]]
        if last:
            end.append(f": {_error(last[-1])}")
    print_line(end)
    known = {node["path"]: node for node in (graph or {}).get("nodes", ())}
    for path, state in open_nodes:
        node = known.get(_INDEX.sub("[]", path), {})
        line = Text(f"    {path}", style="cyan")
        line.append(f"  {state}{_waits_for(node, state)}", style="yellow")
        print_line(line)


def _waits_for(node: Mapping[str, Any], state: str) -> str:
    detail = node.get("detail", {})
    if state == "awaiting" and "signal" in detail:
        return f": waits for signal {detail['signal']['name']} ({detail['signal']['contract']})"
    if state == "awaiting":
        return ": sleeps"
    if state == "unknown":
        return ": somebody has to find out what became of it; see `penstock resolve`"
    return ""


_OPEN: Final = ("ready", "running", "backoff", "parked", "awaiting", "unknown", "compensating")
_DAY: Final = 86_400
_INDEX: Final = re.compile(r"\[\d+\]")
_COLOURS: Final = {
    "done": "green",
    "failed": "red",
    "unknown": "bold yellow",
    "ended": "bold",
    "recovered": "yellow",
}
