"""Compares the interfaces of two versions of a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from penstock._money import Usd

from ._changes import VERDICTS, Change, Difference, Subject, Verdict
from ._parts import told
from ._policies import compared
from ._schemas import Relation, relation

Entry: TypeAlias = Mapping[str, Any]
Changes: TypeAlias = Iterator[Change]


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """All that differs; O(nodes + edges) and the size of the schemas."""
    before, after = _Side(old), _Side(new)
    comparison = _Comparison(before, after)
    changes = [*comparison.changes()]
    drawn = any(change.subject in ("node", "edge", "contract") for change in changes)
    if drawn and before.label == after.label:
        changes.append(
            Change(
                verdict="breaking",
                subject="workflow",
                place="",
                what=f"the graph changed, and the version is still {old.get('version')}",
                reason="two graphs of one name and version can't be registered together: raise it",
            )
        )
    changes.sort(key=lambda change: VERDICTS.index(change.verdict))
    return Difference(
        old=before.label,
        new=after.label,
        changes=tuple(changes),
        unknown=tuple(_unknown(before, after)),
    )


class _Side:
    """One version: its nodes by path below the workflow's name."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.name: str = content["name"]
        self.label = f"{self.name} {content.get('version', '1')}"
        entries: list[Entry] = content["nodes"]
        paths: list[str] = [self._below(entry["path"]) for entry in entries]
        self.nodes = dict(zip(paths, entries, strict=True))
        self.result: str = paths[content["output"]]
        self.schemas: Mapping[str, Any] = content.get("schemas", {})
        self.inputs = [
            path
            for path, entry in self.nodes.items()
            if entry["kind"] == "input" and not entry.get("region")
        ]
        self.edges: dict[str, dict[str, list[str]]] = {
            path: {role: [paths[i] for i in entry.get(role, ())] for role in _ROLES}
            for path, entry in self.nodes.items()
        }
        self.signals: dict[str, str] = {}
        for entry in entries:
            if entry["kind"] == "signal" and "detail" in entry:
                signal = entry["detail"]["signal"]
                self.signals[signal["name"]] = signal["contract"]

    def _below(self, path: str) -> str:
        return path.removeprefix(f"{self.name}/")


