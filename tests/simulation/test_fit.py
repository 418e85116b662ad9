"""A fit to runs that were really made, in virtual time, finds what they were made by."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock._simulation import Distribution, Model
from penstock._simulation._fit import fit_of_store
from penstock._simulation._fit._flight import factor_at
from penstock._simulation._simulate import simulate
from penstock._stored import StoreView
from simulation.truth import BOOK, GPT, Load, Truth, served, support

RUNS = 1_500


@contextmanager
def looking(path: Path) -> Generator[StoreView]:
    view = StoreView(path)
    try:
        yield view
    finally:
        view.close()


def fitted(path: Path, *arguments: Any, **options: Any) -> Model:
    with looking(path) as view:
        return fit_of_store(view, *arguments, **options)


@pytest.fixture(scope="module")
def store(stores: Path) -> Path:
    return served(stores / "support.db", RUNS)


@pytest.fixture(scope="module")
def model(store: Path) -> Model:
    return fitted(store)


def off(share: float, count: int) -> Any:
    """What a share of so many may be off by: four standard errors."""
    return pytest.approx(share, abs=4 * sqrt(share * (1 - share) / count))


def test_it_is_a_model_of_the_workflow(store: Path, model: Model, tmp_path: Path) -> None:
    assert model.check(support) == ()
    assert model.fitted is not None
    assert (model.fitted.runs, model.fitted.draft) == (RUNS, False)
    assert Model.fit(store, "support") == model
    for name in ("m.toml", "m.json"):
        model.write(tmp_path / name)
        assert Model.read(tmp_path / name) == model


def test_arrivals_and_tenants_are_found(model: Model) -> None:
    assert model.arrivals.kind == "poisson"
    assert model.arrivals.mean_rate == pytest.approx(Truth.rate, rel=4 / sqrt(RUNS))
    assert model.tenants == {"acme": 0.25, "other": 0.75}
    assert model.outages == ()
    assert model.frailty == 0.0


def test_latencies_are_found(model: Model) -> None:
    small, large = model.steps["small"], model.steps["large"]
    low = 0.8 * RUNS
    # The median of a lognormal is off by 1.25 sigma / sqrt(n).
    error = 4 * 1.2533 * Truth.small_sigma / sqrt(low)
    assert small.latency.quantile(0.5) == pytest.approx(Truth.small_median, rel=error)
    exact = Distribution.lognormal(Truth.small_median, Truth.small_sigma)
    assert small.latency.quantile(0.9) == pytest.approx(exact.quantile(0.9), rel=2 * error)
    assert small.failed_latency is not None
    assert small.failed_latency.quantile(0.5) == pytest.approx(Truth.small_median, rel=0.3)
    assert large.latency == Distribution.constant(Truth.large)
    assert model.steps["page"].latency.mean() == pytest.approx(0.05, rel=4 / sqrt(2 * RUNS))
    for step in model.steps.values():
        assert {factor for _, factor in step.load} == {1.0}


def test_failures_are_found_by_attempt(model: Model) -> None:
    low = int(0.8 * RUNS)
    first, second = model.steps["small"].failure(1), model.steps["small"].failure(2, after="error")
    assert first.error == off(Truth.small_error, low)
    assert first.fatal == off(Truth.small_fatal, low)
    assert second.error == off(Truth.small_again, int(low * Truth.small_error))
    assert second.error > first.error
    assert model.steps["large"].failure(1).total == 0.0


def test_decisions_are_found(model: Model) -> None:
    low = int(0.8 * RUNS)
    choices = model.choices
    assert choices["support/case"].outcomes["high"] == off(Truth.high, RUNS)
    assert choices["support/fine"].until[0] == off(Truth.until, RUNS)
    assert choices["support/fine"].until[1] == off(Truth.until, int(0.4 * RUNS))
    count = choices["support/pages"].count
    assert count is not None
    assert count.mean() == pytest.approx(2.0, abs=4 * 1.9 / sqrt(RUNS))
    (keys,) = [it.keys for it in choices.values() if it.keys]
    assert keys == pytest.approx(Truth.keys, abs=1)
    assert model.steps["small"].accepts(Truth.at) == off(1 - Truth.at, low)


def test_people_are_found(model: Model) -> None:
    signal = model.signals["approval"]
    high = int(0.2 * RUNS)
    # Of those that do answer, a few would have done so after the wait was over.
    assert signal.answered == off(Truth.answered, high)
    assert signal.latency is not None
    assert signal.latency.quantile(0.5) == pytest.approx(Truth.answer * 0.693, rel=0.4)


def test_the_cost_is_that_of_the_journal(store: Path, model: Model) -> None:
    with looking(store) as view:
        spent = sum(
            record.facts.get("nanos") or 0
            for info in view.every()
            for record in view.records(info.run_id)
            if record.kind == "spent"
        )
    found = sum(step.mean_usd * (step.attempts_seen or 0) for step in model.steps.values())
    assert spent > 0
    assert found == pytest.approx(spent / 1e9, rel=1e-3)
    rows = {row.resource: row for row in model.steps["small"].spend}
    assert rows["small:input"].usd_per_unit == 0.00000015
    assert rows["small:input"].units.mean() == pytest.approx(1_000, rel=0.05)
    assert rows["small:output"].units == Distribution.constant(100.0)


def test_what_is_not_known_is_said(model: Model) -> None:
    assert model.fitted is not None
    (gap,) = [it for it in model.fitted.gaps if "cut off" in it] or [""]
    # No attempt was seen to take longer than its timeout.
    assert not gap or "1.4" in gap or "1.3" in gap
    assert not any("never explored" in gap for gap in model.fitted.gaps)


def test_quality_is_that_of_who_gave_the_value(model: Model) -> None:
    """A value above a half was given 0.8, and another one 0.4."""
    assert model.steps["large"].quality == pytest.approx(0.8)
    assert model.steps["apologise"].quality == pytest.approx(0.4)
    good = 0.5 / (1 - Truth.at)
    count = int(0.8 * RUNS * (1 - Truth.at))
    low, high = model.steps["small"].quality, 0.4 * 4 * sqrt(good * (1 - good) / count)
    assert low == pytest.approx(0.4 + 0.4 * good, abs=high)
    assert model.steps["join"].quality is None


def test_a_part_of_the_time_is_a_smaller_model(store: Path, model: Model) -> None:
    with looking(store) as view:
        (newest,) = view.runs(limit=1)
    until = newest.accepted - 60.0
    before = fitted(store, "support", until=until, arrivals="trace")
    after = fitted(store, "support", version="1.0.0", since=until, most=50)
    assert before.fitted is not None
    assert after.fitted is not None
    assert before.fitted.runs + 300 < RUNS + 60
    assert (after.fitted.runs, after.fitted.draft) == (50, True)
    assert "50 runs were read, the newest" in after.fitted.gaps
    assert len(before.arrivals.gaps) == before.fitted.runs - 1


def test_what_is_played_is_what_was_measured(store: Path, model: Model) -> None:
    """The same policies, played by the engine: the runs' own luck is all that may differ."""
    latencies: list[float] = []
    spent = retries = firsts = 0
    with looking(store) as view:
        infos = list(view.every())
        for info in infos:
            if info.status == "succeeded":
                latencies.append((info.ended or 0.0) - info.accepted)
            for record in view.records(info.run_id):
                spent += record.facts.get("nanos") or 0
                tried = record.attempt and "started" in record.facts
                firsts += bool(tried) and record.attempt == 1
                retries += bool(tried) and record.attempt > 1
    (forecast,) = simulate(support, model, runs=20_000, seed=1)
    metrics = {name: it.value or 0.0 for name, it in forecast.metrics.items()}
    latencies.sort()
    assert metrics["success"] == pytest.approx(len(latencies) / RUNS, abs=0.01)
    assert metrics["cost"] == pytest.approx(spent / 1e9 / len(latencies), rel=0.03)
    assert metrics["retry_burden"] == pytest.approx(retries / firsts, rel=0.1)
    assert metrics["latency_p50"] == pytest.approx(latencies[len(latencies) // 2], rel=0.05)


def test_how_far_it_is_can_be_shown(store: Path) -> None:
    told: list[tuple[int, int]] = []
    fitted(store, most=40, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 40) for number in range(1, 41)]


def test_latency_under_load_is_found(stores: Path) -> None:
    Load.slows = True
    try:
        path = served(stores / "slow.db", 500)
    finally:
        Load.slows = False
    small = fitted(path).steps["small"]
    # The first bin reaches to three in flight, where latency is a tenth above that of one.
    assert small.latency.quantile(0.5) == pytest.approx(1.1 * Truth.small_median, rel=0.15)
    assert small.load[0] == (1.0, 1.0)
    assert small.load[-1][0] == 12.0
    for flight, factor in ((5, 1.6 / 1.1), (8, 2.2 / 1.1)):
        assert factor_at(list(small.load), flight) == pytest.approx(factor, rel=0.2)


# Small workflows, one for each question.


def made(
    path: Path,
    workflow: ps.Workflow[[int], Any],
    count: int,
    *,
    gap: float = 1.0,
    after: Callable[[ps.Run[Any], int], Awaitable[None]] | None = None,
    at_once: Callable[[ps.Run[Any], int], Awaitable[None]] | None = None,
    others: tuple[ps.Workflow[[int], Any], ...] = (),
) -> Path:
    """A store of so many runs, one after the other is started.

    Something may be done with each after twenty seconds, or once all are over.
    """

    async def soon(run: ps.Run[Any], number: int) -> None:
        await asyncio.sleep(20.0)
        if at_once is not None:
            await at_once(run, number)

    async def main() -> None:
        runs: list[ps.Run[Any]] = []
        tasks: list[asyncio.Future[None]] = []
        async with ps.Runtime(
            store=str(path), workflows=[workflow, *others], prices=BOOK, durability="async", seed=1
        ) as rt:
            for number in range(count):
                for each in (workflow, *others):
                    run = await rt.start(each, number, run_id=f"{each.name}-{number}")
                    runs.append(run)
                    tasks.append(asyncio.ensure_future(soon(run, number)))
                await asyncio.sleep(gap)
            await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)
            await asyncio.gather(*tasks)
            for number, run in enumerate(runs):
                if after is not None:
                    await after(run, number)

    ps.testing.VirtualClock().run(main())
    return path


