"""Operating on a store: what its runs are, and commands of other processes to their runtime."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from durable.orders import (
    answer,
    approval,
    checkout,
    leave,
    order,
    runtime,
    shop,
    standing,
    until,
    view,
    wrong,
)
from loops import noop
from penstock._commands import Outcome
from penstock.testing import VirtualClock


async def test_runs_are_found_by_what_is_known_of_them(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        first = await rt.start(shop, 1, run_id="a", tenant="acme", tags={"kind": "big", "by": "me"})
        await standing(first)
        await rt.start(shop, 1, run_id="b", tags={"kind": "big"}, priority=2)
        with pytest.raises(ps.RunFailed):
            await rt.run(wrong, 1, run_id="c", durability="async")

        async def ids(**wanted: Any) -> list[str]:
            return [info.run_id for info in await rt.runs(**wanted)]

        assert await ids() == ["c", "b", "a"], "newest first"
        assert await ids(limit=2) == ["c", "b"]
        assert await ids(status="failed") == ["c"]
        assert await ids(status=["failed", "running"]) == ["c", "b", "a"]
        assert await ids(workflow="shop") == ["b", "a"]
        assert await ids(workflow="shop", version="1") == []
        assert await ids(tags={"kind": "big"}) == ["b", "a"]
        assert await ids(tags={"kind": "big", "by": "me"}) == ["a"]
        assert await ids(tenant="acme") == ["a"]
        [a] = await rt.runs(tenant="acme")
        assert await ids(accepted_after=a.accepted + 1e-6) == ["c", "b"]
        assert await ids(accepted_before=a.accepted + 1e-6) == ["a"]
        assert (a.workflow, a.version, a.status, a.ended) == ("shop", "2", "running", None)
        assert dict(a.tags) == {"kind": "big", "by": "me"}
        [c, b] = await rt.runs(accepted_after=a.accepted + 1e-6)
        assert (b.priority, b.durability, c.durability) == (2, "sync", "async")
        assert c.ended is not None
        assert c.ended >= c.accepted
        with pytest.raises(ps.DefinitionError, match="no status is 'done'"):
            await rt.runs(status="done")  # type: ignore[arg-type]


async def test_a_runtime_without_a_store_lists_what_it_knows() -> None:
    async with ps.Runtime(workflows=[shop]) as rt:
        waits = await rt.start(shop, 1, run_id="w", tenant="acme")
        await standing(waits)
        await rt.run(noop, 1, run_id="n")
        with pytest.raises(ps.RunFailed):
            await rt.run(wrong, 1)
        found = await rt.runs()
        assert [info.workflow for info in found] == ["shop", "wrong", "noop"]
        assert [info.status for info in found] == ["running", "failed", "succeeded"]
        assert (found[0].tenant, found[0].ended) == ("acme", None)
        assert [info.run_id for info in await rt.runs(status="succeeded", limit=5)] == ["n"]
        assert await rt.runs(accepted_after=found[0].accepted + 60) == []
        with pytest.raises(ps.DefinitionError, match="does not keep tags"):
            await rt.runs(tags={"a": "b"})


async def test_a_run_is_paused_resumed_and_cancelled_from_outside(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        store, run = view(tmp_path), await rt.start(shop, 1, run_id="a")
        await standing(run, records=4)
        assert (await order(store, "pause", "a")).done
        assert run.status == "paused"
        again = await order(store, "pause", "a")
        assert (again.done, again.told) == (
            False,
            "only a running run can be paused, and it is paused",
        )
        assert (await order(store, "resume", "a")).told == "resumed; it is running now"
        assert (
            await order(store, "resume", "a")
        ).told == "there is nothing to resume: the run is running"
        assert (await order(store, "cancel", "a")).done
        with pytest.raises(ps.RunCancelled):
            await run.result()
        assert (await order(store, "cancel", "a")).told == (
            "there is nothing to cancel: the run is cancelled"
        )
        kinds = [record.kind for record in store.records("a")]
        assert kinds[-4:] == ["paused", "resumed", "cancel_requested", "ended"]
        assert "cmd" in store.records("a")[-2].facts, "the record says whose command it was"


async def test_what_can_not_be_done_is_told_and_breaks_nothing(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        store, run = view(tmp_path), await rt.start(shop, 1, run_id="a")
        await standing(run)
        for verb, run_id, arguments, why in [
            ("cancel", "z", {}, "there is no run 'z' in this store"),
            ("explode", "a", {}, "there is no command 'explode'"),
            ("pause", "a", "{", "the arguments are no JSON"),
            ("pause", "a", "[1]", "the arguments are no JSON object"),
            ("signal", "a", {}, "waits for no signal None; its signals: approval"),
            ("signal", "a", {"name": "amount", "value": 1}, "no signal 'amount'"),
            (
                "signal",
                "a",
                {"name": "approval", "value": 1},
                "no str: Input should be a valid str",
            ),
            ("resolve", "a", {"node": "shop/ship"}, "shop/ship is not in doubt"),
            ("release", "a", {}, "only a held run can be released, and it is running"),
            ("prune", "", {}, "give max_age in seconds or max_runs"),
            ("prune", "", {"max_age": -1}, "give max_age in seconds or max_runs"),
        ]:
            outcome = await order(store, verb, run_id, arguments)
            assert not outcome.done
            assert why in outcome.told
        assert run.status == "running"
        assert (await rt.run(noop, 1)) == 1


async def test_a_signal_comes_from_outside_as_json(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        store, run = view(tmp_path), await rt.start(shop, 2, run_id="a")
        signal = {"name": approval.name, "value": "bike"}
        assert (await order(store, "signal", "a", signal)).done
        assert await run.result() == "s0+s1 by bike"
        late = await order(store, "signal", "a", signal)
        assert "the run is over (succeeded)" in late.told


async def test_outcomes_that_nobody_knows_are_resolved_from_outside(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        store = view(tmp_path)
        run = await rt.start(checkout, [1, 2], run_id="a")
        with pytest.raises(ps.OutcomeUnknown):
            await run.result()

        async def is_unknown(*paths: str) -> bool:
            return await run.unknown() == list(paths)

        await until(partial(is_unknown, "checkout/all[0]", "checkout/all[1]"))

        async def resolve(node: str, how: str, value: object = None) -> Outcome:
            return await order(store, "resolve", "a", {"node": node, "how": how, "value": value})

        assert "no resolution" in (await resolve("checkout/all[0]", "guess")).told
        assert "is no str" in (await resolve("checkout/all[0]", "done", 5)).told
        assert "outcome of checkout/all[0] is not known" in (await order(store, "resume", "a")).told
        assert (await resolve("checkout/all[0]", "done", "paid")).done
        assert (await resolve("checkout/all[1]", "retry")).done
        await until(partial(is_unknown, "checkout/all[1]"))
        told = (await resolve("checkout/all[1]", "failed", "stolen card")).told
        assert told.startswith("checkout/all[1] is failed")
        with pytest.raises(ps.RunFailed, match="stolen card"):
            await run.result()


async def test_a_command_of_the_same_key_is_the_same_command(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        store, run = view(tmp_path), await rt.start(shop, 1, run_id="a")
        await standing(run)
        number = leave(store, "pause", "a", key="k")
        assert (await answer(store, number)).done
        assert leave(store, "pause", "a", key="k") == number
        await run.resume()
        await asyncio.sleep(0.2)
        assert run.status == "running", "it is not carried out again"
        with pytest.raises(ps.StoreError, match="was used for `pause`"):
            leave(store, "cancel", "a", key="k")


async def test_what_was_left_while_nobody_was_there_is_carried_out_at_open(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        await standing(await rt.start(shop, 1, run_id="a"), records=4)
        await standing(await rt.start(shop, 1, run_id="b"), records=4)
    store = view(tmp_path)
    assert store.reader.owner() == (False, None)
    numbers = [
        leave(store, "cancel", "a"),
        leave(store, "signal", "b", {"name": "approval", "value": "cart"}),
    ]
    assert [store.reader.outcome(number) for number in numbers] == [None, None]
    async with runtime(tmp_path) as rt:
        assert store.reader.owner()[0]
        assert await rt.get("b").result() == "s0 by cart"
        with pytest.raises(ps.RunCancelled):
            await rt.get("a").result()
        assert (await answer(store, numbers[0])).done


def test_commands_are_taken_in_virtual_time_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with runtime(tmp_path) as rt:
            run = await rt.start(shop, 1, run_id="a")
            await asyncio.sleep(1)
            number = leave(view(tmp_path), "cancel", "a")
            await rt.run(noop, 1)  # in virtual time nobody looks while nothing happens
            await asyncio.sleep(1)
            assert run.status == "cancelled"
            assert (await answer(view(tmp_path), number)).done

    VirtualClock().run(story())


async def test_a_held_run_is_released_or_cancelled(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        for run_id in "abc":
            await standing(await rt.start(shop, 1, run_id=run_id), records=4)
    store = view(tmp_path)
    async with ps.Runtime(tmp_path / "a.db") as rt:
        assert rt.get("a").status == "held"
        outcome = await order(store, "pause", "a")
        assert outcome.told == "only a running run can be paused, and it is held"
        assert (await order(store, "release", "a")).done
        assert "is not undone" in (await order(store, "cancel", "b")).told
        handle = rt.get("c")
        assert await handle.cancel()
        for run in (handle, rt.get("b")):
            assert run.status == "cancelled"
            with pytest.raises(ps.RunCancelled):
                await run.result()
            assert not await run.cancel()
        assert {info.run_id: info.status for info in await rt.runs()} == {
            "a": "running",
            "b": "cancelled",
            "c": "cancelled",
        }
    assert store.reader.verify() == []
    async with runtime(tmp_path) as rt:
        assert rt.get("a").status == "running"
        assert rt.get("b").status == "cancelled"
        assert (await rt.get("b").history())[-1].detail == "cancelled"


def test_a_store_keeps_what_its_retention_says(tmp_path: Path) -> None:
    async def story() -> None:
        retention = ps.Retention(max_age=3_600, max_runs=5)
        async with runtime(tmp_path, retention=retention) as rt:
            waits = await rt.start(shop, 1, run_id="waits")
            for number in range(12):
                await rt.run(noop, number, run_id=f"n{number}")
            await asyncio.sleep(70)
            kept = [info.run_id for info in await rt.runs()]
            assert kept == ["n11", "n10", "n9", "n8", "n7", "waits"]
            await asyncio.sleep(3_700)
            assert [info.run_id for info in await rt.runs()] == ["waits"]
            assert waits.status == "running"
        async with runtime(tmp_path) as rt:
            with pytest.raises(ps.RunNotFound):
                rt.get("n11")
            await rt.run(noop, 5, run_id="n11")
            assert rt.get("waits").status == "running"

    VirtualClock().run(story())
    assert view(tmp_path).reader.verify() == []


async def test_runs_are_forgotten_from_outside(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        for number in range(8):
            await rt.run(noop, number)
        store = view(tmp_path)
        assert (await order(store, "prune", "", {"max_runs": 3})).told == "forgot 5 runs"
        assert len(await rt.runs()) == 3, "they are gone when that is told"
        assert (await order(store, "prune", "", {"max_age": 3_600})).told == "forgot 0 runs"


def test_a_retention_is_checked() -> None:
    with pytest.raises(ps.DefinitionError, match="has no limit"):
        ps.Retention()
    with pytest.raises(ps.DefinitionError, match=r"Retention\.max_age"):
        ps.Retention(max_age=-1)
    with pytest.raises(ps.DefinitionError, match=r"Retention\.max_runs"):
        ps.Retention(max_runs=1.5)  # type: ignore[arg-type]
    with pytest.raises(ps.DefinitionError, match=r"pass ps\.Retention"):
        ps.Runtime(retention=5)  # type: ignore[arg-type]


COMMANDER = """
import json, sys, time, uuid
from penstock._stored import StoreView
from pathlib import Path

store, slowest = StoreView(Path(sys.argv[1])), 0.0
for verb in ["pause", "resume"] * 5:
    begun = time.monotonic()
    number = store.reader.command(uuid.uuid4().hex, "target", verb, "{}", "tests", time.time())
    while (text := store.reader.outcome(number)) is None:
        time.sleep(0.002)
    assert json.loads(text)["done"], text
    slowest = max(slowest, time.monotonic() - begun)
print(slowest)
"""


async def test_commands_land_while_the_loop_is_under_load(tmp_path: Path) -> None:
    """Beside a writer that commits back to back, another process would starve."""
    async with runtime(tmp_path) as rt:
        await standing(await rt.start(shop, 1, run_id="target"), records=4)
        busy = True

        async def load() -> None:
            while busy:
                for run in await rt.start_many(noop, range(200)):
                    await run.result()

        work = asyncio.create_task(load())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMANDER, str(tmp_path / "a.db"), stdout=subprocess.PIPE
        )
        told, _ = await process.communicate()
        busy = False
        await work
        assert process.returncode == 0
        assert float(told) < 5.0
