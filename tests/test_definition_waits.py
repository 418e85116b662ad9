"""Drawing what surrounds a step: fallback, compensation, keys, scopes, signals and timers."""

from datetime import timedelta
from typing import Any

import pytest

import penstock as ps
from drawings import edges, kinds, node_at, problem_of, problems_of
from penstock._graph import Accept, Acquire, Cancel, Case, Shield, Sleep, Undo, Wait


@ps.step
async def refund(order: str, receipt: int | None) -> None: ...


@ps.step
async def cash(order: str) -> int:
    return 1


def customer(order: str) -> str:
    return order[:1]


@ps.step(compensate=refund, fallback=cash, concurrency_key=customer)
async def charge(order: str) -> int:
    return 1


@ps.step
async def note(order: str) -> str:
    return order


@ps.step
async def total(*parents: int) -> int:
    return sum(parents)


approval = ps.Signal("approval", bool)


# Fallback, compensation and keys


def test_a_step_brings_its_nodes_along() -> None:
    """What undoes a step, stands in for it and holds it back are nodes, so all of them show."""

    @ps.workflow
    def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[int]:
        return flow.call(charge, flow.call(note, order))

    assert kinds(buy) == {
        "note": "step",
        "charge/key": "acquire",
        "charge": "step",
        "charge/compensate": "undo",
        "charge/accepted": "accept",
        "charge/accepted[yes]": "case",
        "charge/accepted[no]": "case",
        "charge/fallback": "step",
        "charge/result": "merge",
    }
    places = {node.path: i for i, node in enumerate(buy.graph.nodes)}
    step = node_at(buy, "charge")
    assert step.holds == places["buy/charge/key"]
    assert edges(buy, "charge", "gates") == ["charge/key"]
    assert node_at(buy, "charge/key").detail == Acquire(key=None)
    assert edges(buy, "charge/key") == ["note"]
    assert node_at(buy, "charge/compensate").detail == Undo(of=places["buy/charge"])
    assert edges(buy, "charge/compensate") == ["note", "charge"]
    assert edges(buy, "charge/fallback", "gates") == ["charge/accepted[no]"]
    assert edges(buy, "charge/result") == ["charge/accepted[yes]", "charge/fallback"]
    assert node_at(buy, "charge/accepted[yes]").detail == Case(taken=(1, 2))


def test_a_fallback_contains_what_it_stands_in_for() -> None:
    """The step, its key and its compensation are one call; the fallback is outside of it."""

    @ps.workflow
    def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[int]:
        return flow.call(charge, order)

    accept = node_at(buy, "charge/accepted").detail
    assert isinstance(accept, Accept)
    inside = {node.path for node in buy.graph.nodes if node.call == accept.contains}
    assert inside == {"buy/charge/key", "buy/charge", "buy/charge/compensate"}


def test_a_call_may_say_other_things_than_its_step() -> None:
    """As for every option, the call is stronger; what became nodes is no option any more."""

    @ps.workflow
    def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[int]:
        paid = flow.call(cash, order, concurrency_key="till", compensate=refund, timeout=3)
        return flow.call(total, paid, flow.call(cash, order, fallback=charge, name="second"))

    assert node_at(buy, "cash/key").detail == Acquire(key="till")
    assert edges(buy, "cash/key", "gates") == ["order"]
    assert dict(node_at(buy, "cash").overrides) == {"timeout": 3.0}
    assert kinds(buy)["cash/compensate"] == "undo"
    assert kinds(buy)["second/fallback/fallback"] == "step"
    assert node_at(buy, "second/fallback/compensate").step is refund


