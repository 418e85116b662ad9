"""What a change of a workflow means: each kind of change, with its class and its place."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

import penstock as ps
from penstock._contracts import Contract
from penstock._diff import Difference, interface
from penstock._diff._schemas import relation, schema_of

Draw = Callable[..., ps.Workflow[..., Any]]


class Ticket(BaseModel):
    text: str
    urgency: int = 0


def a_step(name: str = "work", **options: Any) -> Any:
    @ps.step(name=name, **options)
    async def work(text: str) -> str:
        return text

    return work


@ps.step
async def undo(text: str, result: str | None) -> None: ...


WORK = a_step()


def one(
    stage: Any = WORK, *, version: str = "1", owner: str | None = None, **options: Any
) -> ps.Workflow[..., Any]:
    """A workflow of one call."""

    @ps.workflow(version=version, owner=owner)
    def flow_of_one(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        options.setdefault("name", "work")
        return flow.call(stage, text, **options)

    return flow_of_one


def changed(old: Any, new: Any) -> Difference:
    """The difference, with a version that was raised as it should be."""
    return ps.diff(old, json.dumps({**interface(new), "version": "2"}))


def lines(difference: Difference) -> list[str]:
    return [f"{c.verdict} {c.subject} {c.place}: {c.what}" for c in difference.changes]


PATIENT = ps.RetryPolicy(max_attempts=3, initial_interval=1.0, jitter="full")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {"retry": PATIENT}, "risky policy work: attempts 1 -> 3"),
        ({"retry": PATIENT}, {}, "risky policy work: attempts 3 -> 1"),
        (
            {"retry": PATIENT},
            {"retry": ps.RetryPolicy(max_attempts=3, initial_interval=0.5)},
            "risky policy work: initial_interval 1 -> 0.5",
        ),
        (
            {"retry": PATIENT},
            {"retry": ps.RetryPolicy(max_attempts=3, initial_interval=2)},
            "compatible policy work: initial_interval 1 -> 2",
        ),
        (
            {"retry": PATIENT},
            {"retry": ps.RetryPolicy(max_attempts=3, initial_interval=1.0, jitter="none")},
            "risky policy work: jitter full -> none",
        ),
        (
            {"retry": PATIENT},
            {"retry": ps.RetryPolicy(initial_interval=1.0, retry_on=(TimeoutError,))},
            "risky policy work: retry_on (Exception) -> (TimeoutError)",
        ),
        ({"timeout": 2.0}, {"timeout": 1.0}, "risky policy work: timeout 2 -> 1"),
        ({}, {"timeout": 1.0}, "risky policy work: timeout none -> 1"),
        ({"timeout": 1.0}, {"timeout": 2.0}, "compatible policy work: timeout 1 -> 2"),
        ({}, {"queue": "gpt"}, "risky policy work: queue none -> gpt"),
        (
            {"queue": ps.Queue("gpt", concurrency=4)},
            {"queue": ps.Queue("gpt", concurrency=8)},
            "risky policy work: concurrency of queue gpt 4 -> 8",
        ),
        ({}, {"priority": 1}, "compatible policy work: priority none -> 1"),
    ],
)
def test_a_policy(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    """Tuning strands nobody, and yet may start a storm: which of them is told by the direction."""
    difference = changed(one(**old), one(**new))
    assert lines(difference) == [said]
    assert not difference.strands_runs
    assert difference.changes[0].reason


ARRIVES = "more of it reaches the dependency at once"
WAITS = "work waits longer, or is refused, under the same load"
RETRIES = "an outage is met with more retries"
FEWER = "more retries wait, or fail"
TOKENS = ps.RateLimit(90_000, per=60.0, unit="tokens")


@pytest.mark.parametrize(
    ("old", "new", "said", "reason", "back"),
    [
        (
            {"retry_budget": ps.RetryBudget(ratio=0.1)},
            {"retry_budget": ps.RetryBudget(ratio=0.3)},
            "risky: ratio of gpt's retry budget 0.1 -> 0.3",
            RETRIES,
            FEWER,
        ),
        (
            {},
            {"retry_budget": ps.RetryBudget(on_denial="fail")},
            "risky: on_denial of gpt's retry budget park -> fail",
            "retries that it does not cover end in another way",
            "retries that it does not cover end in another way",
        ),
        (
            {},
            {"retry_budget": None},
            "risky: gpt's retry budget is gone",
            "an outage is met with all the retries that policies allow",
            "retries that it does not cover wait, or fail",
        ),
        (
            {"breaker": ps.Breaker()},
            {"breaker": ps.Breaker(failure_ratio=0.7)},
            "risky: failure_ratio of gpt's breaker 0.5 -> 0.7",
            "work goes to a failing dependency for longer",
            "work waits for it sooner",
        ),
        (
            {},
            {"breaker": ps.Breaker()},
            "risky: gpt's breaker is new",
            "work waits, or fails, while it is open",
            "a dependency that is down gets all the work there is",
        ),
        (
            {"shed": ps.CoDel()},
            {"shed": ps.CoDel(target=0.2)},
            "risky: target of gpt's shedding 0.05 -> 0.2",
            "runs wait longer before new ones are refused",
            "new runs are refused sooner",
        ),
        (
            {"rate_limit": ps.RateLimit(600, per=60.0, burst=10)},
            {"rate_limit": [TOKENS, ps.RateLimit(900, per=60.0, burst=10)]},
            "risky: gpt's rate limit of tokens is new",
            WAITS,
            ARRIVES,
        ),
        (
            {"rate_limit": [TOKENS, ps.RateLimit(600, per=60.0, burst=10)]},
            {"rate_limit": [ps.RateLimit(900, per=60.0, burst=10), TOKENS]},
            "risky: limit of gpt's rate limit of requests 600 -> 900",
            ARRIVES,
            WAITS,
        ),
        (
            {"rate_limit": ps.RateLimit(600, per=60.0, burst=10)},
            {"rate_limit": ps.RateLimit(600, per=90.0, burst=10)},
            "risky: per of gpt's rate limit of requests 60 -> 90",
            WAITS,
            ARRIVES,
        ),
        (
            {"concurrency": 8},
            {"concurrency": ps.Adaptive()},
            "risky: concurrency of queue gpt 8 -> adaptive",
            "how much of it reaches the dependency at once is decided in another way",
            "how much of it reaches the dependency at once is decided in another way",
        ),
        (
            {"concurrency": ps.Adaptive()},
            {"concurrency": ps.Adaptive(max_limit=2_000)},
            "risky: max_limit of gpt's adaptive concurrency 1000 -> 2000",
            ARRIVES,
            WAITS,
        ),
        (
            {"concurrency": 8},
            {"concurrency": None},
            "risky: concurrency of queue gpt 8 -> none",
            ARRIVES,
            WAITS,
        ),
        (
            {},
            {"fairness": ps.Fairness()},
            "risky: gpt's fairness is new",
            "tenants take turns, whatever each of them has waiting",
            "a tenant's backlog stands before the others",
        ),
        (
            {"fairness": ps.Fairness(weights={"acme": 2, "odd": 3})},
            {"fairness": ps.Fairness(weights={"odd": 3, "acme": 2, "new": 4})},
            "risky: weight of new in gpt's fairness 1 -> 4",
            "other tenants wait longer",
            "this tenant waits longer",
        ),
        (
            {"fairness": ps.Fairness()},
            {"fairness": ps.Fairness(by="tokens")},
            "risky: by of gpt's fairness time -> tokens",
            "other tenants get more of it than before",
            "other tenants get more of it than before",
        ),
        (
            {},
            {"aging": 60},
            "compatible: aging of queue gpt 30 -> 60",
            "work of low priority waits longer",
            "work of low priority gets its turn sooner",
        ),
        (
            {"capacity": 100},
            {"capacity": 200},
            "risky: capacity of queue gpt 100 -> 200",
            "more work waits before any is refused",
            WAITS,
        ),
    ],
)
def test_a_part_of_a_queue(
    old: dict[str, Any], new: dict[str, Any], said: str, reason: str, back: str
) -> None:
    """What changed inside of a queue is named, and no model is printed as a whole."""
    before, after = (one(queue=ps.Queue("gpt", **options)) for options in (old, new))
    told = [(f"{c.verdict}: {c.what}", c.reason) for c in changed(before, after).changes]
    assert (said, reason) in told
    assert back in [change.reason for change in changed(after, before).changes]
    assert all("{" not in change and len(change) < 80 for change, _ in told)
    assert not changed(before, after).strands_runs


@pytest.mark.parametrize(
    ("old", "new", "said", "reason"),
    [
        (
            {},
            {"hedge": ps.Hedge()},
            "its hedge is new",
            "slow attempts run twice, and use twice as much",
        ),
        ({"hedge": ps.Hedge()}, {}, "its hedge is gone", "slow attempts are waited for"),
        (
            {"hedge": ps.Hedge(after=1)},
            {"hedge": ps.Hedge(after=0.5)},
            "after of its hedge 1 -> 0.5",
            "more attempts run twice",
        ),
        (
            {"hedge": ps.Hedge()},
            {"hedge": ps.Hedge(quantile=0.99)},
            "quantile of its hedge 0.95 -> 0.99",
            "slow attempts are waited for longer",
        ),
        ({}, {"estimate": ps.Cost()}, "its estimate is new", "a limit of tokens counts it"),
        (
            {"estimate": ps.Cost(tokens=9)},
            {"estimate": ps.Cost(tokens=5)},
            "tokens of its estimate 9 -> 5",
            "more attempts fit into it at once",
        ),
        (
            {"estimate": ps.Cost(seconds=1)},
            {"estimate": ps.Cost(seconds=0.5)},
            "seconds of its estimate 1 -> 0.5",
            "lint and `penstock stability` judge its queue by another time",
        ),
    ],
)
def test_a_hedge_and_an_estimate(
    old: dict[str, Any], new: dict[str, Any], said: str, reason: str
) -> None:
    (change,) = changed(one(**old), one(**new)).changes
    # How long an attempt is expected to take limits nothing.
    verdict = "compatible" if said.startswith("seconds") else "risky"
    assert (change.verdict, change.subject, change.place) == (verdict, "policy", "work")
    assert (change.what, change.reason) == (said, reason)


def test_a_queue_that_an_earlier_version_wrote() -> None:
    """It had two limits; what it does not tell is not taken for a change."""
    content = interface(one(queue=ps.Queue("gpt", concurrency=4)))
    (policy,) = (entry["policy"] for entry in content["nodes"] if "policy" in entry)
    policy["queue"] = {"name": "gpt", "version": "1", "concurrency": 4, "capacity": None}
    now = one(queue=ps.Queue("gpt", version="2", concurrency=8, breaker=ps.Breaker()))
    assert lines(ps.diff(json.dumps(content), now)) == [
        "risky policy work: concurrency of queue gpt 4 -> 8"
    ]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (a_step(version="2"), "risky node work: runs step work version 2, and ran step work ver"),
        (a_step(effects="once"), "risky node work: effects undeclared -> once"),
        (a_step(effects="pure"), "compatible node work: effects undeclared -> pure"),
        (a_step(owner="cx"), "compatible owner work: owner none -> cx"),
    ],
)
def test_a_step(new: Any, said: str) -> None:
    (line,) = lines(changed(one(), one(new)))
    assert line.startswith(said)
    (line,) = lines(changed(one(new), one()))
    assert line.startswith(("risky", "compatible"))


def test_an_owner() -> None:
    assert lines(changed(one(owner="cx"), one(owner="ops"))) == [
        "risky owner : owner cx -> ops",
    ]
    assert lines(changed(one(owner="cx"), one())) == ["risky owner : owner cx -> none"]


def test_an_effect_that_is_undone_and_one_that_is_not_any_more() -> None:
    undone = one(compensate=undo)
    assert lines(changed(one(), undone)) == ["risky node work/compensate: this undo is new"]
    assert lines(changed(undone, one())) == ["risky node work/compensate: this undo is gone"]


def taking(kind: Any, result: Any = str) -> ps.Workflow[..., Any]:
    """A workflow that takes `kind` and gives `result`."""

    def work(value: Any) -> Any: ...

    def drawn(flow: ps.Flow, value: Any) -> Any:
        return flow.call(stage, value)

    work.__annotations__ = {"value": kind, "return": result}
    drawn.__annotations__ = {
        "flow": ps.Flow,
        "value": ps.Node[kind],
        "return": ps.Node[result],
    }
    stage: Any = ps.step(work)
    workflow: ps.Workflow[..., Any] = ps.workflow(drawn)
    return workflow


class Stricter(BaseModel):
    text: str = Field(max_length=10)
    urgency: int = 0


class Looser(BaseModel):
    text: str
    urgency: int | None = None
    tags: list[str] = []


@pytest.mark.parametrize(
    ("old", "new", "as_input", "as_result"),
    [
        (int, int | None, "compatible", "breaking"),
        (int | None, int, "breaking", "compatible"),
        (int, str, "breaking", "breaking"),
        (int, float, "compatible", "breaking"),
        (Literal["a"], Literal["a", "b"], "compatible", "breaking"),
        (list[int], list[int | str], "compatible", "breaking"),
        (Ticket, Looser, "compatible", "breaking"),
        (Ticket, Stricter, "breaking", "compatible"),
    ],
)
def test_a_contract(old: Any, new: Any, as_input: str, as_result: str) -> None:
    """What a caller may pass can only grow, what it gets can only shrink."""
    assert changed(taking(old), taking(new)).verdict == as_input
    (change,) = changed(taking(str, old), taking(str, new)).at_least("compatible")
    assert (change.verdict, change.subject, change.place) == (as_result, "contract", "result")


def test_inputs_that_come_go_and_change_places() -> None:
    @ps.step
    async def both(a: str, b: str) -> str:
        return a + b

    def drawn(first: str, second: str) -> ps.Workflow[..., Any]:
        def pair(flow: ps.Flow, a: ps.Node[str], b: ps.Node[str]) -> ps.Node[str]:
            return flow.call(both, a, b)

        renamed: Any = pair
        renamed.__code__ = pair.__code__.replace(co_varnames=("flow", first, second))
        renamed.__annotations__ = {
            "flow": ps.Flow,
            first: ps.Node[str],
            second: ps.Node[str],
            "return": ps.Node[str],
        }
        return ps.workflow(pair)

    swapped = lines(changed(drawn("a", "b"), drawn("b", "a")))
    assert swapped[0] == "breaking contract : the inputs come as b, a"
    renamed = lines(changed(drawn("a", "b"), drawn("a", "c")))
    assert renamed[:2] == [
        "breaking contract b: this input is gone",
        "breaking contract c: this input is new",
    ]


def severity(text: str) -> Literal["high", "low"]:
    return "high" if "!" in text else "low"


def graph(
    *,
    extra: bool = False,
    order: bool = False,
    bound: int = 3,
    wait: ps.Signal[Any] | None = None,
    owner: str | None = None,
) -> ps.Workflow[..., Any]:
    @ps.workflow
    def body(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(WORK, text)

    @ps.workflow
    def drawn(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(text, key=severity)
        high = flow.call(a_step("escalate", owner="ops"), case["high"])
        low = flow.loop(body, case["low"], until=bool, max_iterations=bound, name="polish")
        merged = flow.merge(high, low)
        if wait is not None:
            flow.signal(wait, after=merged)
        if extra:
            flow.call(WORK, merged, name="audit")
        return flow.call(WORK, merged, name="send", after=[text] if order else None)

    return drawn


def test_the_graph() -> None:
    plain = graph()
    assert changed(plain, graph()).changes == ()
    assert lines(changed(plain, graph(extra=True))) == ["risky node audit: this step is new"]
    assert lines(changed(graph(extra=True), plain)) == ["risky node audit: this step is gone"]
    assert lines(changed(plain, graph(order=True))) == [
        "compatible edge text -> send: it now waits for it"
    ]
    assert lines(changed(plain, graph(bound=5))) == ["risky node polish: max_iterations 3 -> 5"]
    assert changed(plain, graph(extra=True)).strands_runs


def test_signals_are_part_of_what_others_rely_on() -> None:
    """Whoever sends a signal is a caller too."""
    narrow, wide = ps.Signal("approval", int), ps.Signal[Any]("approval", float)
    waiting = graph(wait=narrow)
    assert [c.verdict for c in changed(graph(), waiting).changes] == ["risky", "risky"]
    assert "breaking contract approval: nothing waits for signal approval any more" in lines(
        changed(waiting, graph())
    )
    assert changed(waiting, graph(wait=wide)).at_least("breaking") == ()
    assert changed(graph(wait=wide), waiting).verdict == "breaking"


def test_a_new_edge_between_owners_is_called_a_handoff() -> None:
    def drawn(*, crossed: bool) -> ps.Workflow[..., Any]:
        @ps.workflow
        def pair(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
            first = flow.call(a_step("search", owner="search"), text)
            return flow.call(a_step("draft", owner="cx"), first if crossed else text)

        return pair

    difference = changed(drawn(crossed=False), drawn(crossed=True))
    (new,) = [c for c in difference.changes if c.what == "it now takes the value of it"]
    assert "handoff from search to cx" in new.reason


def test_a_changed_graph_needs_a_new_version() -> None:
    """Two graphs of one name and version can't be registered together."""
    difference = ps.diff(graph(), graph(extra=True))
    assert difference.verdict == "breaking"
    assert "raise it" in difference.changes[0].reason
    assert ps.diff(one(), one(retry=PATIENT)).verdict == "risky"  # a policy may be tuned


