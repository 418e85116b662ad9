"""Capacity: the formulas against what is known in closed form, the search against a naive one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import exp, factorial, inf, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock._simulation import (
    Arrivals,
    Distribution,
    FailureRow,
    Model,
    Outage,
    SignalModel,
    StepModel,
)
from penstock._simulation._capacity import Line, capacity, erlang_b, erlang_c
from penstock._simulation._capacity._attempts import attempts_of
from penstock._simulation._capacity._erlang import least
from penstock._simulation._capacity._load import ca2_of, load_of_queue
from penstock._simulation._changes import Change
from penstock._simulation._forecast import Estimate, Forecast
from penstock._simulation._scene import World
from penstock._simulation._simulate import simulate
from simulation.flows import gpt, support
from simulation.shop import model as shop_model


@pytest.mark.parametrize(
    ("servers", "load", "blocked"),
    # Of printed tables of Erlang B.
    [(1, 1.0, 0.5), (2, 1.0, 0.2), (5, 3.0, 0.11005), (10, 5.0, 0.01838), (100, 84.06, 0.01)],
)
def test_erlang_b_is_that_of_the_tables(servers: int, load: float, blocked: float) -> None:
    assert erlang_b(servers, load) == pytest.approx(blocked, abs=5e-5)


@pytest.mark.parametrize(
    ("servers", "load", "waits"), [(2, 1.0, 1 / 3), (1, 0.7, 0.7), (5, 3.0, 0.23615), (3, 3.0, 1.0)]
)
def test_erlang_c_is_that_of_the_tables(servers: int, load: float, waits: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(waits, abs=5e-5)


@given(st.integers(1, 40), st.floats(0.01, 0.99))
def test_the_recursion_is_the_sum_that_defines_it(servers: int, busy: float) -> None:
    load = servers * busy
    terms = [load**number / factorial(number) for number in range(servers + 1)]

    assert erlang_b(servers, load) == pytest.approx(terms[-1] / sum(terms))
    waiting = terms[-1] / (1 - busy)
    assert erlang_c(servers, load) == pytest.approx(waiting / (sum(terms[:-1]) + waiting))


@given(st.floats(0.01, 0.99), st.floats(1e-3, 1e3))
def test_one_server_in_closed_form(busy: float, service: float) -> None:
    line = Line(arrivals=busy / service, service=service, servers=1)
    even = Line(arrivals=busy / service, service=service, servers=1, cs2=0.0)

    assert line.mean_wait == pytest.approx(busy * service / (1 - busy))  # M/M/1
    assert even.mean_wait == pytest.approx(busy * service / (2 * (1 - busy)))  # M/D/1
    # P(wait > t) = busy * exp(-(1 - busy) t / service)
    tail = line.wait(0.95)
    assert tail == pytest.approx(max(log(busy / 0.05), 0.0) * service / (1 - busy))
    if tail > 0:
        assert busy * exp(-(1 - busy) * tail / service) == pytest.approx(0.05)


def test_what_can_not_keep_up_waits_for_ever() -> None:
    line = Line(arrivals=3.0, service=1.0, servers=3)

    assert (line.mean_wait, line.wait(0.5)) == (inf, inf)
    assert line.utilisation == 1.0


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_least_is_found_wherever_one_begins(answer: int, start: int) -> None:
    asked: list[int] = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number >= answer

    assert least(holds, start=start) == answer
    assert len(asked) <= 2 * (300).bit_length() + 4
    assert least(lambda _: False, start=start, most=400) is None


STEP = StepModel(
    latency=Distribution.exponential(1.0),
    failed_latency=Distribution.constant(0.25),
    failures=[
        FailureRow(error=0.2, fatal=0.05, hang=0.02),
        FailureRow(attempt=2, after="error", error=0.5),
        FailureRow(attempt=2, after="timeout", error=0.1, hang=0.3),
    ],
)


def test_attempts_are_those_of_a_simulation_by_hand() -> None:
    drawn = random.Random(3)
    many, timeout = 60_000, 2.0
    count = good = 0
    held = squares = 0.0
    for _ in range(many):
        after: Any = None
        for number in range(1, 4):
            row = STEP.failure(number, after)
            luck, took = drawn.random(), drawn.expovariate(1.0)
            if luck < row.error + row.fatal:
                took = 0.25
            elif luck < row.total:
                took = inf
            count += 1
            held += min(took, timeout)
            squares += min(took, timeout) ** 2
            if luck < row.error:
                after = "error"
            elif luck < row.error + row.fatal:
                break
            elif took > timeout:
                after = "timeout"
            else:
                good += 1
                break

    found = attempts_of("draft", STEP, ps.RetryPolicy(max_attempts=3), timeout)

    assert found.count == pytest.approx(count / many, rel=0.01)
    assert found.success == pytest.approx(good / many, rel=0.01)
    assert found.held == pytest.approx(held / many, rel=0.015)
    assert found.squares == pytest.approx(squares / many, rel=0.03)


def test_a_budget_bounds_the_attempts() -> None:
    broken = StepModel(latency=Distribution.constant(1.0), failures=[FailureRow(error=1.0)])
    retry = ps.RetryPolicy(max_attempts=5)

    assert attempts_of("draft", broken, retry, None).count == 5
    assert attempts_of("draft", broken, retry, None, retries=0.1).count == pytest.approx(1.1)


def test_attempts_that_hang_need_a_timeout() -> None:
    with pytest.raises(ps.DefinitionError, match="timeout=30"):
        attempts_of("draft", STEP, ps.RetryPolicy(), None)


def one(rate: float = 10.0, **step: Any) -> tuple[Any, Model]:
    queue = ps.Queue("gpt", concurrency=6, retry_budget=None)

    @ps.step(queue=queue)
    async def ask(text: str) -> str:
        return text

    given: dict[str, Any] = {"latency": Distribution.exponential(0.5), **step}
    steps = {"ask": StepModel(**given)}
    return ask.as_workflow(), Model(workflow="ask", arrivals=Arrivals(rate=rate), steps=steps)


def test_latency_that_follows_the_load_and_timeouts_is_a_fixed_point() -> None:
    """More in flight is slower, and what is slower is in flight for longer."""
    workflow, model = one(latency=Distribution.constant(0.5), load=[[0, 1.0], [20, 2.0]])

    load = load_of_queue(workflow, model, Change(workflow), ps.Queue("gpt"))

    # So many in flight that they take so long that there are so many.
    assert load.offered == pytest.approx(5 / (1 - 5 / 20), rel=1e-3)


def test_visits_are_those_of_the_simulator() -> None:
    """The formula's busy slots are those of the simulator, through a cascade and a map."""
    world = World(queues=(ps.Queue("claude", concurrency=64), ps.Queue("gpt", concurrency=64)))
    model = shop_model()
    change = Change(support, {"cascade.answer.at": 0.5}, queues=world.queues)

    (forecast,) = simulate(support, model, [change], runs=4_000, world=world)

    for name in ("claude", "gpt"):
        load = load_of_queue(support, model, change, ps.Queue(name, retry_budget=None))
        seen = forecast.metrics[f"utilisation:{name}"].value
        assert seen is not None
        assert load.offered == pytest.approx(64 * seen, rel=0.08)


