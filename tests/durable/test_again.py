"""Runs that are tried again, and copies of runs: what was paid for is kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import penstock as ps
from durable.orders import order, view
from penstock.testing import VirtualClock, faults

calls: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@ps.step(effects="pure")
async def draft(topic: str, ctx: ps.Context) -> str:
    calls.append(f"draft {ctx.idempotency_key}")
    return f"on {topic}"


@ps.step(effects="pure")
async def pages(text: str) -> list[int]:
    calls.append("pages")
    return [1, 2, 3]


@ps.step(effects="pure")
async def page(number: int, text: str) -> str:
    calls.append(f"page {number}")
    return f"{number}: {text}"


@ps.step(effects="idempotent")
async def refund(text: str, paid: str | None) -> None:
    calls.append("refund")


@ps.step(effects="idempotent", compensate=refund)
async def pay(text: str) -> str:
    calls.append("pay")
    return "paid"


@ps.step(effects="idempotent", retry=ps.RetryPolicy(max_attempts=2, initial_interval=0.01))
async def send(parts: list[str], paid: str, ctx: ps.Context) -> str:
    calls.append(f"send {ctx.attempt} {ctx.idempotency_key}")
    return f"{'; '.join(parts)} ({paid})"


@ps.workflow(version="1")
def letter(flow: ps.Flow, topic: ps.Node[str]) -> ps.Node[str]:
    text = flow.call(draft, topic)
    parts = flow.map(page, flow.call(pages, text), text)
    return flow.call(send, parts, flow.call(pay, text))


RESULT = "1: on tea; 2: on tea; 3: on tea (paid)"


def runtime(path: Path) -> ps.Runtime:
    return ps.Runtime(path / "a.db", workflows=[letter])


def test_a_retry_keeps_what_was_not_undone(tmp_path: Path) -> None:
    async def story() -> None:
        async with runtime(tmp_path) as rt:
            with faults({send: [OSError("down")] * 2}):
                run = await rt.start(letter, "tea", run_id="l")
                with pytest.raises(ps.RunFailed, match="after 2 attempts: OSError: down"):
                    await run.result()
            assert run.status == "compensated"
            assert await run.retry()
            assert await run.result() == RESULT
            assert not await run.retry(), "it has succeeded"
            assert run.run_id == "l"
        kept = ["draft l:letter/draft", "pages", "page 1", "page 2", "page 3"]
        assert sorted(calls[:6]) == sorted([*kept, "pay"])
        assert calls[6:] == ["refund", "pay", "send 1 l:letter/send"]
        async with runtime(tmp_path) as rt:
            assert await rt.get("l").result() == RESULT
            kinds = [event.kind for event in await rt.get("l").history()]
            assert kinds.count("accepted") == 1
            assert kinds.count("retried") == 1
            assert kinds.count("ended") == 2

    VirtualClock().run(story())


def test_new_keys_are_for_who_remembers_the_old_ones(tmp_path: Path) -> None:
    async def story() -> None:
        async with runtime(tmp_path) as rt:
            with faults({send: [OSError("down")] * 4}):
                run = await rt.start(letter, "tea", run_id="l")
                with pytest.raises(ps.RunFailed):
                    await run.result()
                await run.retry(new_keys=True)
                with pytest.raises(ps.RunFailed):
                    await run.result()
                await run.retry()
                await run.result()
        assert calls[-1] == "send 1 l:letter/send:1"

    VirtualClock().run(story())


def test_a_retried_run_survives_a_crash_as_it_was_retried(tmp_path: Path) -> None:
    async def story() -> None:
        async with ps.Runtime(tmp_path / "a.db", workflows=[letter], grace=0.0) as rt:
            with faults({send: [OSError("down")] * 2}):
                run = await rt.start(letter, "tea", run_id="l")
                with pytest.raises(ps.RunFailed):
                    await run.result()
            with faults({send: [ps.testing.Hang()]}):
                assert await run.retry()
                await asyncio.sleep(1.0)
        async with runtime(tmp_path) as rt:
            assert await rt.get("l").result() == RESULT
        assert calls.count("pay") == 2
        assert calls.count("pages") == 1
        assert calls[-1] == "send 1 l:letter/send"

    VirtualClock().run(story())


def test_a_fork_runs_a_step_and_what_comes_after_it_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with runtime(tmp_path) as rt:
            run = await rt.start(letter, "tea", run_id="l")
            await run.result()
            calls.clear()
            copy = await run.fork(from_step="letter/page[1]", run_id="copy")
            assert await copy.result() == RESULT
            assert calls == ["page 2", "send 1 copy:letter/send"]
            calls.clear()
            other = await run.fork(from_step="letter/pay")
            assert await other.result() == RESULT
            assert calls == ["pay", f"send 1 {other.run_id}:letter/send"]
            with pytest.raises(ps.RunNotFound, match="no node"):
                await run.fork(from_step="letter/nothing")
            with pytest.raises(ps.DuplicateRun):
                await run.fork(run_id="copy")
        calls.clear()
        async with runtime(tmp_path) as rt:
            assert await rt.get("copy").result() == RESULT
            assert await rt.get("l").result() == RESULT
            again = await rt.get("copy").fork(run_id="copy of the copy")
            assert await again.result() == RESULT
        assert calls == []

    VirtualClock().run(story())


async def test_a_start_may_try_again_what_did_not_succeed(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        with faults({send: [OSError("down")] * 2}), pytest.raises(ps.RunFailed):
            await rt.run(letter, "tea", run_id="l")
        with pytest.raises(ps.RunFailed):
            await rt.run(letter, "tea", run_id="l")
        for _ in range(2):  # the second time there is nothing to try again
            assert await rt.run(letter, "tea", run_id="l", on_existing="retry") == RESULT
        with pytest.raises(ps.DuplicateRun):
            await rt.start(letter, "tea", run_id="l", on_existing="error")
        with pytest.raises(ps.DuplicateRun):
            await rt.start(letter, "coffee", run_id="l", on_existing="retry")
    assert calls.count("pages") == 1


async def test_another_process_may_ask_for_both(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        store = view(tmp_path)
        with faults({send: [OSError("down")] * 2}), pytest.raises(ps.RunFailed):
            await rt.run(letter, "tea", run_id="l")
        assert (await order(store, "retry", "l")).done
        assert await rt.get("l").result() == RESULT
        assert not (await order(store, "retry", "l")).done
        content = {"from_step": "letter/send", "run_id": "copy"}
        assert (await order(store, "fork", "l", content)).told == "the copy is run copy"
        assert await rt.get("copy").result() == RESULT
        refused = await order(store, "fork", "l", {"from_step": "letter/nothing"})
        assert refused.told == 'its workflow has no node "letter/nothing"'
    assert calls.count("pages") == 1


async def test_what_runs_are_pinned_to_is_kept(tmp_path: Path) -> None:
    limit = ps.RateLimit(600, per=60.0)
    queue = ps.Queue("gpt", version="2", concurrency=8, rate_limit=limit, shed=ps.CoDel())

    @ps.step(queue=queue, retry=ps.RetryPolicy(max_attempts=2))
    async def ask(text: str) -> str:
        return text

    async with ps.Runtime(tmp_path / "a.db", workflows=[ask]) as rt:
        await rt.run(ask, "x")
    reader = view(tmp_path).reader
    for kind, name, version in (
        ("graph", "ask", "1"),
        ("policies", "ask", "1"),
        ("queue", "gpt", "2"),
        ("state machines", "penstock", "1"),
    ):
        ((found, of, digest, _),) = reader.interfaces(kind)
        assert (found, of, len(digest)) == (name, version, 64)
    ((_, _, digest, content),) = reader.interfaces("queue")
    assert (ps.Queue.from_dict(json.loads(content)), digest) == (queue, queue.digest)


async def test_without_a_store_there_is_nothing_to_try_again_from() -> None:
    async with ps.Runtime() as rt:
        run = await rt.start(letter, "tea")
        await run.result()
        with pytest.raises(ps.PenstockError, match=r"Runtime\(store=\.\.\.\)"):
            await run.retry()


def test_who_begins_anew_has_as_long_as_at_first(tmp_path: Path) -> None:
    """A retry kept the deadline of the run it was of, and ended at once when that had passed."""

    async def story() -> None:
        async with runtime(tmp_path) as rt:
            with faults({send: [OSError("down")] * 2}):
                run = await rt.start(letter, "tea", run_id="l", deadline=60.0)
                with pytest.raises(ps.RunFailed):
                    await run.result()
            await asyncio.sleep(600)
            copy = await run.fork(from_step="letter/send")
            assert await copy.result() == RESULT
            with faults({send: [ps.testing.Slow(30.0), OSError("down"), OSError("down")]}):
                assert await run.retry()
                assert await run.result() == RESULT
            failing = await rt.start(letter, "milk", run_id="m", deadline=60.0)
            with faults({send: [ps.testing.Hang()]}), pytest.raises(ps.DeadlineExceeded):
                await failing.result()
            with faults({send: [ps.testing.Hang()]}):
                assert await failing.retry()
                await asyncio.sleep(40)
        # What is left of it when the store is opened again counts from the retry, too.
        async with runtime(tmp_path) as rt:
            assert await rt.get("m").result() == RESULT.replace("tea", "milk")

    VirtualClock().run(story())