def test_json_stands_for_a_workflow() -> None:
    """A release keeps the file, and the next one is compared with it."""
    old = json.dumps(interface(one()))
    assert ps.diff(old, one()).changes == ()
    assert lines(ps.diff(old, one(timeout=1.0))) == ["risky policy work: timeout none -> 1"]


def test_json_of_the_graph_alone_is_compared_as_far_as_it_goes() -> None:
    """`to_json` has no schemas and policies: that is said, and not taken for a change."""
    old = taking(Ticket).to_json()
    difference = ps.diff(old, taking(Ticket))
    assert difference.changes == ()
    assert len(difference.unknown) == 1
    assert "the old side has no schemas" in difference.unknown[0]
    assert changed(taking(Ticket), taking(Looser)).verdict == "compatible"
    assert ps.diff(old, taking(Looser)).verdict == "breaking"  # for all one knows


def test_a_whole_interface_is_still_read_as_a_workflow() -> None:
    again = ps.Workflow.from_json(json.dumps(interface(one())), stages=[WORK])
    assert again.digest == one().digest


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"name": "w", "nodes": [], "output": 0}', '{"name": "w", "nodes": 3}'],
)
def test_what_is_no_workflow_is_refused(text: str) -> None:
    with pytest.raises(ps.DefinitionError, match="penstock graph --format json"):
        ps.diff(text, one())