def test_on_failure_skip_contains_the_whole_call() -> None:
    """The shield stands around everything that the call became."""

    @ps.workflow
    def inner(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[int]:
        return flow.call(charge, order)

    @ps.workflow
    def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[int | None]:
        flow.call(charge, order, on_failure="skip")
        flow.map(charge, flow.collect(order), on_failure="skip", name="many")
        flow.call(note, order, on_failure="fail")
        return flow.optional(flow.call(inner, order, on_failure="skip"))

    for path, value in (("charge", "charge/result"), ("inner", "inner/charge/result")):
        shield = node_at(buy, f"{path}/shield").detail
        assert isinstance(shield, Shield)
        assert edges(buy, f"{path}/shield") == [value]
        inside = [
            node.path
            for node in buy.graph.nodes
            if node.region == 0 and _is_within(buy, node.call, shield.contains)
        ]
        assert len(inside) == 8
        assert all(each.startswith(f"buy/{path}") for each in inside)
    assert edges(buy, "many/shield") == ["many"]
    assert "note/shield" not in kinds(buy)


def _is_within(workflow: ps.Workflow[..., Any], call: int, outer: int) -> bool:
    calls = workflow.graph.calls
    while call not in (outer, calls[call]):
        call = calls[call]
    return call == outer


def test_the_options_of_a_body_go_to_each_item() -> None:
    """A fallback of a mapped step is for the item that failed."""

    @ps.step
    async def other(order: str) -> int:
        return 2

    @ps.workflow
    def buy(flow: ps.Flow, orders: ps.Node[list[str]]) -> ps.Node[list[int]]:
        return flow.map(cash, orders, fallback=other, concurrency_key="till", compensate=refund)

    inside = {path: kind for path, kind in kinds(buy).items() if path.startswith("cash[]")}
    assert inside == {
        "cash[]/order": "input",
        "cash[]/key": "acquire",
        "cash[]": "step",
        "cash[]/compensate": "undo",
        "cash[]/accepted": "accept",
        "cash[]/accepted[yes]": "case",
        "cash[]/accepted[no]": "case",
        "cash[]/fallback": "step",
        "cash[]/result": "merge",
    }


def test_a_compensation_takes_any_number_if_the_step_does() -> None:
    """A joining step is undone by one that takes the same inputs and the result."""

    @ps.step
    async def forget(*parents: int | None) -> None: ...

    @ps.workflow
    def sums(flow: ps.Flow, number: ps.Node[int]) -> ps.Node[int]:
        return flow.call(total, number, number, compensate=forget)

    assert edges(sums, "total/compensate") == ["number", "number", "total"]


@ps.step
async def refund_receipt(order: str, receipt: int) -> None: ...


@ps.step
async def refund_order(order: str) -> None: ...


@ps.step
async def refund_number(order: int, receipt: int | None) -> None: ...


def _result_may_be_none(flow: Any, order: Any) -> Any:
    flow.call(cash, order, compensate=refund_receipt)


def _too_few_to_undo(flow: Any, order: Any) -> Any:
    flow.call(cash, order, compensate=refund_order)


def _undo_of_another_type(flow: Any, order: Any) -> Any:
    flow.call(cash, order, compensate=refund_number)


def _undo_no_step(flow: Any, order: Any) -> Any:
    flow.call(cash, order, compensate=customer)


def _undo_a_workflow(flow: Any, order: Any) -> Any:
    flow.call(cash.as_workflow(), order, compensate=refund)


def _fallback_gives_other(flow: Any, order: Any) -> Any:
    flow.call(cash, order, fallback=note)


def _fallback_takes_other(flow: Any, order: Any) -> Any:
    flow.call(cash, order, fallback=total)


def _fallback_no_stage(flow: Any, order: Any) -> Any:
    flow.call(cash, order, fallback="cash")


def _key_of_a_workflow(flow: Any, order: Any) -> Any:
    flow.call(cash.as_workflow(), order, concurrency_key="till")


def _key_takes_other(flow: Any, order: Any) -> Any:
    def double(number: int) -> int:
        return 2 * number

    flow.call(cash, order, concurrency_key=double)


def _key_is_a_number(flow: Any, order: Any) -> Any:
    flow.call(cash, order, concurrency_key=3)


def _on_failure(flow: Any, order: Any) -> Any:
    flow.call(cash, order, on_failure="retry")


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (
            _result_may_be_none,
            "refund_receipt takes int, but gets int | None (None if",
        ),
        (_too_few_to_undo, "refund_order takes 1 inputs; let it take the step's inputs and the"),
        (
            _undo_of_another_type,
            "'order' of its compensation refund_number takes int, but",
        ),
        (_undo_no_step, "compensate is <function customer"),
        (_undo_a_workflow, "compensate= does not go with the workflow cash; give it to the steps"),
        (_fallback_gives_other, "its fallback note gives str, but cash gives int; choose one"),
        (_fallback_takes_other, "node 'w/cash/fallback': input 'parents' takes int"),
        (_fallback_no_stage, "fallback is 'cash'; give a step or a workflow"),
        (_key_of_a_workflow, "concurrency_key= does not go with the workflow cash; use flow.scope"),
        (_key_takes_other, "input 'number' takes int, but 'w/order' gives str"),
        (_key_is_a_number, "concurrency_key is 3; give a name, or a function of the inputs"),
        (_on_failure, "on_failure is 'retry'; give 'skip', or leave it out"),
    ],
)
def test_mistake_around_a_step(draw: Any, said: str) -> None:
    """A compensation is checked now: it runs only when something else has failed already."""

    def w(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        draw(flow, order)
        return order

    assert said in problem_of(w)


@pytest.mark.parametrize("option", ["compensate", "fallback", "concurrency_key", "priority"])
def test_a_workflow_has_no_such_default(option: str) -> None:
    """One compensation for all steps of a workflow can't be meant."""
    make: Any = ps.workflow
    with pytest.raises(ps.DefinitionError, match="give it to"):
        make(**{option: charge})(lambda flow: None)


# Scopes


def test_what_is_drawn_in_a_scope_is_withdrawn_with_it() -> None:
    """Sub-workflows and inner scopes are part of it; so is what their steps brought along."""

    @ps.workflow
    def inner(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        with flow.scope("deep"):
            return flow.call(note, order)

    @ps.workflow
    def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[bool | None]:
        with flow.scope("payment") as payment:
            flow.call(charge, order)
            with flow.scope("papers"):
                flow.call(inner, order)
        withdrawn = flow.signal(approval, timeout=3, on_timeout="skip")
        return flow.optional(flow.cancel(payment, when=withdrawn, name="withdraw"))

    scopes = buy.graph.scopes
    assert [(scope.path, scope.parent) for scope in scopes] == [
        ("buy/payment", None),
        ("buy/papers", 0),
        ("buy/inner/deep", 1),
    ]
    assert node_at(buy, "charge").scope == 0
    assert node_at(buy, "charge/compensate").scope == 0
    assert node_at(buy, "inner/note").scope == 2
    assert node_at(buy, "withdraw").scope is None
    assert node_at(buy, "withdraw").detail == Cancel(scope=0)
    assert edges(buy, "withdraw") == ["approval"]


def test_a_scope_with_a_key_is_entered_as_a_whole() -> None:
    """It waits for all that its nodes need from outside, so that it does not wait inside."""

    @ps.workflow
    def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(order, key=lambda order: not order)
        first = flow.call(note, order)
        with flow.scope("till", concurrency_key="till"):
            second = flow.call(note, first)
            third = flow.call(note, case[True])
            fourth = flow.call(note, flow.constant("x"), after=second)
        flow.call(note, case[True])
        flow.collect(second, third, case.default)
        return fourth

    acquire = node_at(buy, "till/key")
    assert acquire.detail == Acquire(key="till")
    assert edges(buy, "till/key", "after") == ["note", "switch"]
    place = buy.graph.nodes.index(acquire)
    holders = [node.path for node in buy.graph.nodes if node.holds == place]
    assert holders == ["buy/note-2", "buy/note-3", "buy/note-4"]
    assert edges(buy, "note-3", "gates") == ["till/key"]
    assert node_at(buy, "switch[True]").scope is None


def test_the_key_of_a_scope_may_be_a_value() -> None:
    """One customer's orders one at a time, others beside them."""

    @ps.workflow
    def buy(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        with flow.scope("till", concurrency_key=flow.apply(customer, order)):
            return flow.call(note, order)

    assert node_at(buy, "till/key").detail == Acquire(key=None)
    assert edges(buy, "till/key") == ["customer"]


def _two_keys(flow: Any, order: Any) -> Any:
    with flow.scope("till", concurrency_key="till"):
        flow.call(cash, order, concurrency_key="other")


def _empty_scope(flow: Any, order: Any) -> Any:
    with flow.scope("till", concurrency_key="till"):
        pass


def _twin_scopes(flow: Any, order: Any) -> Any:
    for _ in range(2):
        with flow.scope("till"):
            flow.call(cash, order)


def _scope_named_like_a_node(flow: Any, order: Any) -> Any:
    flow.call(cash, order)
    with flow.scope("cash"):
        flow.call(note, order)


def _odd_key(flow: Any, order: Any) -> Any:
    with flow.scope("till", concurrency_key=3):
        flow.call(cash, order)


def _no_scope(flow: Any, order: Any) -> Any:
    flow.cancel("till", when=order)


def _scope_of_another(flow: Any, order: Any) -> Any:
    kept: list[Any] = []

    @ps.workflow
    def other(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        with flow.scope("till") as scope:
            kept.append(scope)
            return flow.call(note, order)

    flow.cancel(kept[0], when=order)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (_empty_scope, "node 'w/till': this scope is empty; draw nodes in it"),
        (_twin_scopes, "node 'w/till': two nodes have this name"),
        (_scope_named_like_a_node, "node 'w/cash': two nodes have this name"),
        (_odd_key, "concurrency_key is 3; give a string"),
        (_no_scope, "'till' is no scope of this workflow; make one: with flow.scope"),
        (_scope_of_another, "FlowScope(path='other/till') is no scope of this workflow"),
    ],
)
def test_mistake_in_a_scope(draw: Any, said: str) -> None:
    """A scope belongs to one workflow and has something in it."""

    def w(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        draw(flow, order)
        return order

    assert said in problem_of(w)


def test_a_key_inside_of_a_key_is_refused() -> None:
    """Two runs that hold one key each and want the other's would wait for ever."""

    def w(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        _two_keys(flow, order)
        return order

    problems = problems_of(w)
    assert "node 'w/cash': it needs a concurrency key inside of 'w/till/key'" in problems[-1]


# Signals and timers


def test_waiting_is_drawn_with_its_limits() -> None:
    """Durations are seconds or a timedelta, as everywhere."""

    @ps.workflow
    def ask(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[list[bool]]:
        late = flow.sleep(order, timedelta(days=3))
        told = flow.signal(approval, after=late)
        verdict = flow.review(
            late, approval, owner="desk", timeout=60, on_timeout="skip", name="verdict"
        )
        return flow.collect(told, verdict)

    assert node_at(ask, "sleep").detail == Sleep(seconds=259200.0)
    assert node_at(ask, "sleep").contract.name == "str"
    assert node_at(ask, "approval").detail == Wait(
        signal=approval, timeout=0.0, on_timeout="fail", owner=None
    )
    assert edges(ask, "approval", "after") == ["sleep"]
    assert node_at(ask, "verdict").detail == Wait(
        signal=approval, timeout=60.0, on_timeout="skip", owner="desk"
    )
    assert edges(ask, "verdict") == ["sleep"]
    assert node_at(ask, "verdict").contract.name == "bool"


def _no_signal(flow: Any, order: Any) -> Any:
    flow.signal("approval")


def _skip_without_timeout(flow: Any, order: Any) -> Any:
    flow.signal(approval, on_timeout="skip")


def _other_on_timeout(flow: Any, order: Any) -> Any:
    flow.signal(approval, timeout=3, on_timeout="wait")


def _timeout_of_nothing(flow: Any, order: Any) -> Any:
    flow.signal(approval, timeout=0)


def _nobody_reviews(flow: Any, order: Any) -> Any:
    flow.review(order, approval, owner="")


def _no_sleep(flow: Any, order: Any) -> Any:
    flow.sleep(order, 0)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (_no_signal, "'approval' is no signal; make one: ps.Signal"),
        (_skip_without_timeout, "on_timeout='skip' goes with a timeout"),
        (_other_on_timeout, "on_timeout is 'wait'; give 'fail' or 'skip'"),
        (_timeout_of_nothing, "timeout is 0; give more than 0 seconds"),
        (_nobody_reviews, "owner is ''; give a string"),
        (_no_sleep, "the sleep is 0; give more than 0 seconds"),
    ],
)
def test_mistake_in_a_wait(draw: Any, said: str) -> None:
    """A wait that would never end as meant is not defined."""

    def w(flow: ps.Flow, order: ps.Node[str]) -> ps.Node[str]:
        draw(flow, order)
        return order

    assert said in problem_of(w)


def test_signals_are_equal_by_name_and_type() -> None:
    """Two modules may define the same signal; one of another type is another signal."""
    assert ps.Signal("approval", bool) == approval
    assert hash(ps.Signal("approval", bool)) == hash(approval)
    assert ps.Signal("approval", str) != approval
    assert repr(approval) == "Signal('approval', bool)"


@pytest.mark.parametrize(("name", "kind"), [("a/b", bool), ("", bool), ("approval", "bool")])
def test_a_signal_has_a_name_and_a_type(name: str, kind: Any) -> None:
    """Its name is part of a path."""
    with pytest.raises(ps.DefinitionError):
        ps.Signal(name, kind)


def test_a_failure_is_a_value() -> None:
    """It stands in a list of results, so it must not change there."""
    failure = ps.Failure(error=TimeoutError("late"), node="w/pages[3]", attempts=2)
    with pytest.raises(AttributeError):
        failure.attempts = 3  # type: ignore[misc]
