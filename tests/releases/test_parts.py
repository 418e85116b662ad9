"""What runs of a release start is of their arm, and counts with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from loops import virtual

TONE = ps.Setting("parts.tone", "usual", owner="ml")
GO = ps.Signal("parts.go", bool)
SEEN: list[str] = []


@ps.step
async def greet(number: int) -> int:
    return number


@ps.step
async def think(number: int, ctx: ps.Context) -> str:
    tone = ctx.get(TONE)
    ctx.spend.usd(0.03 if tone == "dear" else 0.01, resource="thought")
    SEEN.append(tone)
    if tone == "broken":
        raise ValueError(number)
    return tone


@ps.step
async def last(tone: str, ctx: ps.Context) -> str:
    SEEN.append(f"last {ctx.get(TONE)}")
    return tone


@ps.workflow
def grandchild(flow: ps.Flow, tone: ps.Node[str]) -> ps.Node[str]:
    return flow.call(last, tone)


@ps.workflow
def child(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[str]:
    return flow.spawn(grandchild, flow.call(think, number))


@ps.workflow(owner="cx")
def parent(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[str]:
    return flow.spawn(child, flow.call(greet, number))


@ps.workflow
def gated(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[str]:
    go = flow.signal(GO, after=number)
    return flow.call(think, number, after=[go])


@ps.workflow(owner="cx")
def host(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[str]:
    return flow.spawn(gated, flow.call(greet, number))


COST = ps.Criteria(objectives={"success": ps.drop(0.05)}, guardrails={"cost": ps.rise(0.2)})


@virtual
async def test_what_a_run_starts_reads_what_its_root_does() -> None:
    SEEN.clear()
    async with ps.Runtime(workflows=[parent]) as rt:
        release = await rt.release(parent, overlay={TONE: "as good"}, share=0.5, horizon=60.0)
        for number in range(40):
            await rt.run(parent, number, run_id=f"run {number}")
        await rt.join()
        tones = [it for it in SEEN if not it.startswith("last")]
        assert [SEEN.count(it) for it in ("last usual", "last as good")] == [
            tones.count("usual"),
            tones.count("as good"),
        ]
        assert 8 <= tones.count("as good") <= 32
        verdict = release.verdict
        assert (verdict.runs, verdict.others) == (tones.count("as good"), tones.count("usual"))
        await rt.run(child, 1, run_id="by itself")
        await rt.join()
        assert SEEN[-2:] == ["usual", "last usual"], "who has no root runs as the code says"
        assert release.verdict.runs + release.verdict.others == 40


@virtual
async def test_a_candidate_whose_children_cost_more_is_rolled_back() -> None:
    async with ps.Runtime(workflows=[parent]) as rt:
        options: dict[str, Any] = {"share": 0.5, "horizon": 60.0, "criteria": COST}
        release = await rt.release(parent, overlay={TONE: "dear"}, **options)
        for number in range(800):
            await rt.run(parent, number, run_id=f"run {number}")
            await rt.join()
            if release.state != "running":
                break
        assert release.state == "rolled_back"
        assert "cost" in release.reason
        SEEN.clear()
        await rt.run(parent, 1)
        await rt.join()
        assert SEEN == ["usual", "last usual"]


@virtual
async def test_that_a_child_fails_is_no_failure_of_its_root() -> None:
    async with ps.Runtime(workflows=[parent]) as rt:
        release = await rt.release(parent, overlay={TONE: "broken"}, share=0.5, horizon=60.0)
        for number in range(60):
            await rt.run(parent, number, run_id=f"run {number}")
        await rt.join()
        success = next(it for it in release.evidence if it.criterion == "success")
        assert success.canary == 0.0
        assert release.verdict.runs > 10


async def test_children_have_the_tags_of_their_root(tmp_path: Path) -> None:
    async with ps.Runtime(tmp_path / "a.db", workflows=[parent]) as rt:
        release = await rt.release(parent, overlay={TONE: "as good"}, share=0.99, horizon=60.0)
        await rt.run(parent, 1, run_id="r", tags={"channel": "mail"})
        await rt.run(child, 1, run_id="s", tags={"channel": "web"})
        await rt.join()
        found = {it.run_id: dict(it.tags) for it in await rt.runs()}
    root = found["r"]
    assert root["penstock.release"] == release.name
    assert root["penstock.arm"] == "canary"
    assert found["r/child"] == {**root, "penstock.root": "r"}
    assert found["r/child/grandchild"] == {**found["r/child"], "penstock.depth": "2"}
    assert found["s/grandchild"] == {"channel": "web"} == found["s"]


async def test_a_root_is_judged_once_what_it_has_started_is_over(tmp_path: Path) -> None:
    """Also by another process than the one that it ended in."""
    store = tmp_path / "a.db"

    async def asked(rt: ps.Runtime) -> ps.Release:
        overlay = {TONE: "dear"}
        return await rt.release(host, overlay=overlay, share=0.5, horizon=600.0, criteria=COST)

    ids = [f"run {number}" for number in range(8)]
    async with ps.Runtime(store, workflows=[host]) as rt:
        release = await asked(rt)
        for run_id in ids:
            await rt.run(host, 1, run_id=run_id)
        assert release.verdict.runs + release.verdict.others == 0
    async with ps.Runtime(store, workflows=[host]) as rt:
        release = await asked(rt)
        for run_id in ids[:-1]:
            await _let_go(rt, f"{run_id}/gated")
        assert release.verdict.runs + release.verdict.others == 7
    async with ps.Runtime(store, workflows=[host]) as rt:
        release = await asked(rt)
        assert release.verdict.runs + release.verdict.others == 7
        await _let_go(rt, f"{ids[-1]}/gated")
        verdict = release.verdict
        assert verdict.runs + verdict.others == 8
        cost = next(it for it in release.evidence if it.criterion == "cost")
        assert [cost.canary, cost.baseline] == pytest.approx([0.03, 0.01])
        arms = {it.run_id: it.tags["penstock.arm"] for it in await rt.runs(workflow="host")}
        assert list(arms.values()).count("canary") == verdict.runs


async def _let_go(rt: ps.Runtime, run_id: str) -> None:
    run = rt.get(run_id)
    await run.signal(GO, True)
    await run.result()
