"""Settings: the versioned values a step reads, and overlays that change some of them for a release.

A prompt, a model's name, a threshold: what teams change weekly without touching the graph. Each has
a digest, so that an attempt can be told by what it read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import BaseModel

from ._contracts import Contract
from ._errors import ContractError, DefinitionError
from ._payloads import Codec
from ._policies import Queue, RetryPolicy, canonical, instance, word
from ._stages import Step

T = TypeVar("T")


@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class Setting(Generic[T]):
    """A named, versioned value that steps read with `Context.get`.

    Two of one name, version, owner and value are equal.

    Args:
        name: runs and overlays know it by this; "draft.prompt".
        value: what JSON has (a string, number, bool, list or dict), or a pydantic model.
        version: changes when the value does.
        owner: the team that answers for it.

    Attributes:
        name: as given.
        version: as given.
        owner: as given, or None.
        digest: sha256, in hex, of name, version, owner and value.

    Raises:
        DefinitionError: JSON would not give the value back, or the rest is no text.

    >>> import penstock as ps
    >>> prompt = ps.Setting("draft.prompt", "Answer in one sentence.", version="3", owner="cx")
    >>> @ps.step
    ... async def draft(ticket: str, ctx: ps.Context) -> str:
    ...     return f"{ctx.get(prompt)} {ticket}"
    """

    name: str
    version: str
    owner: str | None
    digest: str
    _value: T

    def __init__(
        self, name: str, value: T, *, version: str = "1", owner: str | None = None
    ) -> None:
        word(name, "a setting's name")
        what = f"setting {name!r}"
        word(version, f"the version of {what}")
        if owner is not None:
            word(owner, f"the owner of {what}")
        text = _written(value, what)
        identity = canonical([name, version, owner, json.loads(text)])
        for field, content in (
            ("name", name),
            ("version", version),
            ("owner", owner),
            ("digest", _digest("Setting", identity)),
            ("_value", deepcopy(value)),
        ):
            object.__setattr__(self, field, content)

    @property
    def value(self) -> T:
        """Its own value; a list, dict or model as a copy, so that no reader changes another's."""
        return self._value if isinstance(self._value, _FIXED) else deepcopy(self._value)

    def checked(self, value: object) -> T:
        """A value that stands in for its own, which has to be of the same type.

        Raises:
            DefinitionError: it is of another type, or JSON would not give it back.
        """
        kind: type[Any] = type(self._value)
        try:
            good: T = Contract.of(kind).validate(value)
        except ContractError:
            raise DefinitionError(
                f"setting {self.name!r} is a {kind.__qualname__}, and was given {value!r:.100}",
                remedy=f"give a {kind.__qualname__}, as its own value is",
            ) from None
        _written(good, f"setting {self.name!r}")
        return good

    def digest_of(self, value: T) -> str:
        """What `digest` would be with another value, in the same version."""
        content = json.loads(_written(value, f"setting {self.name!r}"))
        return _digest("Setting", canonical([self.name, self.version, self.owner, content]))

    def to_dict(self) -> dict[str, Any]:
        """Name, version, owner, digest and value as plain data, ready for JSON."""
        return {
            "name": self.name,
            "version": self.version,
            "owner": self.owner,
            "digest": self.digest,
            "value": json.loads(_written(self._value, f"setting {self.name!r}")),
        }

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Setting) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Setting({self.name!r}, {self._value!r:.60}, version={self.version!r})"


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False, eq=False)
class Overlay:
    """Changed settings, retry policies and queues: what a release tries without another graph.

    Attributes:
        settings: by setting, the value that holds in its place.
        retry: by step, the policy that holds in place of its own.
        queues: each stands in for the queue of its name.
        digest: sha256, in hex, of `to_json`.

    Raises:
        DefinitionError: it changes nothing, a value is not of its setting's type, or two of a kind
            have one name.

    >>> import penstock as ps
    >>> prompt = ps.Setting("draft.prompt", "Answer in one sentence.")
    >>> ps.Overlay(settings={prompt: "Answer in one word."})
    Overlay(settings=['draft.prompt'])
    """

    settings: Mapping[Setting[Any], Any]
    retry: Mapping[Step[..., Any], RetryPolicy]
    queues: tuple[Queue, ...]
    digest: str

    def __init__(
        self,
        *,
        settings: Mapping[Setting[Any], Any] | None = None,
        retry: Mapping[Step[..., Any], RetryPolicy] | None = None,
        queues: Iterable[Queue] = (),
    ) -> None:
        values = _settings(settings or {})
        policies = _policies(retry or {})
        models = tuple(instance(queue, "queues", Queue, "give queues") for queue in queues)
        _no_twins("queue", [queue.name for queue in models])
        if not (values or policies or models):
            raise DefinitionError(
                "the overlay changes nothing", remedy="give settings=, retry= or queues="
            )
        for field, content in (
            ("settings", MappingProxyType(values)),
            ("retry", MappingProxyType(policies)),
            ("queues", models),
        ):
            object.__setattr__(self, field, content)
        object.__setattr__(self, "digest", _digest("Overlay", self.to_json()))

    def values(self) -> dict[str, Any]:
        """The changed values by the names of their settings: what a runtime puts in force."""
        return {setting.name: value for setting, value in self.settings.items()}

    def to_dict(self) -> dict[str, Any]:
        """All that it changes as plain data, ready for JSON; a value with the digest it gets."""
        return {
            "settings": {
                setting.name: {
                    "value": json.loads(_written(value, f"setting {setting.name!r}")),
                    "digest": setting.digest_of(value),
                    "in_place_of": setting.digest,
                }
                for setting, value in self.settings.items()
            },
            "retry": {step.name: policy.to_dict() for step, policy in self.retry.items()},
            "queues": {queue.name: queue.to_dict() for queue in self.queues},
        }

    def to_json(self) -> str:
        """The same as canonical JSON: equal overlays give equal text."""
        return canonical(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Overlay) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        named = (
            ("settings", [setting.name for setting in self.settings]),
            ("retry", [step.name for step in self.retry]),
            ("queues", [queue.name for queue in self.queues]),
        )
        return f"Overlay({', '.join(f'{name}={names}' for name, names in named if names)})"


