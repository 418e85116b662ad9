"""The risks of a workflow: what lint, declarations and code tell of them, and who sees to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from penstock._graph import GraphNode
from penstock._lint._subject import Subject
from penstock._reads import state_shared
from penstock._workflows import Workflow

from ._markdown import code, plain, section, table
from ._seen import Outcomes

Area: TypeAlias = Literal[
    "implicit state", "branch coverage", "effects that may be repeated", "compensation"
]
AREAS: Final[tuple[Area, ...]] = get_args(Area)


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Something that may go wrong, with what speaks for it and who answers.

    Attributes:
        area: one of `AREAS`.
        place: a node's path, or the workflow's name.
        evidence: what was found, in one clause.
        remedy: what to do about it.
        owner: who answers, or None.
        playbook: what a person does when it happens, or None.
        reviewed: when somebody looked at it last, as it was told; None for never.
    """

    area: Area
    place: str
    evidence: str
    remedy: str
    owner: str | None
    playbook: str | None
    reviewed: str | None


def risks(
    workflow: Workflow[..., Any],
    seen: Outcomes | None = None,
    *,
    reviews: Mapping[str, str] | None = None,
) -> list[Risk]:
    """The risks of a workflow, by area and then as they stand in the graph.

    Args:
        workflow: of one or of many steps.
        seen: which outcomes of its decisions were seen; without it, their coverage is not known.
        reviews: by place, the date of the last review.
    """
    look = _Look(workflow, reviews or {})
    found = (*look.findings(), *look.state(), *look.branches(seen), *look.effects())
    order = {node.path: index for index, node in enumerate(workflow.graph.nodes)}
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda risk: (AREAS.index(risk.area), order.get(risk.place, -1)))


def risk_page(
    workflow: Workflow[..., Any],
    seen: Outcomes | None = None,
    *,
    reviews: Mapping[str, str] | None = None,
) -> str:
    """The same as Markdown, one section an area; the arguments are those of `risks`."""
    found = risks(workflow, seen, reviews=reviews)
    told = "not known" if seen is None else f"as seen in {seen}"
    owner = "**nobody**" if workflow.owner is None else plain(workflow.owner)
    head = f"# Risks of {plain(workflow.name)} {plain(workflow.version)}"
    sections = [head, f"- Owner: {owner}\n- Branch coverage: {told}"]
    for area in AREAS:
        rows = [
            (
                code(risk.place),
                plain(risk.evidence),
                plain(risk.remedy),
                "**nobody**" if risk.owner is None else plain(risk.owner),
                plain(risk.playbook or "none"),
                plain(risk.reviewed or "never"),
            )
            for risk in found
            if risk.area == area
        ]
        title = area[0].upper() + area[1:]
        sections.append(section(title, table(_HEAD, rows, empty="Nothing was found.")))
    return "\n\n".join(sections) + "\n"


class _Look:
    """Where the evidence comes from."""

    def __init__(self, workflow: Workflow[..., Any], reviews: Mapping[str, str]) -> None:
        self.workflow = workflow
        self.nodes = workflow.graph.nodes
        self.subject = Subject(graph=workflow.graph, owner=workflow.owner)
        self._places = {node.path: node for node in self.nodes}
        self._reviews = reviews

    def findings(self) -> Iterator[Risk]:
        """What lint says in these areas."""
        for finding in self.workflow.lint().findings:
            area = _FINDINGS.get(finding.code)
            if area is not None:
                evidence = f"{finding.what} ({finding.code})"
                yield self._risk(area, finding.node, evidence, finding.remedy)

    def state(self) -> Iterator[Risk]:
        """What functions share beside the edges."""
        for node in self.nodes:
            function = node.function if node.step is None else node.step.function
            for shared in [] if function is None else state_shared(function):
                yield self._risk("implicit state", node.path, shared, _AS_INPUT)

    def branches(self, seen: Outcomes | None) -> Iterator[Risk]:
        """Outcomes that nobody has seen."""
        name = self.workflow.name
        if seen is None:
            if any(node.kind in ("switch", "when", "accept") for node in self.nodes):
                yield self._risk("branch coverage", name, "it is not known", _GIVE_COVERAGE)
            return
        for part in seen.measure.missing():
            place = part.partition(" = ")[0]
            evidence = f"{part} was never seen in {seen}"
            yield self._risk("branch coverage", place, evidence, "test it, or take it out")

    def effects(self) -> Iterator[Risk]:
        """Steps that may not run twice, and effects that stay when their run fails."""
        for index, node in enumerate(self.nodes):
            if node.kind != "step" or node.step is None:
                continue
            if node.step.effects == "once":
                yield self._risk("effects that may be repeated", node.path, _ONCE, _RESOLVE)
            stays = index not in self.subject.compensated and self.subject.consumers[index]
            if node.step.effects != "pure" and stays:
                said = node.step.effects or "not declared"
                evidence = f"its effects are {said}, and nothing undoes them when the run fails"
                yield self._risk("compensation", node.path, evidence, _COMPENSATE)

    def _risk(self, area: Area, place: str, evidence: str, remedy: str) -> Risk:
        node = self._places.get(place)
        return Risk(
            area=area,
            place=place,
            evidence=evidence,
            remedy=remedy,
            owner=self._owner(node),
            playbook=None if node is None or node.step is None else node.step.playbook,
            reviewed=self._reviews.get(place),
        )

    def _owner(self, node: GraphNode | None) -> str | None:
        step = None if node is None else node.step
        return self.workflow.owner if step is None else step.owner or self.workflow.owner


_HEAD: Final = ("where", "evidence", "what to do", "owner", "playbook", "last review")
_FINDINGS: Final[Mapping[str, Area]] = {
    **dict.fromkeys(("R4.1", "R15.1", "R15.3"), "implicit state"),
    **dict.fromkeys(("R1.1", "R1.2", "R1.3", "R4.2", "R15.2"), "effects that may be repeated"),
    **dict.fromkeys(("R2.1", "R2.2", "R3.1"), "compensation"),
}
_AS_INPUT: Final = "pass it in as an input, or make it a tuple, a frozenset or a setting"
_GIVE_COVERAGE: Final = "give a coverage report or a store"
_ONCE: Final = "it runs at most once: cut off, it leaves its run waiting for somebody to look"
_RESOLVE: Final = "keep a playbook for finding out, and for Run.resolve"
_COMPENSATE: Final = "give it compensate=, or say in its playbook what is done by hand"
