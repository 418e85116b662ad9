"""R4, R6.3 and R15: what the source of a user's function says about time, chance and effects.

Looks at the function itself, not into what it calls, and knows names of the standard library and
verbs that mean an effect in most libraries. Says nothing of a function that has no source.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, Final, Literal, TypeAlias

from penstock._graph import GraphNode
from penstock._stages import Stage, Step

from ._subject import Found, Subject, attempts, places

Nature: TypeAlias = Literal["time", "chance", "send", "write", "block", "run"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call in a function's source.

    Attributes:
        name: as written or, if it could be found, as defined: "uuid.uuid4".
        nature: what is special about it.
        line: in its file.
    """

    name: str
    nature: Nature
    line: int

    def __str__(self) -> str:
        return f"{self.name} (line {self.line})"


def check(subject: Subject) -> Found:
    """Findings about the source of steps, and of functions that are evaluated inline."""
    for step, nodes in (*subject.steps.items(), *subject.undoing.items()):
        source = _Source.of(step.function)
        if source is not None:
            yield from _in_step(subject, step, source, nodes)
    inline: dict[Callable[..., object], list[int]] = {}
    for index, node in enumerate(subject.graph.nodes):
        if node.function is not None:
            inline.setdefault(node.function, []).append(index)
    for function, nodes in inline.items():
        source = _Source.of(function)
        if source is not None:
            yield from _in_function(subject, source, nodes)


def _in_step(subject: Subject, step: Step[..., Any], source: _Source, nodes: list[int]) -> Found:
    wrong = source.key_parts()
    if wrong:
        what = f"step {step.name!r} makes a key of {', '.join(wrong)}{places(nodes)}"
        yield subject.finding("R4.2", nodes[0], what)
    retried = [index for index in nodes if attempts(subject.graph.nodes[index]) > 1]
    runs = source.calls({"run"}) if retried else []
    if runs:
        what = f"step {step.name!r} is retried and calls {_list(runs)}, where steps may be, too"
        yield subject.finding("R6.3", retried[0], what + places(retried))
    if step.effects == "pure":
        calls = source.calls({"time", "chance", "send", "write"})
        if calls:
            what = f"step {step.name!r} is declared pure and calls {_list(calls)}{places(nodes)}"
            yield subject.finding("R15.1", nodes[0], what)
    elif step.effects == "idempotent" and not source.mentions("idempotency_key"):
        calls = source.calls({"chance", "send"})
        if calls:
            what = (
                f"step {step.name!r} is declared idempotent and calls {_list(calls)} without its "
                f"idempotency key{places(nodes)}"
            )
            yield subject.finding("R15.2", nodes[0], what)


def _in_function(subject: Subject, source: _Source, nodes: list[int]) -> Found:
    node: GraphNode = subject.graph.nodes[nodes[0]]
    calls = source.calls({"time", "chance", "send", "write", "block"})
    if not calls:
        return
    if node.kind == "acquire" and any(call.nature in ("time", "chance") for call in calls):
        yield subject.finding("R4.1", nodes[0], f"its key function calls {_list(calls)}")
    else:
        what = f"its function, which is evaluated in the event loop, calls {_list(calls)}"
        yield subject.finding("R15.3", nodes[0], what + places(nodes))


def _list(calls: list[Call]) -> str:
    told = ", ".join(str(call) for call in calls[:3])
    return f"{told} and {len(calls) - 3} more" if len(calls) > 3 else told


