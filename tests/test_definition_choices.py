"""Drawing choices and joins: cases, what is taken, what types come out, and the ladder."""

from enum import Enum
from typing import Annotated, Any, Literal

import pytest

import penstock as ps
from drawings import edges, kinds, node_at, problem_of, problems_of
from penstock._graph import Accept, Case, Switch


class Doc: ...


class Invoice(Doc): ...


class Letter(Doc): ...


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


@ps.step
async def draft(text: str) -> str:
    return text


@ps.step
async def count(text: str) -> int:
    return len(text)


@ps.step
async def read(doc: Doc) -> str:
    return "read"


@ps.step
async def read_invoice(invoice: Invoice) -> str:
    return "invoice"


Severity = Annotated[Literal["high", "low"], "as the desk says it"]


def severity(text: str) -> Severity:
    return "high"


def mood(text: str) -> Mood | None:
    return Mood.GOOD


def is_short(text: str) -> bool:
    return len(text) < 10


# Switch


def test_a_switch_has_a_case_for_each_key() -> None:
    """The path of a case is what a history and a picture show, so it says the key."""

    @ps.workflow
    def triage(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(text, key=severity)
        urgent = flow.call(draft, case["high"], name="urgent")
        return flow.merge(urgent, flow.call(draft, case["low"]))

    assert kinds(triage) == {
        "severity": "switch",
        "severity[high]": "case",
        "urgent": "step",
        "severity[low]": "case",
        "draft": "step",
        "merge": "merge",
    }
    assert node_at(triage, "severity").function is severity
    assert node_at(triage, "severity").detail == Switch(
        labels=("high", "low"), keys=("high", "low"), default=False, by_type=False
    )
    assert node_at(triage, "severity[low]").detail == Case(taken=(1,))
    assert edges(triage, "severity[low]") == ["severity"]
    assert node_at(triage, "severity[low]").contract.name == "str"


def test_a_case_that_is_asked_for_twice_is_one_node() -> None:
    """Two steps on the urgent way are on the same way."""

    @ps.workflow
    def twice(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
        case = flow.switch(text, key=is_short)
        first, second = flow.call(draft, case[True]), flow.call(draft, case[True])
        flow.call(draft, case[False])
        return flow.collect(first, second)

    assert edges(twice, "draft") == edges(twice, "draft-2") == ["is_short[True]"]


def test_the_default_is_the_last_outcome() -> None:
    """The default may be drawn before a case, and still is what is left over."""

    @ps.workflow
    def some(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        case = flow.switch(text, key=lambda text: text[:1])
        others = flow.call(draft, case.default)
        return flow.merge(others, flow.call(draft, case["a"]), flow.call(draft, case["b"]))

    switch = node_at(some, "switch").detail
    assert switch == Switch(
        labels=("a", "b", "default"), keys=("a", "b"), default=True, by_type=False
    )
    assert node_at(some, "switch[default]").detail == Case(taken=(2,))


def test_odd_keys_have_readable_paths() -> None:
    """A key must not break a path: '[]' and '/' have a meaning there."""

    @ps.workflow
    def odd(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[list[str]]:
        case: Any = flow.switch(text, key=lambda text: text)
        keys: list[Any] = ["", "a/b", "x[3]", 1, "1", Mood.GOOD]
        return flow.collect(*(case[key] for key in keys), case.default)

    assert [path for path in kinds(odd) if "[" in path] == [
        "switch[_]",
        "switch[a_b]",
        "switch[x_3_]",
        "switch[1]",
        "switch[1-2]",
        "switch[GOOD]",
        "switch[default]",
    ]


def _nobody_takes_low(flow: Any, text: Any) -> Any:
    return flow.optional(flow.call(draft, flow.switch(text, key=severity)["high"]))


def _nobody_takes_bad(flow: Any, text: Any) -> Any:
    case = flow.switch(text, key=mood)
    return flow.optional(flow.merge(case[Mood.GOOD], case[None]))


def _bool_without_false(flow: Any, text: Any) -> Any:
    return flow.optional(flow.switch(text, key=is_short)[True])


def _lambda_without_default(flow: Any, text: Any) -> Any:
    return flow.optional(flow.switch(text, key=lambda text: text)["a"])


def _open_key_without_default(flow: Any, text: Any) -> Any:
    return flow.optional(flow.switch(text, key=str.upper)["a"])


def _no_case_at_all(flow: Any, text: Any) -> Any:
    flow.switch(text, key=is_short)
    return flow.optional(text)


def _no_such_key(flow: Any, text: Any) -> Any:
    case = flow.switch(text, key=severity)
    return flow.optional(flow.merge(case["medium"], case.default))


def _number_for_a_bool(flow: Any, text: Any) -> Any:
    case = flow.switch(text, key=is_short)
    return flow.optional(flow.merge(case[1], case.default))


def _unhashable_key(flow: Any, text: Any) -> Any:
    return flow.switch(text, key=severity)[["high"]]


def _iterated_cases(flow: Any, text: Any) -> Any:
    return flow.merge(*flow.switch(text, key=severity))


def _step_for_a_key(flow: Any, text: Any) -> Any:
    return flow.switch(text, key=draft).default


def _key_of_another_type(flow: Any, text: Any) -> Any:
    flow.apply(str, flow.switch(flow.call(count, text), key=severity).default)
    return flow.optional(text)


@pytest.mark.parametrize(
    ("draw", "said", "remedy"),
    [
        (_nobody_takes_low, "node 'w/severity': nobody takes case 'low'", "or case.default"),
        (_nobody_takes_bad, "nobody takes case <Mood.BAD: 'bad'>", "take it"),
        (_bool_without_false, "nobody takes case False", "take it"),
        (_lambda_without_default, "node 'w/switch': its key may give anything", "case.default"),
        (_open_key_without_default, "its key may give anything", "with a Literal, an Enum or bool"),
        (_no_case_at_all, "nobody takes case False, True", "case.default"),
        (_no_such_key, "case 'medium' is never taken", "the key gives 'high', 'low'"),
        (_number_for_a_bool, "case 1 is never taken", "the key gives False, True"),
        (_unhashable_key, "case ['high'] is no key", "give what the key gives"),
        (_iterated_cases, "the cases of a switch were iterated", "case[value]"),
        (_step_for_a_key, "key= takes a function", "a plain function"),
        (_key_of_another_type, "input 'text' takes str, but 'w/count' gives int", "flow.apply"),
    ],
)
def test_mistake_in_a_switch(draw: Any, said: str, remedy: str) -> None:
    """A case that nobody thought of is found when the workflow is defined, not by a customer."""

    def w(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str | None]:
        node: ps.Node[str | None] = draw(flow, text)
        return node

    problem = problem_of(w)
    assert said in problem
    assert remedy in problem


# Match


def test_match_narrows_the_type() -> None:
    """In its case an invoice is an Invoice, so the step that takes one may have it."""

    @ps.workflow
    def sort(
        flow: ps.Flow, doc: ps.Node[Invoice | Letter | list[int] | None]
    ) -> ps.Node[str | None]:
        case = flow.match(doc)
        invoice = flow.call(read_invoice, case[Invoice])
        other = flow.call(read, case[Doc])
        numbers = flow.apply(str, case[list])
        return flow.merge(invoice, other, numbers, case[None])

    switch = node_at(sort, "match").detail
    assert isinstance(switch, Switch)
    assert switch.by_type
    assert switch.keys == (Invoice, Doc, list, type(None))
    given = {path: node_at(sort, path).contract.name for path in kinds(sort) if "[" in path}
    assert given == {
        "match[Invoice]": "Invoice",
        "match[Doc]": "Invoice | Letter",
        "match[list]": "list[int]",
        "match[NoneType]": "None",
    }


def test_match_of_a_base_class_takes_a_default() -> None:
    """A Doc may be of a class that nobody has thought of yet."""

    @ps.workflow
    def sort(flow: ps.Flow, doc: ps.Node[Doc]) -> ps.Node[str]:
        case = flow.match(doc)
        return flow.merge(flow.call(read_invoice, case[Invoice]), flow.call(read, case.default))

    assert node_at(sort, "match[Invoice]").contract.name == "Invoice"
    assert node_at(sort, "match[default]").contract.name == "Doc"


def _letter_is_left(flow: Any, doc: Any) -> Any:
    return flow.optional(flow.call(read, flow.match(doc)[Invoice]))


def _base_first(flow: Any, doc: Any) -> Any:
    case = flow.match(doc)
    return flow.optional(flow.call(read, flow.merge(case[Doc], case[Invoice])))


def _no_such_type(flow: Any, doc: Any) -> Any:
    case = flow.match(doc)
    flow.call(draft, case[str])
    return flow.optional(flow.call(read, case[Doc]))


def _no_class(flow: Any, doc: Any) -> Any:
    return flow.match(doc)[list[int]]


def _no_type(flow: Any, doc: Any) -> Any:
    return flow.match(doc)["Invoice"]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (_letter_is_left, "node 'w/match': nobody takes case Letter; take it, or case.default"),
        (_base_first, "case Invoice is never taken, since case Doc is tested before"),
        (_no_such_type, "case str is never taken; the value is Invoice | Letter"),
        (_no_class, "case list[int] can't be tested; give a class"),
        (_no_type, "can't be tested; give a class"),
    ],
)
def test_mistake_in_a_match(draw: Any, said: str) -> None:
    """As for a switch: what is not handled, and what can't happen."""

    def w(flow: ps.Flow, doc: ps.Node[Invoice | Letter]) -> ps.Node[str | None]:
        node: ps.Node[str | None] = draw(flow, doc)
        return node

    assert said in problem_of(w)


# Joins


def test_joins_give_what_comes_in() -> None:
    """What follows a join is checked against all that may come out of it."""

    @ps.workflow
    def joined(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str | int | None]:
        case = flow.switch(text, key=is_short)
        short, long = flow.call(draft, case[True]), flow.call(count, case[False])
        merged = flow.merge(short, long)
        flow.collect(short, long)
        flow.collect(short, short, need=1, cancel_rest=True, name="one")
        flow.race(short, long, cancel_rest=False)
        flow.when(text, is_short, name="brief")
        return flow.optional(merged)

    contracts = {
        node.path.partition("/")[2]: (node.kind, node.contract.name) for node in joined.graph.nodes
    }
    assert contracts["merge"] == ("merge", "int | str")
    assert contracts["collect"] == ("collect", "list[int | str]")
    assert contracts["one"] == ("collect", "list[str]")
    assert contracts["race"] == ("race", "int | str")
    assert contracts["brief"] == ("when", "str")
    assert contracts["optional"] == ("optional", "int | str | None")


def _wrong_after_merge(flow: Any, text: Any) -> Any:
    return flow.call(count, flow.race(flow.call(count, text), text))


def _merge_of_nothing(flow: Any, text: Any) -> Any:
    flow.merge()
    return flow.call(count, text)


def _collect_of_nothing(flow: Any, text: Any) -> Any:
    flow.collect(need=2)
    return flow.call(count, text)


def _race_of_nothing(flow: Any, text: Any) -> Any:
    flow.race()
    return flow.call(count, text)


def _need_too_much(flow: Any, text: Any) -> Any:
    flow.collect(text, text, need=3)
    return flow.call(count, text)


def _cancel_without_need(flow: Any, text: Any) -> Any:
    flow.collect(text, cancel_rest=True)
    return flow.call(count, text)


def _wrong_predicate(flow: Any, text: Any) -> Any:
    flow.when(flow.call(count, text), is_short)
    return flow.call(count, text)


def _optional_of_a_value(flow: Any, text: Any) -> Any:
    flow.optional("x")
    return flow.call(count, text)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (_wrong_after_merge, "input 'text' takes str, but 'w/race' gives int | str"),
        (_merge_of_nothing, "node 'w/merge': it joins nothing; pass the nodes"),
        (_collect_of_nothing, "node 'w/collect': it joins nothing"),
        (_race_of_nothing, "node 'w/race': nothing runs in it"),
        (_need_too_much, "need is 3; give a whole number from 1 to 2"),
        (_cancel_without_need, "cancel_rest goes with need="),
        (_wrong_predicate, "input 'text' takes str, but 'w/count' gives int"),
        (_optional_of_a_value, "its input 'x' is no node; wrap it"),
    ],
)
def test_mistake_in_a_join(draw: Any, said: str) -> None:
    """A join checks its inputs, and whatever takes its value checks that."""

    def w(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[int]:
        node: ps.Node[int] = draw(flow, text)
        return node

    assert said in problem_of(w)


def test_a_union_has_one_name() -> None:
    """The digest has names in it, and must not depend on which module was imported first."""

    class Zebra: ...

    class Ant: ...

    assert ps.Contract.of(Zebra | Ant | None).name == "Ant | Zebra | None"
    assert ps.Contract.of(list[Zebra | Ant | None]).name == "list[Ant | Zebra | None]"
    assert ps.Contract.of(Literal["z", "a"]).name == "Literal['a', 'z']"


# What the native side finds


def _not_exclusive(flow: Any, text: Any) -> Any:
    return flow.merge(flow.when(text, is_short), flow.call(draft, text))


def _may_be_skipped(flow: Any, text: Any) -> Any:
    return flow.call(draft, flow.when(text, is_short))


def _never_together(flow: Any, text: Any) -> Any:
    case = flow.switch(text, key=is_short)
    flow.apply(lambda a, b: a, case[True], case[False], name="both")
    return text


def _always_again(flow: Any, text: Any) -> Any:
    return flow.recurse(flow.call(draft, text), max_depth=3)


@pytest.mark.parametrize(
    ("draw", "path"),
    [
        (_not_exclusive, "w/merge"),
        (_may_be_skipped, "w/draft"),
        (_never_together, "w/both"),
        (_always_again, "w/recurse"),
    ],
)
def test_the_graph_is_verified(draw: Any, path: str) -> None:
    """What no run could do right is told when the workflow is defined, naming the node."""

    def w(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        node: ps.Node[str] = draw(flow, text)
        return node

    assert any(path in problem for problem in problems_of(w))


# Cascade


@ps.workflow
def careful(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[int]:
    return flow.call(count, flow.call(draft, text))


def is_good(answer: str | int) -> bool:
    return True


def test_a_cascade_is_a_ladder_of_gates() -> None:
    """A tier runs when the one before was not accepted; the last one's value is taken as it is."""

    @ps.workflow
    def ladder(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str | int]:
        return flow.cascade((draft, careful, draft), text, accept=is_good)

    assert kinds(ladder) == {
        "cascade/draft": "step",
        "cascade/accept-1": "accept",
        "cascade/accept-1[yes]": "case",
        "cascade/accept-1[no]": "case",
        "cascade/careful/draft": "step",
        "cascade/careful/count": "step",
        "cascade/accept-2": "accept",
        "cascade/accept-2[yes]": "case",
        "cascade/accept-2[no]": "case",
        "cascade/draft-2": "step",
        "cascade": "merge",
    }
    assert edges(ladder, "cascade") == [
        "cascade/accept-1[yes]",
        "cascade/accept-2[yes]",
        "cascade/draft-2",
    ]
    assert edges(ladder, "cascade/careful/draft", "gates") == ["cascade/accept-1[no]"]
    assert edges(ladder, "cascade/accept-2", "gates") == ["cascade/accept-1[no]"]
    assert edges(ladder, "cascade/draft-2", "gates") == ["cascade/accept-2[no]"]
    assert ladder.graph.nodes[ladder.graph.output].contract.name == "int | str"
    for number, tier in enumerate(("cascade/draft", "cascade/careful/count"), 1):
        accept = node_at(ladder, f"cascade/accept-{number}").detail
        assert isinstance(accept, Accept)
        output = ladder.graph.nodes[ladder.graph.outputs[accept.contains]]
        assert output.path == f"ladder/{tier}"


def test_a_threshold_is_kept_apart_from_its_score() -> None:
    """The score is recorded, so that another threshold can be tried on what was recorded."""

    @ps.workflow
    def ladder(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.cascade((draft, draft), text, accept=ps.Threshold(len, at=3))

    accept = node_at(ladder, "cascade/accept-1")
    assert accept.function is len
    assert isinstance(accept.detail, Accept)
    assert accept.detail.at == 3.0


def test_an_exploration_is_a_contained_copy_of_the_next_tier() -> None:
    """Looking at what the next tier would have said neither changes a result nor fails a run."""

    @ps.workflow
    def ladder(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str | int]:
        return flow.cascade((draft, careful), text, accept=is_good, explore=0.1)

    assert edges(ladder, "cascade/explore-1/draft", "gates") == ["cascade/accept-1[explore]"]
    assert node_at(ladder, "cascade/accept-1[explore]").detail == Case(taken=(2,))
    assert node_at(ladder, "cascade/accept-1[no]").detail == Case(taken=(0,))
    assert edges(ladder, "cascade/explore-1/shield") == ["cascade/explore-1/count"]
    assert edges(ladder, "cascade") == ["cascade/accept-1[yes]", "cascade/careful/count"]


@pytest.mark.parametrize(
    ("tiers", "options", "said"),
    [
        ((draft, read), {}, "node 'w/cascade/read': input 'doc' takes Doc, but 'w/text' gives str"),
        ((draft, len), {}, "flow.cascade takes a step or a workflow, not <built-in function len>"),
        ((), {}, "node 'w/cascade': a cascade has no tiers"),
        ((draft,), {}, "two tiers or more; use flow.call"),
        ((draft, draft), {"explore": 1.0}, "explore is 1.0; give a number from 0 to below 1"),
        ((draft, draft), {"explore": True}, "explore is True"),
        ((draft, draft), {"accept": draft}, "accept= takes a function"),
        ((count, draft), {"accept": ps.Threshold(is_short, at=1)}, "input 'text' takes str"),
        ((draft, draft), {"on_failure": "retry"}, "on_failure is 'retry'; give 'skip'"),
    ],
)
def test_mistake_in_a_cascade(tiers: Any, options: Any, said: str) -> None:
    """Each tier is checked like a call of its own."""

    def w(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[Any]:
        cascade: Any = flow.cascade
        node: ps.Node[Any] = cascade(tiers, text, **{"accept": lambda value: True, **options})
        return node

    assert said in problem_of(w)


@pytest.mark.parametrize("at", ["high", float("nan"), True, None])
def test_a_threshold_is_a_finite_number(at: Any) -> None:
    """NaN would accept nothing and say nothing."""
    with pytest.raises(ps.DefinitionError, match=r"Threshold\.at is .*; give a finite number"):
        ps.Threshold(len, at=at)


def test_the_score_of_a_threshold_is_a_function() -> None:
    """The number comes from the value, so it can't be one itself."""
    score: Any = 0.7
    with pytest.raises(ps.DefinitionError, match=r"Threshold\.score is 0.7; give a function"):
        ps.Threshold(score, at=0.7)
