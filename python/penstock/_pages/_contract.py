"""The contract of a workflow on one page: what it takes, promises and needs, and who answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any

from penstock._graph import Accept, Case, GraphNode, Loop, Undo, Wait
from penstock._handoffs import handoffs
from penstock._interfaces import settings_of
from penstock._lint._subject import Subject, attempts
from penstock._money import Usd
from penstock._policies import Queue
from penstock._workflows import Workflow

from ._markdown import code, plain, section, table


def contract_page(workflow: Workflow[..., Any]) -> str:
    """The contract of a workflow as Markdown.

    Args:
        workflow: of one or of many steps.

    It is made of declarations only, so that it is the same wherever it is printed.
    """
    page = _Page(workflow)
    sections = (
        page.head(),
        page.ends(),
        page.steps(),
        page.thresholds(),
        page.failures(),
        page.people(),
        page.handoffs(),
        page.compensation(),
        page.releases(),
        page.settings(),
    )
    return "\n\n".join(sections) + "\n"


class _Page:
    """The sections of a page."""

    def __init__(self, workflow: Workflow[..., Any]) -> None:
        self.workflow = workflow
        self.graph = workflow.graph
        self.nodes = workflow.graph.nodes
        self.subject = Subject(graph=workflow.graph, owner=workflow.owner)

    def head(self) -> str:
        """Name, version, owner and worth."""
        it = self.workflow
        worth = "not said" if it.value is None else str(Usd(it.value))
        lines = [
            f"# {plain(it.name)} {plain(it.version)}",
            "",
            f"- Owner: {_or_nobody(it.owner)}",
            f"- A success is worth: {worth}",
            f"- Graph: {code(it.digest[:12])}, {len(self.nodes)} nodes",
        ]
        if it.__doc__ is not None and it.__doc__ != Workflow.__doc__:
            lines[1:1] = ["", plain(it.__doc__.strip().partition("\n")[0])]
        return "\n".join(lines)

    def ends(self) -> str:
        """Inputs and result."""
        it = self.workflow
        rows = [(code(name), code(contract.name)) for name, contract in it.inputs]
        rows.append(("result", code(it.contract.name)))
        return section("Inputs and result", table(("what", "contract"), rows, empty=""))

    def steps(self) -> str:
        """Every step, and how its attempts run."""
        head = ("node", "step", "owner", "effects", "queue", "attempts", "timeout", "playbook")
        rows = [
            (
                code(node.path),
                code(f"{node.step.name} {node.step.version}"),
                _or_nobody(node.step.owner or self.workflow.owner),
                node.step.effects or "not declared",
                _queue(node),
                str(attempts(node)),
                _seconds(node.option("timeout")),
                plain(node.step.playbook or "none"),
            )
            for node in self.nodes
            if node.step is not None and node.kind == "step"
        ]
        return section("Steps", table(head, rows, empty="None."))

    def thresholds(self) -> str:
        """What a value has to be good for, and what becomes of one that is not."""
        rows = [
            (
                code(self._judged(node)),
                code(getattr(node.function, "__name__", repr(node.function))),
                "its word" if detail.at is None else f"{detail.at:g} or more",
                self._otherwise(index),
            )
            for index, node in enumerate(self.nodes)
            if isinstance(detail := node.detail, Accept) and node.function is not None
        ]
        head = ("value of", "judged by", "accepted from", "otherwise")
        return section("Thresholds", table(head, rows, empty="None."))

    def failures(self) -> str:
        """How it fails, and what a run can come to at worst."""
        rows = [
            (code(node.path), cause, effect)
            for index, node in enumerate(self.nodes)
            for cause, effect in self._failure(index, node)
        ]
        worst = self.workflow.lint().worst
        seconds = f"{worst.seconds:g} s" if isfinite(worst.seconds) else "a time without limit"
        return section(
            "How it fails",
            f"At worst a run makes {worst.attempts} attempts in {seconds}.",
            table(("node", "fails when", "then"), rows, empty="Nothing in it can fail."),
        )

    def people(self) -> str:
        """Where a run waits for somebody."""
        rows = [
            (
                code(node.path),
                code(f"{wait.signal.name}: {wait.signal.contract.name}"),
                _or_nobody(wait.owner),
                f"{wait.timeout:g} s, then {wait.on_timeout}" if wait.timeout else "for ever",
            )
            for node in self.nodes
            if isinstance(wait := node.detail, Wait)
        ]
        head = ("node", "waits for", "from", "how long")
        return section("Where people come in", table(head, rows, empty="Nowhere."))

    def handoffs(self) -> str:
        """Where work goes from one owner to another."""
        rows = [
            (
                plain(" and ".join(handoff.givers)),
                plain(handoff.taker),
                code(f"{self.nodes[handoff.start].path} -> {self.nodes[handoff.end].path}"),
                code(self.nodes[handoff.start].contract.name),
            )
            for handoff in handoffs(self.graph, self.workflow.owner)
        ]
        head = ("from", "to", "edge", "contract")
        empty = "All work stays with one owner."
        return section("Handoffs between owners", table(head, rows, empty=empty))

    def compensation(self) -> str:
        """What is undone when a run fails, and what is not."""
        undone = {node.detail.of: node for node in self.nodes if isinstance(node.detail, Undo)}
        rows = [
            (
                code(node.path),
                code(undo.step.name)
                if (undo := undone.get(index)) is not None and undo.step is not None
                else "it stays",
            )
            for index, node in enumerate(self.nodes)
            if node.kind == "step" and node.step is not None and node.step.effects != "pure"
        ]
        head = ("effect of", "undone by")
        return section("Compensation", table(head, rows, empty="It has no effects to undo."))

    def releases(self) -> str:
        """What takes a release back."""
        criteria = self.workflow.rollback and self.workflow.rollback.to_dict()
        if criteria is None:
            return section("Rollback criteria", "None: nothing takes a release of it back.")
        text = json.dumps(criteria, indent=2, ensure_ascii=False)
        return section("Rollback criteria", f"```json\n{text}\n```")

    def settings(self) -> str:
        """The settings that its steps name."""
        rows = [
            (code(s.name), plain(s.version), _or_nobody(s.owner), code(s.digest[:12]))
            for s in settings_of(self.workflow)
        ]
        head = ("setting", "version", "owner", "digest")
        return section("Settings", table(head, rows, empty="None."))

    def _judged(self, accept: GraphNode) -> str:
        """The node whose value an accept node judges, behind what only passes it on."""
        node = self.nodes[accept.inputs[0]]
        while node.kind in ("merge", "case") and len(node.inputs) == 1:
            node = self.nodes[node.inputs[0]]
        return node.path

    def _otherwise(self, accept: int) -> str:
        """Where a value goes that is not accepted."""
        for case in self.subject.consumers[accept]:
            rejected = self.nodes[case].detail == Case(taken=(0,))
            for taker in self.subject.consumers[case] if rejected else ():
                node = self.nodes[taker]
                if isinstance(node.detail, Wait):
                    return f"{_or_nobody(node.detail.owner)} is asked at {code(node.path)}"
                if node.kind == "apply":
                    return "it fails"
                return f"{code(node.path)} takes over"
        return "it is not used"

    def _failure(self, index: int, node: GraphNode) -> Iterator[tuple[str, str]]:
        held = self.subject.is_contained(index)
        then = "the run goes on" if held else "the run fails"
        if node.kind == "step" and node.step is not None:
            tries = attempts(node)
            times = "its attempt fails" if tries == 1 else f"all {tries} attempts fail"
            yield times, then
        elif isinstance(node.detail, Wait) and node.detail.timeout:
            skips = node.detail.on_timeout == "skip"
            yield f"nobody answers in {node.detail.timeout:g} s", "it is skipped" if skips else then
        elif isinstance(node.detail, Loop) and node.detail.on_exhausted == "fail":
            yield f"it is not over after {node.detail.max_iterations} rounds", then


def _queue(node: GraphNode) -> str:
    queue: Queue | str | None = node.option("queue")
    return "none" if queue is None else code(queue if isinstance(queue, str) else queue.name)


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:g} s"


def _or_nobody(owner: str | None) -> str:
    return "**nobody**" if owner is None else plain(owner)
