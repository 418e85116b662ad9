"""Commands: what other processes want of a runtime's runs, carried out on its loop.

A command is a row of the store, known by its key: a second one with that key is the first one. What
it changes and its outcome are written in one transaction, so it is carried out once, also if the
process goes down in between. An outcome is a JSON object: whether it was done, and what to tell.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast

from pydantic import ValidationError

from ._errors import ContractError, PenstockError
from ._graph import GraphNode, Wait
from ._money import Usd
from ._policies import Budget

if TYPE_CHECKING:
    from ._driver import Command
    from ._runtime import Runtime


class Outcome(NamedTuple):
    """What came of a command.

    Attributes:
        done: whether it was carried out.
        told: what to tell the one who asked.
    """

    done: bool
    told: str

    def to_json(self) -> str:
        """As the store keeps it."""
        return json.dumps(self._asdict(), ensure_ascii=False)

    @classmethod
    def of_json(cls, text: str) -> Outcome:
        """From what the store keeps."""
        content = json.loads(text)
        return cls(done=content["done"], told=content["told"])


class Commands:
    """Carries out commands of other processes."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def take(self, command: Command) -> None:
        """Carry out a command and have its outcome written; never raises an `Exception`."""
        if self._runtime._state == "closed":  # noqa: SLF001
            return  # it is left for the next one who opens the store
        core = self._runtime._core  # noqa: SLF001
        core.carry_out(command.key)
        try:
            told = self._told(command)
        except _Refused as error:
            outcome = Outcome(done=False, told=str(error))
        except PenstockError as error:
            outcome = Outcome(done=False, told=str(error))
        except Exception as error:
            _log.exception("command %s could not be carried out", command)
            outcome = Outcome(done=False, told=f"it failed: {type(error).__name__}: {error}")
        else:
            if told is None:
                return  # its outcome comes later
            outcome = Outcome(done=True, told=told)
        finally:
            core.carry_out(None)
        core.command_done(command.number, outcome.to_json())

    def _told(self, command: Command) -> str | None:
        carry_out = _VERBS.get(command.verb)
        if carry_out is None:
            _refuse(f"there is no command {command.verb!r}; this penstock knows {_KNOWN}")
        try:
            arguments: Any = json.loads(command.arguments)
        except ValueError as error:
            _refuse(f"the arguments are no JSON: {error}")
        if not isinstance(arguments, dict):
            _refuse("the arguments are no JSON object")
        return carry_out(self, command, cast("dict[str, Any]", arguments))

    def _cancel(self, command: Command, _arguments: Mapping[str, Any]) -> str:
        key, status = self._run(command)
        core = self._runtime._core  # noqa: SLF001
        if not core.cancel(key):
            _refuse(f"there is nothing to cancel: the run is {status}")
        if status == "held":
            return "cancelled; what it had done before it was held is not undone"
        return f"asked to stop; it is {core.status(key)} now"

    def _pause(self, command: Command, _arguments: Mapping[str, Any]) -> str:
        key, status = self._run(command)
        if not self._runtime._core.pause(key):  # noqa: SLF001
            _refuse(f"only a running run can be paused, and it is {status}")
        return "paused; attempts under way go on to their end"

    def _resume(self, command: Command, _arguments: Mapping[str, Any]) -> str:
        key, status = self._run(command)
        core = self._runtime._core  # noqa: SLF001
        if not core.resume(key):
            if unknown := core.unknown(key):
                _refuse(f"the outcome of {unknown[0]} is not known; resolve that first")
            _refuse(f"there is nothing to resume: the run is {status}")
        return f"resumed; it is {core.status(key)} now"

    def _budget(self, command: Command, arguments: Mapping[str, Any]) -> str:
        key, status = self._run(command)
        core, usd = self._runtime._core, arguments.get("usd")  # noqa: SLF001
        if not isinstance(usd, str | int | float):
            _refuse(f"{usd!r} is no amount of dollars")
        limit = Budget(usd=usd).usd
        unpaid = core.unpaid(key)
        before = core.budget_of(key)
        if before is None:
            _refuse(f"the run has no budget of its own to raise: it is {status}")
        if not core.raise_budget(key, limit.nanos):
            _refuse(f"the run spends no more: it is {status}")
        told = f"it may spend {limit} in place of {Usd(before[2])}"
        # Others pause runs, too: whom it was its own money that lacked goes on.
        lacked = unpaid is not None and (unpaid[0], unpaid[3]) == ("run", before[2])
        if lacked and status == "paused" and limit.nanos > before[2] and core.resume(key):
            told += f", and goes on; it is {core.status(key)} now"
        return told

    def _release(self, command: Command, _arguments: Mapping[str, Any]) -> str:
        status = self._run(command)[1]
        if not self._runtime._core.release(command.run_id):  # noqa: SLF001
            _refuse(f"only a held run can be released, and it is {status}")
        return "released; it goes on when the store is opened next"

    def _retry(self, command: Command, arguments: Mapping[str, Any]) -> str:
        self._run(command)
        core = self._runtime._core  # noqa: SLF001
        key, why = core.retry(command.run_id, arguments.get("new_keys") is True)
        if key is None:
            _refuse(why)
        return f"tried again; it is {core.status(key)} now"

    def _fork(self, command: Command, arguments: Mapping[str, Any]) -> str:
        self._run(command)
        core = self._runtime._core  # noqa: SLF001
        copy = str(arguments.get("run_id") or f"{command.run_id}~{command.key[:8]}")
        if core.find(copy) is not None:
            _refuse(f"there is a run {copy} already")
        step = arguments.get("from_step")
        key, why = core.fork(command.run_id, copy, None if step is None else str(step))
        if key is None:
            _refuse(why)
        return f"the copy is run {copy}"

    def _signal(self, command: Command, arguments: Mapping[str, Any]) -> str:
        key = self._run(command)[0]
        core, name = self._runtime._core, arguments.get("name")  # noqa: SLF001
        plan = core.plan_of(key)
        nodes = () if plan is None else self._runtime._registry.graph(plan).nodes  # noqa: SLF001
        signals = {
            node.detail.signal.name: node.detail.signal
            for node in nodes
            if isinstance(node.detail, Wait)
        }
        if name not in signals:
            known = ", ".join(signals) or "none"
            _refuse(f"the workflow waits for no signal {name!r}; its signals: {known}")
        signal = signals[name]
        value = self._decoded(signal.contract, arguments.get("value"), f"signal {name}")
        checked, payload = self._runtime._signal_value(  # noqa: SLF001
            key, command.run_id, signal, value
        )
        if not core.signal(key, signal.name, checked, True, payload):  # noqa: FBT003
            _refuse("the run is ending and takes no signal any more")
        return f"signal {name} was taken in"

    def _resolve(self, command: Command, arguments: Mapping[str, Any]) -> str:
        key = self._run(command)[0]
        core, path, how = self._runtime._core, arguments.get("node"), arguments.get("how")  # noqa: SLF001
        unknown = core.unknown(key)
        if path not in unknown:
            names = ", ".join(unknown) or "none"
            _refuse(f"the outcome of {path} is not in doubt; nodes whose outcome is: {names}")
        value: object = None
        if how == "done":
            value = self._decoded(self._node(key, path).contract, arguments.get("value"), path)
        elif how == "failed":
            value = RuntimeError(str(arguments.get("value")))
        elif how != "retry":
            _refuse(f"{how!r} is no resolution; give 'done', 'retry' or 'failed'")
        core.resolve_unknown(key, path, how, value)
        return f"{path} is {_RESOLVED[how]}; the run is {core.status(key)} now"

    def _prune(self, command: Command, arguments: Mapping[str, Any]) -> None:
        age, runs = arguments.get("max_age"), arguments.get("max_runs")
        if not (_is_limit(age, float) and _is_limit(runs, int)) or age is runs is None:
            _refuse("give max_age in seconds or max_runs, each 0 or more")
        core = self._runtime._core  # noqa: SLF001

        def tell(pruned: int | BaseException) -> None:
            if isinstance(pruned, int):
                outcome = Outcome(done=True, told=f"forgot {count_of(pruned)}")
            else:
                outcome = Outcome(done=False, told=f"it failed: {pruned}")
            core.command_done(command.number, outcome.to_json())

        self._runtime._pruner.start(age, runs, tell)  # noqa: SLF001

    def _run(self, command: Command) -> tuple[int, str]:
        core = self._runtime._core  # noqa: SLF001
        key = core.find(command.run_id)
        if key is None:
            _refuse(f"there is no run {command.run_id!r} in this store")
        return key, core.status(key) or "forgotten"

    def _node(self, key: int, path: str) -> GraphNode:
        from ._picture import node_of

        plan = self._runtime._core.plan_of(key)  # noqa: SLF001
        node = None if plan is None else node_of(self._runtime._registry.graph(plan), path)  # noqa: SLF001
        if node is None:
            _refuse(f"the graph has no node {path}")
        return node

    def _decoded(self, contract: Any, value: object, what: str) -> Any:
        codec = self._runtime._registry.codec(contract)  # noqa: SLF001
        if codec is None:
            return value
        try:
            return codec.decode(json.dumps(value).encode())
        except PenstockError as error:
            why = _reason(error.__cause__) or error.what
            raise ContractError(f"the value of {what} is no {contract.name}: {why}") from None