class _Source:
    """A function's syntax tree, and what its names mean."""

    def __init__(self, function: FunctionType, tree: ast.AST, offset: int) -> None:
        self._function = function
        self._tree = tree
        self._offset = offset

    @staticmethod
    def of(function: Any) -> _Source | None:
        """The source of a function; None if it is not to be had."""
        while isinstance(function, partial):
            function = function.func
        function = inspect.unwrap(getattr(function, "__func__", function))
        if not isinstance(function, FunctionType):
            return None
        try:
            lines, first = inspect.getsourcelines(function)
            tree = ast.parse(textwrap.dedent("".join(lines)))
        except (OSError, SyntaxError, TypeError):
            return None
        found = _definition(tree, function)
        return None if found is None else _Source(function, found, max(first, 1) - 1)

    def calls(self, natures: set[Nature]) -> list[Call]:
        """The calls of these natures, in the order of the source."""
        found = [call for node in _calls(self._tree) if (call := self._call(node)) is not None]
        found = [call for call in found if call.nature in natures]
        return sorted(dict.fromkeys(found), key=lambda call: call.line)

    def mentions(self, name: str) -> bool:
        """Whether an attribute, a keyword or a parameter of that name is in it."""
        return any(
            getattr(node, field, None) == name
            for node in ast.walk(self._tree)
            for field in ("attr", "arg", "id")
        )

    def key_parts(self) -> list[str]:
        """What changes from attempt to attempt and goes into an idempotency key."""
        parts: list[str] = []
        for value in self._keys():
            for node in ast.walk(value):
                if isinstance(node, ast.Attribute) and node.attr == "attempt":
                    parts.append(ast.unparse(node))
                elif isinstance(node, ast.Call):
                    call = self._call(node)
                    if call is not None and call.nature in ("time", "chance"):
                        parts.append(call.name)
        return list(dict.fromkeys(parts))

    def _keys(self) -> Iterator[ast.expr]:
        """Whatever is passed or assigned as an idempotency key."""
        for node in ast.walk(self._tree):
            if (isinstance(node, ast.keyword) and _is_key(node.arg)) or (
                isinstance(node, ast.Assign) and any(_is_key(_name(t)) for t in node.targets)
            ):
                yield node.value
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and _is_key(key.value):
                        yield value

    def _call(self, node: ast.Call) -> Call | None:
        written = ast.unparse(node.func)
        # What is called on a result, as in `Random(7).random()`, is known by its verb only.
        dotted = written.replace(".", "").isidentifier()
        name = self._defined(node.func) or (written if dotted else "")
        line = node.lineno + self._offset
        nature = _KNOWN.get(name) or _KNOWN.get(written) or _by_module(name)
        if name == "open":
            nature = "write" if _opens_to_write(node) else "block"
        if name == "random.Random" and (node.args or node.keywords):
            nature = None  # seeded: the same every time
        if nature is None and isinstance(node.func, ast.Attribute):
            nature = _VERBS.get(node.func.attr)
            if node.func.attr == "insert" and _is_list_insert(node):
                nature = None
            if node.func.attr == "run" and self._takes_stage(node, node.func.value):
                nature = "run"
        if nature is None:
            return None
        return Call(_shortened(written), nature, line)

    def _takes_stage(self, node: ast.Call, owner: ast.expr) -> bool:
        """Whether a call of `run` is one of a runtime, by what it is given or called on."""
        if node.args and isinstance(self._value(node.args[0]), Stage):
            return True
        return (_name(owner) or "").lstrip("_") in ("rt", "runtime")

    def _defined(self, node: ast.expr) -> str | None:
        """The module and name of what an expression such as `dt.now` calls."""
        found = self._value(node)
        module = getattr(found, "__module__", None)
        owner = getattr(found, "__self__", None)
        name = getattr(found, "__qualname__", None)
        if isinstance(owner, ModuleType) or module == "builtins":
            module = getattr(owner, "__name__", "builtins")
        elif isinstance(owner, type):
            module, name = (
                owner.__module__,
                f"{owner.__qualname__}.{getattr(found, '__name__', '')}",
            )
        elif owner is not None and module is None:
            module = type(owner).__module__
        if not isinstance(name, str) or not isinstance(module, str):
            return None
        # Some builtins say that they are of another module, which depends on the version.
        builtin = module == "builtins" or getattr(builtins, name, None) is found
        return name if builtin else f"{module}.{name}"

    def _value(self, node: ast.expr) -> Any:
        """What a name, or an attribute of a module or class, refers to; else None."""
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            known = isinstance(owner, ModuleType | type)
            return getattr(owner, node.attr, None) if known else None
        if not isinstance(node, ast.Name):
            return None
        free = self._function.__code__.co_freevars
        if node.id in free and self._function.__closure__ is not None:
            try:
                return self._function.__closure__[free.index(node.id)].cell_contents
            except ValueError:
                return None
        return self._function.__globals__.get(node.id, getattr(builtins, node.id, None))


