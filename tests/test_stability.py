"""Stability: which queues stay in a retry storm, by numbers and by what workflows say."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import timedelta
from math import inf, nan
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import penstock as ps
from penstock._cli._app import app
from penstock._demands import retry_ratio, safe_up_to

TEN: dict[str, Any] = {"concurrency": 10, "service_time": 0.1, "timeout": 1.0}
"""Ten at once of 100 ms: a hundred a second."""
FLOWS = """
    import penstock as ps

    THRICE = ps.RetryPolicy(max_attempts=3)
    gpt = ps.Queue("gpt", concurrency=10, retry_budget=None)
    search = ps.Queue("search", concurrency=ps.Adaptive(max_limit=40))
    desk = ps.Queue("desk", concurrency=4)

    @ps.step(queue=gpt, timeout=1.0, retry=THRICE, estimate=ps.Cost(seconds=0.05))
    async def classify(text: str) -> str:
        return text

    @ps.step(queue=gpt, timeout=0.5, estimate=ps.Cost(seconds=0.15))
    async def draft(text: str) -> str:
        return text

    @ps.step(queue=search, timeout=2.0, retry=THRICE, estimate=ps.Cost(seconds=0.2))
    async def find(text: str) -> str:
        return text

    @ps.step(queue=desk, timeout=60.0, retry=THRICE)
    async def book(text: str) -> str:
        return text

    @ps.step
    async def send(text: str) -> str:
        return text

    @ps.workflow
    def order(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(book, flow.call(draft, flow.call(classify, flow.call(find, text))))

    @ps.workflow
    def free(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(send, text)

    @ps.workflow
    def asking(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(classify, text)

    @ps.workflow
    def begin(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.spawn(asking, flow.call(send, text))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with shop.py, from which the command is run."""
    (tmp_path / "shop.py").write_text(dedent(FLOWS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def module(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(dedent(text), encoding="utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["stability", *arguments])


def judged(*arguments: str) -> dict[str, dict[str, Any]]:
    """What the command says as JSON, by queue."""
    answer = run(*arguments, "--format", "json")
    assert answer.exit_code in {0, 1}, answer.output
    return {row["queue"]: row for row in json.loads(answer.stdout)}


@pytest.mark.parametrize(
    ("arrivals", "ratio", "vulnerable", "safe"),
    [
        (30, None, False, 1 / 3),
        (70, None, True, 1 / 3),
        (70, 0.1, False, 1 / 1.1),
        (70, 0.0, False, 1.0),
        (95, 0.1, True, 1 / 1.1),
        (70, 5, True, 1 / 3),  # a budget of more than all attempts limits nothing
    ],
)
def test_a_budget_moves_how_full_a_queue_may_be(
    arrivals: float, ratio: float | None, vulnerable: bool, safe: float
) -> None:
    """The numbers of the papers: a third with three attempts, 91 % with a tenth of retries."""
    found = ps.stability(arrivals=arrivals, retry_ratio=ratio, **TEN)
    assert found.vulnerable == vulnerable
    assert found.utilisation == pytest.approx(arrivals / 100)
    assert found.safe_utilisation == pytest.approx(safe)
    assert found.amplification == pytest.approx(1 / safe)


def test_a_vulnerable_queue_has_a_point_of_no_return() -> None:
    found = ps.stability(arrivals=70, **TEN)
    good, tipping, storm = found.loads
    assert good == pytest.approx(70, abs=0.1)
    assert storm == pytest.approx(210)
    assert found.tipping_point == tipping
    assert good < tipping < storm
    assert ps.stability(arrivals=70, retry_ratio=0.1, **TEN).tipping_point is None


def test_it_is_a_frozen_value_and_takes_a_timedelta() -> None:
    found = ps.stability(arrivals=70, **TEN)
    spelt: dict[str, Any] = {
        **TEN,
        "service_time": timedelta(milliseconds=100),
        "timeout": timedelta(seconds=1),
    }
    assert ps.stability(arrivals=70, max_attempts=3, **spelt) == found
    assert not hasattr(found, "__dict__")
    with pytest.raises(FrozenInstanceError):
        found.vulnerable = False  # type: ignore[misc]  # what is tested


def test_attempts_without_end_are_judged_in_no_time() -> None:
    """`max_attempts=2**32 - 1` stands for "always", and took the solver hours."""
    assert ps.stability(arrivals=1, max_attempts=2**32 - 1, **TEN).safe_utilisation == 0.001


@pytest.mark.parametrize("value", [0, -1, nan, inf, True, "70", None])
@pytest.mark.parametrize("name", ["arrivals", "concurrency", "service_time", "timeout"])
def test_a_number_that_can_not_be_meant_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.stability(**{"arrivals": 70, **TEN, name: value})
    assert str(caught.value).startswith(f"{name} is {value!r}; give ")


@pytest.mark.parametrize(
    ("options", "said", "remedy"),
    [
        ({"timeout": None}, "timeout is None", "without a timeout none is"),
        ({"concurrency": 2.5}, "concurrency is 2.5", "a whole number from 1 to 100000"),
        ({"concurrency": 10**6}, "concurrency is 1000000", "from 1 to 100000"),
        ({"max_attempts": 0}, "max_attempts is 0", "a whole number from 1"),
        ({"max_attempts": True}, "max_attempts is True", "a whole number from 1"),
        ({"retry_ratio": -0.1}, "retry_ratio is -0.1", "a finite number from 0"),
        ({"retry_ratio": nan}, "retry_ratio is nan", "a finite number from 0"),
        ({"retry_ratio": True}, "retry_ratio is True", "a finite number from 0"),
        ({"service_time": 1e-300}, "service_time is 1e-300", "at least a nanosecond"),
        ({"arrivals": 1e300}, "arrivals is 1e+300", "at most 1e+12"),
    ],
)
def test_what_is_refused_comes_with_the_remedy(
    options: dict[str, Any], said: str, remedy: str
) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        ps.stability(**{"arrivals": 70, **TEN, **options})
    assert said in str(caught.value)
    assert remedy in str(caught.value)


@given(
    utilisation=st.floats(0.05, 0.95),
    attempts=st.integers(1, 10),
    budget=st.none() | st.builds(ps.RetryBudget, floor=st.floats(0.1, 50), ratio=st.floats(0, 1)),
)
def test_what_is_safe_is_where_all_retries_fit(
    utilisation: float, attempts: int, budget: ps.RetryBudget | None
) -> None:
    """The closed form, for any load, draws the line where the engine draws it for one load."""
    arrivals = utilisation * 100
    found = ps.stability(
        arrivals=arrivals,
        max_attempts=attempts,
        retry_ratio=retry_ratio(budget, arrivals),
        **TEN,
    )
    safe = safe_up_to(attempts, budget, 100)
    if utilisation > safe + 1e-6:
        assert found.vulnerable
        assert found.utilisation > found.safe_utilisation
    elif utilisation < safe - 1e-6:
        assert found.utilisation < found.safe_utilisation


def test_the_command_tells_each_queue_and_what_to_do(folder: Path) -> None:
    told = run("shop:order", "--arrivals", "70")
    assert told.exit_code == 1
    assert told.stdout == dedent(
        """\
        queue   arrivals  utilisation  amplification  safe up to  verdict
        desk        70/s            -              -           -  not known
          book; 4 at once; timeout 60 s; up to 3 attempts; a retry budget of ratio 0.1 and 1 a second
          missing: how long an attempt takes: give --service desk=0.1, or estimate=ps.Cost(seconds=0.1) to 'book'
        gpt         70/s         70 %             3x        33 %  a storm may last
          classify, draft; 10 at once; 0.1 s each; timeout 1 s; up to 3 attempts; no retry budget
          -> give it a ps.RetryBudget: with ratio 0.1 it is safe up to 90 %
          -> or allow its steps one attempt only: safe up to 100 %
          -> or send it at most 32.7 first attempts a second
          -> or raise concurrency from 10 to 22, if what it calls serves that many at once
        search      70/s         35 %          1.11x        90 %  stable
          find; 40 at once (the most that its Adaptive allows); 0.2 s each; timeout 2 s; up to 3 attempts; a retry budget of ratio 0.1 and 1 a second
        """  # noqa: E501  # as it is printed
    )


def test_arrivals_and_service_are_given_for_one_queue_or_for_all(folder: Path) -> None:
    rows = judged("shop:order", "--arrivals", "20", "--arrivals", "gpt=40", "--service", "desk=0.1")
    assert [(rows[name]["arrivals"]) for name in ("gpt", "search", "desk")] == [40, 20, 20]
    assert rows["gpt"]["service_time"] == pytest.approx(0.1)  # the mean of 0.05 and 0.15
    assert rows["desk"]["service_time"] == pytest.approx(0.1)
    assert rows["gpt"]["verdict"] == "a storm may last"
    assert rows["desk"]["verdict"] == rows["search"]["verdict"] == "stable"
    assert rows["desk"]["remedies"] == rows["desk"]["missing"] == []
    assert judged("shop:order", "--service", "0.3")["search"]["service_time"] == 0.3


def test_the_numbers_are_those_of_the_function(folder: Path) -> None:
    """The command takes the most attempts and the longest timeout, and counts the free retries."""
    rows = judged("shop:order", "--arrivals", "70")
    free = ps.stability(arrivals=70, **TEN)
    assert (rows["gpt"]["max_attempts"], rows["gpt"]["timeout"]) == (3, 1.0)
    assert rows["gpt"]["loads"] == pytest.approx(list(free.loads))
    assert rows["gpt"]["amplification"] == 3
    assert rows["search"]["concurrency"] == 40
    assert rows["search"]["adaptive"] is True
    assert rows["search"]["amplification"] == pytest.approx(1.1 + 1 / 70)


def test_a_queue_that_can_not_keep_up_is_overloaded(folder: Path) -> None:
    rows = judged("shop:order", "--arrivals", "gpt=120")
    assert rows["gpt"]["verdict"] == "overloaded"
    less, wider = rows["gpt"]["remedies"]
    assert less == "send it at most 32.7 first attempts a second"
    assert "raise concurrency from 10 to 37" in wider
    assert run("shop:order", "--arrivals", "gpt=120").exit_code == 1


def test_following_a_remedy_makes_a_queue_stable(folder: Path) -> None:
    """A remedy that does not help is worse than none."""
    text = """
        import penstock as ps
        def asking(**options):
            queue = {"concurrency": 10, "retry_budget": None, **options.pop("queue", {})}
            @ps.step(queue=ps.Queue("gpt", **queue), timeout=1.0, estimate=ps.Cost(seconds=0.1),
                     retry=ps.RetryPolicy(max_attempts=options.pop("attempts", 3)))
            async def ask(text: str) -> str:
                return text
            return ask.as_workflow()
        free = asking()
        budgeted = asking(queue={"retry_budget": ps.RetryBudget()})
        wider = asking(queue={"concurrency": 22})
        patient = asking(attempts=1)
    """
    module(folder, "ways", text)
    row = judged("ways:free", "--arrivals", "70")["gpt"]
    assert row["verdict"] == "a storm may last"
    budget, attempts, load, concurrency = row["remedies"]
    assert "ps.RetryBudget: with ratio 0.1" in budget
    assert "one attempt only" in attempts
    assert "at most 32.7 " in load
    assert "from 10 to 22," in concurrency
    for way in ("budgeted", "wider", "patient"):
        assert judged(f"ways:{way}", "--arrivals", "70")["gpt"]["verdict"] == "stable", way
    assert judged("ways:free", "--arrivals", "32.7")["gpt"]["verdict"] == "stable"


def test_retries_that_are_free_are_much_for_a_slow_queue(folder: Path) -> None:
    """One a second is nothing beside hundreds, and half of what two a second are."""
    text = """
        import penstock as ps
        @ps.step(queue=ps.Queue("slow", concurrency=10), timeout=60.0, retry=ps.RetryPolicy(),
                 estimate=ps.Cost(seconds=5.0))
        async def ask(text: str) -> str:
            return text
        one = ask.as_workflow()
    """
    module(folder, "slow", text)
    row = judged("slow", "--arrivals", "1.4")["slow"]
    assert row["verdict"] == "a storm may last"
    assert row["safe_utilisation"] == pytest.approx(0.5 / 1.1)
    assert row["remedies"][0] == (
        "lower its ps.RetryBudget: with ratio 0.1 and floor 0 it is safe up to 91 %"
    )


def test_what_is_missing_is_told_and_nothing_is_judged(folder: Path) -> None:
    text = """
        import penstock as ps
        def asking(queue, **options):
            @ps.step(queue=queue, retry=ps.RetryPolicy(), **options)
            async def ask(text: str) -> str:
                return text
            return ask.as_workflow()
        ALL = {"timeout": 1.0, "estimate": ps.Cost(seconds=0.1)}
        named = asking("named", **ALL)
        open = asking(ps.Queue("open"), **ALL)
        endless = asking(ps.Queue("endless", concurrency=4), estimate=ps.Cost(seconds=0.1))
        silent = asking(ps.Queue("silent", concurrency=4), timeout=1.0, estimate=ps.Cost(tokens=9))
        huge = asking(ps.Queue("huge", concurrency=10**9), **ALL)
        one = asking(ps.Queue("twin", concurrency=4), **ALL)
        two = asking(ps.Queue("twin", concurrency=5), **ALL)
    """
    module(folder, "gaps", text)
    answer = run("gaps", "--arrivals", "1")
    assert answer.exit_code == 0
    assert answer.stdout.count("not known") == 6
    rows = judged("gaps", "--arrivals", "1")
    missing = {name: row["missing"] for name, row in rows.items()}
    assert {name: len(told) for name, told in missing.items()} == dict.fromkeys(rows, 1), missing
    assert "give its steps the ps.Queue('named', ...)" in missing["named"][0]
    assert "its concurrency: give the ps.Queue" in missing["open"][0]
    assert "give them timeout=" in missing["endless"][0]
    assert "--service silent=0.1, or estimate=ps.Cost(seconds=0.1) to 'ask'" in missing["silent"][0]
    assert "from 1 to 100000" in missing["huge"][0]
    assert "2 different queues have this name" in missing["twin"][0]
    assert {row["verdict"] for row in rows.values()} == {None}
    silent = judged("gaps:silent")["silent"]
    assert "give --arrivals silent=40" in silent["missing"][1]
    # How full it may be needs no load.
    assert judged("gaps:silent", "--service", "0.1")["silent"]["safe_utilisation"] is not None


def test_attempts_that_are_not_made_again_when_late_do_not_count(folder: Path) -> None:
    """A storm is made of timeouts; the copy of a hedge is one attempt more."""
    text = """
        import penstock as ps
        def asking(name, **options):
            queue = ps.Queue(name, concurrency=10, retry_budget=None)
            @ps.step(queue=queue, timeout=1.0, estimate=ps.Cost(seconds=0.1), **options)
            async def ask(text: str) -> str:
                return text
            return ask.as_workflow()
        bad = asking("bad", retry=ps.RetryPolicy(retry_on=(ValueError,)))
        hedged = asking("hedged", effects="pure", hedge=ps.Hedge(after=0.5))
    """
    module(folder, "kinds", text)
    rows = judged("kinds", "--arrivals", "70")
    assert (rows["bad"]["max_attempts"], rows["bad"]["verdict"]) == (1, "stable")
    assert (rows["hedged"]["max_attempts"], rows["hedged"]["verdict"]) == (2, "a storm may last")


def test_a_timeout_near_the_service_time_holds_a_queue_up_below_that(folder: Path) -> None:
    """One server, given up after five times the service: long waits alone bring retries enough."""
    text = """
        import penstock as ps
        budget = ps.RetryBudget(ratio=0.5, floor=0)
        @ps.step(queue=ps.Queue("one", concurrency=1, retry_budget=budget), timeout=0.5,
                 retry=ps.RetryPolicy(), estimate=ps.Cost(seconds=0.1))
        async def ask(text: str) -> str:
            return text
        asking = ask.as_workflow()
    """
    module(folder, "tight", text)
    row = judged("tight", "--arrivals", "5.33")["one"]
    assert row["utilisation"] < row["safe_utilisation"]
    assert row["verdict"] == "a storm may last"
    assert "with ratio 0.1 and floor 0" in row["remedies"][0]


def test_a_spawned_workflow_asks_as_well(folder: Path) -> None:
    assert list(judged("shop:begin", "--arrivals", "10")) == ["gpt"]


def test_a_workflow_without_queues_has_nothing_to_judge(folder: Path) -> None:
    answer = run("shop:free", "--arrivals", "70")
    assert answer.exit_code == 0
    assert answer.stdout == "no step of these workflows waits in a queue of its own\n"
    assert judged("shop:free") == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop", "--arrivals", "many"], "'many' has no number above 0; write it as 70, or as gpt"),
        (["shop", "--arrivals", "gpt="], "'gpt=' has no number above 0"),
        (["shop", "--arrivals", "0"], "'0' has no number above 0"),
        (["shop", "--arrivals", "gpt=nan"], "'gpt=nan' has no number above 0"),
        (["shop", "--service", "gpt=-1"], "--service 'gpt=-1' has no number above 0"),
        (["shop", "--arrivals", "gtp=1"], "names queue 'gtp'; the queues of these workflows: desk"),
        (["shop", "--service", "gtp=1"], "--service names queue 'gtp'"),
        (["shop:nothing"], "'nothing' is not there"),
        (["shop", "--format", "yaml"], "yaml"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_in_the_call_exit_with_2(folder: Path, arguments: list[str], said: str) -> None:
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert said in answer.stderr
