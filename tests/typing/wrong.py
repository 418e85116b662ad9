"""Programs that both type checkers refuse, on the marked lines and on no others; never run."""

from collections.abc import Sequence
from typing import Literal

import penstock as ps


class Query: ...


class Narrow(Query): ...


class Doc: ...


class Reply: ...


@ps.step
async def retrieve(query: Query, ctx: ps.Context) -> list[Doc]:
    return []


@ps.step
async def search(ctx: ps.Context, query: Query) -> list[Doc]:
    return []


@ps.step
async def draft(query: Query, docs: Sequence[Doc]) -> Reply:
    return Reply()


@ps.step
def review(reply: Reply) -> Reply:
    return reply


@ps.step
async def refine(query: Narrow) -> Doc:
    return Doc()


@ps.step
async def gather(*parents: Doc) -> Reply:
    return Reply()


@ps.step
async def gather_with_context(ctx: ps.Context, *parents: Doc) -> Reply:
    return Reply()


@ps.workflow
def support(flow: ps.Flow, query: ps.Node[Query], doc: ps.Node[Doc]) -> ps.Node[Reply]:
    docs = flow.call(retrieve, query)
    flow.call(retrieve, docs)  # error
    flow.call(search, docs)  # error
    flow.call(review, query)  # error
    flow.call(refine, query)  # error
    flow.call(draft, docs, query)  # error
    flow.call(draft, query)  # error
    flow.call(draft, query, docs, docs)  # error
    flow.call(review)  # error
    flow.call(retrieve, query, query)  # error
    flow.call(retrieve, "a value")  # error
    flow.call(len, docs)  # error
    flow.call(gather, query)  # error
    flow.call(gather, doc, doc, query)  # error
    flow.call(gather_with_context, query)  # error
    flow.call(gather_with_context, doc, doc, doc, doc, doc, doc, query)  # error
    flow.call(retrieve, query, timeout="soon")  # error
    flow.call(retrieve, query, patience=3)  # error
    flow.call(retrieve, query, queue=3)  # error
    flow.apply(len, flow.constant(3))  # error
    retrieve(query)  # error
    for _ in docs:  # error
        pass
    return docs  # error


@ps.workflow
def outer(flow: ps.Flow, query: ps.Node[Query]) -> ps.Node[Reply]:
    return flow.call(support, query, query)  # error


@ps.step
async def guess(query: Query) -> Reply:
    return Reply()


@ps.step
async def polish(reply: Reply) -> Reply:
    return Reply()


@ps.step
async def rate(reply: Reply, doc: Doc) -> int:
    return 3


def severity(query: Query) -> Literal["high", "low"]:
    return "high"


def score(reply: Reply) -> float:
    return 1.0


def judge(doc: Doc) -> bool:
    return True


approval = ps.Signal("approval", bool)


@ps.workflow
def choices(flow: ps.Flow, query: ps.Node[Query], doc: ps.Node[Doc]) -> ps.Node[Reply]:
    case = flow.switch(query, key=severity)
    flow.switch(doc, key=severity)  # error
    flow.switch(query)  # error
    case["medium"]  # error
    flow.call(polish, case["high"])  # error
    reply = flow.call(guess, case["low"])
    flow.merge(reply, "a value")  # error
    flow.call(polish, flow.merge(reply, doc))  # error
    flow.call(polish, flow.race(reply, doc))  # error
    flow.call(polish, flow.collect(reply, reply))  # error
    flow.call(polish, flow.optional(reply))  # error
    flow.collect(reply, need="two")  # error
    flow.when(doc, lambda doc: doc, name=3)  # error
    flow.when(reply, judge)  # error
    flow.call(polish, flow.match(flow.merge(reply, doc))[Doc])  # error
    return flow.optional(reply)  # error


@ps.workflow
def bodies(flow: ps.Flow, queries: ps.Node[list[Query]], doc: ps.Node[Doc]) -> ps.Node[list[Reply]]:
    replies = flow.map(guess, queries)
    flow.map(guess, doc)  # error
    flow.map(guess, replies)  # error
    flow.map(rate, replies)  # error
    flow.map(rate, replies, queries)  # error
    flow.map(guess, queries, concurrency="all")  # error
    flow.map(guess, queries, retries=3)  # error
    reply = flow.call(polish, replies)  # error
    first = flow.apply(lambda replies: replies[0], replies)
    flow.loop(polish, first, until=judge, max_iterations=3)  # error
    flow.loop(polish, first, until=lambda reply: True)  # error
    flow.loop(polish, doc, until=lambda reply: True, max_iterations=3)  # error
    flow.loop(rate, first, doc, until=lambda rating: True, max_iterations=3)  # error
    flow.recurse(queries, doc)  # error
    flow.spawn(guess, doc)  # error
    flow.call(polish, flow.spawn(polish, reply))  # error
    return flow.map(guess, queries, tolerated_failures=1)  # error


