"""Choices: switch, match, when, apply, and what goes wrong in their functions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

import pytest

import penstock as ps
from flow.parts import Oops, add, done, double, failure, in_a_thread, more, oops, same
from loops import Task, virtual


class Size(Enum):
    SMALL = "s"
    BIG = "b"


def size(x: int) -> Size:
    return Size.BIG if x > 9 else Size.SMALL


def word(x: int) -> Literal["low", "high"]:
    if x < 0:
        raise Oops(f"no key for {x}")
    return "high" if x > 9 else "low"


def even(x: int) -> bool:
    if x < 0:
        raise Oops("neither")
    return x % 2 == 0


def lying(x: int) -> Literal["low", "high"]:
    return "middle"  # type: ignore[return-value]  # on purpose


@ps.workflow
def sizes(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(flow.call(same, x), key=size)
    return flow.merge(flow.call(double, case[Size.BIG]), flow.call(more, case[Size.SMALL]))


@ps.workflow
def words(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(x, key=word)
    return flow.merge(flow.call(double, case["high"]), flow.call(more, case["low"]))


@ps.workflow
def lies(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(x, key=lying)
    return flow.merge(flow.call(double, case["high"]), flow.call(more, case["low"]))


@ps.workflow
def lies_by_default(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    case = flow.switch(x, key=lying)
    return flow.merge(flow.call(double, case["high"]), flow.call(more, case.default))


@virtual
async def test_a_switch_takes_one_way_by_an_enum_a_word_or_a_truth(task: Task) -> None:
    @ps.workflow
    def truths(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(x, key=even)
        return flow.merge(flow.call(double, case[True]), flow.call(in_a_thread, case[False]))

    async with ps.Runtime(task=task) as rt:
        assert [await rt.run(sizes, x) for x in (10, 9)] == [20, 10]
        assert [await rt.run(words, x) for x in (10, 9)] == [20, 10]
        assert [await rt.run(truths, x) for x in (10, 9)] == [20, 109]
        run = await rt.start(sizes, 10)
        await run.result()
        assert await done(run) == ["sizes/same", "sizes/double"]
        chosen = [event for event in await run.history() if event.kind == "chosen"]
        assert [event.node for event in chosen] == ["sizes/size"]


@virtual
async def test_a_key_function_that_raises_fails_the_run_at_the_switch(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, words, -1)
        assert error.node == "words/word"
        assert error.step == "word"
        assert str(error.__cause__) == "no key for -1"
        assert isinstance(error.__cause__, Oops)
        assert await rt.run(words, 1) == 2


@virtual
async def test_a_key_without_a_case_fails_the_run_unless_there_is_a_default(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, lies, 1)
        assert error.node == "lies/lying"
        assert "'middle'" in str(error.__cause__)
        assert await rt.run(lies_by_default, 1) == 2


@virtual
async def test_a_key_that_can_not_be_hashed_fails_the_run(task: Task) -> None:
    @ps.workflow
    def odd(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(x, key=lambda it: [it])
        return flow.merge(flow.call(double, case[1]), flow.call(more, case.default))  # type: ignore[index]  # no list is a key

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, odd, 1)
        assert isinstance(error.__cause__, TypeError)


@dataclass
class Invoice:
    amount: int


@dataclass
class Letter:
    text: str


@dataclass
class Reminder(Invoice):
    days: int


@ps.step
async def pay(invoice: Invoice) -> str:
    return f"paid {invoice.amount}"


@ps.step
async def read(letter: Letter) -> str:
    return f"read {letter.text}"


@ps.workflow
def post(flow: ps.Flow, it: ps.Node[Invoice | Letter]) -> ps.Node[str]:
    case = flow.match(it)
    return flow.merge(flow.call(pay, case[Invoice]), flow.call(read, case[Letter]))


@virtual
async def test_a_match_goes_by_type_and_subclasses_belong_to_their_base(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        assert await rt.run(post, Invoice(3)) == "paid 3"
        assert await rt.run(post, Letter("x")) == "read x"
        assert await rt.run(post, Reminder(4, 14)) == "paid 4"
        with pytest.raises(ps.ContractError):
            await rt.run(post, 7)  # type: ignore[arg-type]  # on purpose


@virtual
async def test_several_branches_of_when_are_taken_or_none(task: Task) -> None:
    @ps.workflow
    def some(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[list[int]]:
        return flow.collect(
            flow.call(double, flow.when(x, lambda it: it > 1, name="a"), name="da"),
            flow.call(more, flow.when(x, even, name="b")),
            flow.when(x, lambda it: it > 100, name="c"),
        )

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(some, 4) == [8, 5]
        assert await rt.run(some, 3) == [6]
        assert await rt.run(some, 1) == []
        assert await rt.run(some, 102) == [204, 103, 102]
        error = await failure(rt, some, -1)
        assert error.node == "some/b"
        assert isinstance(error.__cause__, Oops)


@virtual
async def test_a_predicate_without_a_truth_fails_the_run(task: Task) -> None:
    class Vague:
        def __bool__(self) -> bool:
            raise Oops("who knows")

    @ps.workflow
    def vague(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        return flow.optional(flow.when(x, lambda _: Vague(), name="it"))  # type: ignore[arg-type, return-value]  # on purpose

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, vague, 1)
        assert (error.node, str(error.__cause__)) == ("vague/it", "who knows")


@virtual
async def test_skipping_goes_along_edges_and_optional_ends_it(task: Task) -> None:
    @ps.workflow
    def chain(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
        first = flow.call(double, flow.when(x, even))
        return flow.optional(flow.call(add, flow.call(more, first), x))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(chain, 2) == 7
        run = await rt.start(chain, 3)
        assert await run.result() is None
        assert await done(run) == []
        assert run.status == "succeeded"


@virtual
async def test_after_waits_for_a_skipped_node_too(task: Task) -> None:
    @ps.workflow
    def wait(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(more, x, after=flow.call(double, flow.when(x, even)))

    async with ps.Runtime(task=task) as rt:
        for x in (2, 3):
            run = await rt.start(wait, x)
            assert await run.result() == x + 1
            first = ["wait/double"] if x == 2 else []
            assert await done(run) == [*first, "wait/more"]


@virtual
async def test_an_apply_that_raises_or_breaks_its_contract_fails_the_run(task: Task) -> None:
    def half(x: int) -> int:
        if x % 2:
            return x / 2  # type: ignore[return-value]  # on purpose
        return x // (x - 2)

    @ps.workflow
    def halves(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.apply(half, x)

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(halves, 6) == 1
        error = await failure(rt, halves, 2)
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert (error.node, error.attempts) == ("halves/half", 0)
        error = await failure(rt, halves, 3)
        assert isinstance(error.__cause__, ps.ContractError)
        assert error.__cause__.node == "halves/half"


@virtual
async def test_a_run_with_branches_waits_for_all_its_leaves(task: Task) -> None:
    told: list[int] = []

    @ps.step
    async def tell(x: int) -> None:
        told.append(x)

    @ps.workflow
    def leaves(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        flow.call(tell, flow.call(double, x))
        flow.call(tell, flow.when(x, even), name="again")
        return x

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(leaves, 2) == 2
        assert sorted(told) == [2, 4]
        assert await rt.run(leaves, 3) == 3
        assert sorted(told) == [2, 4, 6]


@virtual
async def test_a_failure_cancels_the_siblings_and_awaits_them(task: Task) -> None:
    import asyncio

    ended: list[float] = []

    @ps.step
    async def long(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
            ended.append(asyncio.get_running_loop().time())
        return x

    @ps.step(retry=ps.RetryPolicy(max_attempts=1))
    async def late(x: int) -> int:
        await asyncio.sleep(1)
        raise Oops("late")

    @ps.workflow
    def both(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(add, flow.call(long, x), flow.call(late, x))

    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, both, 1)
        assert ended == [pytest.approx(3)]
        assert error.node == "both/late"


@virtual
async def test_a_skipped_branch_never_calls_its_step(task: Task) -> None:
    @ps.workflow
    def guarded(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        case = flow.switch(x, key=even)
        return flow.merge(flow.call(oops, case[True]), flow.call(more, case[False]))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(guarded, 1) == 2
        assert (await failure(rt, guarded, 2)).node == "guarded/oops"
