"""Targets: what of a workflow can be changed, by the names that people write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from penstock._errors import DefinitionError
from penstock._graph import Accept, Graph, GraphNode, Map
from penstock._interfaces import settings_of
from penstock._policies import Queue, RetryPolicy
from penstock._settings import Setting

if TYPE_CHECKING:
    from penstock._workflows import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """A cascade, as its graph has it.

    Attributes:
        path: of the node that gives its value.
        tiers: names of its tiers, in the order in which they are tried.
        steps: of each tier, the name of the step that gives its value; None if no step does.
        judges: paths of the nodes that judge its tiers; one less, as the last is not judged.
        at: the least scores that they accept; None where a function says yes or no.
        explore: share of the accepted values after which the next tier runs all the same.
    """

    path: str
    tiers: tuple[str, ...]
    steps: tuple[str | None, ...]
    judges: tuple[str, ...]
    at: tuple[float | None, ...]
    explore: float


class Targets:
    """What of a workflow can be changed. Built in O(nodes).

    Args:
        workflow: that is to be changed.
        queues: the runtime's own; they stand in for those of the same name that steps bring along.

    Attributes:
        workflow: as given.
        steps: the nodes of each step, by its name.
        queues: what the steps wait in, by name.
        settings: that the steps read, by name.
        ladders: the cascades, by path.
        bars: of a step with `accept=`, the paths of the nodes that judge it, and the least score.
        maps: those over items, by path.
    """

    def __init__(self, workflow: Workflow[..., Any], queues: Iterable[Queue] = ()) -> None:
        self.workflow = workflow
        graph = workflow.graph
        self.steps: dict[str, list[GraphNode]] = {}
        for node in graph.nodes:
            if node.step is not None:
                self.steps.setdefault(node.step.name, []).append(node)
        self.queues = _queues(graph, queues)
        self.settings: dict[str, Setting[Any]] = {it.name: it for it in settings_of(workflow)}
        self.ladders = {ladder.path: ladder for ladder in _ladders(graph)}
        self.bars = _bars(graph)
        self.maps = {node.path: it for node in graph.nodes if isinstance(it := node.detail, Map)}

    def retry(self, step: str) -> RetryPolicy:
        """The policy of a step.

        Raises:
            DefinitionError: it has another one at another node.
        """
        found: dict[RetryPolicy, str] = {}
        for node in self.steps[step]:
            found.setdefault(node.option("retry") or ONCE, node.path)
        if len(found) > 1:
            raise DefinitionError(
                f"it has different policies at {' and '.join(map(repr, found.values()))}",
                remedy="change them in the code, or give its nodes one policy",
            )
        return next(iter(found))

    def option(self, step: str, name: Any) -> Any:
        """An option of a step at its first node."""
        return self.steps[step][0].option(name)

    def at(self, judge: str) -> float | None:
        """The least score that a node accepts, by its path."""
        for ladder in self.ladders.values():
            if judge in ladder.judges:
                return ladder.at[ladder.judges.index(judge)]
        return next((at for paths, at in self.bars.values() if judge in paths), None)

    def path(self, given: str, known: Mapping[str, object]) -> str:
        """A path as the graph has it; that of the workflow in front of it may be left out.

        Raises:
            DefinitionError: there is none.
        """
        for path in (given, f"{self.workflow.name}/{given}"):
            if path in known:
                return path
        prefix = f"{self.workflow.name}/"
        short = [path.removeprefix(prefix) for path in known]
        raise DefinitionError(f"there is no {given!r}", remedy=did_you_mean(given, short))


def split(text: str, known: Iterable[str]) -> tuple[str, str] | None:
    """The longest of the known names that a dotted text begins with, and what comes after it."""
    for name in sorted(known, key=len, reverse=True):
        if text == name:
            return name, ""
        if text.startswith(f"{name}."):
            return name, text[len(name) + 1 :]
    return None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not there."""
    names = list(known)
    close = get_close_matches(given, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    listed = ", ".join(sorted(names)[:_MOST]) or "none"
    return f"there are: {listed}{', ...' if len(names) > _MOST else ''}"


def _queues(graph: Graph, given: Iterable[Queue]) -> dict[str, Queue]:
    """What steps wait in; one that is only named has the usual limits."""
    named: dict[str, Queue] = {}
    for node in graph.nodes:
        if node.step is not None:
            queue: Queue | str | None = node.option("queue")
            if queue is None:
                named.setdefault(DEFAULT.name, DEFAULT)
            elif isinstance(queue, Queue):
                named[queue.name] = queue
            else:
                named.setdefault(queue, Queue(queue))
    return named | {queue.name: queue for queue in given}


def _ladders(graph: Graph) -> Iterator[Ladder]:
    for node in graph.nodes:
        if node.kind != "merge":
            continue
        judges = [judge for index in node.inputs if (judge := _judge(graph, index)) is not None]
        if not judges or len(judges) != len(node.inputs) - 1:
            continue
        values = [*(judge.inputs[0] for judge in judges), node.inputs[-1]]
        details = [judge.detail for judge in judges]
        yield Ladder(
            path=node.path,
            tiers=tuple(_below(node.path, graph.nodes[value].path) for value in values),
            steps=tuple(step_of(graph, value) for value in values),
            judges=tuple(judge.path for judge in judges),
            at=tuple(it.at if isinstance(it, Accept) else None for it in details),
            explore=max((it.explore for it in details if isinstance(it, Accept)), default=0.0),
        )


def _judge(graph: Graph, index: int) -> GraphNode | None:
    """What judges a tier whose accepted value a case passes on."""
    case = graph.nodes[index]
    if case.kind != "case":
        return None
    judge = graph.nodes[case.inputs[0]]
    return judge if isinstance(judge.detail, Accept) and judge.detail.tier else None


def _bars(graph: Graph) -> dict[str, tuple[tuple[str, ...], float]]:
    found: dict[str, tuple[tuple[str, ...], float]] = {}
    for node in graph.nodes:
        detail = node.detail
        if isinstance(detail, Accept) and not detail.tier and detail.at is not None:
            step = step_of(graph, node.inputs[0])
            if step is not None:
                paths = found[step][0] if step in found else ()
                found[step] = ((*paths, node.path), detail.at)
    return found


def step_of(graph: Graph, index: int) -> str | None:
    """The step that gives a node's value, whatever judges it on the way; None if no step does."""
    node = graph.nodes[index]
    while node.step is None:
        if node.kind not in ("merge", "case", "accept", "shield") or not node.inputs:
            return None
        node = graph.nodes[node.inputs[0]]
    return node.step.name


def _below(path: str, inner: str) -> str:
    """The first part of a path below another."""
    return inner[len(path) + 1 :].partition("/")[0].removesuffix("[]")


ONCE: Final = RetryPolicy(max_attempts=1)
DEFAULT: Final = Queue("default", retry_budget=None)
_MOST: Final = 12
