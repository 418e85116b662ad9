"""The README's second program: a choice, a fan-out, a ladder of models, and a person's approval.

Run it with `python examples/answers.py`.
"""

# ruff: noqa: ARG001  # steps that stand in for models and banks do not look at all their inputs

import asyncio
from typing import Literal

import penstock as ps

approval = ps.Signal("approval", str)  # the name of who approves


@ps.step(effects="pure", timeout=1.0)
async def look_up(word: str) -> str:
    return f"the page on {word}"


@ps.step(effects="pure", timeout=5.0)
async def small_model(question: str, pages: list[str]) -> str:
    return "I don't know"


@ps.step(effects="pure", timeout=30.0)
async def large_model(question: str, pages: list[str]) -> str:
    return f"Please read {' and '.join(pages)}"


@ps.step(effects="idempotent", retry=ps.RetryPolicy(max_attempts=10), total_timeout=60.0)
async def take_back(claim: str, approved_by: str, paid: str | None, ctx: ps.Context) -> None: ...


@ps.step(effects="idempotent", timeout=5.0, compensate=take_back)
async def refund(claim: str, approved_by: str) -> str:
    return f"{approved_by} has sent your money back"


@ps.step(effects="idempotent")
async def send(answer: str) -> str:
    return answer


def kind(mail: str) -> Literal["question", "claim"]:
    return "claim" if "refund" in mail else "question"


def keywords(question: str) -> list[str]:
    return [word for word in ("delivery", "invoice", "warranty") if word in question]


def is_sure(answer: str) -> bool:
    return "don't know" not in answer


@ps.workflow(version="1.0.0", owner="support")
def answer(flow: ps.Flow, mail: ps.Node[str]) -> ps.Node[str]:
    case = flow.switch(mail, key=kind)

    question = case["question"]
    pages = flow.map(look_up, flow.apply(keywords, question))  # all of them at once
    advice = flow.cascade((small_model, large_model), question, pages, accept=is_sure)

    claim = case["claim"]
    approved_by = flow.review(claim, approval, owner="billing", timeout=3600)
    refunded = flow.call(refund, claim, approved_by)  # taken back if a later step fails

    reply = flow.merge(advice, refunded)  # proved: never both, never neither
    return flow.call(send, reply)


async def main() -> None:
    async with ps.Runtime(workflows=[answer]) as rt:
        print(await rt.run(answer, "Does my invoice cover the delivery?"))
        run = await rt.start(answer, "I want a refund")
        await run.signal(approval, "Kim")  # from wherever Kim clicks: rt.get(run_id).signal(...)
        print(await run.result())


if __name__ == "__main__":
    asyncio.run(main())
