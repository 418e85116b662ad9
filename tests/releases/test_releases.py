"""Releases: a candidate gets some runs, and stays or goes by what they show."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import penstock as ps
from loops import virtual
from penstock._cli._app import app

PROMPT = ps.Setting("answer.prompt", "usual", owner="ml")
FAILING = {"usual": 0.02, "as good": 0.02, "worse": 0.12}
STRICT = ps.Criteria(objectives={"success": ps.drop(0.02)}, guardrails={})


NUMBERS = [0]


@pytest.fixture(autouse=True)
def _same_luck() -> None:
    """Ids decide about arms, and dice about failures."""
    random.seed(7)
    NUMBERS[0] = 0


@ps.step(owner="ml", playbook="page ml")
async def answer(text: str, ctx: ps.Context) -> str:
    prompt = ctx.get(PROMPT)
    if random.random() < FAILING[prompt]:
        raise ValueError("no good")
    return prompt


@ps.workflow(owner="cx")
def talk(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(answer, text)


@ps.step
async def old(text: str) -> str:
    return "old"


@ps.step
async def new(text: str) -> str:
    return "new"


@ps.workflow(name="chat", version="1")
def chat_1(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(old, text)


@ps.workflow(name="chat", version="2")
def chat_2(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(new, text)


async def ran(rt: ps.Runtime, flow: Any, count: int, **options: Any) -> list[str]:
    """What so many runs have given; "failed" for those that did."""

    async def one(number: int) -> str:
        NUMBERS[0] += 1
        try:
            given: str = await rt.run(flow, str(number), run_id=f"run {NUMBERS[0]}", **options)
        except ps.RunFailed:
            return "failed"
        return given

    return list(await asyncio.gather(*map(one, range(count))))


async def decided(rt: ps.Runtime, release: ps.Release, *, most: int = 40_000) -> int:
    """Run until the release is decided; how many runs that took."""
    count = 0
    while _state(release) == "running" and count < most:
        await ran(rt, talk, 50)
        count += 50
    return count


@virtual
async def test_a_worse_candidate_is_rolled_back_and_the_next_run_is_the_usual_one() -> None:
    """Nobody has to look: the runs themselves have shown it."""
    async with ps.Runtime(workflows=[talk]) as rt:
        seen: list[ps.ReleaseEvent] = []
        following = asyncio.ensure_future(_follow(rt, seen))
        await ran(rt, talk, 200)
        release = await rt.release(talk, overlay={PROMPT: "worse"}, share=0.2)
        assert _state(release) == "running"
        assert "canary runs" in release.needed
        await decided(rt, release)
        assert _state(release) == "rolled_back"
        assert "failed" in release.reason
        assert "e-value" in release.reason
        assert set(await ran(rt, talk, 100)) <= {"usual", "failed"}
        assert [event.kind for event in seen] == ["release_began", "release_rolled_back"]
        assert seen[1].owner == "cx"
        assert seen[1].playbooks == {"answer": "page ml"}
        assert seen[1].reason == release.reason
        following.cancel()


@virtual
async def test_a_candidate_that_is_as_good_is_promoted_and_watched() -> None:
    async with ps.Runtime(workflows=[talk]) as rt:
        release = await rt.release(
            talk, overlay={PROMPT: "as good"}, share=0.5, criteria=STRICT, horizon=60.0
        )
        await decided(rt, release)
        assert _state(release) == "promoted", release.reason
        assert set(await ran(rt, talk, 100)) <= {"as good", "failed"}
        seen: list[ps.ReleaseEvent] = []
        following = asyncio.ensure_future(_follow(rt, seen))
        FAILING["as good"] = 0.3
        try:
            await ran(rt, talk, 500)
        finally:
            FAILING["as good"] = 0.02
        assert [event.kind for event in seen] == ["drift_alarm"]
        change = (await rt.scorecard()).whole.change
        assert change is not None
        (drift,) = change.drift
        assert drift.baseline > 0.97
        assert drift.now < 0.9
        assert change.failure.value == 1.0, "a full release that an alarm was raised of"
        await release.rollback(by="ada")
        assert _state(release) == "rolled_back"
        assert set(await ran(rt, talk, 100)) <= {"usual", "failed"}
        following.cancel()


@virtual
async def test_what_is_undecided_at_its_limit_is_held_for_a_person() -> None:
    async with ps.Runtime(workflows=[talk]) as rt:
        release = await rt.release(
            talk, overlay={PROMPT: "as good"}, share=0.5, max_runs=40, horizon=60.0
        )
        await decided(rt, release)
        assert _state(release) == "held"
        assert "undecided after 40 canary runs" in release.reason
        assert {"usual", "as good"} <= set(await ran(rt, talk, 100))
        await release.promote(by="ada")
        assert _state(release) == "promoted"
        assert set(await ran(rt, talk, 100)) <= {"as good", "failed"}
        await release.end()
        assert set(await ran(rt, talk, 100)) <= {"usual", "failed"}


@virtual
async def test_another_version_is_a_candidate_too() -> None:
    async with ps.Runtime(workflows=[chat_1, chat_2]) as rt:
        release = await rt.release(chat_2, share=0.3, horizon=60.0)
        assert (release.baseline.name, release.candidate.name) == ("1", "2")
        given = await ran(rt, chat_1, 400)
        assert 0.2 < given.count("new") / 400 < 0.4
        await release.promote()
        assert set(await ran(rt, chat_1, 50)) == {"new"}


@virtual
async def test_a_run_keeps_its_arm_and_a_tenant_keeps_to_one() -> None:
    async with ps.Runtime(workflows=[talk]) as rt:
        release = await rt.release(
            talk, overlay={PROMPT: "as good"}, share=0.5, sticky_by="tenant", horizon=60.0
        )
        for tenant in ("a", "b", "c", "d", "e", "f"):
            given = set(await ran(rt, talk, 20, tenant=tenant)) - {"failed"}
            assert len(given) == 1, "a tenant's runs are all of one arm"
        await release.rollback()
        release = await rt.release(
            talk, overlay={PROMPT: "as good"}, share=0.5, horizon=60.0, again=True
        )
        assert release.name.endswith("#2")
        first = [await rt.start(talk, "x", run_id=f"run-{i}") for i in range(20)]
        second = [await rt.start(talk, "x", run_id=f"run-{i}") for i in range(20)]
        for one, other in zip(first, second, strict=True):
            assert await _given(one) == await _given(other)


@virtual
async def test_many_runs_at_once_go_to_their_arms() -> None:
    async with ps.Runtime(workflows=[chat_1, chat_2]) as rt:
        await rt.release(chat_2, share=0.5, horizon=60.0)
        runs = await rt.start_many(chat_1, [str(i) for i in range(200)])
        given = [await run.result() for run in runs]
        assert 60 < given.count("new") < 140


async def test_what_became_of_releases_is_in_the_store(tmp_path: Path) -> None:
    store = tmp_path / "talk.db"
    async with ps.Runtime(store, workflows=[talk], durability="async") as rt:
        release = await rt.release(talk, overlay={PROMPT: "worse"}, share=0.5, horizon=60.0)
        await decided(rt, release)
        card = await rt.scorecard()
        assert card.whole.change is not None
        assert card.whole.change.canary_rollbacks.part == 1
    listed = CliRunner().invoke(app, ["releases", str(store)])
    assert listed.exit_code == 0
    assert f"{release.name}  rolled back, 50 %, cx" in listed.stdout
    assert release.reason in listed.stdout.replace("\n", " ")
    told = CliRunner().invoke(app, ["releases", str(store), release.name])
    assert "# Risks of talk 1" in told.stdout
    (known,) = json.loads(CliRunner().invoke(app, ["releases", str(store), "--json"]).stdout)
    assert (known["state"], known["by"]) == ("rolled_back", "criteria")
    assert CliRunner().invoke(app, ["releases", str(store), "none"]).exit_code == 2


@virtual
async def test_there_is_one_release_of_a_workflow_at_a_time() -> None:
    async with ps.Runtime(workflows=[talk]) as rt:
        release = await rt.release(talk, overlay={PROMPT: "as good"}, horizon=60.0)
        again = await rt.release(talk, overlay={PROMPT: "as good"}, horizon=60.0)
        assert again.name == release.name
        with pytest.raises(ps.DefinitionError, match="is being released"):
            await rt.release(talk, overlay={PROMPT: "worse"}, horizon=60.0)


@virtual
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": 1.5}, "share is 1.5"),
        ({"max_runs": 0}, "max_runs"),
        ({"horizon": -1.0}, "horizon"),
        ({"sticky_by": "colour"}, "sticky_by is 'colour'"),
        ({"on_undecided": "maybe"}, "on_undecided"),
        ({"overlay": {PROMPT: 7}}, "setting 'answer.prompt' is a str"),
        ({"overlay": None}, "no other version of 'talk' is registered"),
    ],
)
async def test_a_bad_release_is_refused(options: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"overlay": {PROMPT: "worse"}, **options}
    async with ps.Runtime(workflows=[talk]) as rt:
        with pytest.raises(ps.DefinitionError, match=said):
            await rt.release(talk, **given)
        assert set(await ran(rt, talk, 30)) <= {"usual", "failed"}, "nothing was begun"


async def test_a_restart_in_the_middle_loses_no_run_and_counts_none_twice(tmp_path: Path) -> None:
    """Runs before, between and after restarts amount to what one process would have seen."""
    store = tmp_path / "talk.db"
    judged = 0
    for part in range(4):
        async with ps.Runtime(store, workflows=[talk], durability="async") as rt:
            release = await rt.release(talk, overlay={PROMPT: "as good"}, share=0.5, horizon=600.0)
            assert release.name.startswith("talk-1+")
            before = release.verdict
            assert before.runs + before.others == judged, f"at the beginning of part {part}"
            await ran(rt, talk, 30)
            judged += 30
            after = release.verdict
            assert after.runs + after.others == judged
    async with ps.Runtime(store, workflows=[talk]) as rt:
        release = await rt.release(talk, overlay={PROMPT: "as good"}, horizon=600.0)
        await release.promote()
    async with ps.Runtime(store, workflows=[talk]) as rt:
        assert set(await ran(rt, talk, 30)) <= {"as good", "failed"}


GATE = ps.Signal("go", str)


@ps.workflow(owner="cx")
def slow(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
    return flow.call(answer, flow.review(text, GATE, owner="cx"))


async def test_a_run_goes_on_under_the_overlay_it_was_started_with(tmp_path: Path) -> None:
    """A rollback is for runs that start after it, and a restart changes nothing about that."""
    store = tmp_path / "slow.db"
    async with ps.Runtime(store, workflows=[slow]) as rt:
        release = await rt.release(
            slow, overlay={PROMPT: "as good"}, share=0.99, horizon=600.0, on_undecided="rollback"
        )
        for number in range(5):
            await rt.start(slow, "x", run_id=f"run-{number}")
        await release.rollback()
        late = await rt.start(slow, "x", run_id="late")
        assert await late.awaiting()
    async with ps.Runtime(store, workflows=[slow]) as rt:
        given: dict[str, str] = {}
        for run_id in ("run-0", "run-1", "run-2", "late"):
            run = rt.get(run_id)
            await run.signal(GATE, "go")
            given[run_id] = await _given(run)
    assert given["late"] in ("usual", "failed")
    assert [given[f"run-{i}"] for i in range(3)].count("as good") >= 2


def _state(release: ps.Release) -> str:
    return release.state


async def _given(run: ps.Run[str]) -> str:
    try:
        return await run.result()
    except ps.RunFailed:
        return "failed"


async def _follow(rt: ps.Runtime, seen: list[ps.ReleaseEvent]) -> None:
    async for event in rt.events():
        assert isinstance(event, ps.ReleaseEvent)
        seen.append(event)  # it ends with the runtime


async def test_a_kill_in_the_middle_loses_no_run_and_counts_none_twice(tmp_path: Path) -> None:
    """What was judged in figures that were written, and what was recorded after them."""
    store = tmp_path / "talk.db"
    for count in (40, 70):
        program = KILLED.format(store=str(store), count=count)
        killed = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert await killed.wait() == -signal.SIGKILL
    async with ps.Runtime(store, workflows=[talk]) as rt:
        release = await rt.release(talk, overlay={PROMPT: "as good"}, horizon=600.0)
        await rt.join()
        tags = {"penstock.release": release.name}
        runs = await rt.runs(tags=tags, limit=None)
        verdict = release.verdict
        assert len(runs) >= 110
        assert verdict.runs + verdict.others == len(runs)
        canary = await rt.runs(tags={**tags, "penstock.arm": "canary"}, limit=None)
        assert verdict.runs == len(canary)
        said = {evidence.criterion: evidence for evidence in release.evidence}
        failed = sum(run.status == "failed" for run in canary)
        assert said["success"].said.startswith(f"failed {failed} of {len(canary)} canary runs")


KILLED = """
import asyncio, os, signal
import penstock as ps
from test_releases import NUMBERS, PROMPT, ran, talk

async def main():
    async with ps.Runtime({store!r}, workflows=[talk], durability="async") as rt:
        release = await rt.release(talk, overlay={{PROMPT: "as good"}}, share=0.5, horizon=600.0)
        NUMBERS[0] = {count} * 1000
        await ran(rt, talk, {count} // 2)
        rt._releases.save()
        await ran(rt, talk, {count} // 2)
        for number in range(5):
            await rt.start(talk, "x")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
