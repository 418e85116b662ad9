"""Model: how a workflow behaves, as a file that people read and write, or fitted to a store.

What the workflow does by itself is not in it: graph, policies and queues are the workflow's own.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, cast

from penstock._errors import DefinitionError
from penstock._policies import instance, number, whole, word

from ._arrivals import Arrivals
from ._parts import EMPTY, Part, named, table, tables_of, tried
from ._places import Choice, Outage, SignalModel, shares
from ._steps import StepModel
from ._toml import written

if TYPE_CHECKING:
    from penstock._workflows import Workflow

FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Fitted(Part):
    """What a model was fitted to.

    Attributes:
        runs: how many.
        since: the time from which on they were accepted, as ISO 8601 has it.
        until: the time before which.
        draft: whether that is too little to decide by.
        gaps: what the runs do not tell, and what was taken instead.
    """

    runs: int
    since: str
    until: str
    draft: bool
    gaps: tuple[str, ...]

    _WORD: ClassVar[str] = "fitted"

    def __init__(
        self, *, runs: int, since: str, until: str, draft: bool = False, gaps: Sequence[str] = ()
    ) -> None:
        if not isinstance(cast("object", draft), bool):
            raise DefinitionError(f"draft is {draft!r}", remedy="give true or false")
        if isinstance(gaps, str):
            raise DefinitionError(f"gaps is {gaps!r}", remedy="give a list of texts")
        self._keep(
            runs=whole(runs, "runs", least=0, most=2**53),
            since=word(since, "since"),
            until=word(until, "until"),
            draft=draft,
            gaps=tuple(word(gap, "a gap") for gap in gaps),
        )


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Model(Part):
    """How a workflow behaves.

    Attributes:
        workflow: its name.
        version: of it; None for any.
        graph: the digest of its graph; None for any.
        fitted: what it was fitted to; None if it is written by hand.
        arrivals: when runs start.
        tenants: the share of each in the runs; empty for no tenants.
        frailty: how much runs differ: a run's failure probabilities are multiplied with a number
            whose logarithm is normal with this standard deviation, and whose mean is 1.
        outages: when queues are out of order.
        steps: by name.
        choices: by the path of a node, what is decided there.
        signals: by name.

    >>> import penstock as ps
    >>> model = Model.from_dict(
    ...     {
    ...         "format": 1,
    ...         "workflow": "shout",
    ...         "arrivals": {"kind": "poisson", "rate": 20.0},
    ...         "steps": {"shout": {"latency": {"kind": "constant", "value": 0.2}}},
    ...     }
    ... )
    >>> model.steps["shout"].latency
    Distribution.constant(0.2)
    """

    workflow: str
    version: str | None
    graph: str | None
    fitted: Fitted | None
    arrivals: Arrivals
    tenants: Mapping[str, float]
    frailty: float
    outages: tuple[Outage, ...]
    steps: Mapping[str, StepModel]
    choices: Mapping[str, Choice]
    signals: Mapping[str, SignalModel]

    _WORD: ClassVar[str] = "model"

    def __init__(
        self,
        *,
        workflow: str,
        arrivals: Arrivals,
        steps: Mapping[str, StepModel],
        version: str | None = None,
        graph: str | None = None,
        fitted: Fitted | None = None,
        tenants: Mapping[str, float] = EMPTY,
        frailty: float = 0.0,
        outages: Sequence[Outage] = (),
        choices: Mapping[str, Choice] = EMPTY,
        signals: Mapping[str, SignalModel] = EMPTY,
    ) -> None:
        remedy = "give an Arrivals, such as Arrivals(rate=20.0)"
        self._keep(
            workflow=word(workflow, "workflow"),
            version=None if version is None else word(version, "version"),
            graph=None if graph is None else word(graph, "graph"),
            fitted=fitted,
            arrivals=instance(arrivals, "arrivals", Arrivals, remedy),
            tenants=MappingProxyType(shares(tenants, "tenants") if tenants else {}),
            frailty=number(frailty, "frailty", least=0, most=5),
            outages=tuple(outages),
            steps=_all(steps, "steps", StepModel),
            choices=_all(choices, "choices", Choice),
            signals=_all(signals, "signals", SignalModel),
        )
        if not self.steps:
            raise DefinitionError("the model has no steps", remedy="give one for each step")

    @classmethod
    def read_at(cls, data: Any, place: str, problems: list[str]) -> Self | None:
        """As `Part.read_at`, of a file's content."""
        content = dict(table(data, place, problems))
        if problems:
            return None
        form = content.pop("format", None)
        if type(form) is not int or form != FORMAT:
            told = "has no format" if form is None else f"has format {form!r}"
            problems.append(f"{told}; write format = {FORMAT}, the only one that is known here")
            return None
        return cls._read_at(content, place, problems)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, ready for JSON and TOML."""
        # Not `super()`: a dataclass with slots is made anew, and is not the class that it knows.
        content = {"format": FORMAT, **Part.to_dict(self)}
        if self.frailty:
            content["frailty"] = {"sigma": self.frailty}
        return {name: content[name] for name in _ORDER if name in content}

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """The model of a file, TOML or JSON by its name.

        Raises:
            DefinitionError: it can't be read, or with everything that is wrong in it.
        """
        path = Path(path)
        loads = loader(path)
        try:
            data = loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DefinitionError(
                f"{path} can't be read: {error.strerror}",
                remedy="`penstock model new` and `penstock model fit` write one",
            ) from error
        except ValueError as error:
            raise DefinitionError(
                f"{path}: {error}", remedy=f"write it as {path.suffix[1:].upper()}"
            ) from error
        problems: list[str] = []
        model = cls.read_at(data, "", problems)
        if model is None:
            raise DefinitionError.of(str(path), problems)
        return model

    def write(self, path: Path | str, *, comments: Sequence[str] = ()) -> None:
        """Write the file, TOML or JSON by its name.

        Args:
            path: of the file; one that is there is replaced.
            comments: lines that stand before it, in TOML.

        Raises:
            DefinitionError: its name ends in neither, or it can't be written.
        """
        path = Path(path)
        loader(path)
        text = self.to_json() if path.suffix == ".json" else self.to_toml(comments=comments)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DefinitionError(
                f"{path} can't be written: {error.strerror}", remedy="name another file"
            ) from error

    def to_toml(self, *, comments: Sequence[str] = ()) -> str:
        """The text of a TOML file, after lines that stand before it."""
        return written(self.to_dict(), comments)

    def to_json(self) -> str:
        """The text of a JSON file."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def of(
        cls,
        workflow: Workflow[..., Any],
        *,
        latency: Mapping[str, float] = EMPTY,
        default_latency: float | None = None,
        rate: float = 1.0,
    ) -> Model:
        """A model to start from: what steps cost comes from their `estimate`.

        What is decided is taken as equally likely, and no attempt fails.

        Args:
            workflow: that is modelled.
            latency: seconds by the name of a step or of a signal.
            default_latency: of the steps that are not named; signals are answered by people, and
                have none.
            rate: runs per second.

        Raises:
            DefinitionError: with the steps and signals whose latency is not known.
        """
        from ._making import made

        return made(workflow, latency=latency, default_latency=default_latency, rate=rate)[0]

    @classmethod
    def fit(
        cls,
        store: Path | str,
        workflow: str | None = None,
        *,
        version: str | None = None,
        since: float | None = None,
        until: float | None = None,
        arrivals: Literal["auto", "poisson", "bursty", "trace"] = "auto",
        score: str = "quality",
        default_latency: float | None = None,
        most: int = 50_000,
    ) -> Model:
        """A model fitted to the runs of a store, also while a service runs on it. O(records).

        What the runs do not tell is in `fitted.gaps`.

        Args:
            store: its path.
            workflow: its name; None if the store has runs of one only.
            version: of it; None for that of its newest run.
            since: runs accepted from then on, in seconds since 1970.
            until: runs accepted before.
            arrivals: "bursty" or "poisson", or "auto" for what they look like; "trace" keeps them.
            score: the kind of score that tells quality.
            default_latency: seconds of a step that never ran; None leaves it out.
            most: runs that are read, the newest.

        Raises:
            DefinitionError: there are too few runs to fit anything to, or none of that workflow.
            StoreError: there is no such store, or it can't be read.
        """
        from penstock._durability import location
        from penstock._stored import StoreView

        from ._fit import fit_of_store

        path = location(store)
        if path is None:
            raise DefinitionError("store is None", remedy="give the path of a store")
        view = StoreView(path)
        try:
            return fit_of_store(
                view,
                workflow,
                version=version,
                since=since,
                until=until,
                arrivals=arrivals,
                score=score,
                default_latency=default_latency,
                most=most,
            )
        finally:
            view.close()

    def check(self, workflow: Workflow[..., Any]) -> tuple[str, ...]:
        """Check that it is a model of a workflow.

        Returns:
            What may be meant, and should be looked at.

        Raises:
            DefinitionError: with everything that is missing, or that the workflow does not have.
        """
        from ._checking import checked

        return checked(self, workflow)