def waits(
    wait: Callable[[int], float], asked: list[int] | None = None
) -> Callable[[Model], Callable[[Sequence[Change], int, int], list[Forecast]]]:
    """A stand-in: the wait by the concurrency."""

    def evaluate(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        found: list[Forecast] = []
        for change in changes:
            slots: Any = change.queues["gpt"].concurrency
            if asked is not None:
                asked.append(slots)
            value = wait(slots)
            figure = Estimate(value, 0.9 * value, 1.1 * value)
            metrics = {"queue_delay_p95": figure, "queue_delay_p95:gpt": figure}
            found.append(Forecast(metrics=metrics, runs=runs))
        return found

    return lambda _: evaluate


def test_formula_and_simulation_are_both_shown() -> None:
    workflow, model = one()
    asked: list[int] = []

    found = capacity(
        workflow,
        model,
        queue="gpt",
        require="wait_p95<=0.5",
        evaluate=waits(lambda slots: 9.0 / slots, asked),
    )

    line = [number for number in range(6, 30) if found.load.line(number).wait(0.95) <= 0.5]
    assert found.formula == line[0]
    assert found.simulated == 20  # 1.1 * 9 / 20 is the first that is sure
    assert found.present == 6
    assert {trial.servers for trial in found.trials} >= {6, found.formula, 19, 20}
    assert len(asked) < 20
    text = found.to_text()
    assert re_lines(text, "by simulation")
    assert re_lines(text, "present")
    assert f"By formula {found.formula} slots" in text


def re_lines(text: str, mark: str) -> list[str]:
    return [line for line in text.splitlines() if line.endswith(mark)]


def test_the_least_must_hold_on_a_fresh_seed() -> None:
    workflow, model = one()
    calls: list[tuple[int, int]] = []

    def evaluate(changes: Sequence[Change], runs: int, seed: int) -> list[Forecast]:
        slots: Any = changes[0].queues["gpt"].concurrency
        calls.append((slots, seed))
        value = 1.0 if slots < 10 or (seed and slots < 12) else 0.1
        return [Forecast(metrics={"queue_delay_p95:gpt": Estimate(value, value, value)}, runs=runs)]

    found = capacity(
        workflow, model, queue="gpt", require="wait_p95<=0.5", evaluate=lambda _: evaluate
    )

    assert found.simulated == 12
    assert len(set(calls)) == len(calls)  # nothing is played twice


def test_what_no_number_reaches_is_said() -> None:
    workflow, model = one()

    found = capacity(
        workflow, model, queue="gpt", require="wait_p95<=0.5", evaluate=waits(lambda _: 7.0)
    )

    assert found.simulated is None
    assert "something else is in the way" in found.to_text()


def test_the_formula_says_nothing_of_other_figures() -> None:
    workflow, model = one()

    found = capacity(workflow, model, queue="gpt", require="success>=0.9", simulated=False)

    assert found.formula is None
    assert "it says nothing" in found.to_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"step": {"latency": Distribution.lognormal(0.3, 1.2)}}, "very different times"),
        ({"step": {"load": [[1, 1.0], [9, 1.5]]}}, "follows the load"),
        ({"outages": [Outage(queue="gpt", every=100.0, lasts=10.0)]}, "outages"),
        (
            {"arrivals": Arrivals(kind="bursty", rate=10.0, burst=5.0, calm=60.0, busy=10.0)},
            "bursty",
        ),
        (
            {"step": {"rate": 11.0}, "require": "utilisation:gpt<=0.95"},
            "utilisation a little more load",
        ),
    ],
)
def test_where_the_formula_is_off_is_told(change: dict[str, Any], told: str) -> None:
    workflow, model = one(**change.get("step", {}))
    content = model.to_dict()
    for name in ("outages", "arrivals"):
        if name in change:
            given = change[name]
            content[name] = [it.to_dict() for it in given] if name == "outages" else given.to_dict()
    require = change.get("require", "wait_p95<=0.5")

    found = capacity(
        workflow, Model.from_dict(content), queue="gpt", require=require, simulated=False
    )

    assert any(told in warning for warning in found.warnings)
    assert told in found.to_text()


