"""Limits and a store: what is parked, rate limited or set aside is still so after a restart."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.testing import VirtualClock

SOON = ps.RetryPolicy(max_attempts=6, initial_interval=0.5, max_interval=0.5, jitter="none")
DAY = 86_400.0


def now() -> float:
    return asyncio.get_running_loop().time()


class Shop:
    """A store, a service that its step calls, and when it was called."""

    def __init__(self, path: Path, queue: ps.Queue, **options: Any) -> None:
        self.path = path / "shop.db"
        self.down = True
        self.calls: list[tuple[float, int, int]] = []

        @ps.step(effects="idempotent", queue=queue, retry=SOON, **options)
        async def work(x: int, ctx: ps.Context) -> int:
            self.calls.append((now(), x, ctx.attempt))
            if self.down:
                raise OSError("down")
            return x

        self.work = work

    def open(self, queues: tuple[ps.Queue, ...] = ()) -> ps.Runtime:
        return ps.Runtime(self.path, workflows=[self.work], queues=queues, grace=0.0)

    async def park(self, count: int = 100) -> None:
        """Start runs, most of which are parked, and close the store."""
        async with self.open() as rt:
            await rt.start_many(self.work, range(count), run_ids=map(str, range(count)))
            await asyncio.sleep(0.25)
            # Ten retries were stored, and each first attempt earned a tenth of one.
            assert rt.stats().queues["api"].parked >= count - 10 - count // 10

    def attempts_of(self, x: int) -> list[int]:
        return [attempt for _, who, attempt in self.calls if who == x]


def told(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    VirtualClock().run(story())


def test_parked_runs_are_parked_again_and_go_on(tmp_path: Path) -> None:
    shop = Shop(tmp_path, ps.Queue("api"))

    async def story() -> None:
        await shop.park()
        await asyncio.sleep(DAY)
        async with shop.open() as rt:
            assert rt.stats().queues["api"].parked >= 80
            assert {rt.get(str(x)).status for x in range(100)} == {"running"}
            shop.down = False
            assert [await rt.get(str(x)).result() for x in range(100)] == list(range(100))
        assert shop.attempts_of(50) == [1, 2]

    told(story)


def test_nothing_rushes_when_a_store_is_opened(tmp_path: Path) -> None:
    shop = Shop(tmp_path, ps.Queue("api"))

    async def story() -> None:
        await shop.park(500)
        await asyncio.sleep(DAY)
        shop.calls.clear()
        async with shop.open() as rt:
            assert rt.stats().queues["api"].tokens == pytest.approx(0, abs=0.5)
            opened = now()
            await asyncio.sleep(0.25)
            # Those that were paid for before wait for their time, not for a budget.
            assert len(shop.calls) <= 10 + 50
            shop.calls.clear()
            await asyncio.sleep(10)
            # They fail, and each costs what the floor earns.
            assert len(shop.calls) <= 10 + 5
            shop.down = False
            shop.calls.clear()
            back = now()
            await rt.join()
            per_second = Counter(int(at - back) for at, _, _ in shop.calls)
            assert max(per_second.values()) <= 60
            assert now() - opened <= 90

    told(story)


def test_the_process_may_be_opened_often_without_a_rush(tmp_path: Path) -> None:
    shop = Shop(tmp_path, ps.Queue("api"))

    async def story() -> None:
        await shop.park(200)
        shop.calls.clear()
        for _ in range(20):
            async with shop.open() as rt:
                await asyncio.sleep(0.3)
                assert rt.stats().queues["api"].parked >= 150
        # Those that were paid for, and one each time.
        assert len(shop.calls) <= 10 + 20 + 20

    told(story)


def test_the_history_tells_of_parking_after_a_restart(tmp_path: Path) -> None:
    breaker = ps.Breaker(min_calls=5, open_for=5.0)
    shop = Shop(tmp_path, ps.Queue("api", breaker=breaker, retry_budget=None))

    async def history(rt: ps.Runtime) -> list[tuple[str, str, str]]:
        return [(it.kind, it.node, it.detail) for it in await rt.get("late").history()]

    async def story() -> None:
        async with shop.open() as rt:
            await rt.start_many(shop.work, range(5))
            await asyncio.sleep(0.1)
            await rt.start(shop.work, 9, run_id="late")
            await asyncio.sleep(0.1)
            parked = ("parked", "work/work", "breaker")
            assert parked in await history(rt)
        shop.down = False
        async with shop.open() as rt:
            assert parked in await history(rt)
            assert await rt.get("late").result() == 9
            assert [kind for kind, *_ in await history(rt)][-2:] == ["done", "ended"]

    told(story)


def test_a_parked_run_can_be_cancelled_paused_and_forgotten_after_a_restart(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path, ps.Queue("api"))

    async def story() -> None:
        await shop.park(100)
        async with shop.open() as rt:
            cancelled, paused = rt.get("50"), rt.get("51")
            assert await cancelled.cancel()
            assert await paused.pause()
        async with shop.open() as rt:
            assert (rt.get("50").status, rt.get("51").status) == ("cancelled", "paused")
            shop.down = False
            others = [rt.get(str(x)) for x in range(100) if x not in (50, 51)]
            await asyncio.gather(*(run.result() for run in others))
            assert rt.get("51").status == "paused"
            assert shop.attempts_of(51) == [1]
            await rt.get("51").resume()
            assert await rt.get("51").result() == 51
            assert rt.stats().queues["api"].parked == 0
        assert shop.attempts_of(50) == [1]

    told(story)


@pytest.mark.parametrize("option", ["deadline", "total_timeout"])
def test_the_time_of_a_parked_run_goes_on_while_the_store_is_closed(
    tmp_path: Path, option: str
) -> None:
    options = {"total_timeout": 60.0} if option == "total_timeout" else {}
    shop = Shop(tmp_path, ps.Queue("api"), **options)

    async def story() -> None:
        async with shop.open() as rt:
            deadline = 60.0 if option == "deadline" else None
            await rt.start_many(shop.work, range(20), deadline=deadline)
            run = await rt.start(shop.work, 99, run_id="r", deadline=deadline)
            await asyncio.sleep(0.25)
            assert run.status == "running"
        await asyncio.sleep(DAY)
        opened = now()
        async with shop.open() as rt:
            with pytest.raises((ps.DeadlineExceeded, ps.RunFailed)):
                await rt.get("r").result()
            assert now() - opened <= 0.01
        assert shop.attempts_of(99) == [1]

    told(story)


def test_a_dead_letter_is_one_after_a_restart(tmp_path: Path) -> None:
    budget = ps.RetryBudget(ratio=0, floor=0.001, stored=1, on_denial="dead_letter")
    shop = Shop(tmp_path, ps.Queue("api", retry_budget=budget))

    async def story() -> None:
        async with shop.open() as rt:
            run = await rt.start(shop.work, 7, run_id="r")
            with pytest.raises(ps.RunHeld):
                await run.result()
        shop.down = False
        for _ in range(2):
            async with shop.open() as rt:
                run = rt.get("r")
                assert run.status == "paused"
                await asyncio.sleep(DAY)
                with pytest.raises(ps.RunHeld, match=r"after 2 attempts.*Run\.resume\(\)"):
                    await asyncio.wait_for(run.result(), 1)
                assert len(shop.calls) == 2
                (info,) = await rt.runs(status="paused")
                assert info.run_id == "r"
        async with shop.open() as rt:
            assert await rt.get("r").resume()
            assert await rt.get("r").result() == 7
        assert shop.attempts_of(7) == [1, 2, 3]

    told(story)


def test_what_waits_for_a_rate_goes_on_at_that_rate(tmp_path: Path) -> None:
    shop = Shop(tmp_path, ps.Queue("api", rate_limit=ps.RateLimit(1, per=10.0, burst=2)))
    shop.down = False

    async def story() -> None:
        async with shop.open() as rt:
            await rt.start_many(shop.work, range(10), run_ids=map(str, range(10)))
            await asyncio.sleep(25)
        assert [x for _, x, _ in shop.calls] == [0, 1, 2, 3]
        await asyncio.sleep(100)
        opened = now()
        async with shop.open() as rt:
            assert rt.stats().queues["api"].waiting <= 6
            await rt.join()
        starts = [at - opened for at, _, _ in shop.calls[4:]]
        assert starts == pytest.approx([0, 0, 10, 20, 30, 40], abs=0.01)
        assert [x for _, x, _ in shop.calls] == list(range(10))

    told(story)


def test_tenants_priorities_and_deadlines_are_known_after_a_restart(tmp_path: Path) -> None:
    queue = ps.Queue("api", concurrency=1, fairness=ps.Fairness(by="attempts"))
    shop = Shop(tmp_path, queue)
    shop.down = False

    async def story() -> None:
        async with shop.open() as rt:
            rt.configure(ps.Queue("api", rate_limit=ps.RateLimit(1, per=DAY, burst=1)))
            await rt.start(shop.work, 0, tenant="big")
            await rt.start_many(shop.work, range(100, 120), tenant="big")
            await rt.start_many(shop.work, range(200, 205), tenant="small")
            await rt.start(shop.work, 300, priority=1, tenant="big")
            await asyncio.sleep(1)
        assert len(shop.calls) == 1
        shop.calls.clear()
        async with shop.open() as rt:
            await rt.join()
        order = [x for _, x, _ in shop.calls]
        assert order[0] == 300
        assert max(order.index(x) for x in range(200, 205)) <= 11, "in turns"

    told(story)


def test_the_models_of_queues_are_kept(tmp_path: Path) -> None:
    first = ps.Queue("api", version="1", concurrency=4)
    second = ps.Queue("api", version="2", concurrency=2, rate_limit=ps.RateLimit(5))
    shop = Shop(tmp_path, first)
    shop.down = False

    def kept(rt: ps.Runtime) -> list[object]:
        core = rt._core
        models = [core.interfaces("queue", "api", version) for version in "123"]
        return [ps.Queue.from_dict(json.loads(text)) for rows in models for _, text in rows]

    async def story() -> None:
        async with shop.open() as rt:
            await rt.run(shop.work, 1)
            assert kept(rt) == [first]
            rt.configure(second)
            rt.configure(second)
            with pytest.raises(ps.DefinitionError):
                rt.configure(ps.Queue("other"))
        async with shop.open((ps.Queue("api", version="3"),)) as rt:
            await rt.run(shop.work, 2)
            assert kept(rt) == [first, second, ps.Queue("api", version="3")]
            assert rt.stats().queues["api"].concurrency is None

    told(story)


WORKER = """
import asyncio, os, signal, sys
import penstock as ps