def loader(path: Path) -> Callable[[str], Any]:
    """What reads the text of a model's file, by its name.

    Raises:
        DefinitionError: its name is that of none.
    """
    if path.suffix == ".toml":
        return tomllib.loads
    if path.suffix == ".json":
        return json.loads
    raise DefinitionError(
        f"{str(path)!r} is no file of a model", remedy="let its name end in .toml or .json"
    )


def _all(given: object, name: str, kind: type[Any]) -> Mapping[str, Any]:
    """By name, parts of one kind."""
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{name} is {given!r}", remedy=f"give a {kind.__name__} by name")
    content = cast("Mapping[str, object]", given)
    remedy = f"give a {kind.__name__}"
    return MappingProxyType(
        {
            word(key, f"a name in {name}"): instance(part, f"{name}.{key}", kind, remedy)
            for key, part in content.items()
        }
    )


def _frailty(data: Any, place: str, problems: list[str]) -> float | None:
    content = table(data, place, problems)
    if content and list(content) != ["sigma"]:
        problems.append(f"{place}: has {', '.join(content)}; its only key is sigma")
        return None
    sigma = content.get("sigma", 0.0)
    return tried(lambda: number(sigma, "sigma", least=0, most=5), place, problems)


Model._PARTS = {  # noqa: SLF001
    "fitted": Fitted.read_at,
    "arrivals": Arrivals.read_at,
    "tenants": lambda data, place, problems: tried(lambda: shares(data, place), place, problems),
    "frailty": _frailty,
    "outages": tables_of(Outage.read_at),
    "steps": named(StepModel.read_at),
    "choices": named(Choice.read_at),
    "signals": named(SignalModel.read_at),
}
_ORDER: Final = (
    "format",
    "workflow",
    "version",
    "graph",
    "fitted",
    "arrivals",
    "tenants",
    "frailty",
    "outages",
    "steps",
    "choices",
    "signals",
)
