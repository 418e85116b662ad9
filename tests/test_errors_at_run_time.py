"""Bad input at run time: a clear error that names place and remedy, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast

import pytest
from pydantic import BaseModel

import penstock as ps
from loops import Task, noop, run_amid, virtual

Call: TypeAlias = Callable[[Any], Awaitable[object]]
"""What is done to a runtime; untyped, because a checker would refuse it."""


class Doc(BaseModel):
    """A model that steps hand over."""

    title: str


@ps.step
async def title(doc: Doc) -> str:
    return doc.title


@ps.step
async def docs(count: int) -> list[Doc]:
    return [Doc(title=str(n)) for n in range(count)]


@ps.workflow
def titles(flow: ps.Flow, doc: ps.Node[Doc]) -> ps.Node[str]:
    return flow.call(title, doc)


async def goes_on(rt: ps.Runtime) -> None:
    """The runtime works as if nothing had been."""
    assert await rt.run(titles, Doc(title="after")) == "after"
    assert (rt.stats().runs, rt.stats().running) == (0, 0)
    assert rt._core.object_count() == 0


@pytest.mark.parametrize(
    "wrong", ["text", {"title": "x"}, None, 1, Doc], ids=["str", "dict", "None", "int", "class"]
)
@virtual
async def test_an_input_that_does_not_satisfy_its_annotation(task: Task, wrong: Any) -> None:
    async with ps.Runtime(task=task) as rt:
        for use in (
            rt.run(titles, wrong),
            rt.start(titles, wrong, run_id="r"),
            rt.start_many(titles, [Doc(title="good"), wrong]),
        ):
            with pytest.raises(ps.ContractError, match=r"'titles/doc'.*expected Doc, got") as error:
                await use
            assert ";" in str(error.value)
        with pytest.raises(ps.RunNotFound):
            rt.get("r")
        await goes_on(rt)


@virtual
async def test_what_a_step_returns_is_held_against_its_annotation(task: Task) -> None:
    wrong: dict[str, object] = {
        "int": "text",
        "None": 1,
        "bool": 1,
        "not a bool": True,
        "Doc": {"title": "x"},
        "list": [Doc(title="good"), {"title": "bad"}],
        "literal": "c",
        "union": 2.5,
        "tuple": (1,),
    }

    @ps.step
    async def an_int(x: str) -> int:
        return cast("int", wrong[x])

    @ps.step
    async def a_none(x: str) -> None:
        return cast("None", wrong[x])

    @ps.step
    async def a_bool(x: str) -> bool:
        return cast("bool", wrong[x])

    @ps.step
    async def a_doc(x: str) -> Doc:
        return cast("Doc", wrong[x])

    @ps.step
    async def a_list(x: str) -> list[Doc]:
        return cast("list[Doc]", wrong[x])

    @ps.step
    async def a_literal(x: str) -> Literal["a", "b"]:
        return cast('Literal["a", "b"]', wrong[x])

    @ps.step
    async def a_union(x: str) -> int | str | None:
        return cast("int | str | None", wrong[x])

    @ps.step
    async def a_tuple(x: str) -> tuple[int, str]:
        return cast("tuple[int, str]", wrong[x])

    async with ps.Runtime(task=task) as rt:
        steps: dict[str, ps.Stage[[str], Any]] = {
            "int": an_int,
            "None": a_none,
            "bool": a_bool,
            "not a bool": an_int,
            "Doc": a_doc,
            "list": a_list,
            "literal": a_literal,
            "union": a_union,
            "tuple": a_tuple,
        }
        for key, step in steps.items():
            run = await rt.start(step, key)
            with pytest.raises(ps.RunFailed, match=r"expected .*, got") as failed:
                await run.result()
            cause = failed.value.__cause__
            assert isinstance(cause, ps.ContractError)
            assert (cause.run_id, cause.node) == (run.run_id, f"{step.name}/{step.name}")
            assert cause.remedy
            assert failed.value.step == step.name
        await goes_on(rt)


@virtual
async def test_an_inline_function_that_returns_the_wrong_type(task: Task) -> None:
    def wrong(text: str) -> int:
        return text  # type: ignore[return-value]  # on purpose

    @ps.workflow
    def applies(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[int]:
        return flow.apply(wrong, text, name="wrong")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(applies, "x")
        with pytest.raises(ps.RunFailed, match="expected int, got str") as failed:
            await run.result()
        assert failed.value.node == "applies/wrong"
        assert isinstance(failed.value.__cause__, ps.ContractError)
        assert failed.value.__cause__.run_id == run.run_id
        await goes_on(rt)


@virtual
async def test_an_int_is_passed_on_as_the_float_it_stands_for(task: Task) -> None:
    @ps.step
    async def one() -> float:
        return 1

    @ps.step
    async def kind(x: float) -> str:
        return type(x).__name__

    @ps.workflow
    def kinds(flow: ps.Flow) -> ps.Node[str]:
        return flow.call(kind, flow.call(one))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(kinds) == "float"
        assert await rt.run(kind, 1) == "float"


WRONG_CALLS: tuple[tuple[Call, type[Exception], str], ...] = (
    (lambda rt: rt.run(noop, 1, priority=9), ps.DefinitionError, "priority is 9"),
    (lambda rt: rt.run(noop, 1, priority=0), ps.DefinitionError, "priority is 0"),
    (lambda rt: rt.run(noop, 1, priority=-1), ps.DefinitionError, "priority is -1"),
    (lambda rt: rt.run(noop, 1, priority=True), ps.DefinitionError, "priority is True"),
    (lambda rt: rt.run(noop, 1, priority=2.0), ps.DefinitionError, "priority is 2.0"),
    (lambda rt: rt.start_many(noop, [1], priority=6), ps.DefinitionError, "priority is 6"),
    (lambda rt: rt.run(noop, 1, deadline=-1), ps.DefinitionError, "deadline is -1"),
    (lambda rt: rt.run(noop, 1, deadline=float("nan")), ps.DefinitionError, "deadline is nan"),
    (lambda rt: rt.run(noop, 1, deadline=float("inf")), ps.DefinitionError, "deadline is inf"),
    (lambda rt: rt.run(noop, 1, deadline="soon"), ps.DefinitionError, "deadline is 'soon'"),
    (
        lambda rt: rt.start_many(noop, [1], deadline=timedelta(seconds=-1)),
        ps.DefinitionError,
        "deadline is",
    ),
    (lambda rt: rt.run(noop, 1, run_id=""), ps.DefinitionError, "run_id is ''"),
    (lambda rt: rt.run(noop, 1, run_id=7), ps.DefinitionError, "run_id is 7"),
    (lambda rt: rt.start_many(noop, [1], run_ids=[""]), ps.DefinitionError, "run_id"),
    (lambda rt: rt.start_many(noop, [1], run_ids=[7]), ps.DefinitionError, "run_id"),
    (lambda rt: rt.run(noop, 1, tenant=7), ps.DefinitionError, "tenant is 7"),
    (lambda rt: rt.start_many(noop, [1], tenant=7), ps.DefinitionError, "tenant is 7"),
    (lambda rt: rt.run(noop, 1, admission="no"), ps.DefinitionError, "admission is 'no'"),
    (lambda rt: rt.run(noop, 1, wait=True), TypeError, "'wait'"),
    (lambda rt: rt.start(noop, 1, colour="red"), TypeError, "'colour'"),
    (lambda rt: rt.run(noop), ps.ContractError, "input"),
    (lambda rt: rt.run(noop, 1, 2), ps.ContractError, "input"),
    (lambda rt: rt.run(noop, 1, 2, 3, 4, 5, 6, 7), ps.ContractError, "input"),
    (lambda rt: rt.start_many(noop, [1, 2], run_ids=["a"]), ps.ContractError, "run_ids"),
    (lambda rt: rt.run("noop", 1), ps.DefinitionError, "'noop'"),
    (lambda rt: rt.run(noop.function, 1), ps.DefinitionError, "noop"),
    (lambda rt: rt.start(None), ps.DefinitionError, "None"),
    (lambda rt: rt.start_many(print, [1]), ps.DefinitionError, "print"),
)


@pytest.mark.parametrize(("call", "error", "message"), WRONG_CALLS)
@virtual
async def test_a_wrong_call_is_refused(
    task: Task,
    call: Call,
    error: type[Exception],
    message: str,
) -> None:
    async with ps.Runtime(task=task) as rt:
        with pytest.raises(error, match=message):
            await call(rt)
        await goes_on(rt)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "Runtime.concurrency is 0"),
        ({"concurrency": True}, "Runtime.concurrency is True"),
        ({"threads": 0}, "Runtime.threads is 0"),
        ({"threads": 1.5}, "Runtime.threads is 1.5"),
        ({"grace": -1}, "Runtime.grace is -1"),
        ({"cancel_grace": float("nan")}, "Runtime.cancel_grace is nan"),
        ({"task": "eager"}, "Runtime.task is 'eager'"),
        ({"name": ""}, "Runtime.name is ''"),
        ({"seed": "x"}, "Runtime.seed is 'x'"),
        ({"seed": 1.5}, "Runtime.seed is 1.5"),
        ({"queues": [ps.Queue("a"), ps.Queue("a")]}, "two queues are called 'a'"),
        ({"queues": ["a"]}, "'a'"),
        ({"workflows": ["a"]}, "'a'"),
    ],
)
@virtual
async def test_a_wrong_option_of_the_runtime_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ps.DefinitionError, match=message):
        async with ps.Runtime(**options):
            pass


@virtual
async def test_a_queue_that_nobody_has_defined(task: Task) -> None:
    @ps.step(queue="gtp")
    async def misspelt(x: int) -> int:
        return x

    async with ps.Runtime(task=task, queues=[ps.Queue("gpt")]) as rt:
        for _ in range(2):
            with pytest.raises(ps.DefinitionError, match=r"misspelt.*no queue 'gtp'.*queues="):
                await rt.run(misspelt, 1)
        await goes_on(rt)


@virtual
async def test_two_queues_of_one_name(task: Task) -> None:
    @ps.step(queue=ps.Queue("db", concurrency=2))
    async def one(x: int) -> int:
        return x

    @ps.step(queue=ps.Queue("db", concurrency=3))
    async def other(x: int) -> int:
        return x

    @ps.step(queue=ps.Queue("db", concurrency=2))
    async def same(x: int) -> int:
        return x

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(one, 1) == 1
        assert await rt.run(same, 1) == 1
        with pytest.raises(ps.VersionConflict, match=r"two different queues are called 'db'"):
            await rt.run(other, 1)
        assert await rt.run(one, 2) == 2
        await goes_on(rt)


@virtual
async def test_two_workflows_of_one_name_and_version(task: Task) -> None:
    def draw(step: ps.Stage[[int], int]) -> ps.Workflow[[int], int]:
        @ps.workflow(name="same", version="1")
        def same(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
            return flow.call(step, x)

        return same

    @ps.step
    async def other(x: int) -> int:
        return -x

    first, alike, conflicting = draw(noop), draw(noop), draw(other)
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(first, 1) == 1
        assert await rt.run(alike, 2) == 2
        with pytest.raises(ps.VersionConflict, match=r"'same' version '1'.*another version"):
            await rt.run(conflicting, 1)
        assert await rt.run(first, 3) == 3
        await goes_on(rt)


@virtual
async def test_an_unknown_run(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunNotFound, match=r"run 'nobody'.*look at the id"):
            rt.get("nobody")
        await goes_on(rt)


@virtual
async def test_a_playbook_is_told(task: Task) -> None:
    @ps.step(playbook="https://wiki/charge")
    async def bad() -> None:
        raise OSError

    async with ps.Runtime(task=task) as rt:
        with pytest.raises(ps.RunFailed, match="https://wiki/charge"):
            await rt.run(bad)


@virtual
async def test_an_exception_that_can_not_be_told_apart_from_a_bug(task: Task) -> None:
    """An exception whose own methods raise must not take the run or the runtime with it."""

    class Vicious(Exception):
        def __str__(self) -> str:
            raise ValueError("in __str__")

        __repr__ = __str__

    @ps.step(retry=ps.RetryPolicy(initial_interval=0))
    async def bad() -> None:
        raise Vicious

    async with ps.Runtime(task=task) as rt:
        async with asyncio.timeout(5):
            with pytest.raises(ps.RunFailed) as failed:
                await rt.run(bad)
        assert isinstance(failed.value.__cause__, Vicious)
        assert failed.value.attempts == 3
        await goes_on(rt)


@virtual
async def test_values_with_odd_methods_are_only_carried(task: Task) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = None  # type: ignore[assignment]  # unhashable, on purpose

        def __bool__(self) -> bool:
            raise AssertionError("asked for its truth")

        def __repr__(self) -> str:
            raise AssertionError("printed")

    @ps.step
    async def carry(odd: Odd) -> Odd:
        return odd

    @ps.workflow
    def carries(flow: ps.Flow, odd: ps.Node[Odd]) -> ps.Node[Odd]:
        return flow.call(carry, flow.call(carry, odd, name="first"), name="second")

    async with ps.Runtime(task=task) as rt:
        odd = Odd()
        assert await rt.run(carries, odd) is odd


@virtual
async def test_values_whose_destruction_uses_the_runtime(task: Task) -> None:
    """A destructor may call back into the runtime: it runs while the engine is not in use."""
    seen: list[str] = []

    async with ps.Runtime(task=task) as rt:

        class Last:
            def __del__(self) -> None:
                seen.append(f"{rt.stats().runs >= 0}")

        @ps.step
        async def make(x: int) -> Last:
            return Last()

        @ps.step
        async def use(last: Last) -> int:
            return 1

        @ps.workflow
        def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
            return flow.call(use, flow.call(make, x))

        runs = await rt.start_many(both, range(10))
        assert [await run.result() for run in runs] == [1] * 10
        assert seen == ["True"] * 10


@virtual
async def test_a_result_that_is_an_awaitable_or_an_exception_is_a_value(task: Task) -> None:
    @ps.step
    async def gives_error() -> Exception:
        return ValueError("a value")

    @ps.step
    async def gives_stop() -> StopIteration:
        return StopIteration(1)

    @ps.step
    async def gives_tuple() -> tuple[int, int]:
        return (1, 2)

    async with ps.Runtime(task=task) as rt:
        assert isinstance(await run_amid(rt, gives_error), ValueError)
        assert isinstance(await run_amid(rt, gives_stop), StopIteration)
        assert await run_amid(rt, gives_tuple) == (1, 2)
