"""Choose an operating point before it is paid for, and then see how true the forecast was.

The support service of `support_tickets.py` answers tickets for a while, and customers say whether
they are content. From its journal alone a model is fitted. The engine itself then plays the service
under many policies, and `frontier.html` shows what each would cost. Three of them are told in full,
and at last the real service runs under one of these: forecast beside measured. The service runs in
virtual time, so that how busy this machine is changes nothing. Needs rich: `pip install
'penstock[cli]'`.

    python examples/operating_point.py
    python examples/operating_point.py --runs 6000 --html picture.html
    penstock frontier --help
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import penstock as ps
from penstock.simulation import Change, Estimate, Forecast, Model, World, frontier, predict
from penstock.testing import VirtualClock
from support_board import Tally
from support_tickets import PRICES, PROVIDER, people, serve, support

SLOTS = "queue.provider.concurrency"
VARIED = {
    SLOTS: [12, 16, 20, 24, 32, 48],
    "cascade.answer.at": [0.3, 0.5, 0.7],
    "step.classify.retry.max_attempts": [1, 2, 3],
    "step.small.retry.max_attempts": [1, 3],
}
ASKED = "success>=0.985,p95<=0.6"
CHOSEN = 40
CONTENT = {"small model": 0.86, "large model": 0.95, "person": 0.99, "billing": 0.97}
"""How often customers are, by who has written."""
DEADLINE = 20.0
FIGURES = {
    "success": "success",
    "quality": "content customers",
    "latency_p50": "p50",
    "latency_p95": "p95",
    "queue_delay_p95": "wait p95",
    "retry_burden": "retry burden",
    "cost": "cost per success",
}


async def service(
    store: Path, runs: int, rate: float, seed: int, queues: Sequence[ps.Queue] = ()
) -> dict[str, float | None]:
    """Let the real service serve so many tickets; what came of them, by its scorecard."""
    async with ps.Runtime(
        store, workflows=[support], queues=queues, prices=PRICES, durability="async", seed=seed
    ) as rt:
        tally = Tally(runs)
        helpers = asyncio.create_task(people(rt, tally, seed))
        await serve(rt, tally, rate, seed)
        helpers.cancel()
        await asyncio.wait([helpers])
        dice = random.Random(seed)
        for number in range(runs):
            run = rt.get(f"ticket-{number}")
            if run.status == "succeeded":
                content = dice.random() < CONTENT[(await run.result()).author]
                await run.score(float(content), kind="quality")
        card = (await rt.scorecard()).whole
    reliable, latency, delay = (
        card.reliability,
        card.reliability.latency,
        card.reliability.queue_delay,
    )
    score = card.quality.scores.get("quality")
    return {
        "success": card.quality.success.value,
        "quality": None if score is None else score.mean,
        "latency_p50": None if latency is None else latency.p50,
        "latency_p95": None if latency is None else latency.p95,
        "queue_delay_p95": None if delay is None else delay.p95,
        "retry_burden": reliable.retry_burden.value,
        "cost": card.economics.cost_per_success,
    }


def told(metric: str, value: float | None) -> str:
    """A figure in its unit."""
    if value is None:
        return "no data"
    if metric == "cost":
        return f"${value:.4f}"
    if metric.startswith(("latency", "queue_delay")):
        return f"{1_000 * value:,.1f} ms"
    return f"{100 * value:.2f} %"


def span(metric: str, figure: Estimate) -> str:
    """Where a figure is forecast to lie."""
    return f"{told(metric, figure.low)} to {told(metric, figure.high)}"


def side_by_side(policies: Sequence[tuple[str, Forecast]]) -> None:
    """The forecasts of some policies."""
    print(f"{'':<18}" + "".join(f"{name:>16}" for name, _ in policies))
    for metric, name in FIGURES.items():
        values = (told(metric, forecast.figure(metric).value) for _, forecast in policies)
        print(f"{name:<18}" + "".join(f"{value:>16}" for value in values))


def beside(forecast: Forecast, measured: dict[str, float | None]) -> None:
    """A forecast beside what came of it."""
    print(f"{'':<18}{'forecast':>14}{'measured':>14}   {100 * forecast.level:.0f} % interval")
    held = known = 0
    for metric, name in FIGURES.items():
        figure, value = forecast.figure(metric), measured[metric]
        line = f"{name:<18}{told(metric, figure.value):>14}{told(metric, value):>14}"
        if value is None or figure.low is None or figure.high is None:
            print(f"{line}   no data")
            continue
        # Times are measured to a hundredth.
        holds = figure.low * 0.99 <= value <= figure.high * 1.01
        known, held = known + 1, held + holds
        print(f"{line}   {span(metric, figure)}{'' if holds else '   missed'}")
    print(f"\n{held} of {known} figures are in their interval")


def demo(folder: Path, runs: int, rate: float, seed: int, html: Path) -> None:
    """The service, the fit, the picture, three forecasts, and the service again."""
    print(
        f"the service answers {runs:,} tickets, {rate:g} a second, {PROVIDER.concurrency} at once"
    )
    measured = VirtualClock().run(service(folder / "before.db", runs, rate, seed))

    model = Model.fit(folder / "before.db")
    known = 0 if model.fitted is None else len(model.fitted.gaps)
    print(f"fitted to its journal: {len(model.steps)} steps; {known} things it does not tell\n")

    began = time.monotonic()
    world = World(deadline=DEADLINE)
    found = frontier(support, model, VARIED, runs=5_000, require=ASKED, world=world)
    html.write_text(found.to_html(), "utf-8")
    print(found.to_text())
    print(f"{time.monotonic() - began:.1f} s; the picture is in {html}\n")

    slots = [PROVIDER.concurrency, 16, CHOSEN]
    changes = [Change(support, {SLOTS: it}) for it in slots]
    forecasts = predict(support, model, changes, of_runs=runs, world=world)
    print("three policies, by how many calls the provider gets at once")
    side_by_side([(f"{it} at once", told_) for it, told_ in zip(slots, forecasts, strict=True)])

    print(f"\nthe service as it was, {PROVIDER.concurrency} at once")
    beside(forecasts[0], measured)
    print(f"\nnow it runs with {CHOSEN} at once, with other tickets")
    queues = [changes[-1].queues["provider"]]
    after = service(folder / "after.db", runs, rate, seed + 1, queues)
    beside(forecasts[-1], VirtualClock().run(after))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Choose an operating point, and try it.")
    parser.add_argument("--runs", type=int, default=3000, help="tickets, each time")
    parser.add_argument("--rate", type=float, default=290.0, help="tickets a second, on average")
    parser.add_argument("--seed", type=int, default=1, help="of the tickets and of the world")
    parser.add_argument("--html", type=Path, default=Path("frontier.html"), help="the picture")
    options = parser.parse_args(arguments)
    if options.runs < 100 or not 0 < options.rate < 1e5:
        parser.error("give at least 100 runs and a rate of more than 0")
    try:
        with tempfile.TemporaryDirectory() as folder:
            demo(Path(folder), options.runs, options.rate, options.seed, options.html)
    except KeyboardInterrupt:
        print("Stopped.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