def _reason(error: BaseException | None) -> str:
    """What pydantic found wrong with a value, in one line."""
    if not isinstance(error, ValidationError):
        return ""
    found = error.errors(include_url=False, include_context=False)
    places = (".".join(map(str, it["loc"])) for it in found)
    return "; ".join(
        f"{place}: {it['msg']}" if place else it["msg"]
        for place, it in zip(places, found, strict=True)
    )


class _Refused(Exception):
    """A command that can't be carried out, with the reason."""


def _refuse(why: str) -> NoReturn:
    raise _Refused(why)


def _is_limit(value: object, kind: type) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value is None or ((whole or isinstance(value, kind)) and float(value) >= 0)  # type: ignore[arg-type]


def count_of(runs: int) -> str:
    """So many runs, in words."""
    return "1 run" if runs == 1 else f"{runs:,} runs"


_log: Final = logging.getLogger("penstock")
_RESOLVED: Final = {"done": "done", "retry": "to run again", "failed": "failed"}
_VERBS: Final[Mapping[str, Callable[[Commands, Command, Mapping[str, Any]], str | None]]] = {
    "cancel": Commands._cancel,  # noqa: SLF001
    "pause": Commands._pause,  # noqa: SLF001
    "resume": Commands._resume,  # noqa: SLF001
    "budget": Commands._budget,  # noqa: SLF001
    "release": Commands._release,  # noqa: SLF001
    "retry": Commands._retry,  # noqa: SLF001
    "fork": Commands._fork,  # noqa: SLF001
    "signal": Commands._signal,  # noqa: SLF001
    "resolve": Commands._resolve,  # noqa: SLF001
    "prune": Commands._prune,  # noqa: SLF001
}
_KNOWN: Final = ", ".join(_VERBS)
