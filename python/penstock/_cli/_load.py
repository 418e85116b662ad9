"""Loads what a user names: "module:workflow", "file.py:workflow", or a JSON file.

What goes wrong in a user's module is shown as it happened there, without the frames of penstock and
of the import system around it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn, TypeAlias, cast

import typer
from rich.console import Console

from penstock._diff import interface, parsed
from penstock._errors import DefinitionError
from penstock._policies import Queue
from penstock._settings import Setting
from penstock._stages import Step
from penstock._workflows import Workflow

AnyWorkflow: TypeAlias = Workflow[..., Any]
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def workflows(target: str) -> list[AnyWorkflow]:
    """The workflow a target names; of a module alone, all that it defines or imports.

    Raises:
        typer.Exit: there is none, which has been told.
    """
    source, _, attribute = target.rpartition(":") if ":" in target else (target, "", "")
    module = _module(source)
    if attribute:
        return [_attribute(module, source, attribute)]
    found = [workflow for _, workflow in _found(module)]
    if not found:
        fail(f"{source!r} has no workflow; name a module that defines one")
    return found


def workflow(target: str) -> AnyWorkflow:
    """The one workflow a target names.

    Raises:
        typer.Exit: there is none, or more than one, which has been told.
    """
    found = workflows(target)
    if len(found) > 1:
        source = target.removesuffix(":")
        names = ", ".join(f"{source}:{name}" for name, _ in _found(_module(source)))
        fail(f"{source!r} has {len(found)} workflows; name one: {names}")
    return found[0]


def settings(target: str) -> list[Setting[Any]]:
    """The settings that a target's module defines or imports; none for one workflow of it."""
    if ":" in target.removesuffix(":"):
        return []
    values: list[Any] = list(vars(_module(target.removesuffix(":"))).values())
    return [value for value in values if isinstance(value, Setting)]


def queues(target: str) -> list[Queue]:
    """The queues that a target's module defines or imports: steps may only name them."""
    source = target.rpartition(":")[0] if ":" in target else target
    values: list[Any] = list(vars(_module(source)).values())
    found = {value.name: value for value in values if isinstance(value, Queue)}
    return list(found.values())


def side(target: str) -> dict[str, Any]:
    """The interface of a workflow, from a JSON file or from the workflow itself.

    Raises:
        typer.Exit: there is none, which has been told.
    """
    if not target.endswith(".json"):
        return interface(workflow(target))
    try:
        return parsed(Path(target).read_text(encoding="utf-8"), target)
    except OSError as error:
        fail(f"{target} can't be read: {error.strerror}")
    except (DefinitionError, UnicodeDecodeError) as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Tell a mistake in the call, and exit with 2."""
    errors.print(f"penstock: {message}", markup=False, style="red")
    raise typer.Exit(2)


def _module(source: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if source.endswith(".py"):
        return _file(Path(source))
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{source}.".startswith(f"{error.name}."):
            fail(f"there is no module {error.name!r} here or in the environment; check the name")
        _show(error, source)
    except BaseException as error:  # whatever it is, it is the module's
        _show(error, source)


def _file(path: Path) -> ModuleType:
    """Import a file by its path, as a script's neighbours would see it."""
    if not path.is_file():
        fail(f"there is no file {str(path)!r}; check the path")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if path.stem in sys.modules:
        return sys.modules[path.stem]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        fail(f"{str(path)!r} can't be imported; name a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # whatever it is, it is the module's
        del sys.modules[path.stem]
        _show(error, str(path))
    return module


def _attribute(module: ModuleType, source: str, attribute: str) -> AnyWorkflow:
    found: Any = module
    for name in attribute.split("."):
        found = getattr(found, name, None)
    if isinstance(found, Workflow):
        return cast("AnyWorkflow", found)
    if isinstance(found, Step) and not found.variadic:
        return cast("AnyWorkflow", found.as_workflow())
    names = ", ".join(name for name, _ in _found(module)) or "none"
    is_what = "is no workflow" if found is not None else "is not there"
    fail(f"{attribute!r} {is_what}; the workflows of {source!r}: {names}")


def _found(module: ModuleType) -> Iterator[tuple[str, AnyWorkflow]]:
    """The workflows of a module by name; each once."""
    seen: set[int] = set()
    for name, value in vars(module).items():
        if isinstance(value, Workflow) and id(cast("object", value)) not in seen:
            seen.add(id(cast("object", value)))
            yield name, cast("AnyWorkflow", value)


def _show(error: BaseException, source: str) -> NoReturn:
    """Show what went wrong in a user's module, as the user would see it, and exit with 2."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    told = traceback.TracebackException.from_exception(error, capture_locals=False)
    _trim(told)
    errors.print("".join(told.format()).rstrip(), markup=False)
    fail(f"importing {source!r} failed; correct what is shown above")


def _trim(told: traceback.TracebackException | None) -> None:
    while told is not None:
        told.stack[:] = [frame for frame in told.stack if not _is_ours(frame.filename)]
        if told.__context__ is not told.__cause__:
            _trim(told.__cause__)
        for inner in getattr(told, "exceptions", None) or ():
            _trim(inner)
        told = told.__context__


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS)


_OURS: Final = (
    str(Path(__file__).resolve().parents[1]),
    str(Path(importlib.__file__).resolve().parent),
    "<frozen importlib",
)