@dataclass(frozen=True, slots=True)
class Changes:
    """What an overlay changes, by name: also as a store has kept it.

    Attributes:
        digest: of the overlay.
        settings: values, by the setting's name.
        in_place_of: digests of the settings whose values they take the place of.
        retry: policies, by the step's name.
        queues: models, by the queue's name.
    """

    digest: str
    settings: Mapping[str, Any]
    in_place_of: Mapping[str, str]
    retry: Mapping[str, RetryPolicy]
    queues: Mapping[str, Queue]

    @classmethod
    def of(cls, overlay: Overlay) -> Changes:
        """Those of an overlay, with the values themselves."""
        return cls(
            overlay.digest,
            overlay.values(),
            {setting.name: setting.digest for setting in overlay.settings},
            {step.name: policy for step, policy in overlay.retry.items()},
            {queue.name: queue for queue in overlay.queues},
        )

    @classmethod
    def read(cls, text: str, models: Mapping[str, Setting[Any]]) -> Changes:
        """Those that `Overlay.to_json` wrote.

        Args:
            text: as it was written.
            models: the settings of today by name, which say of what types the values are.
        """
        content = json.loads(text)
        settings = {
            name: models[name].checked(told["value"]) if name in models else told["value"]
            for name, told in content["settings"].items()
        }
        return cls(
            _digest("Overlay", text),
            settings,
            {name: told["in_place_of"] for name, told in content["settings"].items()},
            {name: RetryPolicy.from_dict(told) for name, told in content["retry"].items()},
            {name: Queue.from_dict(told) for name, told in content["queues"].items()},
        )


def _settings(given: Mapping[Setting[Any], Any]) -> dict[Setting[Any], Any]:
    values: dict[Setting[Any], Any] = {}
    for setting, value in _pairs(given, "settings"):
        instance(setting, "settings", Setting, "give it by the setting: {prompt: '...'}")
        values[setting] = deepcopy(setting.checked(value))
    _no_twins("setting", [setting.name for setting in values])
    return values


def _policies(given: Mapping[Step[..., Any], RetryPolicy]) -> dict[Step[..., Any], RetryPolicy]:
    policies: dict[Step[..., Any], RetryPolicy] = {}
    for step, policy in _pairs(given, "retry"):
        instance(step, "retry", Step, "give it by the step: {draft: RetryPolicy(max_attempts=2)}")
        good = instance(policy, f"the retry of step {step.name!r}", RetryPolicy, _A_POLICY)
        if step.effects == "once" and good.max_attempts > 1:
            raise DefinitionError(
                f"step {step.name!r} has effects='once', and can't be given "
                f"{good.max_attempts} attempts",
                remedy="give RetryPolicy(max_attempts=1), or leave the step out",
            )
        policies[step] = good
    _no_twins("step", [step.name for step in policies])
    return policies


def _pairs(given: Mapping[Any, Any], what: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(cast("object", given), Mapping):
        raise DefinitionError(f"{what} is {given!r}", remedy="give a dict")
    return given.items()


def _no_twins(kind: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DefinitionError(
                f"the overlay has two of {kind} {name!r}", remedy="give it one of them"
            )


def _written(value: object, what: str) -> str:
    """The value as JSON.

    Raises:
        DefinitionError: JSON would not give it back.
    """
    try:
        if isinstance(value, BaseModel):
            return Codec(Contract.of(type(value)), check=True).encode(value).decode()
        text = json.dumps(value, allow_nan=False, sort_keys=True, ensure_ascii=False)
        text.encode()
        again: object = json.loads(text)
    except (ContractError, RecursionError, TypeError, ValueError) as error:
        raise DefinitionError(f"{what} is {value!r:.100}: {error}", remedy=_PLAIN) from None
    if value is None or type(again) is not type(value) or again != value:
        raise DefinitionError(f"{what} is {value!r:.100}", remedy=_PLAIN)
    return text


def _digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}:{text}".encode()).hexdigest()


_FIXED: Final = (str, int, float, bool)
_A_POLICY: Final = "give a RetryPolicy, such as RetryPolicy(max_attempts=2)"
_PLAIN: Final = (
    "give a string, a finite number, a bool, a pydantic model, or lists and dicts with string keys "
    "of these"
)
