"""Signals: early, late, twice, of the wrong type, to whom; timers beside them."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest

import penstock as ps
from flow.parts import add, double, failure, kinds, more, nap, now, until
from loops import Task, virtual


@dataclass
class Verdict:
    ok: bool
    why: str = ""


approval = ps.Signal("approval", Verdict)
number = ps.Signal("number", int)
a, b, c = (ps.Signal(name, str) for name in "abc")


@ps.workflow
def ask(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.call(add, x, flow.signal(number, timeout=60))


@ps.workflow
def ask_later(flow: ps.Flow, seconds: ps.Node[float]) -> ps.Node[int]:
    return flow.call(more, flow.signal(number, after=flow.call(nap, seconds)))


@ps.workflow
def ask_maybe(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int | None]:
    got = flow.signal(number, timeout=60, on_timeout="skip")
    return flow.optional(flow.call(add, x, got))


@virtual
async def test_a_signal_that_is_waited_for(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(ask, 1)
        await asyncio.sleep(10)
        assert await run.awaiting() == ["ask/number"]
        assert run.status == "running"
        assert await run.signal(number, 41)
        assert await run.result() == 42
        assert await kinds(run) == ["accepted", "signal", "done", "ended"]
        assert rt._core.object_count() == 0
        await asyncio.sleep(100)  # its timer is of no consequence


@virtual
async def test_an_early_signal_is_kept_unless_the_sender_says_otherwise(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(ask_later, 5.0)
        assert await run.awaiting() == []
        assert not await run.signal(number, 1, keep=False)
        assert await run.signal(number, 41)
        assert await run.result() == 42
        assert now() == pytest.approx(5)
        assert rt._core.object_count() == 0


@virtual
async def test_a_signal_right_after_the_start_is_not_lost(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(ask, 1)
        assert await run.signal(number, 2)
        assert await run.result() == 3


@virtual
async def test_two_signals_go_to_two_waits_in_order_and_what_is_left_is_let_go(
    task: Task,
) -> None:
    @ps.workflow
    def twice(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[list[int]]:
        first = flow.signal(number, after=x)
        return flow.collect(first, flow.signal(number, after=flow.call(nap, x), name="second"))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(twice, 1.0)
        for value in (1, 2, 3):
            assert await run.signal(number, value)
        assert await run.result() == [1, 2]
        assert rt._core.object_count() == 0
        waiting = await rt.start(twice, 1.0)
        await asyncio.sleep(2)
        assert await waiting.awaiting() == ["twice/number", "twice/second"]
        assert await waiting.signal(number, 8)
        assert await waiting.awaiting() == ["twice/second"]
        assert await waiting.signal(number, 9, keep=False)
        assert await waiting.result() == [8, 9]


@virtual
async def test_nobody_signals_in_time(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        error = await failure(rt, ask, 1)
        assert now() == pytest.approx(60)
        assert isinstance(error.__cause__, TimeoutError)
        assert "'number' did not come within 60 s" in str(error)
        assert error.node == "ask/number"
        assert await rt.run(ask_maybe, 1) is None
        assert now() == pytest.approx(120)
        assert rt._core.object_count() == 0


@virtual
async def test_a_signal_after_the_timeout_finds_nobody(task: Task) -> None:
    @ps.workflow
    def patient(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[list[int | None]]:
        got = flow.signal(number, timeout=1, on_timeout="skip", after=x)
        slow = flow.call(nap, x)
        again = flow.signal(number, timeout=1, on_timeout="skip", after=slow, name="again")
        return flow.collect(flow.optional(got), flow.optional(again))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(patient, 5.0)
        await asyncio.sleep(2)
        assert not await run.signal(number, 1, keep=False)
        assert await run.signal(number, 2)  # the next one who asks has it
        assert await run.result() == [None, 2]
        assert now() == pytest.approx(5)


@virtual
async def test_a_value_of_the_wrong_type_is_refused_and_the_run_unharmed(task: Task) -> None:
    wrong: Any = "four"
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(ask, 1, run_id="r")
        for _ in range(2):
            with pytest.raises(ps.ContractError, match=r"'r'.*'number'"):
                await run.signal(number, wrong)
        assert run.status == "running"
        assert await kinds(run) == ["accepted"]
        assert await run.signal(number, 4)
        assert await run.result() == 5


@virtual
async def test_a_signal_that_no_node_waits_for_is_an_error_of_the_sender(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(ask, 1)
        with pytest.raises(ps.DefinitionError, match="number"):
            await run.signal(approval, Verdict(ok=True))
        with pytest.raises(ps.DefinitionError):
            await run.signal(ps.Signal("number", str), "x")  # the same name, another type
        assert await run.signal(ps.Signal("number", int), 1)  # an equal one
        assert await run.result() == 2


@virtual
async def test_a_signal_to_a_run_that_is_over(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        over = await rt.start(ask, 1, run_id="over")
        assert await over.signal(number, 1)
        await over.result()
        cancelled = await rt.start(ask, 1, run_id="cancelled")
        await cancelled.cancel()
        with pytest.raises(ps.RunCancelled):
            await cancelled.result()
        for run in (over, cancelled):
            with pytest.raises(ps.RunNotFound, match=run.run_id):
                await run.signal(number, 1)


@virtual
async def test_a_signal_to_a_run_that_is_ending_is_not_taken(task: Task) -> None:
    @ps.step
    async def stubborn(x: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(add, flow.call(stubborn, x), flow.signal(number))

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 1)
        await asyncio.sleep(1)
        await run.cancel()
        assert run.status == "running"
        assert not await run.signal(number, 1)
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert rt._core.object_count() == 0


@virtual
async def test_several_waits_hear_their_signals_in_any_order(task: Task) -> None:
    @ps.workflow
    def all_three(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[list[str]]:
        waits = [flow.signal(a), flow.signal(b, after=flow.call(nap, x)), flow.signal(c, after=x)]
        return flow.collect(*waits)

    async with ps.Runtime(task=task) as rt:
        for order in permutations([a, b, c]):
            for early in (True, False):
                run = await rt.start(all_three, 1.0)
                if not early:
                    await asyncio.sleep(2)
                for signal in order:
                    assert await run.signal(signal, signal.name.upper())
                assert await run.result() == ["A", "B", "C"]
        assert rt._core.object_count() == 0


@virtual
async def test_a_shuffled_crowd_of_signals(task: Task) -> None:
    @ps.workflow
    def one(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(add, x, flow.signal(number, after=x))

    @ps.workflow
    def crowd(flow: ps.Flow, xs: ps.Node[list[int]]) -> ps.Node[list[int]]:
        return flow.map(one, xs)

    shuffle = random.Random(7)
    async with ps.Runtime(task=task) as rt:
        runs = await rt.start_many(crowd, [[0, 100, 200]] * 20)
        await asyncio.sleep(1)
        assert await runs[0].awaiting() == [f"crowd/one[{i}]/number" for i in range(3)]
        sends = [(run, value) for run in runs for value in (1, 2, 3)]
        sent: dict[str, list[int]] = {}
        shuffle.shuffle(sends)
        for run, value in sends:
            sent.setdefault(run.run_id, []).append(value)
            assert await run.signal(number, value)
        for run in runs:
            x, y, z = sent[run.run_id]
            assert await run.result() == [x, 100 + y, 200 + z]


@virtual
async def test_the_deferred_choice_of_a_signal_and_a_timer(task: Task) -> None:
    @ps.workflow
    def choice(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        answer = flow.signal(number, after=x)
        late = flow.sleep(flow.constant(-1), 30)
        return flow.call(double, flow.race(answer, late))

    async with ps.Runtime(task=task) as rt:
        answered, silent = await rt.start_many(choice, [1, 2])
        await asyncio.sleep(10)
        assert await answered.signal(number, 5)
        assert await answered.result() == 10
        assert now() == pytest.approx(10)
        assert await silent.result() == -2
        assert now() == pytest.approx(30)
        again = await rt.start(choice, 3)
        await asyncio.sleep(31)
        with pytest.raises(ps.RunNotFound):
            await again.signal(number, 6)  # the timer came first
        assert rt._core.object_count() == 0


@virtual
async def test_a_wait_that_lost_its_race_takes_no_signal(task: Task) -> None:
    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[float]) -> ps.Node[list[int]]:
        first = flow.race(flow.signal(number, after=x, name="lost"), flow.constant(7))
        later = flow.signal(number, after=flow.call(nap, x), name="later")
        return flow.collect(first, later)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(w, 5.0)
        await asyncio.sleep(1)
        assert await run.awaiting() == []
        assert await run.signal(number, 3)
        assert await run.result() == [7, 3]


@virtual
async def test_a_signal_sent_from_a_thread(task: Task) -> None:
    async with ps.Runtime(task=task) as rt:
        run = await rt.start(ask_later, 1.0)
        loop = asyncio.get_running_loop()
        sent: list[object] = []

        def send() -> None:
            sent.append(asyncio.run_coroutine_threadsafe(run.signal(number, 1), loop))

        thread = threading.Thread(target=send)
        thread.start()
        thread.join()
        await until(lambda: bool(sent))
        assert await run.result() == 2
        refused: list[Exception] = []

        def send_directly() -> None:
            try:
                run.signal(number, 1).send(None)
            except ps.PenstockError as error:
                refused.append(error)

        thread = threading.Thread(target=send_directly)
        thread.start()
        thread.join()
        assert "thread" in str(refused)


@virtual
async def test_a_step_signals_its_own_run(task: Task) -> None:
    @ps.step
    async def tell(x: int, ctx: ps.Context) -> int:
        assert await rt.get(ctx.run_id).signal(number, x + 1)
        return x

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(add, flow.call(tell, x), flow.signal(number, after=x))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(w, 1) == 3


@virtual
async def test_a_review_hands_over_and_waits_for_the_verdict(task: Task) -> None:
    @ps.workflow
    def review(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[str]:
        verdict = flow.review(flow.call(double, x), approval, owner="desk", timeout=3600)
        return flow.apply(lambda it: it.why, verdict)

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(review, 1)
        await asyncio.sleep(1)
        assert await run.awaiting() == ["review/approval"]
        assert await run.signal(approval, Verdict(ok=True, why="fine"))
        assert await run.result() == "fine"
        error = await failure(rt, review, 1)
        assert error.node == "review/approval"


@virtual
async def test_signals_in_a_loop_each_for_its_iteration(task: Task) -> None:
    @ps.workflow
    def turn(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(add, x, flow.signal(number, after=x, timeout=10))

    @ps.workflow
    def talk(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.loop(turn, x, until=lambda it: it > 99, max_iterations=9, name="turns")

    async with ps.Runtime(task=task) as rt:
        run = await rt.start(talk, 1)
        for index, value in enumerate((1, 2, 100)):
            await asyncio.sleep(5)
            assert await run.awaiting() == [f"talk/turns[{index}]/number"]
            assert await run.signal(number, value)
        assert await run.result() == 104
        at_once = await rt.start(talk, 1)
        for value in (50, 50, 50):
            await at_once.signal(number, value)
        assert await at_once.result() == 101
        error = await failure(rt, talk, 1)
        assert error.node == "talk/turns[0]/number"


@virtual
async def test_a_sleep_passes_its_value_on_and_ends_with_its_run(task: Task) -> None:
    @ps.workflow
    def wait(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.call(more, flow.sleep(flow.sleep(x, 86_400), 86_400))

    async with ps.Runtime(task=task) as rt:
        assert await rt.run(wait, 1) == 2
        assert now() == pytest.approx(2 * 86_400)
        run = await rt.start(wait, 1)
        await asyncio.sleep(100_000)
        assert await kinds(run) == ["accepted", "fired"]
        await run.cancel()
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert rt._core.object_count() == 0
