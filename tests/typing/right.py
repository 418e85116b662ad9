"""Programs that both type checkers accept; never run."""

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Literal, assert_type

import penstock as ps


class Query: ...


class Narrow(Query): ...


class Doc: ...


class Reply: ...


class Better(Reply): ...


class Mood(Enum):
    GOOD = 1
    BAD = 2


@ps.step
async def retrieve(query: Query, ctx: ps.Context) -> list[Doc]:
    return []


@ps.step(name="search", timeout=timedelta(seconds=3), retry=ps.RetryPolicy(max_attempts=2))
async def search(ctx: ps.Context, query: Query) -> list[Doc]:
    return []


@ps.step
async def draft(query: Query, docs: Sequence[Doc]) -> Reply:
    return Reply()


gpt = ps.Queue(
    "gpt",
    version="2",
    concurrency=ps.Adaptive(initial=64, max_limit=200),
    capacity=10_000,
    rate_limit=(
        ps.RateLimit(600, per=timedelta(minutes=1), burst=60),
        ps.RateLimit(9e4, per=60, unit="tokens"),
    ),
    fairness=ps.Fairness(key="tenant", weights={"acme": 2}, by="tokens"),
    aging=30,
    aging_share=0.1,
    retry_budget=ps.RetryBudget(ratio=0.1, window=timedelta(seconds=10), on_denial="dead_letter"),
    breaker=ps.Breaker(failure_ratio=0.5, open_for=5),
    shed=ps.CoDel(target=0.05),
)
assert_type(gpt.rate_limit, tuple[ps.RateLimit, ...])
assert_type(gpt.concurrency, int | ps.Adaptive | None)
assert_type(gpt.retry_budget, ps.RetryBudget | None)
assert_type(ps.Queue.from_dict(gpt.to_dict()), ps.Queue)
assert_type(ps.RetryPolicy.from_dict({}), ps.RetryPolicy)
assert_type(gpt.digest, str)
ps.Queue("free", rate_limit=ps.RateLimit(3), retry_budget=None)
ps.Queue("both", rate_limit=[ps.RateLimit(3)], concurrency=4)
assert_type(ps.Cost(seconds=0.5).seconds, float | None)
ps.Cost(usd=0.002, max_usd="0.01")
ps.Budget(usd=ps.usd(5), per="day", when_spent="degrade", degrade_at=0.5)
ps.PriceBook(rates={"tools": {"search": 0.005}}, version="2026-11", unknown="unpriced")
stable = ps.stability(arrivals=70, concurrency=10, service_time=0.1, timeout=1, retry_ratio=0.1)
assert_type(stable, ps.Stability)
assert_type(stable.loads, tuple[float, ...])
assert_type(stable.tipping_point, float | None)


@ps.step(queue=gpt, estimate=ps.Cost(tokens=1_200), hedge=ps.Hedge(after=0.5))
async def summarise(doc: Doc) -> str:
    return ""


@ps.workflow(hedge=ps.Hedge(quantile=0.9), estimate=ps.Cost())
def hedged(flow: ps.Flow, doc: ps.Node[Doc]) -> ps.Node[str]:
    return flow.call(summarise, doc, hedge=ps.Hedge(), estimate=ps.Cost(tokens=3), queue=gpt)


@ps.step(queue=ps.Queue("desk", concurrency=2))
def review(reply: Reply) -> Reply:
    return reply


@ps.step
async def begin(ctx: ps.Context) -> Query:
    return Query()


@ps.step
async def perhaps(query: Query | None) -> Doc:
    return Doc()


@ps.step
async def gather(*parents: Doc) -> list[Doc]:
    return list(parents)


@ps.step
async def gather_with_context(ctx: ps.Context, *parents: Doc) -> list[Doc]:
    return list(parents)


@ps.step
def gather_in_thread(*parents: Doc) -> list[Doc]:
    return list(parents)


@ps.step
def gather_in_thread_with_context(ctx: ps.Context, *parents: Doc) -> list[Doc]:
    return list(parents)


@ps.step
async def six(a: int, b: str, c: bytes, d: float, e: bool, f: None, ctx: ps.Context) -> Reply:
    return Reply()


@ps.workflow(version="1.0.0", owner="cx")
def support(flow: ps.Flow, query: ps.Node[Query], narrow: ps.Node[Narrow]) -> ps.Node[Reply]:
    docs = flow.call(retrieve, query)
    assert_type(docs, ps.Node[list[Doc]])
    flow.call(search, narrow, name="again", after=[docs], priority=1)
    reply = flow.call(draft, narrow, docs)
    assert_type(reply, ps.Node[Reply])
    return flow.call(review, reply, timeout=3)


@ps.workflow
def outer(flow: ps.Flow, narrow: ps.Node[Narrow]) -> ps.Node[Reply]:
    query = flow.call(begin)
    assert_type(query, ps.Node[Query])
    flow.call(perhaps, query)
    return flow.call(support, query, narrow, name="inner")