def test_where_it_is_right_nothing_is_told() -> None:
    workflow, model = one()

    found = capacity(workflow, model, queue="gpt", require="wait_p95<=0.5", simulated=False)

    assert not found.warnings
    assert not found.notes


def test_bursts_spread_the_arrivals() -> None:
    assert ca2_of(Arrivals(rate=3.0)) == 1.0
    assert ca2_of(Arrivals(kind="trace", gaps=[1.0, 1.0, 1.0])) == 0.0
    assert ca2_of(Arrivals(kind="trace", gaps=[0.0, 3.0])) == 1.0
    bursty = Arrivals(kind="bursty", rate=10.0, burst=9.0, calm=2.0, busy=1.0)
    drawn = random.Random(1)
    gaps, state, left, at = list[float](), 0, drawn.expovariate(1 / 2.0), 0.0
    while len(gaps) < 100_000:
        step = drawn.expovariate(bursty.rates[state])
        if step < left:
            left -= step
            gaps.append(at + step)
            at = 0.0
        else:
            at += left
            state = 1 - state
            left = drawn.expovariate(1 / (2.0, 1.0)[state])
    mean = sum(gaps) / len(gaps)
    seen = sum((gap - mean) ** 2 for gap in gaps) / len(gaps) / mean**2
    assert ca2_of(bursty) == pytest.approx(seen, rel=0.05)


