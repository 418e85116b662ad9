"""Fairness: no tenant's backlog is all there is; in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping

import pytest

import penstock as ps
from loops import Task, virtual
from services import Service


def a_queue(**options: ps.Fairness | int | None) -> ps.Queue:
    return ps.Queue("shared", **{"concurrency": 1, "fairness": ps.Fairness(), **options})  # type: ignore[arg-type]  # parametrised


async def backlog(rt: ps.Runtime, work: ps.Stage[[str], object], counts: Mapping[str, int]) -> None:
    """So many runs of each tenant, one tenant after the other."""
    for tenant, count in counts.items():
        await rt.start_many(work, [tenant] * count, tenant=tenant)


@pytest.mark.parametrize("fair", [True, False])
@virtual
async def test_a_backlog_of_one_tenant_is_not_in_the_way_of_another(task: Task, fair: bool) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=a_queue(fairness=ps.Fairness() if fair else None))
    async def work(tenant: str) -> object:
        return await service.call(tenant)

    async with ps.Runtime(task=task) as rt:
        await backlog(rt, work, {"big": 100, "small": 5})
        await rt.join()
        last_small = max(call.at for call in service.calls if call.who == "small")
        assert last_small == pytest.approx(9, abs=1) if fair else last_small == 104


@virtual
async def test_what_is_shared_is_the_time_that_slots_are_held(task: Task) -> None:
    @ps.step(queue=a_queue())
    async def work(tenant: str) -> None:
        await asyncio.sleep(4.0 if tenant == "slow" else 1.0)

    async with ps.Runtime(task=task, grace=0) as rt:
        await backlog(rt, work, {"slow": 200, "quick": 200})
        await asyncio.sleep(200)
        tenants = rt.stats().tenants
        assert tenants["slow"].held == pytest.approx(tenants["quick"].held, abs=8)
        assert tenants["quick"].attempts == pytest.approx(100, abs=8)


@virtual
async def test_attempts_can_be_shared_instead(task: Task) -> None:
    service = Service()

    @ps.step(queue=a_queue(fairness=ps.Fairness(by="attempts")))
    async def work(tenant: str) -> object:
        service.takes = 4.0 if tenant == "slow" else 1.0
        return await service.call(tenant)

    async with ps.Runtime(task=task, grace=0) as rt:
        await backlog(rt, work, {"slow": 50, "quick": 50})
        await rt.join()
        counts = Counter(service.order[:50])
        assert counts["slow"] == pytest.approx(25, abs=1)


@virtual
async def test_tokens_can_be_shared_as_they_are_used(task: Task) -> None:
    used: Counter[str] = Counter()

    @ps.step(queue=a_queue(fairness=ps.Fairness(by="tokens")), estimate=ps.Cost(tokens=100))
    async def ask(tenant: str, ctx: ps.Context) -> None:
        tokens = 900 if tenant == "wordy" else 100
        await asyncio.sleep(1.0)
        ctx.used(tokens=tokens)
        used[tenant] += tokens

    async with ps.Runtime(task=task, grace=0) as rt:
        for tenant in ("wordy", "terse"):
            await rt.start_many(ask, [tenant] * 300, tenant=tenant)
        await asyncio.sleep(200)
        assert used["wordy"] == pytest.approx(used["terse"], abs=1_800)


@pytest.mark.parametrize("by", ["time", "attempts", "tokens"])
@virtual
async def test_a_tenant_gets_as_much_as_its_weight(task: Task, by: str) -> None:
    service = Service(takes=1.0)
    fairness = ps.Fairness(weights={"gold": 3.0, "silver": 2.0}, by=by)  # type: ignore[arg-type]  # parametrised

    @ps.step(queue=a_queue(fairness=fairness), estimate=ps.Cost(tokens=7))
    async def work(tenant: str) -> object:
        return await service.call(tenant)

    async with ps.Runtime(task=task, grace=0) as rt:
        await backlog(rt, work, {"anybody": 100, "silver": 100, "gold": 100})
        await asyncio.sleep(60)
        counts = Counter(service.order)
        assert counts["gold"] == pytest.approx(30, abs=2)
        assert counts["silver"] == pytest.approx(20, abs=2)
        assert counts["anybody"] == pytest.approx(10, abs=2)


@virtual
async def test_turns_can_not_be_saved_up(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=a_queue())
    async def work(tenant: str) -> object:
        return await service.call(tenant)

    async with ps.Runtime(task=task, grace=0) as rt:
        await backlog(rt, work, {"late": 1, "busy": 300})
        await asyncio.sleep(100)  # during which `late` asks for nothing
        before = len(service.calls)
        await backlog(rt, work, {"late": 50})
        await asyncio.sleep(20)
        assert Counter(service.order[before:])["late"] == pytest.approx(10, abs=1)


@virtual
async def test_a_priority_stands_above_fairness(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=a_queue())
    async def work(tenant: str) -> object:
        return await service.call(tenant)

    async with ps.Runtime(task=task, grace=0) as rt:
        await rt.start_many(work, ["first"] * 20, tenant="first", priority=2)
        await rt.start_many(work, ["second"] * 20, tenant="second", priority=3)
        await rt.join()
        assert service.order == ["first"] * 20 + ["second"] * 20


@virtual
async def test_runs_of_one_tenant_keep_their_order(task: Task) -> None:
    service = Service(takes=1.0)

    @ps.step(queue=a_queue())
    async def work(number: int) -> object:
        return await service.call(number)

    async with ps.Runtime(task=task) as rt:
        await rt.start_many(work, range(60), tenant=lambda number: "abc"[number % 3])
        await rt.join()
        for rest in range(3):
            own = [x for x in service.order if isinstance(x, int) and x % 3 == rest]
            assert own == sorted(own)


@pytest.mark.parametrize("seed", range(5))
@virtual
async def test_random_work_is_shared_within_a_few_attempts(task: Task, seed: int) -> None:
    dice = random.Random(seed)
    tenants = [f"t{number}" for number in range(4)]
    longest = 5.0
    weights = {tenant: dice.choice([0.5, 1.0, 2.0]) for tenant in tenants}
    slots = dice.randint(1, 4)
    held = dict.fromkeys(tenants, 0.0)

    @ps.step(queue=a_queue(concurrency=slots, fairness=ps.Fairness(weights=weights)))
    async def work(tenant: str) -> None:
        takes = dice.uniform(0.1, longest)
        await asyncio.sleep(takes)
        held[tenant] += takes

    async with ps.Runtime(task=task, grace=0) as rt:
        batch = [tenant for tenant in tenants for _ in range(400)]
        dice.shuffle(batch)
        await rt.start_many(work, batch, tenant=lambda tenant: tenant)
        for _ in range(10):
            await asyncio.sleep(20)
            shares = {tenant: held[tenant] / weights[tenant] for tenant in tenants}
            # What is under way and the estimate of its time are what they may differ by.
            allowed = (slots + 2) * longest / min(weights.values())
            assert max(shares.values()) - min(shares.values()) <= allowed, shares
