"""`python benches/ledger.py [--quick]`: what booking costs, and whether nothing of it is lost.

- a million lines booked over several restarts of a store, one of them a kill: the totals have to be
  exact to the nano-dollar, whatever the time;
- what a call of `ctx.spend` takes, and a booking of the native side from Python; that of the engine
  alone is in `cargo bench -p penstock-engine --bench structures`;
- the dispatch path with `ctx.spend.tokens` in every step, beside the same without;
- a scorecard over a million stored runs from their rollups.

Says which targets are met. Only the exactness fails it: times are told, not judged.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

import penstock as ps
from control_flow import seconds
from penstock._figures import scorecard_of_store
from penstock._stored import StoreView
from table import refuse_debug_build, surroundings

LIVES, LINES_EACH = 5, 200
STEPS, ITEMS, RUNS, IN_FLIGHT, ROUNDS = 100, 1_000, 2_000, 256, 9
STORED, HOURS = 1_000_000, 24
TENANTS = 20
DISPATCH_TARGET, SCORECARD_TARGET = 1.10, 2.0

PRICES = ps.PriceBook(
    rates={
        "models": {"m": {"input": 1.337, "cached": 0.1337, "output": 7.1}},
        "tools": {"t": 0.000_123_457},
    },
    package=None,
)


def nanos_of(x: int) -> int:
    """What one booking of `tokens` and one of a tool cost: 1.337, 0.1337 and 7.1 dollars a million.

    Written out in whole numbers, apart from what is measured: a half goes to the even one.
    """

    def priced(units: int, rate: int) -> int:
        nanos, rest = divmod(units * rate, 10**6)
        return nanos + (2 * rest > 10**6 or (2 * rest == 10**6 and nanos % 2))

    sent, cached, output = x % 977 + 100, x % 89 + 1, x % 311 + 1
    return (
        priced(sent - cached, 1_337_000_000)
        + priced(cached, 133_700_000)
        + priced(output, 7_100_000_000)
        + 123_457
    )


@ps.step(effects="idempotent", retry=ps.RetryPolicy(max_attempts=2, initial_interval=0.001))
async def work(run: int, ctx: ps.Context) -> int:
    """Books `LINES_EACH` lines, four at a time; every tenth run fails once at the end of that."""
    for call in range(LINES_EACH // 4):
        x = run * LINES_EACH + call
        ctx.spend.tokens("m", input=x % 977 + 100, cached=x % 89 + 1, output=x % 311 + 1)
        ctx.spend.tool("t")
        if call % 16 == 15:
            await asyncio.sleep(0)
    if run % 10 == 0 and ctx.attempt == 1:
        raise ValueError(run)
    return run


def spent_by(run: int) -> int:
    """Nano-dollars of a run that nothing cuts off."""
    calls = (run * LINES_EACH + call for call in range(LINES_EACH // 4))
    return sum(map(nanos_of, calls)) * (2 if run % 10 == 0 else 1)


def live(path: Path, first: int, last: int, *, dies: bool) -> None:
    """One life of the service: in a process of its own."""

    async def main() -> None:
        async with ps.Runtime(path, workflows=[work], prices=PRICES, durability="async") as rt:
            # What an earlier life has left goes on by itself.
            for begin in range(first, last, IN_FLIGHT):
                runs = range(begin, min(begin + IN_FLIGHT, last))
                ids = [f"r{run}" for run in runs]
                started = await rt.start_many(work, runs, run_ids=ids, tenant=_tenant)
                if dies and begin + IN_FLIGHT >= last:
                    await started[1].result()  # the others are under way, or their ends not on disk
                    os.kill(os.getpid(), signal.SIGKILL)
                for run in started:
                    await run.result()

    uvloop.run(main())


def _tenant(run: int) -> str:
    return f"t{run % TENANTS}"


async def exactness(path: Path, lines: int) -> float:
    """Book so many lines, and hold all totals against each other; the seconds of booking them."""
    runs = lines // LINES_EACH
    began = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    for each in range(LIVES):
        first, last = runs * each // LIVES, runs * (each + 1) // LIVES
        child = spawn.Process(target=live, args=(path, first, last), kwargs={"dies": each == 2})
        child.start()
        await asyncio.to_thread(child.join)
        expected = -signal.SIGKILL if each == 2 else 0
        assert child.exitcode == expected, f"life {each} ended with {child.exitcode}"
    taken = time.perf_counter() - began
    async with ps.Runtime(path, workflows=[work], prices=PRICES) as rt:
        await rt.join()
        card = await rt.scorecard(by="tenant")
        by_run = {
            info.run_id: await rt.get(info.run_id).spend() for info in await rt.runs(limit=None)
        }
    # The kill may have lost starts that were not on disk, as "async" says; they never happened.
    assert runs - IN_FLIGHT <= len(by_run) <= runs
    total = sum(spend.usd.nanos for spend in by_run.values())
    cut = {run for run, spend in by_run.items() if any(line.cut for line in spend.lines)}
    for run, spend in by_run.items():
        again = sum(line.usd.nanos for line in spend.lines if line.cut)
        assert spend.usd.nanos - again == spent_by(int(run[1:])), run
    money = card.whole.economics
    assert money.cost.nanos == total
    assert sum(it.nanos for it in money.resources.values()) == total
    assert sum(it.nanos for by in money.steps.values() for it in by.values()) == total
    assert sum(it.nanos for it in money.tenants.values()) == total
    assert sum(it.nanos for it in (money.cash or {}).values()) == total
    assert money.waste.total == total
    assert money.waste.unsettled == 0
    assert sum(group.economics.cost.nanos for group in card.groups) == total
    print(
        f"exact  {money.cost.lines:,} lines of {len(by_run):,} runs over {LIVES} lives, one of "
        f"them killed under {len(cut):,} runs: {ps.usd(f'{total}e-9')}, in {taken:.1f} s",
        flush=True,
    )
    return taken


async def calls() -> None:
    """Nanoseconds of a call from Python."""
    found: dict[str, float] = {}

    @ps.step
    async def measured(count: int, ctx: ps.Context) -> int:
        spend, core = ctx.spend, rt._core  # noqa: SLF001  # what is measured
        number = core.resource("tool", "t", "", "")

        def per_call(name: str, call: Callable[[], object]) -> None:
            best = min(_timed(call, count) for _ in range(5))
            found[name] = best * 1e9

        per_call("ctx.spend.tool, one line", lambda: spend.tool("t"))
        per_call(
            "ctx.spend.tokens, three lines",
            lambda: spend.tokens("m", input=1_000, cached=400, output=100),
        )
        line = [(number, 1, 5)]
        attempt = ctx._key  # noqa: SLF001  # what is measured
        per_call("the native side's part of one line", lambda: core.spend(attempt, line))
        per_call("an empty call, to take off", lambda: None)
        return count

    async with ps.Runtime(prices=PRICES) as rt:
        await rt.run(measured, 20_000)
    for name, nanos in found.items():
        print(f"       {name}: {nanos:,.0f} ns", flush=True)


def _timed(call: Callable[[], object], count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


@ps.step
async def plain(x: int, ctx: ps.Context) -> int:  # noqa: ARG001  # as the other has one
    return x + 1


@ps.step
async def spending(x: int, ctx: ps.Context) -> int:
    ctx.spend.tokens("m", input=1_000, output=100)
    return x + 1


def chain(step: ps.Stage[..., int], name: str) -> ps.Workflow[[int], int]:
    @ps.workflow(name=f"chain-{name}")
    def drawn(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        for _ in range(STEPS):
            x = flow.call(step, x)
        return x

    return drawn


def fan_out(step: ps.Stage[..., int], name: str) -> ps.Workflow[[int], int]:
    @ps.workflow(name=f"fan-{name}")
    def drawn(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        return flow.apply(len, flow.collect(*(flow.call(step, x) for _ in range(ITEMS))))

    return drawn


async def ratios(rounds: int) -> dict[str, tuple[float, float]]:
    """The median ratio of a few rounds, both in turn; and microseconds more for a step."""
    steps = {"plain": plain, "spending": spending}
    chains = {name: chain(step, name) for name, step in steps.items()}
    fans = {name: fan_out(step, name) for name, step in steps.items()}
    found: dict[str, list[tuple[float, float]]] = {}
    async with ps.Runtime(concurrency=100_000, prices=PRICES) as rt:

        async def many(workflow: ps.Workflow[..., int]) -> None:
            for first in range(0, RUNS, IN_FLIGHT):
                count = min(IN_FLIGHT, RUNS - first)
                await asyncio.gather(*(rt.run(workflow, x) for x in range(count)))

        def goes(name: str) -> dict[str, tuple[Callable[[], Awaitable[object]], int, int]]:
            single = steps[name].as_workflow(1)
            return {
                f"chain of {STEPS}": (lambda: rt.run(chains[name], 1), 100, STEPS),
                f"fan-out of {ITEMS:,}": (lambda: rt.run(fans[name], 1), 10, ITEMS),
                f"runs of one step, {IN_FLIGHT} in flight": (lambda: many(single), 2, RUNS),
            }

        without, with_spend = goes("plain"), goes("spending")
        for _ in range(rounds):
            for shape, (go, times, attempts) in without.items():
                before = await seconds(go, times)
                after = await seconds(with_spend[shape][0], times)
                told = after / before, (after - before) / attempts * 1e6
                found.setdefault(shape, []).append(told)
    return {
        shape: (statistics.median(it[0] for it in each), statistics.median(it[1] for it in each))
        for shape, each in found.items()
    }


async def scorecards(path: Path, runs: int) -> None:
    """Look at the rollups of so many runs over a day, minute by minute and tenant by tenant."""
    dice = random.Random(3)
    per_row = max(runs // (HOURS * 60 * TENANTS), 1)
    async with ps.Runtime(path, workflows=[work], prices=PRICES) as rt:
        now = rt._core.now()  # noqa: SLF001  # rows are written as the runtime itself does
        first = now // 60 * 60 - HOURS * 3_600
        stored = 0
        for minute in range(1, HOURS * 60):
            rows: list[tuple[float, str, str, str]] = []
            for tenant in range(TENANTS):
                rows += rollups(first + minute * 60, f"t{tenant}", per_row, dice)
                stored += per_row
            rt._core.count(rows)  # noqa: SLF001  # likewise
            if minute % 60 == 0:
                await rt._on_disk()  # noqa: SLF001  # likewise
    view = StoreView(path)
    count = len(view.reader.metrics(first, now))
    for by in (None, "step", "tenant"):
        begin = time.perf_counter()
        card = scorecard_of_store(view, first, now, by=by, now=now)
        taken = time.perf_counter() - begin
        assert card.whole.accepted == stored
        met = "pass" if taken <= SCORECARD_TARGET else "MISS"
        print(
            f"{met}  scorecard of {stored:,} stored runs by {by or 'nothing'} from {count:,} rows: "
            f"{taken:.2f} s (target {SCORECARD_TARGET:.0f} s)",
            flush=True,
        )


def rollups(
    window: float, tenant: str, runs: int, dice: random.Random
) -> list[tuple[float, str, str, str]]:
    """A minute's rows of one tenant, as the native side writes them."""
    failed = sum(dice.random() < 0.03 for _ in range(runs))
    nanos = dice.randrange(10**6, 10**7) * runs
    spend = {
        f"{resource}:m": {"lines": runs, "units": 800 * runs, "nanos": nanos // 2}
        for resource in ("input", "output")
    }
    node = {
        "first": runs,
        "retry": failed,
        "succeeded": runs - failed,
        "failed": failed,
        "handoffs": {"accepted": runs},
        "spend": spend,
        "waste": {"useful": nanos // 2 * 2},
        "kinds": {"first": nanos // 2 * 2},
    }
    latency = {str(dice.randrange(2_300, 2_500)): 1 for _ in range(min(runs, 20))}
    runs_key = {"overlay": "", "tenant": tenant, "version": "1", "workflow": "work"}
    body = {
        "accepted": runs,
        "ended": {"succeeded": runs - failed, "failed": failed},
        "first_outcome": {"succeeded": runs - failed, "failed": failed},
        "first_pass": runs - failed,
        "latency": latency,
        "cost": {"nanos": nanos // 2 * 2, "succeeded": nanos // 2, "squares": 1e-6},
        "unpriced": {"of": 2 * runs},
        "waste": {"useful": nanos // 2 * 2},
        "nodes": {f"work/{step}": node for step in ("fetch", "draft", "judge", "send", "work")},
    }
    key = json.dumps(runs_key, sort_keys=True)
    return [
        (window, "runs", key, json.dumps(body)),
        (window, "cash", key, json.dumps(spend)),
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a tenth of the lines and runs")
    options = arguments.parse_args()
    refuse_debug_build()
    print(surroundings(), end="\n\n")
    part = 10 if options.quick else 1
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(exactness(Path(folder) / "lines.db", 1_000_000 // part))
        uvloop.run(calls())
        for shape, (ratio, more) in uvloop.run(ratios(3 if options.quick else ROUNDS)).items():
            met = "pass" if ratio <= DISPATCH_TARGET else "MISS"
            print(
                f"{met}  {shape}: {ratio:.2f}x with ctx.spend.tokens in every step, {more:.2f} µs "
                f"more for each (target {DISPATCH_TARGET}x)",
                flush=True,
            )
        asyncio.run(scorecards(Path(folder) / "rollups.db", STORED // part))


if __name__ == "__main__":
    main()