class _Comparison:
    def __init__(self, old: _Side, new: _Side) -> None:
        self.old = old
        self.new = new
        self.both = [path for path in old.nodes if path in new.nodes]
        self._relations: dict[tuple[str, str], Relation] = {}

    def changes(self) -> Changes:
        yield from self._workflow()
        yield from self._contracts()
        yield from self._signals()
        yield from self._nodes()
        yield from self._edges()

    def _workflow(self) -> Changes:
        old, new = self.old, self.new
        if old.name != new.name:
            what = f"its name {old.name} -> {new.name}"
            yield _change("breaking", "workflow", "", what, "who asks for it by name finds nothing")
        yield from _owner("", old.content, new.content)
        yield from _terms(old.content, new.content)
        if old.result != new.result:
            what = f"the result comes from {new.result}, and came from {old.result}"
            yield _change("risky", "workflow", "", what, "other work decides what a caller gets")

    def _contracts(self) -> Changes:
        """What callers give and get."""
        old, new = self.old, self.new
        for path in (p for p in old.inputs if p not in new.inputs):
            yield _change("breaking", "contract", path, "this input is gone", _CALLERS)
        for path in (p for p in new.inputs if p not in old.inputs):
            yield _change("breaking", "contract", path, "this input is new", _CALLERS)
        both = [path for path in old.inputs if path in new.inputs]
        if both != [path for path in new.inputs if path in old.inputs]:
            what = f"the inputs come as {', '.join(new.inputs)}"
            yield _change("breaking", "contract", "", what, "inputs are passed by position")
        for path in both:
            names = old.nodes[path].get("contract", ""), new.nodes[path].get("contract", "")
            yield from self._taken(path, *names, giver="callers")
        result = old.nodes[old.result], new.nodes[new.result]
        yield from self._given(*(entry.get("contract", "") for entry in result))

    def _signals(self) -> Changes:
        old, new = self.old.signals, self.new.signals
        for name in old.keys() - new.keys():
            what = f"nothing waits for signal {name} any more"
            yield _change("breaking", "contract", name, what, "who sends it gets an error")
        for name in new.keys() - old.keys():
            what = f"a wait for signal {name} is new"
            yield _change("risky", "contract", name, what, "runs wait until somebody sends it")
        for name in old.keys() & new.keys():
            yield from self._taken(name, old[name], new[name], giver="senders")

    def _taken(self, place: str, old: str, new: str, *, giver: str) -> Changes:
        kind = self._relation(old, new)
        if kind == "same":
            return
        what = f"takes {new}, and took {old}" if old != new else f"what {new} admits is {kind}"
        if kind == "wider":
            yield _change("compatible", "contract", place, what, f"what {giver} pass still fits")
        else:
            reason = f"values that {giver} pass may be refused"
            yield _change("breaking", "contract", place, what, reason)

    def _given(self, old: str, new: str) -> Changes:
        kind = self._relation(old, new)
        if kind == "same":
            return
        what = f"gives {new}, and gave {old}" if old != new else f"what {new} admits is {kind}"
        if kind == "narrower":
            reason = "callers know all that it can give"
            yield _change("compatible", "contract", "result", what, reason)
        else:
            reason = "callers may get values they do not know"
            yield _change("breaking", "contract", "result", what, reason)

    def _relation(self, old: str, new: str) -> Relation:
        if (old, new) not in self._relations:
            before, after = self.old.schemas.get(old), self.new.schemas.get(new)
            if before is None or after is None:
                self._relations[old, new] = "same" if old == new else "other"
            else:
                self._relations[old, new] = relation(before, after)
        return self._relations[old, new]

    def _nodes(self) -> Changes:
        old, new = self.old, self.new
        for path, entry in old.nodes.items():
            if path not in new.nodes and path not in old.inputs:
                yield _change(_weight(entry), "node", path, f"this {entry['kind']} is gone", _LESS)
        for path, entry in new.nodes.items():
            if path not in old.nodes and path not in new.inputs:
                yield _change(_weight(entry), "node", path, f"this {entry['kind']} is new", _MORE)
        for path in self.both:
            yield from self._node(path, old.nodes[path], new.nodes[path])

    def _node(self, path: str, old: Entry, new: Entry) -> Changes:
        if old["kind"] != new["kind"]:
            what = f"is a {new['kind']}, and was a {old['kind']}"
            yield _change("risky", "node", path, what, "it does something else")
            return
        yield from _worked(path, old, new)
        before, after = old.get("contract", ""), new.get("contract", "")
        kind = self._relation(before, after)
        if kind != "same" and path not in (*self.new.inputs, self.new.result):
            what = f"carries {after}, and carried {before}"
            what = what if before != after else f"what {after} admits is {kind}"
            narrower = kind == "narrower"
            reason = "what takes it knows all of it" if narrower else "what takes it gets more"
            yield _change("compatible" if narrower else "risky", "node", path, what, reason)
        yield from _details(path, old.get("detail", {}), new.get("detail", {}))
        if "policy" in old and "policy" in new:
            for verdict, what, reason in compared(old["policy"], new["policy"]):
                yield _change(verdict, "policy", path, what, reason)
            yield from _owner(path, old, new)

    def _edges(self) -> Changes:
        """Between nodes that both have; the others bring their own."""
        for path in self.both:
            old, new = self.old.edges[path], self.new.edges[path]
            for role, (verdict, word) in _ROLES.items():
                before = [p for p in old[role] if p in self.new.nodes]
                after = [p for p in new[role] if p in self.old.nodes]
                for start in dict.fromkeys(p for p in before if p not in after):
                    what, reason = f"it no longer {word} it", "it may run earlier, or differently"
                    yield _change("risky", "edge", f"{start} -> {path}", what, reason)
                for start in dict.fromkeys(p for p in after if p not in before):
                    what = f"it now {word} it"
                    yield _change(
                        verdict, "edge", f"{start} -> {path}", what, self._why(start, path)
                    )
                if sorted(before) == sorted(after) and before != after and role == "inputs":
                    what = f"its inputs come as {', '.join(after)}"
                    yield _change("risky", "edge", path, what, "inputs are passed by position")

    def _why(self, start: str, end: str) -> str:
        owners = self.new.nodes[start].get("owner"), self.new.nodes[end].get("owner")
        if all(owners) and owners[0] != owners[1]:
            return f"a handoff from {owners[0]} to {owners[1]} that was not there"
        return "it waits for one more node, and is skipped with it"


def _worked(path: str, old: Entry, new: Entry) -> Changes:
    """What the node does when it runs."""
    before, after = old.get("step", {}), new.get("step", {})
    if before != after:
        what = f"runs {_step(after)}, and ran {_step(before)}"
        yield _change("risky", "node", path, what, "other code does the work")
    if old.get("function") != new.get("function"):
        what = f"its function is {new.get('function')}, and was {old.get('function')}"
        yield _change("risky", "node", path, what, "other code decides")
    values = [entry.get("value", entry.get("repr")) for entry in (old, new)]
    if values[0] != values[1]:
        what = f"its value is {values[1]!r}, and was {values[0]!r}"
        yield _change("risky", "node", path, what, "what takes it works with another value")
    if "effects" in old and "effects" in new and old["effects"] != new["effects"]:
        yield _effects(path, old["effects"], new["effects"])