def test_json_of_a_difference() -> None:
    content = json.loads(ps.diff(one(), one(timeout=1.0)).to_json())
    assert content["verdict"] == "risky"
    assert content["changes"][0]["place"] == "work"
    assert content["strands_runs"] is False


@dataclass
class Pair:
    left: int
    right: "Pair | None" = None


class Opaque: ...


def test_schemas_of_recursive_and_opaque_types() -> None:
    """A tree has a schema; a plain class goes by its name."""
    assert relation(schema_of(Contract.of(Pair)), schema_of(Contract.of(Pair))) == "same"
    opaque = schema_of(Contract.of(Opaque))
    assert "Opaque" in json.dumps(opaque)
    assert relation(opaque, schema_of(Contract.of(Ticket))) == "other"


KINDS = st.recursive(
    st.sampled_from([int, str, bool, type(None), Literal["a"], Literal["a", "b"], Ticket]),
    lambda inner: st.one_of(
        inner.map(lambda kind: GenericAlias(list, (kind,))),
        inner.map(lambda kind: GenericAlias(dict, (str, kind))),
        st.tuples(inner, inner).map(lambda kinds: kinds[0] | kinds[1]),
        st.tuples(inner, inner).map(lambda kinds: GenericAlias(tuple, kinds)),
    ),
    max_leaves=4,
)
VALUES = st.recursive(
    st.sampled_from([0, 1, "", "a", "b", True, None, {"text": "t"}, {"text": "t", "urgency": 3}]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(old=KINDS, new=KINDS, value=VALUES)
def test_wider_means_that_no_value_is_refused(old: Any, new: Any, value: Any) -> None:
    """A comparison that says compatible and is not would be worse than none."""
    if relation(schema_of(Contract.of(old)), schema_of(Contract.of(new))) in ("same", "wider"):
        assert _admits(new, value) or not _admits(old, value)


def _admits(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


@given(KINDS)
def test_a_schema_is_the_same_as_itself(kind: Any) -> None:
    schema = schema_of(Contract.of(kind))
    assert relation(schema, schema) == "same"
    assert relation(schema, schema_of(Contract.of(kind | bytes))) == "wider"