@ps.step(effects="idempotent", queue=ps.Queue("api"),
         retry=ps.RetryPolicy(max_attempts=6, initial_interval=0.01, jitter="none"))
async def work(x: int, ctx: ps.Context) -> int:
    print("call", x, ctx.attempt, flush=True)
    if sys.argv[2] == "down":
        raise OSError
    return x

async def main():
    async with ps.Runtime(sys.argv[1], workflows=[work]) as rt:
        if sys.argv[2] == "down":
            await rt.start_many(work, range(60), run_ids=map(str, range(60)))
            while rt.stats().queues["api"].parked < 45:
                await asyncio.sleep(0)
            await rt.start(work, 60, run_id="60")  # all before it is on disk then
            os.kill(os.getpid(), signal.SIGKILL)
        api = rt.stats().queues["api"]
        print("tokens", (api.tokens or 0) < 0.5, api.parked >= 40)
        rt.configure(ps.Queue("api", retry_budget=None))
        assert [await rt.get(str(x)).result() for x in range(61)] == list(range(61))
        print("done")

asyncio.run(main())
"""


def test_parked_runs_survive_a_kill(tmp_path: Path) -> None:
    def process(service: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WORKER, str(tmp_path / "a.db"), service],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    killed = process("down")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    back = process("up")
    assert back.returncode == 0, back.stderr
    lines = back.stdout.splitlines()
    assert "tokens True True" in lines
    assert lines[-1] == "done"
    called = Counter(line.split()[1] for line in lines if line.startswith("call"))
    assert set(called) == {str(x) for x in range(61)}
    assert set(called.values()) == {1}
    assert {line.split()[2] for line in lines if line.startswith("call")} <= {"1", "2", "3"}
