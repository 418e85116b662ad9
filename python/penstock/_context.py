"""Context: what an attempt knows of its run, and how it speaks to the runtime."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ._prices import Rates
from ._spend import Spend, SpendLine

if TYPE_CHECKING:
    from ._settings import Setting

T = TypeVar("T")


class Host(Protocol):
    """What a context speaks to: the runtime, or a test's recorder."""

    def heartbeat(self, attempt: int, /) -> None:
        """A sign of life of an attempt."""
        ...

    def used(self, attempt: int, tokens: int, /) -> None:
        """What an attempt has used."""
        ...

    @property
    def rates(self) -> Rates:
        """What `spend` is priced with."""
        ...

    def spend(self, attempt: int, lines: Sequence[SpendLine], /) -> None:
        """One entry of what an attempt has used, priced; from any thread."""
        ...

    def emit(self, attempt: int, event: object, /) -> None:
        """An event of the user's own, for those who follow the run."""
        ...

    def setting(self, attempt: int, setting: Setting[T], /) -> T:
        """The value of a setting that holds for an attempt."""
        ...

    def is_cancelled(self, attempt: int, /) -> bool:
        """Whether the attempt has been told to stop."""
        ...

    def is_to_save(self, attempt: int, /) -> bool:
        """Whether the attempt is to do with less, which makes its run a degraded one."""
        ...

    def now(self) -> float:
        """Seconds since 1970."""
        ...


class Context:
    """Injected into a step that has a parameter of this type, first or last; thread-safe.

    Attributes:
        run_id: of the run.
        step: the step's name.
        path: of the node, such as "support/draft".
        attempt: which attempt of the node this is, from 1.
        deadline: when the run must be over, in seconds since 1970; None for never.
        tenant: whom the run is for, or None.
        failure: in a fallback or a cascade's next tier, what the one before failed with; else None.
    """

    __slots__ = (
        "_generation",
        "_host",
        "_key",
        "_log",
        "_spend",
        "attempt",
        "deadline",
        "failure",
        "path",
        "run_id",
        "step",
        "tenant",
    )

    def __init__(
        self,
        host: Host,
        key: int,
        *,
        run_id: str,
        step: str,
        path: str,
        attempt: int,
        deadline: float | None = None,
        tenant: str | None = None,
        failure: BaseException | None = None,
        generation: int = 0,
    ) -> None:
        self._host = host
        self._key = key
        self._log: _RunLog | None = None
        self._spend: Spend | None = None
        self.run_id = run_id
        self.step = step
        self.path = path
        self.attempt = attempt
        self.deadline = deadline
        self.tenant = tenant
        self.failure = failure
        self._generation = generation

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this node of this run, and for nothing else.

        `Run.retry(new_keys=True)` changes it.
        """
        key = f"{self.run_id}:{self.path}"
        return f"{key}:{self._generation}" if self._generation else key

    def remaining(self) -> float:
        """Seconds until the deadline, 0 or more; infinite without one."""
        if self.deadline is None:
            return float("inf")
        return max(0.0, self.deadline - self._host.now())

    @property
    def cancelled(self) -> bool:
        """Whether this attempt has been told to stop: what a step in a thread looks at."""
        return self._host.is_cancelled(self._key)

    @property
    def degraded(self) -> bool:
        """Whether to do with less: a budget with `when_spent="degrade"` is nearly spent.

        Asking makes the run a degraded one if so, as the step is taken to act upon it.
        """
        return self._host.is_to_save(self._key)

    def heartbeat(self, details: object = None) -> None:
        """Give a sign of life, for `heartbeat_timeout`; details go to those who follow the run."""
        self._host.heartbeat(self._key)
        if details is not None:
            self.emit(details)

    def used(self, *, tokens: int) -> None:
        """Say how many tokens the attempt has used, in addition to what it said before.

        Rate limits and fair shares by tokens count with the step's `estimate` until then.

        Raises:
            ValueError: no whole number from 0.
        """
        if type(tokens) is not int or not 0 <= tokens < 2**32:
            raise ValueError(f"tokens is {tokens!r}; give a whole number from 0")
        self._host.used(self._key, tokens)

    @property
    def spend(self) -> Spend:
        """Where the attempt books what it used: tokens, retrievals, tool calls, GPUs and people."""
        if self._spend is None:
            self._spend = Spend(self._host, self._key)
        return self._spend

    def get(self, setting: Setting[T]) -> T:
        """The value of a setting that holds for this run: its own, or that of the run's overlay."""
        return self._host.setting(self._key, setting)

    def emit(self, event: object) -> None:
        """Hand an event of one's own to those who follow the run with `Run.events`."""
        self._host.emit(self._key, event)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger of the name "penstock.step.<step>" whose records carry run, node and attempt."""
        if self._log is None:
            extra = {"run_id": self.run_id, "node": self.path, "attempt": self.attempt}
            self._log = _RunLog(logging.getLogger(f"penstock.step.{self.step}"), extra)
        return self._log

    def __repr__(self) -> str:
        return f"<Context of {self.path!r} in run {self.run_id!r}, attempt {self.attempt}>"


class _RunLog(logging.LoggerAdapter[logging.Logger]):
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs
