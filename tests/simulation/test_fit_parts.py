"""What a fit is made of, each against a naive way to find the same, or against the truth."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock._simulation import Arrivals, Distribution
from penstock._simulation._fit._coming import arrivals_of
from penstock._simulation._fit._deciding import acceptance_of
from penstock._simulation._fit._failures import failure_rows, frailty_of, tell_fatal_apart
from penstock._simulation._fit._flight import count_in_flight, factor_at, load_of, rising
from penstock._simulation._fit._outages import mark_outages
from penstock._simulation._fit._seen import Attempt, How, Judged, Line
from penstock._simulation._fit._spending import spend_rows
from penstock._simulation._fit._survival import incidence, sampled


def attempt(**given: Any) -> Attempt:
    fields: dict[str, Any] = {
        "run": 0,
        "step": "draft",
        "path": "support/draft",
        "queue": "gpt",
        "number": 1,
        "after": None,
        "start": 0.0,
        "end": 1.0,
        "how": "done",
    }
    made = Attempt(**(fields | given))
    made.alone = made.seconds
    return made


# Survival.

observations = st.lists(
    st.tuples(st.integers(0, 12).map(float), st.sampled_from(["done", "error", None])),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(observations)
def test_what_is_left_is_the_product_limit(seen: list[tuple[float, str | None]]) -> None:
    """The estimator of Kaplan and Meier, as it is written down."""
    left = 1.0
    ended = {"done": 0.0, "error": 0.0}
    for time in sorted({time for time, how in seen if how is not None}):
        at_risk = sum(other >= time for other, _ in seen)
        for how in ended:
            ended[how] += left * sum(it == (time, how) for it in seen) / at_risk
        left *= 1 - sum(other == time and how is not None for other, how in seen) / at_risk
    found = incidence(seen)
    assert found.left == pytest.approx(left, abs=1e-12)
    for how, share in ended.items():
        assert found.share(how) == pytest.approx(share, abs=1e-12)
    assert found.left + found.share("done", "error") == pytest.approx(1.0)


def test_what_was_cut_off_is_not_taken_for_fast() -> None:
    """Half of the times are cut off: the mean of those that ended is far from the truth."""
    dice = random.Random(1)
    truth = [dice.lognormvariate(0.0, 0.6) for _ in range(8_000)]
    seen: list[tuple[float, str | None]] = []
    for time in truth:
        limit = dice.uniform(0.2, 2.0) if dice.random() < 0.9 else 100.0
        seen.append((time, "done") if time <= limit else (limit, None))
    naive = [time for time, how in seen if how is not None]
    fitted = sampled(incidence(seen).times("done"))
    assert sum(naive) / len(naive) < 0.9
    assert fitted.mean() == pytest.approx(math.exp(0.18), rel=0.05)
    for q, off in ((0.1, 0.04), (0.5, 0.04), (0.9, 0.06), (0.99, 0.15)):
        exact = Distribution.lognormal(1.0, 0.6).quantile(q)
        assert fitted.quantile(q) == pytest.approx(exact, rel=off), q


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=600))
def test_samples_have_the_mean_of_the_times(times: list[float]) -> None:
    fitted = sampled([(time, 1.0) for time in sorted(times)])
    assert fitted.mean() == pytest.approx(sum(times) / len(times), rel=2.1e-3)
    assert len(fitted.values) <= 200
    assert fitted.values[0] <= min(times) * (1 + 1e-5)


def test_samples_have_the_quantiles_of_the_times() -> None:
    dice = random.Random(2)
    times = sorted(dice.expovariate(1.0) for _ in range(50_000))
    fitted = sampled([(time, 1.0) for time in times])
    for q in (0.01, 0.25, 0.5, 0.9, 0.99):
        assert fitted.quantile(q) == pytest.approx(times[int(q * len(times))], rel=0.02), q


# Flight.

spans = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(spans, spans)
def test_in_flight_is_what_had_started_and_not_ended(
    mine: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    attempts = [attempt(start=float(s), end=float(s + n)) for s, n in sorted(mine)]
    foreign = {"gpt": [(float(s), float(s + n)) for s, n in others], "other": [(0.0, 100.0)]}
    count_in_flight(attempts, foreign)
    every = [(it.start, it.end) for it in attempts] + foreign["gpt"]
    for it in attempts:
        before = sum(start < it.start < end for start, end in every)
        together = sum(start == it.start for start, _ in every)
        assert it.flight == before + (together + 1) / 2
        assert it.crowd == before + together


def test_what_ends_first_is_not_taken_to_have_started_first() -> None:
    """Attempts that started at once were counted in the order of their ends: all seemed load."""
    dice = random.Random(12)
    attempts: list[Attempt] = []
    for batch in range(500):
        ends = sorted(dice.expovariate(1.0) for _ in range(dice.randint(1, 8)))
        attempts += [attempt(start=100.0 * batch, end=100.0 * batch + end) for end in ends]
    count_in_flight(attempts, {})
    assert {factor for _, factor in load_of(attempts)} == {1.0}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 9)), min_size=1, max_size=12))
def test_pooling_gives_the_nearest_rising_values(pairs: list[tuple[float, int]]) -> None:
    """By the minimax formula, which is another way to say what they are."""
    values, weights = [v for v, _ in pairs], [float(w) for _, w in pairs]

    def mean(low: int, high: int) -> float:
        part = range(low, high + 1)
        return sum(values[i] * weights[i] for i in part) / sum(weights[i] for i in part)

    count = len(values)
    naive = [
        max(min(mean(low, high) for high in range(i, count)) for low in range(i + 1))
        for i in range(count)
    ]
    assert rising(values, weights) == pytest.approx(naive, abs=1e-9)


def test_latency_that_grows_with_the_load_is_parted_from_it() -> None:
    dice = random.Random(3)
    attempts: list[Attempt] = []
    for _ in range(4_000):
        flight = dice.randint(1, 64)
        factor = 1.0 if flight < 16 else 1.0 + (flight - 16) / 48
        took = dice.lognormvariate(0.0, 0.4) * factor
        # A timeout cuts off what is slow, most of it under load.
        ended = min(took, 2.5)
        how: How = "done" if took <= 2.5 else "timeout"
        attempts.append(attempt(end=ended, how=how))
        attempts[-1].flight = attempts[-1].crowd = flight
    load = load_of(attempts)
    assert factor_at(load, 8) == pytest.approx(1.0, abs=0.08)
    assert factor_at(load, 40) == pytest.approx(1.5, abs=0.15)
    assert factor_at(load, 62) == pytest.approx(1.95, abs=0.2)
    assert load[-1][0] == 64


def test_without_a_difference_there_is_none() -> None:
    dice = random.Random(4)
    for seed in range(20):
        dice.seed(seed)
        attempts = [attempt(end=dice.lognormvariate(0.0, 0.6)) for _ in range(1_000)]
        for it in attempts:
            it.flight = it.crowd = dice.randint(1, 20)
        assert load_of(attempts) == [(1.0, 1.0), (20.0, 1.0)]
    assert load_of([attempt()]) == [(1.0, 1.0)]


# Failures.


def failing(
    dice: random.Random, run: int, *, p: float, factor: float, most: int = 3
) -> Iterator[Attempt]:
    """Attempts of a node, one after the other: errors, some fatal, some that hang."""
    after: How | None = None
    for number in range(1, most + 1):
        draw = dice.random() / factor
        how: How = "error" if draw < p else "fatal" if draw < 1.5 * p else "done"
        it = attempt(run=run, number=number, after=after, how="error" if how != "done" else how)
        it.last = how != "error" or number == most
        it.error = "KeyError" if how == "fatal" else "TimeoutError"
        yield it
        if it.last:
            return
        after = "error"


def test_failures_are_told_by_attempt_and_by_whether_they_are_retried() -> None:
    dice = random.Random(5)
    every = [it for run in range(20_000) for it in failing(dice, run, p=0.1, factor=1.0)]
    assert tell_fatal_apart(every) == set()
    rows = failure_rows(every)
    assert [(row.attempt, row.after) for row in rows] == [(1, None), (2, "error"), (3, "error")]
    for row, few in zip(rows, (20_000, 2_000, 200), strict=True):
        assert row.error == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / few))
        assert row.fatal == pytest.approx(0.05, abs=4 * math.sqrt(0.0475 / few))


def test_what_was_never_retried_is_said() -> None:
    alone = attempt(how="error")
    alone.last, alone.error = True, "ValueError"
    assert tell_fatal_apart([alone, attempt()]) == {"draft"}
    assert alone.how == "error"
    refused = attempt(how="error")
    refused.last, refused.error = True, "contract"
    assert tell_fatal_apart([refused]) == set()
    assert refused.how == "fatal"


def test_runs_that_differ_are_told_from_those_that_do_not() -> None:
    dice = random.Random(6)

    def runs(sigma: float) -> list[Attempt]:
        found: list[Attempt] = []
        for run in range(20_000):
            factor = dice.lognormvariate(-(sigma**2) / 2, sigma)
            for step in ("a", "b", "c"):
                fails = dice.random() < 0.08 * factor
                found.append(attempt(run=run, step=step, how="error" if fails else "done"))
        return found

    shares = dict.fromkeys("abc", 0.08)
    assert frailty_of(runs(0.0), shares) == 0.0
    assert frailty_of(runs(0.8), shares) == pytest.approx(0.8, abs=0.12)


def test_frailty_is_not_counted_twice() -> None:
    """Who has failed once is likelier to fail again; the rows are those of the average run."""
    dice = random.Random(7)
    sigma = 0.8
    every: list[Attempt] = []
    for run in range(60_000):
        factor = dice.lognormvariate(-(sigma**2) / 2, sigma)
        every += failing(dice, run, p=0.05, factor=factor, most=2)
    tell_fatal_apart(every)
    second = next(row for row in failure_rows(every) if row.attempt == 2)
    assert second.error > 0.075
    second = next(row for row in failure_rows(every, sigma) if row.attempt == 2)
    assert second.error == pytest.approx(0.05, abs=0.012)


def test_what_hangs_is_what_no_attempt_was_seen_to_take() -> None:
    dice = random.Random(8)
    every: list[Attempt] = []
    for _ in range(5_000):
        took = math.inf if dice.random() < 0.03 else dice.uniform(0.1, 1.0)
        limit = 2.0
        every.append(attempt(end=min(took, limit), how="done" if took < limit else "timeout"))
    (row,) = failure_rows(every)
    assert row.hang == pytest.approx(0.03, abs=0.01)
    assert row.error == row.fatal == 0.0


# Outages.


def test_outages_are_found_and_kept_out_of_the_usual_failures() -> None:
    dice = random.Random(9)
    at = [(3_630.0, 3_730.0), (9_000.0, 9_200.0), (20_000.0, 20_030.0)]
    every: list[Attempt] = []
    time = 0.0
    while time < 36_000:
        time += dice.expovariate(1.0)
        out = any(start <= time < end for start, end in at)
        fails = dice.random() < (0.9 if out else 0.02)
        took = (4.0 if out else 1.0) * dice.uniform(0.9, 1.1)
        every.append(attempt(start=time, end=time + took, how="error" if fails else "done"))
    (outage,) = mark_outages(every, 0.0, 36_000.0)
    assert outage.queue == "gpt"
    assert outage.lasts == pytest.approx(110, rel=0.1)
    assert outage.every == pytest.approx(36_000 / 3, rel=0.1)
    assert outage.error == pytest.approx(0.9, abs=0.06)
    assert outage.slower == pytest.approx(4.0, rel=0.05)
    rest = [it for it in every if not it.outage]
    assert sum(it.how == "error" for it in rest) / len(rest) == pytest.approx(0.02, abs=0.004)


def test_a_step_that_often_fails_has_no_outages() -> None:
    dice = random.Random(10)
    every = [
        attempt(start=float(i), how="error" if dice.random() < 0.45 else "done")
        for i in range(20_000)
    ]
    assert mark_outages(every, 0.0, 20_000.0) == []


# Arrivals.


def bursty(dice: random.Random, arrivals: Arrivals, count: int) -> list[float]:
    calm, busy = arrivals.rates
    time, found, is_busy = 0.0, list[float](), False
    ends = dice.expovariate(1 / (arrivals.calm or math.inf))
    while len(found) < count:
        at = time + dice.expovariate(busy if is_busy else calm)
        if at < ends:
            time = at
            found.append(at)
        else:
            time, is_busy = ends, not is_busy
            ends += dice.expovariate(1 / ((arrivals.busy if is_busy else arrivals.calm) or 1.0))
    return found


def test_bursts_are_found() -> None:
    truth = Arrivals(kind="bursty", rate=20.0, burst=8.0, calm=60.0, busy=15.0)
    found = [
        arrivals_of(bursty(random.Random(seed), truth, 100_000), "auto", []) for seed in range(5)
    ]
    for it in found:
        assert it.kind == "bursty"
        assert it.rate == pytest.approx(20.0, rel=0.15)
    # Single ones are off by more: there are some sixty bursts in each.
    middle = sorted(found, key=lambda it: it.burst or 0)[2]
    assert middle.burst == pytest.approx(8.0, rel=0.3)
    assert sorted(it.calm or 0 for it in found)[2] == pytest.approx(60.0, rel=0.35)
    assert sorted(it.busy or 0 for it in found)[2] == pytest.approx(15.0, rel=0.35)


def test_chance_is_not_taken_for_bursts() -> None:
    truth = Arrivals(rate=5.0)
    for seed in range(40):
        dice = random.Random(seed)
        time, found = 0.0, list[float]()
        for _ in range(3_000):
            time += dice.expovariate(5.0)
            found.append(time)
        fitted = arrivals_of(found, "auto", [])
        assert fitted.kind == "poisson"
        assert fitted.mean_rate == pytest.approx(truth.mean_rate, rel=4 / math.sqrt(3_000))


def test_arrivals_that_tell_little_say_so() -> None:
    gaps: list[str] = []
    assert arrivals_of([3.0, 3.0], "auto", gaps).rate == 1.0
    assert arrivals_of([0.0, 1.0, 2.0], "auto", gaps).rate == 1.0
    even = [float(i) for i in range(1_000)]
    assert arrivals_of(even, "auto", gaps).kind == "poisson"
    assert arrivals_of(even, "bursty", gaps).kind == "poisson"
    assert [gap.split(":")[1].split()[0] for gap in gaps] == ["all", "3", "they", "no"]
    trace = arrivals_of([0.0, 1.0, 1.5], "trace", gaps)
    assert (trace.kind, trace.gaps) == ("trace", (1.0, 0.5))


# Spend and scores.


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 20_000), min_size=1, max_size=300),
    st.integers(1, 10**10),
    st.integers(0, 50),
)
def test_the_mean_cost_is_that_of_the_lines(units: list[int], rate: int, idle: int) -> None:
    """At a rate in nano-dollars for a million units, rounded line by line."""
    lines = [
        Line((run, "support/draft", 1, False), "input", "gpt", "", count, round(count * rate / 1e6))
        for run, count in enumerate(units)
    ]
    (row,) = spend_rows(lines, len(units) + idle)
    total = sum(line.nanos or 0 for line in lines) / 1e9
    assert row.mean_usd * (len(units) + idle) == pytest.approx(total, rel=1e-3, abs=1e-9)
    assert row.resource == "gpt:input"


def test_amounts_that_were_booked_as_such_are_kept() -> None:
    def line(run: int, nanos: int | None, name: str = "") -> Line:
        return Line((run, "support/draft", 1, False), "fixed", name, "", 1, nanos)

    (same,) = spend_rows([line(run, 1_200_000) for run in range(9)], 9)
    assert same.to_dict() == {
        "resource": "fixed",
        "units": {"kind": "constant", "value": 1.0},
        "usd_per_unit": 0.0012,
    }
    (other,) = spend_rows([line(run, 1_000 * run) for run in range(9)], 9)
    assert other.usd_per_unit == 1e-9
    assert other.units.quantile(1.0) == pytest.approx(8_000)
    (free,) = spend_rows([line(run, None, "x") for run in range(9)], 9)
    assert free.mean_usd == 0.0


def test_explored_scores_stand_for_those_that_were_not() -> None:
    """The second tier is good where the first one is: what comes to it is not like the rest."""
    dice = random.Random(11)
    judged: list[Judged] = []
    truth: list[float] = []
    for _ in range(40_000):
        ease = dice.random()
        score = 0.3 + 0.5 * ease + 0.2 * dice.random()
        truth.append(score)
        accepted = ease > 0.4
        if not accepted:
            judged.append(Judged(int(score >= 0.7), score))
        elif dice.random() < 0.05:
            judged.append(Judged(int(score >= 0.7), score, 1 / 0.05))
    naive = acceptance_of(
        "large", {"a/accept-2": [it for it in judged if not it.weight]}, later=True
    )
    found = acceptance_of("large", {"a/accept-2": judged}, later=True)
    assert naive is not None
    assert found is not None
    assert naive.fields["scores_seen"] == "above"
    assert found.fields["scores_seen"] == "explored"
    exact = sum(score >= 0.7 for score in truth) / len(truth)
    scores = found.fields["scores"]
    assert sum(score >= 0.7 for score in scores) / len(scores) == pytest.approx(exact, abs=0.03)
    assert sum(it >= 0.7 for it in naive.fields["scores"]) / 200 < exact - 0.2
    plain = acceptance_of("large", {"a/accept-1": [Judged(1, None)] * 60}, later=False)
    assert plain is not None
    assert plain.fields == {"accepted": 1.0}
    assert plain.gaps == ()


def test_what_is_not_retried_though_it_might_be_is_fatal() -> None:
    bounced = attempt(how="error", last=True)
    assert tell_fatal_apart([bounced, attempt()], {bounced.path: 3}) == set()
    assert bounced.how == "fatal"
