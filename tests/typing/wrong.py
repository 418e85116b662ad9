"""Programs that both type checkers refuse, on the marked lines and on no others; never run."""

from collections.abc import Sequence

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
    support(Query(), Doc())  # error


async def running(rt: ps.Runtime, doc: Doc) -> None:
    await rt.run(retrieve, doc)  # error
    await rt.run(retrieve, Query(), Query())  # error
    await rt.run(retrieve, Query(), colour="red")  # error
    await rt.start(retrieve, doc)  # error
    run = await rt.start(retrieve, Query())
    reply: Reply = await run.result()  # error
    await rt.run(support, reply)  # error