@ps.workflow
def joins(flow: ps.Flow, doc: ps.Node[Doc]) -> ps.Node[int]:
    assert_type(flow.call(gather), ps.Node[list[Doc]])
    assert_type(flow.call(gather, doc, doc), ps.Node[list[Doc]])
    many = [doc for _ in range(100)]
    assert_type(flow.call(gather, *many, after=many), ps.Node[list[Doc]])
    assert_type(flow.call(gather_with_context, doc), ps.Node[list[Doc]])
    assert_type(flow.call(gather_with_context, *many), ps.Node[list[Doc]])
    assert_type(
        flow.call(gather_with_context, doc, doc, doc, doc, doc, doc, doc), ps.Node[list[Doc]]
    )
    assert_type(flow.call(gather_in_thread, doc), ps.Node[list[Doc]])
    assert_type(flow.call(gather_in_thread, doc, doc, doc, doc, doc, doc, doc), ps.Node[list[Doc]])
    docs = flow.call(gather_in_thread_with_context, doc)
    assert_type(docs, ps.Node[list[Doc]])
    assert_type(flow.call(gather_in_thread_with_context, *many), ps.Node[list[Doc]])
    size = flow.apply(len, docs)
    assert_type(flow.apply(lambda docs: docs[0], docs), ps.Node[Doc])
    return flow.apply(lambda a, b: a + b, size, flow.constant(3))


@ps.workflow
def wide(
    flow: ps.Flow,
    a: ps.Node[int],
    b: ps.Node[str],
    c: ps.Node[bytes],
    d: ps.Node[float],
    e: ps.Node[bool],
    f: ps.Node[None],
) -> ps.Node[Reply]:
    return flow.call(six, a, b, c, a, e, f, after=d)


@ps.step
async def unsay(query: Query, docs: Sequence[Doc], reply: Reply | None) -> None: ...


@ps.step
async def apologise(query: Query, docs: Sequence[Doc]) -> Reply:
    return Reply()


def number_of_docs(query: Query, docs: Sequence[Doc]) -> int:
    return len(docs)


@ps.step(compensate=unsay, fallback=apologise, concurrency_key=number_of_docs)
async def careful(query: Query, docs: Sequence[Doc]) -> Reply:
    return Reply()


@ps.step
async def polish(reply: Reply, ctx: ps.Context) -> Better:
    return Better()


@ps.step
async def rate(reply: Reply, query: Query, doc: Doc) -> int:
    return 3


@ps.step
async def guess(query: Query) -> Reply:
    return Reply()


@ps.step
async def think(query: Query, ctx: ps.Context) -> Better:
    return Better()


@ps.step
def ask(query: Query) -> int:
    return 3


def severity(query: Query) -> Literal["high", "low"]:
    return "high"


def mood(query: Query) -> Mood:
    return Mood.GOOD


def is_urgent(query: Query) -> bool:
    return True


def is_good(reply: Reply) -> bool:
    return True


def score(reply: Reply) -> float:
    return 1.0


@ps.workflow
def choices(flow: ps.Flow, query: ps.Node[Query], doc: ps.Node[Doc]) -> ps.Node[Reply | int | None]:
    case = flow.switch(query, key=severity)
    assert_type(case, ps.Cases[Query, Literal["high", "low"]])
    assert_type(case["high"], ps.Node[Query])
    low = flow.call(ask, case["low"], on_failure="skip")
    by_mood = flow.switch(query, key=mood)
    assert_type(by_mood[Mood.GOOD], ps.Node[Query])
    assert_type(by_mood[Mood.BAD], ps.Node[Query])
    urgent = flow.switch(query, key=is_urgent)
    assert_type(urgent[True], ps.Node[Query])
    assert_type(urgent.default, ps.Node[Query])
    free = flow.switch(query, key=lambda query: str(query)[:1], name="free")
    assert_type(free["a"], ps.Node[Query])
    assert_type(free.default, ps.Node[Query])
    high = flow.call(guess, case["high"])
    assert_type(flow.merge(high, low), ps.Node[Reply | int])
    assert_type(flow.merge(high, high, name="same"), ps.Node[Reply])
    either = flow.merge(high, low, doc)
    assert_type(either, ps.Node[Reply | int | Doc])
    kinds = flow.match(either)
    assert_type(kinds[Reply], ps.Node[Reply])
    assert_type(kinds[int], ps.Node[int])
    assert_type(kinds.default, ps.Node[Reply | int | Doc])
    perhaps = flow.match(flow.optional(doc))
    assert_type(perhaps[None], ps.Node[None])
    assert_type(perhaps[Doc], ps.Node[Doc])
    assert_type(flow.when(query, is_urgent), ps.Node[Query])
    assert_type(flow.when(query, lambda query: query != Query()), ps.Node[Query])
    return flow.optional(flow.race(high, low))