def _definition(tree: ast.Module, function: FunctionType) -> ast.AST | None:
    """The part of the tree that is the function: several lambdas may share a line."""
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == function.__name__:
                return ast.Module(body=node.body, type_ignores=[])
        elif isinstance(node, ast.Lambda) and function.__name__ == "<lambda>":
            names = tuple(argument.arg for argument in node.args.args)
            if names == arguments and _names(node) <= _names_of(function):
                return node
    return None


def _names(node: ast.Lambda) -> set[str]:
    """The attributes that a lambda uses."""
    return {inner.attr for inner in ast.walk(node.body) if isinstance(inner, ast.Attribute)}


def _names_of(function: FunctionType) -> set[str]:
    code = [function.__code__]
    for part in code:
        code += [c for c in part.co_consts if isinstance(c, type(part))]
    return {name for part in code for name in part.co_names}


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"...{text[-37:]}"


def _is_key(name: object) -> bool:
    text = name.lower().replace("-", "_") if isinstance(name, str) else ""
    return "idempot" in text or text in ("dedup_key", "deduplication_id", "dedup_id")


def _opens_to_write(node: ast.Call) -> bool:
    modes = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
    return any(
        isinstance(mode, ast.Constant) and not set("wax+").isdisjoint(str(mode.value))
        for mode in modes
    )


def _is_list_insert(node: ast.Call) -> bool:
    """`rows.insert(0, row)` puts into a list; `table.insert(row)` writes."""
    return len(node.args) == 2 and isinstance(node.args[0], ast.Constant)


def _by_module(name: str) -> Nature | None:
    return next((nature for start, nature in _MODULES.items() if name.startswith(start)), None)


_KNOWN: Final[dict[str, Nature]] = {
    **dict.fromkeys(("time.time", "time.time_ns", "time.localtime", "time.gmtime"), "time"),
    **dict.fromkeys(
        ("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"), "time"
    ),
    **dict.fromkeys(("datetime.now", "datetime.utcnow", "datetime.date.today"), "time"),
    **dict.fromkeys(("uuid.uuid1", "uuid.uuid4", "os.urandom", "posix.urandom"), "chance"),
    **dict.fromkeys(("time.sleep", "input", "subprocess.run", "os.system"), "block"),
    **dict.fromkeys(("os.remove", "os.rename", "os.unlink", "os.mkdir", "os.makedirs"), "write"),
    **dict.fromkeys(("posix.remove", "posix.rename", "posix.unlink", "posix.mkdir"), "write"),
}
_MODULES: Final[dict[str, Nature]] = {
    "random.": "chance",
    "secrets.": "chance",
    "numpy.random.": "chance",
    "shutil.": "write",
    "requests.": "send",
    "socket.": "send",
    "urllib.request.": "send",
    "subprocess.": "send",
}
_VERBS: Final[dict[str, Nature]] = {
    **dict.fromkeys(("post", "put", "patch", "delete", "send", "publish", "sendmail"), "send"),
    **dict.fromkeys(("send_email", "send_message", "insert", "insert_one", "upsert"), "send"),
    **dict.fromkeys(("insert_many", "bulk_create", "create_charge", "commit"), "send"),
    **dict.fromkeys(("write_text", "write_bytes", "unlink", "rmdir", "touch"), "write"),
}