@ps.workflow
def ladders(flow: ps.Flow, query: ps.Node[Query], reply: ps.Node[Reply]) -> ps.Node[Reply]:
    flow.cascade((guess, guess), query, accept=judge)  # error
    flow.cascade((guess, guess), query)  # error
    flow.cascade((guess, guess), query, accept=ps.Threshold(score, at="high"))  # error
    flow.cascade((guess, len), query, accept=lambda reply: True)  # error
    return flow.cascade((guess, retrieve), query, accept=lambda reply: True)  # error


@ps.workflow
def waits(flow: ps.Flow, query: ps.Node[Query]) -> ps.Node[Reply]:
    flow.signal("approval")  # error
    flow.signal(approval, on_timeout="wait")  # error
    flow.review(query, approval)  # error
    flow.sleep(query, "soon")  # error
    flow.cancel("desk", when=query)  # error
    flow.call(guess, query, on_failure="retry")  # error
    flow.call(guess, query, compensate=judge)  # error
    flow.call(guess, query, hedge=0.5)  # error
    flow.call(guess, query, estimate=1_200)  # error
    flow.call(guess, query, fallback="apologise")  # error
    return flow.signal(approval)  # error


@ps.step(compensate=judge)  # error
async def book(query: Query) -> Reply:
    return Reply()


@ps.step(hedge=0.5)  # error
async def hurry(query: Query) -> Reply:
    return Reply()


@ps.step(estimate=1_200)  # error
async def count(query: Query) -> Reply:
    return Reply()


@ps.step(effects="twice")  # error
async def charge(query: Query) -> None:
    return None


@ps.workflow  # error
def no_node(flow: ps.Flow, query: Query) -> Query:
    return query


async def direct(ctx: ps.Context) -> None:
    await retrieve(Doc(), ctx)  # error
    await retrieve(Query())  # error
    ps.RetryPolicy(max_attempts="3")  # error
    ps.RateLimit()  # error
    ps.RateLimit(3, unit="bytes")  # error
    ps.RateLimit(3, burst=1.5)  # error
    ps.Fairness(key="region")  # error
    ps.Fairness(weights=["acme"])  # error
    ps.RetryBudget(on_denial="wait")  # error
    ps.RetryBudget(0.1)  # error
    ps.Breaker(probes="all")  # error
    ps.CoDel(target="soon")  # error
    ps.Adaptive(initial=2.5)  # error
    ps.Hedge(after="soon")  # error
    ps.Cost(tokens=1.5)  # error
    ps.Cost(usd=[0.01])  # error
    ps.Budget(usd=1, when_spent="shout")  # error
    ps.PriceBook(unknown="zero")  # error
    ps.usd(None)  # error
    ps.Cost(seconds="soon")  # error
    ps.stability(70, concurrency=10, service_time=0.1, timeout=1.0)  # error
    ps.stability(arrivals=70, concurrency=10, service_time=0.1)  # error
    ps.stability(arrivals=70, concurrency=10, service_time=0.1, timeout=None)  # error
    ps.stability(arrivals=70, concurrency=2.5, service_time=0.1, timeout=1.0)  # error
    ps.Queue("gpt", rate_limit=600)  # error
    ps.Queue("gpt", rate_limit=[600])  # error
    ps.Queue("gpt", concurrency=ps.CoDel())  # error
    ps.Queue("gpt", fairness={"acme": 2.0})  # error
    ps.Queue("gpt", retry_budget=0.1)  # error
    ps.Queue("gpt", breaker=True)  # error
    ps.Queue("gpt").concurrency = 3  # error
    support(Query(), Doc())  # error


async def running(rt: ps.Runtime, doc: Doc) -> None:
    await rt.run(retrieve, doc)  # error
    await rt.run(retrieve, Query(), Query())  # error
    await rt.run(retrieve, Query(), colour="red")  # error
    await rt.start(retrieve, doc)  # error
    run = await rt.start(retrieve, Query())
    reply: Reply = await run.result()  # error
    await rt.run(support, reply)  # error