def _effects(path: str, old: str | None, new: str | None) -> Change:
    what = f"effects {old or 'undeclared'} -> {new or 'undeclared'}"
    if old == "once":
        return _change("risky", "node", path, what, "what happened at most once may be repeated")
    if new == "once":
        reason = "it is not retried any more; a crash in it leaves its run paused"
        return _change("risky", "node", path, what, reason)
    return _change("compatible", "node", path, what, "it may be repeated, as before")


def _details(path: str, old: Entry, new: Entry) -> Changes:
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before != after and name not in _INDICES:
            what = f"{name} {told(before)} -> {told(after)}"
            yield _change(
                "risky", "node", path, what, _REASONS.get(name, "a run may go another way")
            )


def _owner(path: str, old: Entry, new: Entry) -> Changes:
    if "owner" not in old or "owner" not in new or old["owner"] == new["owner"]:
        return
    what = f"owner {told(old['owner'])} -> {told(new['owner'])}"
    if old["owner"] is None:
        yield _change("compatible", "owner", path, what, "somebody answers for it now")
    elif new["owner"] is None:
        yield _change("risky", "owner", path, what, "nobody answers for it any more")
    else:
        yield _change("risky", "owner", path, what, "others answer for it, and for its handoffs")


def _terms(old: Entry, new: Entry) -> Changes:
    """What a success is worth, and what takes a release back."""
    for name, noun in (("value", "value of a success"), ("rollback", "rollback policy")):
        if name not in old or name not in new or old[name] == new[name]:
            continue
        if old[name] is None:
            what, reason = f"the {noun} is new", "more is known of what a release does"
            yield _change("compatible", "workflow", "", what, reason)
        elif new[name] is None:
            what, reason = f"the {noun} is gone", "a worse version is not told from a good one"
            yield _change("risky", "workflow", "", what, reason)
        elif name == "value":
            what = f"the {noun} {Usd(old[name])} -> {Usd(new[name])}"
            reason = "what its steps bring in is another sum"
            yield _change("compatible", "workflow", "", what, reason)
        else:
            what = f"the {noun} {told(old[name])} -> {told(new[name])}"
            yield _change("risky", "workflow", "", what, "other evidence takes a release back")


def _unknown(old: _Side, new: _Side) -> Iterator[str]:
    for side, word in ((old, "old"), (new, "new")):
        if "schemas" not in side.content:
            yield f"the {word} side has no schemas, policies and owners: contracts go by name"


def _weight(entry: Entry) -> Verdict:
    """Of adding or removing a node: what only passes values on does nothing by itself."""
    return "compatible" if entry["kind"] in _PLUMBING else "risky"


def _change(verdict: Verdict, subject: Subject, place: str, what: str, reason: str) -> Change:
    return Change(verdict=verdict, subject=subject, place=place, what=what, reason=reason)


def _step(step: Entry) -> str:
    return f"step {step.get('name')} version {step.get('version')}"


_CALLERS: Final = "calls with the old inputs are refused"
_MORE: Final = "it can fail, and takes time"
_LESS: Final = "what it did is not done any more"
_PLUMBING: Final = frozenset({"input", "constant", "case", "merge", "collect", "optional"})
_INDICES: Final = frozenset({"body", "contains", "scope", "of", "taken", "keys", "signal"})
_ROLES: Final[Mapping[str, tuple[Verdict, str]]] = {
    "inputs": ("risky", "takes the value of"),
    "gates": ("risky", "depends on"),
    "after": ("compatible", "waits for"),
}
_REASONS: Final[Mapping[str, str]] = {
    "at": "other values are good enough",
    "concurrency": "more or fewer items are worked on at once",
    "explore": "more or fewer accepted values go to the next tier as well",
    "labels": "runs may go ways that were not there, or miss one that was",
    "key": "other work excludes it, or is excluded by it",
    "max_depth": "runs that went deeper, or stopped here, end differently",
    "max_iterations": "runs that needed more, or stopped here, end differently",
    "owner": "others answer for it",
    "need": "it goes on with more or fewer results",
    "seconds": "runs wait for longer or shorter",
    "timeout": "runs wait for longer or shorter",
    "workflow": "it starts runs of something else",
    "tolerated": "more or fewer failures fail the run",
}