@ps.workflow
def joining(
    flow: ps.Flow, reply: ps.Node[Reply], better: ps.Node[Better], count: ps.Node[int]
) -> ps.Node[list[Reply | int]]:
    assert_type(flow.collect(reply), ps.Node[list[Reply]])
    assert_type(flow.collect(reply, count, need=1, cancel_rest=True), ps.Node[list[Reply | int]])
    many = [reply for _ in range(10)]
    assert_type(flow.collect(*many), ps.Node[list[Reply]])
    assert_type(flow.race(*many), ps.Node[Reply])
    assert_type(flow.merge(*many), ps.Node[Reply])
    assert_type(flow.race(reply, count, cancel_rest=False), ps.Node[Reply | int])
    assert_type(flow.optional(count), ps.Node[int | None])
    flow.call(polish, flow.merge(reply, better))
    return flow.collect(reply, count)


@ps.workflow
def bodies(
    flow: ps.Flow, queries: ps.Node[list[Query]], query: ps.Node[Query], doc: ps.Node[Doc]
) -> ps.Node[list[Reply | ps.Failure]]:
    assert_type(flow.map(retrieve, queries), ps.Node[list[list[Doc]]])
    replies = flow.map(choices, queries, doc, concurrency=3, timeout=4)
    assert_type(replies, ps.Node[list[Reply | int | None]])
    drafts = flow.map(guess, queries, need=2, cancel_rest=True)
    assert_type(drafts, ps.Node[list[Reply]])
    assert_type(flow.map(rate, drafts, query, doc), ps.Node[list[int]])
    assert_type(flow.map(gather, flow.collect(doc, doc)), ps.Node[list[list[Doc]]])
    reply = flow.call(guess, query)
    best = flow.loop(polish, reply, until=is_good, max_iterations=3, on_exhausted="last")
    assert_type(best, ps.Node[Reply])
    flow.loop(polish, reply, until=lambda reply: bool(str(reply)), max_iterations=3, priority=1)
    again: ps.Node[list[Reply | ps.Failure]] = flow.recurse(queries, query, doc, max_depth=3)
    flow.call(careful, query, flow.collect(doc), after=again)
    assert_type(flow.spawn(choices, query, doc, after=best), ps.Node[str])
    assert_type(flow.spawn(think, query), ps.Node[str])
    tolerant = flow.map(guess, queries, tolerated_failures=3, on_failure="skip")
    assert_type(tolerant, ps.Node[list[Reply | ps.Failure]])
    return tolerant


approval = ps.Signal("approval", bool)


@ps.workflow
def ladders(flow: ps.Flow, query: ps.Node[Query], doc: ps.Node[Doc]) -> ps.Node[Reply | int]:
    tiers = (guess, think, ask)
    answer = flow.cascade(tiers, query, accept=is_good)
    assert_type(answer, ps.Node[Reply | Better | int])
    assert_type(flow.cascade((think, guess), query, accept=is_good), ps.Node[Better | Reply])
    by_score = flow.cascade(
        (guess, think), query, accept=ps.Threshold(score, at=0.7), explore=0.1, name="scored"
    )
    assert_type(by_score, ps.Node[Reply | Better])
    assert_type(flow.cascade([guess, guess], query, accept=is_good), ps.Node[Reply])
    flow.cascade((think, ask), query, accept=lambda better: not is_good(better), after=doc)
    return answer


@ps.workflow
def waits(flow: ps.Flow, query: ps.Node[Query], key: ps.Node[str]) -> ps.Node[bool]:
    assert_type(approval, ps.Signal[bool])
    with flow.scope("desk", concurrency_key=key) as scope:
        verdict = flow.review(query, approval, owner="cx", timeout=timedelta(days=3))
        assert_type(verdict, ps.Node[bool])
    assert_type(scope, ps.FlowScope)
    assert_type(flow.cancel(scope, when=query), ps.Node[Query])
    late = flow.sleep(query, 3.5)
    assert_type(late, ps.Node[Query])
    told = flow.signal(approval, timeout=3, on_timeout="skip", after=[late])
    assert_type(told, ps.Node[bool])
    return flow.race(told, verdict)


assert_type(support, ps.Workflow[[Query, Narrow], Reply])
assert_type(outer, ps.Workflow[[Narrow], Reply])
assert_type(wide, ps.Workflow[[int, str, bytes, float, bool, None], Reply])


async def direct(ctx: ps.Context) -> None:
    assert_type(await retrieve(query=Query(), ctx=ctx), list[Doc])
    assert_type(await search(ctx, Query()), list[Doc])
    assert_type(review(Reply()), Reply)


async def running(rt: ps.Runtime, query: Query, narrow: Narrow, doc: Doc) -> None:
    assert_type(await rt.run(support, query, narrow), Reply)
    assert_type(await rt.run(retrieve, query), list[Doc])
    assert_type(await rt.run(outer, narrow, run_id="one", priority=1, deadline=30.0), Reply)
    assert_type(await rt.run(gather_in_thread_with_context, doc, doc), list[Doc])
    run = await rt.start(support, query, narrow, tenant="acme", admission="wait")
    assert_type(run, ps.Run[Reply])
    assert_type(await run.result(), Reply)