dice = random.Random(1)


@ps.step(effects="pure")
async def uneven(number: int) -> float:
    await asyncio.sleep(dice.lognormvariate(0.0, 0.6))
    return 1.0


@ps.step(effects="pure", timeout=1.2, retry=ps.RetryPolicy(max_attempts=1))
async def hurried(number: int) -> float:
    await asyncio.sleep(dice.lognormvariate(0.0, 0.6))
    return 1.0


@ps.step(effects="pure")
async def steady(number: int) -> float:
    await asyncio.sleep(1.0)
    return 2.0


@ps.workflow
def racing(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    return flow.race(flow.call(uneven, number), flow.call(steady, number))


@ps.workflow
def hurrying(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    return flow.call(hurried, number)


def test_losers_of_a_race_are_not_left_out(stores: Path) -> None:
    """Half of them are cut off: those that won are all faster than the truth's median."""
    dice.seed(3)
    model = fitted(made(stores / "1.db", racing, 300))
    for q in (0.1, 0.3, 0.45):
        exact = Distribution.lognormal(1.0, 0.6).quantile(q)
        assert model.steps["uneven"].latency.quantile(q) == pytest.approx(exact, rel=0.15), q
    assert model.steps["uneven"].failure(1).total == 0.0
    assert model.fitted is not None
    assert any("were not waited for" in gap for gap in model.fitted.gaps)


def test_timeouts_are_told_as_what_is_not_known(stores: Path) -> None:
    dice.seed(4)
    model = fitted(made(stores / "2.db", hurrying, 300))
    exact = Distribution.lognormal(1.0, 0.6)
    below = next(q / 1_000 for q in range(1_000) if exact.quantile(q / 1_000) >= 1.2)
    step = model.steps["hurried"]
    assert step.failure(1).hang == off(1 - below, 300)
    # Of those that return, half do within what half of `below` does.
    assert step.latency.quantile(0.5) == pytest.approx(exact.quantile(below / 2), rel=0.15)
    assert step.latency.quantile(1.0) <= 1.2
    assert model.fitted is not None
    assert any("taken never to end" in gap for gap in model.fitted.gaps)


@ps.step(effects="pure", queue=GPT)
async def cheap(number: int) -> float:
    await asyncio.sleep(0.5)
    return number % 4 / 4


@ps.step(effects="pure", queue=GPT)
async def dear(number: int) -> float:
    await asyncio.sleep(2.0)
    return 1.0


def itself(value: float) -> float:
    return value


@ps.workflow
def laddered(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    return flow.cascade((cheap, dear), number, accept=ps.Threshold(itself, at=0.5), name="ladder")


@ps.workflow
def neighbour(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    return flow.call(dear, number)


def test_quality_is_that_of_the_tier_that_gave_the_value(stores: Path) -> None:
    async def judge(run: ps.Run[float], number: int) -> None:
        await run.score(0.9 if await run.result() == 1.0 else 0.6, kind="quality")
        await run.score(0.1, kind="other")

    path = made(stores / "3.db", laddered, 120, after=judge)
    model = fitted(path)
    assert model.steps["cheap"].quality == pytest.approx(0.6)
    assert model.steps["dear"].quality == pytest.approx(0.9)
    assert model.steps["cheap"].accepts(0.5) == pytest.approx(0.5)
    assert fitted(path, score="other").steps["dear"].quality == pytest.approx(0.1)
    assert model.fitted is not None
    assert "cascade laddered/ladder: tier dear was never explored" in model.fitted.gaps


def test_what_others_have_under_way_counts(stores: Path) -> None:
    """A queue is shared: what a neighbour has in it is load as well."""
    path = made(stores / "4.db", laddered, 60, gap=5.0, others=(neighbour,))
    assert fitted(path, "laddered").steps["cheap"].load[-1][0] == 2.0
    alone = made(stores / "5.db", laddered, 60, gap=5.0)
    assert fitted(alone, "laddered").steps["cheap"].load[-1][0] == 1.0


def odd(number: int) -> bool:
    return number % 2 == 1


def never(number: int) -> bool:
    return False


@ps.step(effects="pure")
async def rare(number: int) -> float:
    return 3.0


@ps.workflow
def seldom(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float | None]:
    there = flow.when(number, never, name="there")
    return flow.optional(flow.call(rare, there, after=flow.call(steady, number)))


def test_a_step_that_never_ran_is_said(stores: Path) -> None:
    path = made(stores / "6.db", seldom, 3)
    model = fitted(path)
    assert model.choices["seldom/there"].outcomes == {"skipped": 1.0, "taken": 0.0}
    assert model.fitted is not None
    assert model.fitted.draft
    assert any(
        gap.startswith("step rare: never ran; add [steps.rare]") for gap in model.fitted.gaps
    )
    with pytest.raises(ps.DefinitionError, match=r"\[steps\.rare\] is missing"):
        model.check(seldom)
    model = fitted(path, default_latency=0.25)
    assert model.steps["rare"].latency == Distribution.constant(0.25)
    assert any("draft" in warning for warning in model.check(seldom))


def test_bad_stores_are_refused_with_the_remedy(tmp_path: Path, store: Path) -> None:
    async def nothing() -> None:
        async with ps.Runtime(store=str(tmp_path / "empty.db"), workflows=[racing]):
            pass

    asyncio.run(nothing())
    one = made(tmp_path / "one.db", racing, 1)
    both = made(tmp_path / "both.db", laddered, 2, others=(neighbour,))
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (tmp_path / "empty.db", {}, "has no run.*; let some hundred run"),
        (tmp_path / "empty.db", {"workflow": "racing"}, "no run of workflow 'racing'; let some"),
        (one, {}, "has one run of workflow 'racing'.*let some hundred run"),
        (both, {}, "runs of 2 workflows; name one: laddered, neighbour"),
        (store, {"workflow": "suport"}, "no run of workflow 'suport'; did you mean 'support'"),
        (store, {"version": "2"}, "version '2'; the versions are 1.0.0"),
        (store, {"since": 4e9}, "in that time; look further back"),
    ]
    for path, options, told in cases:
        with pytest.raises(ps.DefinitionError, match=told):
            fitted(path, **options)


@ps.step(effects="pure")
async def draft(number: int) -> int:
    await asyncio.sleep(1.0)
    return number


asking = ps.Signal("asking", bool)


@ps.workflow(owner="reviewer")
def reviewed(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[bool | None]:
    doubtful = flow.when(flow.call(draft, number), odd, name="doubtful")
    return flow.optional(flow.review(doubtful, asking, owner="reviewer"))


def test_people_who_are_asked_are_told_with_their_minutes(stores: Path) -> None:
    """Only every other run asks: the others are not ones that nobody has answered."""

    async def answer(run: ps.Run[Any], number: int) -> None:
        if number % 2:
            await run.signal(asking, value=True, minutes=2.0 + number % 3, role="reviewer")

    path = stores / "reviewed.db"
    made(path, reviewed, 60, at_once=answer)
    model = fitted(path)
    signal = model.signals["asking"]
    assert signal.answered == 1.0
    assert signal.latency == Distribution.constant(19.0)
    assert signal.minutes is not None
    assert signal.minutes.mean() == pytest.approx(3.0)
    assert signal.role == "reviewer"
    assert signal.usd_per_hour == pytest.approx(30.0)
    assert model.choices["reviewed/doubtful"].outcomes["taken"] == 0.5


@ps.step(effects="pure", hedge=ps.Hedge(after=0.5), queue=GPT)
async def hedged(number: int, ctx: ps.Context) -> float:
    ctx.spend.usd("0.001", "call")
    await asyncio.sleep(dice.choice((0.2, 2.0)))
    return 1.0


@ps.workflow
def hedging(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[float]:
    return flow.call(hedged, number)


def test_both_copies_of_an_attempt_are_paid_for(stores: Path) -> None:
    dice.seed(5)
    path = made(stores / "hedged.db", hedging, 200)
    step = fitted(path).steps["hedged"]
    with looking(path) as view:
        spent = sum(
            record.facts.get("nanos") or 0
            for info in view.every()
            for record in view.records(info.run_id)
        )
    assert step.attempts_seen is not None
    assert step.attempts_seen > 250
    assert step.mean_usd * step.attempts_seen == pytest.approx(spent / 1e9, rel=1e-3)
    assert step.mean_usd == pytest.approx(0.001)
    # Half of them take two seconds; three of four of those that returned took a fifth of one.
    assert step.latency.quantile(0.4) == 0.2
    assert step.latency.quantile(0.6) > 0.5
