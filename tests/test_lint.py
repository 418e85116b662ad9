"""What lint finds: each rule by a seeded defect, and by a twin that differs in that only."""

import datetime as dt
import random
import re
import subprocess
import time
import uuid
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import time as now
from typing import Any, Literal

import pytest
from pydantic import BaseModel

import penstock as ps
from penstock._lint import NOT_CHECKED, RULES, SEVERITIES, Report

Seed = Callable[[bool], ps.Workflow[..., Any]]
SEEDS: dict[str, Seed] = {}
DOCS = Path(__file__).parents[1] / "docs" / "lint.md"
TWICE = ps.RetryPolicy(max_attempts=2, initial_interval=1.0, jitter="none")


def seed(code: str) -> Callable[[Seed], Seed]:
    """Names the rule of a function that draws a workflow with the defect, or without it."""

    def keep(function: Seed) -> Seed:
        SEEDS[code] = function
        return function

    return keep


def a_step(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Makes a step that lint has nothing to say of, as far as `options` do not change that."""
    given: dict[str, Any] = {"effects": "pure", "timeout": 1.0, "playbook": "page"}
    given.update(options)
    return ps.step(**given)


def of_one(stage: ps.Stage[[str], str], **options: Any) -> ps.Workflow[..., Any]:
    """A workflow that calls one stage."""

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(stage, text, **options)

    return drawn


@a_step()
async def shout(text: str) -> str:
    return text.upper()


@a_step()
async def join(*parts: str) -> str:
    return "".join(parts)


def echo(**options: Any) -> Any:
    """A step like `shout`, with other options."""

    @a_step(**options)
    async def echo(text: str) -> str:
        return text

    return echo


@a_step(effects="idempotent", retry=TWICE)
async def undo(text: str, result: str | None, ctx: ps.Context) -> None: ...


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


@seed("R1.1")
def undeclared_and_retried(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(effects=None if defect else "pure", retry=TWICE))


@seed("R1.2")
def undeclared(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(effects=None if defect else "pure"))


@seed("R1.3")
def idempotent_without_a_key(defect: bool) -> ps.Workflow[..., Any]:
    @a_step(effects="idempotent", retry=TWICE)
    async def send(text: str, ctx: ps.Context) -> str:
        return ctx.idempotency_key + text

    return of_one(echo(effects="idempotent", retry=TWICE) if defect else send)


@seed("R2.1")
def effect_left_behind(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        charged = flow.call(echo(effects="once"), text, compensate=None if defect else undo)
        return flow.call(echo(effects="once"), charged, compensate=undo)

    return drawn


@seed("R2.2")
def compensation_of_one_attempt(defect: bool) -> ps.Workflow[..., Any]:
    @a_step(effects="idempotent")
    async def undo_once(text: str, result: str | None) -> None: ...

    return of_one(echo(effects="once"), compensate=undo_once if defect else undo)


@seed("R3.1")
def fragile_after_the_pivot(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        booked = flow.call(echo(effects="once"), text, compensate=undo)
        charged = flow.call(echo(effects="once"), booked)
        return flow.call(echo() if defect else echo(retry=TWICE), charged)

    return drawn


@seed("R4.1")
def key_by_chance(defect: bool) -> ps.Workflow[..., Any]:
    def by_chance(text: str) -> str:
        return f"{text}-{uuid.uuid4()}"

    def by_text(text: str) -> str:
        return text

    return of_one(shout, concurrency_key=by_chance if defect else by_text)


@seed("R4.2")
def key_by_attempt(defect: bool) -> ps.Workflow[..., Any]:
    async def charge(text: str, *, idempotency_key: str) -> str:
        return text + idempotency_key

    @a_step(effects="idempotent", retry=TWICE)
    async def wrong(text: str, ctx: ps.Context) -> str:
        return await charge(text, idempotency_key=f"{ctx.run_id}-{ctx.attempt}")

    @a_step(effects="idempotent", retry=TWICE)
    async def right(text: str, ctx: ps.Context) -> str:
        return await charge(text, idempotency_key=ctx.idempotency_key)

    return of_one(wrong if defect else right)


@seed("R5.1")
def no_timeout(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(timeout=None) if defect else shout)


@seed("R5.2")
def attempts_that_do_not_fit(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(timeout=1.0, retry=TWICE, total_timeout=2.9 if defect else 3.0))


@seed("R5.3")
def longer_than_the_deadline(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(timeout=31.0 if defect else 30.0))


@seed("R5.4")
def idle_heartbeat(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(timeout=5.0, heartbeat_timeout=5.0 if defect else 1.0))


@seed("R5.5")
def endless_wait(defect: bool) -> ps.Workflow[..., Any]:
    approval = ps.Signal("approval", str)

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        answer = flow.signal(approval, timeout=None if defect else 5.0)
        return flow.call(join, text, answer)

    return drawn


@seed("R6.1")
def retries_inside_a_loop(defect: bool) -> ps.Workflow[..., Any]:
    stubborn = echo(retry=ps.RetryPolicy(max_attempts=4))

    @ps.workflow(owner="cx")
    def body(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(stubborn if defect else shout, text)

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.loop(body, text, until=bool, max_iterations=3)

    return drawn


@seed("R6.2")
def retries_that_nothing_pays_for(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(retry=TWICE, queue=None if defect else ps.Queue("gpt")))


@seed("R6.3")
def retries_around_retries(defect: bool) -> ps.Workflow[..., Any]:
    inner = of_one(shout)

    @a_step(retry=TWICE)
    async def ask(text: str) -> str:
        async with ps.Runtime() as service:
            return await service.run(inner, text)

    @a_step()
    async def ask_once(text: str) -> str:
        async with ps.Runtime() as service:
            return await service.run(inner, text)

    return of_one(ask if defect else ask_once)


def size(text: str) -> Literal["long", "short"]:
    return "long" if len(text) > 9 else "short"


def paid_by(budget: ps.RetryBudget | None, **options: Any) -> ps.Workflow[..., Any]:
    """A step with three attempts in a queue that serves a hundred a second."""
    queue = ps.Queue("gpt", concurrency=10, retry_budget=budget)
    given = {"retry": ps.RetryPolicy(), "estimate": ps.Cost(seconds=0.1), "queue": queue, **options}
    return of_one(echo(**given))


@seed("R6.4")
def retries_that_feed_themselves(defect: bool) -> ps.Workflow[..., Any]:
    return paid_by(None if defect else ps.RetryBudget())


@seed("R9.1")
def needless_default(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(text, key=size)
        branches = [flow.call(shout, case["long"]), flow.call(shout, case["short"])]
        if defect:
            branches.append(flow.call(shout, case.default))
        return flow.merge(*branches)

    return drawn


@seed("R9.2")
def loose_end(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str | None]:
        case = flow.switch(text, key=size)
        long = flow.call(shout, case["long"])
        if defect:
            _ = case["short"]
        else:
            flow.call(shout, case["short"])
        return flow.optional(long)

    return drawn


@seed("R10.1")
def loop_that_stands_still(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def body(flow: ps.Flow, draft: ps.Node[str], text: ps.Node[str]) -> ps.Node[str]:
        flow.call(shout, draft)
        return flow.call(shout, text if defect else draft, after=None if defect else text)

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.loop(body, text, text, until=bool, max_iterations=3)

    return drawn


@seed("R10.2")
def recursion_that_stands_still(defect: bool) -> ps.Workflow[..., Any]:
    def is_done(text: str) -> bool:
        return not text

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(text, key=is_done)
        rest = case[False] if defect else flow.call(shout, case[False])
        again: ps.Node[str] = flow.recurse(rest, max_depth=3)
        return flow.merge(case[True], again)

    return drawn


@seed("R12.1")
def no_owner(defect: bool) -> ps.Workflow[..., Any]:
    nobody = echo(owner=None)

    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(nobody, text)

    return ps.workflow(drawn) if defect else ps.workflow(owner="cx")(drawn)


@seed("R12.2")
def open_contract(defect: bool) -> ps.Workflow[..., Any]:
    @a_step()
    async def anything(text: Any) -> str:
        return str(text)

    return of_one(anything if defect else shout)


@seed("R12.3")
def no_playbook(defect: bool) -> ps.Workflow[..., Any]:
    return of_one(echo(playbook=None) if defect else shout)


class Page(BaseModel):
    text: str


@seed("R13.1")
def loose_handoff(defect: bool) -> ps.Workflow[..., Any]:
    @a_step(owner="search")
    async def find_any(text: str) -> dict[str, Any]:
        return {"text": text}

    @a_step(owner="search")
    async def find(text: str) -> Page:
        return Page(text=text)

    @a_step()
    async def take_any(page: dict[str, Any]) -> str:
        return str(page)

    @a_step()
    async def take(page: Page) -> str:
        return page.text

    @ps.workflow(owner="cx")
    def loose(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        found = flow.call(find_any, text)
        return flow.call(take_any, flow.merge(found))

    @ps.workflow(owner="cx")
    def tight(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(take, flow.call(find, text))

    return loose if defect else tight


def chain(length: int) -> ps.Workflow[[str], str]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        for _ in range(length):
            text = flow.call(shout, text)
        return text

    return drawn


@seed("R14.1")
def too_many_nodes(defect: bool) -> ps.Workflow[..., Any]:
    half = chain(26)

    @ps.workflow(owner="cx")
    def halves(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(half, flow.call(half, text, name="a"), name="b")

    return chain(52) if defect else halves


@seed("R14.2")
def too_many_decisions(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        for _ in range(35 if defect else 10):
            case = flow.switch(text, key=size)
            text = flow.merge(case["long"], case["short"])
        return flow.call(shout, text)

    return drawn


@seed("R14.3")
def a_hub(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(join, *(flow.call(shout, text) for _ in range(11 if defect else 10)))

    return drawn


@seed("R14.4")
def tangled_joins(defect: bool) -> ps.Workflow[..., Any]:
    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        left, right = flow.call(shout, text), flow.call(shout, text)
        for _ in range(3):
            both = flow.call(join, left, right)
            if defect:  # what was joined, and yet goes on beside the join
                left, right = both, flow.call(shout, right)
            else:
                left, right = flow.call(shout, both), flow.call(shout, both)
        return flow.call(join, left, right)

    return drawn


@seed("R15.1")
def impure(defect: bool) -> ps.Workflow[..., Any]:
    @a_step()
    async def stamp(text: str) -> str:
        return f"{text} {dt.datetime.now(dt.UTC)}"

    return of_one(stamp if defect else shout)


class Table:
    def insert(self, row: str, key: str = "") -> None: ...


TABLE = Table()


@seed("R15.2")
def sends_without_a_key(defect: bool) -> ps.Workflow[..., Any]:
    @a_step(effects="idempotent")
    async def insert(text: str) -> str:
        TABLE.insert(text)
        return text

    @a_step(effects="idempotent")
    async def insert_once(text: str, ctx: ps.Context) -> str:
        rows = [text]
        rows.insert(0, text)
        TABLE.insert(text, ctx.idempotency_key)
        return text

    return of_one(insert if defect else insert_once)


@seed("R15.3")
def inline_by_chance(defect: bool) -> ps.Workflow[..., Any]:
    def draw_lots(text: str) -> str:
        return text[: random.randrange(3)]

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        cut = flow.apply(draw_lots, text) if defect else flow.apply(lambda text: text[:3], text)
        return flow.call(shout, cut)

    return drawn


@seed("R16.1")
def nobody_answers_for_the_run(defect: bool) -> ps.Workflow[..., Any]:
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(echo(owner="search"), text)

    options: dict[str, Any] = {} if defect else {"owner": "cx"}
    return ps.workflow(rollback=ps.Criteria(), **options)(drawn)


@seed("R16.2")
def nothing_takes_a_release_back(defect: bool) -> ps.Workflow[..., Any]:
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(echo(owner="search"), text)

    return ps.workflow(owner="cx", rollback=None if defect else ps.Criteria())(drawn)


@pytest.mark.parametrize("code", RULES)
def test_each_rule_finds_its_defect_and_not_the_twin(code: str) -> None:
    """A rule that never fires, or always does, is worth nothing."""
    found = SEEDS[code](True).lint(deadline=30.0 if code == "R5.3" else None)
    clean = SEEDS[code](False).lint(deadline=30.0 if code == "R5.3" else None)
    told = [finding for finding in found.findings if finding.code == code]
    assert told
    assert code not in codes(clean)
    for finding in told:
        assert finding.severity == RULES[code].severity
        assert finding.node.partition("/")[0] == found.name
        assert str(finding).startswith(f"{finding.severity} {code}: node {finding.node!r}: ")


def test_a_workflow_of_good_steps_is_clean() -> None:
    """Nothing is found where there is nothing: lint can be made a gate."""
    assert of_one(shout).lint().findings == ()


def test_findings_come_with_the_severest_first_and_can_be_left_out() -> None:
    report = of_one(echo(effects=None, timeout=None, playbook=None, owner=None)).lint()
    assert [f.code for f in report.findings] == ["R5.1", "R1.2", "R12.3"]
    assert [f.code for f in report.at_least("warning")] == ["R5.1"]
    assert report.at_least("error") == ()
    workflow = of_one(echo(effects=None, timeout=None, playbook=None))
    assert codes(workflow.lint(ignore=["R1", "R12.3"])) == {"R5.1"}
    # R1 does not take R10 to R15 with it.
    assert codes(workflow.lint(ignore=["R1.2", "R5"])) == {"R12.3"}


def test_a_step_in_many_nodes_is_told_once() -> None:
    """A loop over a file may draw thousands of nodes of one step."""
    nobody = echo(playbook=None)

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(join, *(flow.call(nobody, text) for _ in range(4)))

    (finding,) = drawn.lint().findings
    assert finding.node == "drawn/echo"
    assert "at 3 more nodes" in finding.what


def test_a_queue_that_only_the_runtime_knows_may_have_a_budget() -> None:
    """Lint does not guess; a queue that is told to have none is told."""
    assert codes(of_one(echo(retry=TWICE, queue="gpt")).lint()) == set()
    free = ps.Queue("gpt", retry_budget=None)
    (finding,) = of_one(echo(retry=TWICE, queue=free)).lint().findings
    assert (finding.code, finding.severity) == ("R6.2", "info")
    assert "its queue 'gpt' has no retry budget" in finding.what


def test_a_queue_that_can_stay_in_a_storm_is_told_with_its_limit() -> None:
    """Where that can be told, the number of attempts alone says less and is left out."""
    (finding,) = paid_by(None).lint().findings
    assert (finding.code, finding.severity, finding.node) == ("R6.4", "warning", "drawn/echo")
    assert finding.what == (
        "queue 'gpt' can stay in a retry storm above 33 % of what it can serve, 33.3 first "
        "attempts a second (up to 3 attempts, no retry budget); below that it is safe"
    )
    assert finding.remedy == ("give it a ps.RetryBudget: with ratio 0.1 it is safe up to 90 %")
    fast = ps.Queue("gpt", concurrency=1_000, retry_budget=None)
    (finding,) = paid_by(None, queue=fast).lint().findings
    assert "3,333 first attempts a second" in finding.what
    assert finding.remedy.endswith("with ratio 0.1 it is safe up to 91 %")


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": None, "total_timeout": 9.0},
        {"estimate": None},
        {"estimate": ps.Cost(tokens=9)},
        {"retry": ps.RetryPolicy(retry_on=(ValueError,))},
        {"queue": ps.Queue("gpt", retry_budget=None)},
        {"queue": ps.Queue("gpt", concurrency=ps.Adaptive(), retry_budget=None)},
    ],
)
def test_a_storm_that_can_not_be_told_leaves_the_attempts_to_tell(options: dict[str, Any]) -> None:
    (finding,) = paid_by(None, **options).lint().findings
    assert (finding.code, finding.severity) == ("R6.2", "info")


@pytest.mark.parametrize(
    ("budget", "seconds", "safe"),
    [
        (ps.RetryBudget(ratio=0.4), 0.1, None),
        (ps.RetryBudget(ratio=0.5), 0.1, "66 %"),
        (ps.RetryBudget(ratio=1.0, floor=0), 0.1, "50 %"),
        (ps.RetryBudget(ratio=0.1), 5.0, "45 %"),  # one a second is half of what it serves
        (ps.RetryBudget(ratio=0.1, floor=0), 5.0, None),
    ],
)
def test_a_budget_that_lets_too_much_through_is_told(
    budget: ps.RetryBudget, seconds: float, safe: str | None
) -> None:
    estimate = ps.Cost(seconds=seconds)
    findings = paid_by(budget, timeout=60.0, estimate=estimate).lint(deadline=999).findings
    assert [finding.code for finding in findings] == ["R6.4"] * (safe is not None)
    if safe is not None:
        assert f"above {safe} of what it can serve" in findings[0].what
        assert findings[0].remedy.startswith("lower its ps.RetryBudget: with ratio 0.1")
    if seconds == 5.0 and safe:
        assert "ratio 0.1 and floor 0 it is safe up to 91 %" in findings[0].remedy


def test_a_storm_is_told_once_a_queue_and_beside_attempts_of_other_queues() -> None:
    """Each retried node is told of by one of the two rules."""
    queue = ps.Queue("gpt", concurrency=10, retry_budget=None)
    known = echo(queue=queue, retry=TWICE, estimate=ps.Cost(seconds=0.1))
    unknown = a_step(queue=queue, retry=TWICE)(by_name)

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        more = flow.call(known, text, retry=ps.RetryPolicy(max_attempts=4))
        return flow.call(unknown, flow.call(known, more))

    storm, attempts = drawn.lint().findings
    assert (storm.code, storm.node) == ("R6.4", "drawn/echo")
    assert "up to 4 attempts" in storm.what
    assert "at 1 more node" in storm.what
    assert (attempts.code, attempts.node) == ("R6.2", "drawn/by_name")


def test_nothing_is_called_safe_where_long_waits_hold_a_queue_up() -> None:
    """One server with a timeout of five times its service is in trouble below the limit, too."""
    queue = ps.Queue("gpt", concurrency=1, retry_budget=ps.RetryBudget(ratio=1.0, floor=0))
    (finding,) = paid_by(None, queue=queue, timeout=0.5).lint().findings
    assert "above 50 % of what it can serve" in finding.what
    assert "below that it is safe" not in finding.what


async def by_name(text: str) -> str:
    return text


class Desk:
    """Runs things; as a service it has a runtime."""

    runtime: ps.Runtime

    async def run(self, *what: object) -> str:
        return str(what)


DESK = Desk()


async def by_its_name(text: str) -> str:
    return str(await DESK.runtime.run(of_one(shout), text))


async def by_what_it_is_given(text: str) -> str:
    return await DESK.run(shout, text)


async def a_process(text: str) -> str:
    return subprocess.run(text, check=True, capture_output=True, text=True).stdout  # noqa: ASYNC221


async def a_function(text: str) -> str:
    return await DESK.run(text)


@pytest.mark.parametrize(
    ("function", "called"),
    [
        (by_its_name, "DESK.runtime.run"),
        (by_what_it_is_given, "DESK.run"),
        (a_process, None),
        (a_function, None),
    ],
)
def test_runs_of_a_runtime_are_told_from_others(
    function: Callable[[str], object], called: str | None
) -> None:
    """Many things are run; only workflows retry by themselves."""
    workflow = of_one(a_step(retry=TWICE)(function))
    found = [f.what for f in workflow.lint().findings if f.code == "R6.3"]
    assert len(found) == (called is not None)
    assert called is None or f"calls {called} (line " in found[0]


def test_a_contained_failure_needs_no_playbook() -> None:
    """What does not fail the run does not wake a person."""
    fragile = echo(playbook=None)
    assert codes(of_one(fragile).lint()) == {"R12.3"}
    assert codes(of_one(fragile, fallback=shout).lint()) == set()

    @ps.workflow(owner="cx")
    def skipped(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str | None]:
        return flow.optional(flow.call(fragile, text, on_failure="skip"))

    @ps.workflow(owner="cx")
    def raced(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.race(flow.call(fragile, text), flow.call(fragile, text))

    assert codes(skipped.lint()) == set()
    assert codes(raced.lint()) == set()


def test_the_worst_case_adds_up_along_the_graph() -> None:
    """Two attempts of 1 s with 1 s between are 3 s; branches run side by side, loops do not."""
    slow = echo(retry=TWICE)

    @ps.workflow(owner="cx")
    def body(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(join, flow.call(slow, text), flow.call(shout, text))

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str], items: ps.Node[list[str]]) -> ps.Node[str]:
        looped = flow.sleep(flow.loop(body, text, until=bool, max_iterations=5), 100)
        mapped = flow.map(slow, items, concurrency=2)
        return flow.merge(flow.apply(lambda text, _: text, looped, mapped))

    one, five = drawn.lint().worst, drawn.lint(items=5).worst
    assert (one.attempts, one.seconds) == (5 * 4 + 2, 5 * 4.0 + 100)
    assert (five.attempts, five.seconds) == (5 * 4 + 5 * 2, 5 * 4.0 + 100)
    assert drawn.lint(items=100).worst.seconds == 50 * 3.0
    endless = of_one(echo(timeout=None)).lint().worst
    assert (endless.seconds, endless.unlimited) == (inf, ("drawn/echo",))


def test_the_worst_case_of_a_recursion_is_that_of_its_depth() -> None:
    def is_done(text: str) -> bool:
        return not text

    @ps.workflow(owner="cx")
    def tree(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(text, key=is_done)
        rest = flow.call(shout, case[False])
        left: ps.Node[str] = flow.recurse(rest, max_depth=3)
        right: ps.Node[str] = flow.recurse(rest, max_depth=3)
        return flow.merge(case[True], flow.call(join, left, right))

    worst = tree.lint().worst
    assert worst.attempts == 2 * (1 + 2 + 4)
    assert worst.seconds == 2 * 3


def test_shape_measures_what_one_has_to_follow() -> None:
    """A diamond is structured, whatever values are passed along beside it."""

    @ps.workflow(owner="cx")
    def diamond(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        first = flow.call(echo(owner="search"), text)
        left, right = flow.call(shout, first), flow.call(shout, first)
        return flow.call(join, left, right, text, first)

    shape = diamond.lint().shape
    assert (shape.nodes, shape.edges, shape.largest) == (5, 7, 4)
    assert (shape.complexity, shape.loose_joins, shape.crossings) == (1, 0, 3)
    assert shape.degree == 4
    assert shape.density == pytest.approx(7 / 20)
    assert shape.score == pytest.approx(0.4)


def test_a_large_graph_is_judged_in_reasonable_time() -> None:
    """Thousands of nodes drawn by a loop must not make lint useless (it would take minutes)."""

    @ps.workflow(owner="cx")
    def wide(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        row = [flow.call(shout, text) for _ in range(50)]
        for _ in range(40):
            row = [flow.call(join, a, b) for a, b in zip(row, [*row[1:], row[0]], strict=True)]
        return flow.call(join, *row)

    report = wide.lint()
    assert report.shape.nodes == 2052
    assert "R14.1" in codes(report)


@pytest.mark.parametrize(
    ("function", "called"),
    [
        (lambda text: text + str(now()), "now"),
        (lambda text: text + str(dt.date.today()), "dt.date.today"),  # noqa: DTZ011
        (lambda text: random.choice([text, text]), "random.choice"),
        (lambda text: text + str(random.Random(7).random()), None),
        (lambda text: text + str(random.Random().random()), "random.Random"),
        (lambda text: Path(text).write_text(text), "Path(text).write_text"),
        (lambda text: open(text).read(), "open"),  # noqa: PTH123, SIM115
        (lambda text: time.sleep(1), "time.sleep"),
        (lambda text: time.monotonic(), None),
        (lambda text: text.upper(), None),
    ],
)
def test_calls_are_known_whatever_they_are_imported_as(
    function: Callable[[str], object], called: str | None
) -> None:
    """Names are looked up in the module of the function, and seeded chance is none."""

    @ps.workflow(owner="cx")
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[object]:
        return flow.apply(function, text)

    found = [finding.what for finding in drawn.lint().findings if finding.code == "R15.3"]
    assert len(found) == (called is not None)
    assert called is None or f"calls {called} (line " in found[0]


def test_a_step_without_source_is_passed_over() -> None:
    """What was typed at a prompt has no source to read."""
    names: dict[str, Any] = {}
    exec("import time\nasync def now(text: str) -> str: return str(time.time())", names)  # noqa: S102
    assert of_one(a_step()(names["now"])).lint().findings == ()


def test_docs_list_the_rules_as_they_are() -> None:
    """docs/lint.md is what users look a code up in."""
    text = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (R\d+\.\d+) \| (\w+) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    expected = [(c, r.severity, r.looks_for, r.remedy) for c, r in RULES.items()]
    assert rows == [(c, s, _escaped(w), _escaped(r)) for c, s, w, r in expected]
    for reason in NOT_CHECKED.values():
        assert reason in text
    assert set(SEEDS) == set(RULES)
    assert {rule.severity for rule in RULES.values()} == set(SEVERITIES)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
