"""Programs that both type checkers accept; never run."""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_type

import penstock as ps


class Query: ...


class Narrow(Query): ...


class Doc: ...


class Reply: ...


@ps.step
async def retrieve(query: Query, ctx: ps.Context) -> list[Doc]:
    return []


@ps.step(name="search", timeout=timedelta(seconds=3), retry=ps.RetryPolicy(max_attempts=2))
async def search(ctx: ps.Context, query: Query) -> list[Doc]:
    return []


@ps.step
async def draft(query: Query, docs: Sequence[Doc]) -> Reply:
    return Reply()


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
