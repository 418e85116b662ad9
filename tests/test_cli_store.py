"""The commands on stores: beside a runtime that has one open, and without any."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import penstock as ps
from durable.orders import checkout, runtime, shop, standing, view, wrong
from loops import noop
from penstock._cli._app import app
from penstock._cli._store import duration
from penstock._scorecard._words import span

FLOWS = Path(__file__).parent / "durable" / "orders.py"


def run(*arguments: object) -> Result:
    """A command in this process: for stores that nobody has open."""
    return CliRunner().invoke(app, [str(it) for it in arguments], env={"COLUMNS": "200"})


async def beside(*arguments: object) -> tuple[int, str, str]:
    """A command in a process of its own: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a run that waits, one that succeeded and one that failed; nobody has it open."""

    async def fill() -> None:
        async with runtime(tmp_path) as rt:
            waits = await rt.start(shop, 2, run_id="waits", tenant="acme", tags={"kind": "big"})
            await standing(waits, records=7)
            await rt.run(noop, 7, run_id="good")
            with pytest.raises(ps.RunFailed):
                await rt.run(wrong, 7, run_id="bad")

    asyncio.run(fill())
    return tmp_path / "a.db"


def test_runs_lists_and_filters(store: Path) -> None:
    listed = run("runs", store)
    assert listed.exit_code == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("bad", "good", "waits")] == [
        "bad",
        "good",
        "waits",
    ]
    assert "3 shown; in the store: 1 failed, 1 running, 1 succeeded; not open" in listed.stdout
    assert "acme kind=big" in listed.stdout

    def ids(*options: str) -> list[str]:
        found = run("runs", store, "--json", *options)
        assert found.exit_code == 0, found.stderr
        return [info["run_id"] for info in json.loads(found.stdout)]

    assert ids("--status", "failed", "--status", "running") == ["bad", "waits"]
    assert ids("--workflow", "shop", "--version", "2") == ["waits"]
    assert ids("--tag", "kind=big") == ["waits"]
    assert ids("--tenant", "other") == []
    assert ids("--since", "1h", "--limit", "1") == ["bad"]
    assert ids("--until", "2020-01-01") == []


def test_show_tells_attempts_waits_errors_and_where_it_stands(store: Path) -> None:
    shown = run("show", store, "waits").stdout
    assert "shop/parts[1]" in shown
    assert "ValueError: the model is [busy]; waits 1 ms, until" in shown
    assert "shop/approval  awaiting: waits for signal approval (str)" in shown
    bad = run("show", store, "bad").stdout
    assert "KeyError: 'no'; for good" in bad
    assert "at wrong/wrong after 1 attempt: KeyError: 'no'" in bad
    assert "raise KeyError" not in bad
    assert "raise KeyError" in run("show", store, "bad", "--full").stdout
    assert run("show", store, "good").stdout.rstrip().endswith(": 7")
    content = json.loads(run("show", store, "waits", "--json").stdout)
    assert content["open"] == [{"node": "shop/approval", "state": "awaiting"}]
    assert [record["kind"] for record in content["records"]][:3] == ["accepted", "done", "opened"]
    assert content["records"][1]["value"] == [0, 1]


def test_a_run_colours_its_graph(store: Path, tmp_path: Path) -> None:
    target, picture = f"{FLOWS}:shop", tmp_path / "shop.svg"
    drawn = run("graph", target, "--store", store, "--run", "waits", "-o", picture)
    assert drawn.exit_code == 0, drawn.stderr
    assert picture.read_text("utf-8") != run("graph", target, "--format", "svg").stdout
    refused = run("graph", f"{FLOWS}:checkout", "--store", store, "--run", "waits")
    assert refused.exit_code == 2
    assert "run 'waits' is of 'shop' version '2'" in refused.stderr
    assert run("graph", target, "--store", store).exit_code == 2


def test_orders_without_a_runtime_are_left_for_the_next_open(store: Path, tmp_path: Path) -> None:
    left = run("signal", store, "waits", "approval", '"cart"')
    assert left.exit_code == 0
    assert "is carried out when it is opened next" in left.stdout

    async def open_again() -> str:
        async with runtime(tmp_path) as rt:
            result: str = await rt.get("waits").result()
            return result

    assert asyncio.run(open_again()) == "s0+s1 by cart"
    over = run("cancel", store, "waits")
    assert (over.exit_code, over.stderr) == (1, "penstock: run 'waits' is over: succeeded\n")


def test_held_runs_are_listed_and_released(store: Path) -> None:
    async def hold() -> None:
        async with ps.Runtime(store) as rt:
            assert rt.get("waits").status == "held"

    asyncio.run(hold())
    listed = run("dead-letters", store)
    assert "waits  shop 2" in listed.stdout
    assert "workflow 'shop' version '2' is not registered" in listed.stdout
    assert (
        "goes on when the store is opened next"
        in run("dead-letters", store, "--release", "waits").stdout
    )
    assert run("dead-letters", store).stdout == "no run is held\n"
    again = run("dead-letters", store, "--release", "waits")
    assert (again.exit_code, again.stderr) == (1, "penstock: run 'waits' is running, not held\n")


def test_runs_whose_retry_nobody_pays_for_are_listed_as_well(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    budget = ps.RetryBudget(ratio=0, floor=0.001, stored=1, on_denial="dead_letter")
    retry = ps.RetryPolicy(max_attempts=3, initial_interval=0)

    @ps.step(queue=ps.Queue("bank", retry_budget=budget), retry=retry)
    async def pay(x: int) -> int:
        raise OSError("down")

    async def fail() -> None:
        async with ps.Runtime(path) as rt:
            run = await rt.start(pay, 1, run_id="unpaid")
            with pytest.raises(ps.RunHeld, match="after 2 attempts"):
                await run.result()

    asyncio.run(fail())
    listed = run("dead-letters", path).stdout
    assert "unpaid  pay 1" in listed
    assert "pays for no further attempt of pay/pay" in listed.replace("\n", " ")
    (told,) = json.loads(run("dead-letters", path, "--json").stdout)
    assert told["run_id"] == "unpaid"
    refused = run("dead-letters", path, "--release", "unpaid")
    assert "is paused, not held; see penstock resume" in refused.stderr
    assert "parked: dead letter" in run("show", path, "unpaid").stdout


def test_runs_are_forgotten_exported_and_verified(store: Path, tmp_path: Path) -> None:
    lines = run("export", store).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["run_id"] for row in rows if row["type"] == "run"] == ["bad", "good", "waits"]
    waits = [row for row in rows if row["type"] == "record" and row["run_id"] == "waits"]
    assert [row["seq"] for row in waits] == list(range(len(waits)))
    assert "shop/parts[1]" in {row["node"] for row in waits}
    out = tmp_path / "out.jsonl"
    assert run("export", store, "--run", "good", "-o", out).exit_code == 0
    assert len(out.read_text("utf-8").splitlines()) == 4

    assert "is sound: 3 runs" in run("verify", store).stdout
    assert run("prune", store, "--older-than", "1h").stdout == "prune: forgot 0 runs\n"
    assert run("prune", store, "--keep", "1").stdout == "prune: forgot 1 run\n"
    assert [info.run_id for info in view(tmp_path).runs()] == ["bad", "waits"]
    assert json.loads(run("verify", store, "--json").stdout) == {
        "problems": [],
        "runs": {"failed": 1, "running": 1},
    }


def test_a_damaged_store_is_told(store: Path) -> None:
    content = store.read_bytes()
    assert b"s0" in content
    store.write_bytes(content.replace(b'"s0"', b'"s9"'))
    verified = run("verify", store)
    assert verified.exit_code == 1
    assert "its checksum is wrong" in verified.stdout
    shown = run("show", store, "waits")
    assert shown.exit_code == 2
    assert "run `penstock verify` on it" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["runs", "none.db"], "there is no store at none.db"),
        (["runs", "postgres://x"], "there is no store for 'postgres://x'"),
        (["runs", "STORE", "--status", "done"], "no status is 'done'"),
        (["runs", "STORE", "--tag", "x"], "--tag 'x' has no '='"),
        (["runs", "STORE", "--since", "soon"], "--since 'soon' is no time"),
        (["show", "STORE", "zz"], "has no run 'zz'"),
        (["cancel", "STORE", "zz"], "has no run 'zz'"),
        (["signal", "STORE", "waits", "approval", "bike"], "'bike' is no JSON"),
        (["resolve", "STORE", "waits", "shop/ship"], "give exactly one of --result"),
        (["prune", "STORE"], "say which runs"),
        (["prune", "STORE", "--older-than", "old"], "--older-than 'old' is no duration"),
        (["export", "STORE", "--run", "zz"], "has no run 'zz'"),
    ],
)
def test_a_mistake_in_the_call_is_told_with_a_remedy(
    arguments: list[str], told: str, store: Path
) -> None:
    ran = run(*(store if it == "STORE" else it for it in arguments))
    assert ran.exit_code == 2
    assert told in ran.stderr


async def test_orders_reach_the_runtime_that_has_the_store_open(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        store = tmp_path / "a.db"
        runs = [await rt.start(shop, 1, run_id=run_id) for run_id in ("a", "b")]
        for each in runs:
            await standing(each, records=4)
        unknown = await rt.start(checkout, [1], run_id="c")
        await standing(unknown, "paused")

        listed, shown, paused, wrong_type = await asyncio.gather(
            beside("runs", store),
            beside("show", store, "c"),
            beside("pause", store, "a"),
            beside("signal", store, "b", "approval", "5"),
        )
        assert f"open in process {os.getpid()}" in listed[1]
        assert "checkout/all[0]  unknown" in shown[1]
        assert paused == (
            0,
            "pause of run 'a': paused; attempts under way go on to their end\n",
            "",
        )
        assert wrong_type[0] == 1
        assert (
            "signal of run 'b' was refused: the value of signal approval is no str"
            in (wrong_type[2])
        )
        cancelled, signalled, resolved = await asyncio.gather(
            beside("cancel", store, "a"),
            beside("signal", store, "b", "approval", '"bike"'),
            beside("resolve", store, "c", "checkout/all[0]", "--result", '"paid"'),
        )
        assert cancelled[0] == signalled[0] == resolved[0] == 0
        assert await unknown.result() == ["paid"]
        assert await runs[1].result() == "s0 by bike"
        assert runs[0].status == "cancelled"
        again, pruned = await asyncio.gather(
            beside("pause", store, "b"), beside("prune", store, "--keep", "3")
        )
        assert again == (1, "", "penstock: run 'b' is over: succeeded\n")
        assert pruned == (0, "prune: forgot 0 runs\n", "")


async def test_what_is_over_is_tried_again_or_copied(tmp_path: Path) -> None:
    """Orders about runs that are over were refused, these too."""
    async with runtime(tmp_path) as rt:
        store = tmp_path / "a.db"
        waits = await rt.start(shop, 1, run_id="a")
        await standing(waits, records=4)
        await waits.cancel()
        with pytest.raises(ps.RunCancelled):
            await waits.result()
        await rt.run(noop, 7, run_id="good")
        retried, copied = await asyncio.gather(
            beside("retry", store, "a"),
            beside("fork", store, "good", "--from-step", "noop/noop", "--run-id", "copy"),
        )
        assert retried == (0, "retry of run 'a': tried again; it is running now\n", "")
        assert copied == (0, "fork of run 'good': the copy is run copy\n", "")
        assert await rt.get("copy").result() == 7
        again = await beside("retry", store, "good")
        assert again[0] == 1
        assert "there is nothing to retry" in again[2]


async def test_an_order_that_is_not_answered_in_time_says_so(tmp_path: Path) -> None:
    async with runtime(tmp_path) as rt:
        await standing(await rt.start(shop, 1, run_id="a"), records=4)
        # A loop that is blocked can't take in anything.
        code = "import sys; sys.argv[0] = 'penstock'; from penstock._cli import main; main()"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            *("pause", str(tmp_path / "a.db"), "a", "--wait", "0"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"was not answered within 0 s; it stays in the store" in err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000049, "5 µs"),
        (0.00123, "1.23 ms"),
        (3.14, "3.14 s"),
        (7_500, "2 h 5 min"),
        (86_400, "1 d"),
    ],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_durations_are_read() -> None:
    assert [duration(text, "it") for text in ("90s", "1.5m", "24h", "7d")] == [
        90.0,
        90.0,
        86_400.0,
        604_800.0,
    ]
