"""A release that takes itself back: a cheaper model that gives up more often.

A service answers tickets. Somebody releases a cheaper model to a tenth of the runs: it costs a
third, and fails in one of ten runs, where the usual one fails in one of fifty. Nobody watches. The
runs themselves show it, at a risk of error that was chosen before, and from the next start on all
of them have the usual model again. Runs that are under way keep what they were started with.

    python examples/worse_release.py
    python examples/worse_release.py --worse 0.02       # as good as the usual one: what then?
    python examples/worse_release.py --store release.db # and look at it with `penstock releases`
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import penstock as ps

PRICES = ps.PriceBook(
    rates={
        "models": {
            "usual": {"input": 0.25, "output": 2.0},  # dollars for a million tokens
            "cheap": {"input": 0.08, "output": 0.7},
        }
    },
    version="2026-11",
    package=None,
)
MODEL = ps.Setting("answer.model", "usual", owner="cx")
FAILS = {"usual": 0.02, "cheap": 0.10}


@ps.step(owner="cx", effects="pure", playbook="Answer the ticket by hand.")
async def answer(ticket: int, ctx: ps.Context) -> str:
    """Ask the model that holds for this run."""
    model = ctx.get(MODEL)
    ctx.log.debug("ticket %d goes to the %s model", ticket, model)
    await asyncio.sleep(random.uniform(0.002, 0.02))
    ctx.spend.tokens(model, input=random.randrange(400, 800), output=random.randrange(50, 200))
    if random.random() < FAILS[model]:
        raise ps.NonRetryable(f"the {model} model has no answer")
    return model


@ps.workflow(
    version="1.0.0",
    owner="cx",
    value=0.40,
    rollback=ps.Criteria(
        objectives={"success": ps.drop(0.02)}, guardrails={"cost": ps.rise(0.1, relative=True)}
    ),
)
def tickets(flow: ps.Flow, ticket: ps.Node[int]) -> ps.Node[str]:
    """Answer a ticket."""
    return flow.call(answer, ticket)


class Service:
    """Starts runs at a rate, and counts what comes of them by the model that they had."""

    def __init__(self, rt: ps.Runtime, rate: float) -> None:
        self.rt, self.rate, self.started = rt, rate, 0
        self.answered = {"usual": 0, "cheap": 0}

    async def serve(self, seconds: float) -> None:
        """Serve for so long."""
        loop = asyncio.get_running_loop()
        due, end = loop.time(), loop.time() + seconds
        async with asyncio.TaskGroup() as requests:
            while due < end:
                due += random.expovariate(self.rate)
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                self.started += 1
                requests.create_task(self._one(self.started))

    async def _one(self, ticket: int) -> None:
        try:
            model = await self.rt.run(tickets, ticket, run_id=f"ticket-{ticket}")
        except ps.RunFailed:
            return
        self.answered[model] += 1


async def demo(store: Path, rate: float, share: float, max_runs: int) -> None:
    """The service, the release, and what became of it."""
    async with ps.Runtime(store, workflows=[tickets], prices=PRICES, durability="async") as rt:
        service = Service(rt, rate)
        print(f"the usual model answers, {rate:,.0f} tickets a second")
        await service.serve(2.0)

        release = await rt.release(
            tickets, overlay={MODEL: "cheap"}, share=share, max_runs=max_runs, horizon=5.0
        )
        print(f"\nrelease {release.name}: {100 * share:g} % of the runs get the cheap model")
        print(f"it takes {release.needed}\n")
        began = time.monotonic()
        while release.state == "running":
            await service.serve(0.25)
            verdict = release.verdict
            success = next(it for it in release.evidence if it.criterion == "success")
            print(f"{time.monotonic() - began:5.1f} s  {verdict.runs:5,} judged: {success.said}")

        print(f"\n{release.state.replace('_', ' ')}: {release.reason}")
        for said in release.evidence:
            print(f"  {said.criterion:<15} {said}")
        before = dict(service.answered)
        await service.serve(1.0)
        now = {model: service.answered[model] - before[model] for model in before}
        usual, cheap = now["usual"], now["cheap"]
        print(f"\nof the answers since: {usual:,} by the usual model, {cheap:,} by the cheap one")

        card = await rt.scorecard(by="version")
        print("\nversion                   runs   success   dollars per success")
        for group in card.groups:
            rate, cost = group.quality.success.value or 0.0, group.economics.cost_per_success
            told = "no data" if cost is None else f"{cost:.6f}"
            print(f"{group.name:<22} {group.accepted:>7,} {100 * rate:>8.1f} % {told:>20}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Release a worse model, and see it rolled back.")
    parser.add_argument("--rate", type=float, default=400.0, help="tickets a second")
    parser.add_argument("--share", type=float, default=0.1, help="of the runs, for the candidate")
    parser.add_argument("--worse", type=float, default=0.10, help="how often the cheap model fails")
    parser.add_argument("--max-runs", type=int, default=1000, help="of the candidate, at most")
    parser.add_argument("--seed", type=int, default=1, help="of tickets and failures")
    parser.add_argument("--store", type=Path, help="a file to keep the runs in")
    options = parser.parse_args(arguments)
    if not (0 < options.share < 1 and 0 <= options.worse < 1 and 0 < options.rate < 1e5):
        parser.error("give a share and a failure rate of less than 1, and a rate of more than 0")
    random.seed(options.seed)
    FAILS["cheap"] = options.worse
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = options.store or Path(folder) / "release.db"
            asyncio.run(demo(store, options.rate, options.share, options.max_runs))
    except KeyboardInterrupt:
        print("Stopped.")
        return 130
    if options.store is not None:
        print(f"\ntry next\n  penstock releases {options.store}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