approve = ps.Signal("approve", bool)


@ps.step
async def file(text: str) -> str:
    return text


@ps.workflow(version="1", owner="desk")
def approval(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[bool]:
    return flow.signal(approve, after=flow.call(file, text))


def desk(**signal: Any) -> Model:
    given: dict[str, Any] = {"staff": 2, "minutes": Distribution.exponential(4.0), **signal}
    return Model(
        workflow="approval",
        arrivals=Arrivals(rate=0.01),
        steps={"file": StepModel(latency=Distribution.constant(0.1))},
        signals={"approve": SignalModel(**given)},
    )


def test_unknown_names_are_told_with_what_may_be_meant() -> None:
    workflow, model = one()

    with pytest.raises(ps.DefinitionError, match="did you mean 'gpt'"):
        capacity(workflow, model, queue="gtp", require="wait_p95<=1")
    with pytest.raises(ps.DefinitionError, match="give queue= or signal="):
        capacity(workflow, model, require="wait_p95<=1")
    with pytest.raises(ps.DefinitionError, match="no node waits for signal"):
        capacity(workflow, model, signal="approve", require="wait_p95<=1")


@pytest.mark.parametrize(("rate", "bound"), [(4.0, 0.5), (10.0, 0.25)])
def test_the_simulator_and_the_formula_agree_where_it_is_right(rate: float, bound: float) -> None:
    """M/M/c, up to what the interval leaves open; both may be off by a slot for that."""
    workflow, model = one(rate=rate)

    found = capacity(workflow, model, queue="gpt", require=f"wait_p95<={bound}", runs=8_000)

    assert found.formula is not None
    assert found.simulated is not None
    assert found.formula <= found.simulated <= found.formula + 1
    for trial in found.trials:
        seen = found.figure(trial, "queue_delay_p95")
        if trial.servers >= found.formula and seen.low is not None and seen.high is not None:
            room = 0.1 * bound
            assert seen.low - room <= trial.formula["queue_delay_p95"] <= seen.high + room


def test_a_desk_has_cases_and_people() -> None:
    found = capacity(approval, desk(), signal="approve", require="wait_p95<=600", simulated=False)

    assert found.load.offered == pytest.approx(0.01 * 240)
    assert found.present == 2
    line = [number for number in range(3, 30) if found.load.line(number).wait(0.95) <= 600]
    assert found.formula == line[0]
    assert "people" in found.to_text()
    assert not found.warnings


def test_a_desk_with_hours_has_the_load_of_its_hours() -> None:
    found = capacity(
        approval,
        desk(hours="09:00-17:00", days="mon-fri"),
        signal="approve",
        require="utilisation:approve<=0.8",
        simulated=False,
    )

    assert found.load.offered == pytest.approx(0.01 * 240 * 168 / 40)
    assert any("24 % of the week" in warning for warning in found.warnings)


def test_staff_is_found_by_simulation_too() -> None:
    found = capacity(approval, desk(), signal="approve", require="p95<=1500", runs=1_000)

    assert found.formula is None
    assert found.simulated is not None
    assert found.simulated > found.load.offered


def test_of_the_shop_the_present_is_shown() -> None:
    assert gpt.concurrency == 8
    world = World(queues=(ps.Queue("claude"),))
    found = capacity(
        support,
        shop_model(),
        queue="gpt",
        require="wait_p95<=1",
        world=world,
        evaluate=waits(lambda slots: 4.0 / slots),
    )
    assert found.present == 8
