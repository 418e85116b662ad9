"""Out of sample: fitted to one configuration, forecast for others; nobody models the provider."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import hidden_provider
import penstock as ps
from hidden_provider import RATES, Configuration, Provider, service
from in_sample import LEAST, METRICS, Figures, figures_of
from penstock._scorecard import Card
from penstock._simulation import Change, Forecast, Model, Stretches, predict

USUAL: Final = Configuration(name="usual")
OTHERS: Final = (
    Configuration(name="fewer slots", concurrency=12),
    Configuration(name="two attempts", attempts=2),
    Configuration(name="more runs", rate=1.3),
)
LEVEL: Final = 0.9
MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder of one's own is made in it
FOLDER: Final = MEMORY if MEMORY.is_dir() else None
"""Virtual time stands still while the store is written: in memory that takes no time."""
NOTICED: Final = 0.1
"""Seconds; of less, nobody would say that it is many times as long."""
PRICES: Final = ps.PriceBook(rates={"models": {"gpt": RATES}}, package=None)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Forecasts of other configurations, with what became of them.

    Attributes:
        usual: what was measured in the configuration that the model was fitted to.
        measured: in each of the others.
        forecasts: of each of them.
    """

    usual: Figures
    measured: Sequence[Figures]
    forecasts: Sequence[Forecast]

    @property
    def covered(self) -> list[bool]:
        """By configuration and figure, whether the interval held it."""
        return [
            (it := forecast.figure(name)).low is not None
            and it.high is not None
            and it.low <= measured[name] <= it.high
            for forecast, measured in zip(self.forecasts, self.measured, strict=True)
            for name in METRICS
        ]

    @property
    def errors(self) -> tuple[float, float]:
        """Mean absolute relative error of the forecasts, and of "the same as last week"."""
        pairs = list(zip(self.forecasts, self.measured, strict=True))
        return (
            fmean(
                error(name, measured[name], it.figure(name).value or 0.0)
                for it, measured in pairs
                for name in METRICS
            ),
            fmean(
                error(name, measured[name], self.usual[name])
                for _, measured in pairs
                for name in METRICS
            ),
        )


def error(name: str, measured: float, foretold: float) -> float:
    """How much a forecast is off, as a share of what was measured; a wait of `NOTICED` at least."""
    least = NOTICED if name == "queue_delay_p95" else LEAST
    return abs(foretold - measured) / max(measured, least)


def trial(seed: int, runs: int) -> Trial:
    """Run the usual configuration, fit a model, forecast the others, and run them as well."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        store = Path(folder) / "usual.db"
        usual = measured(USUAL, runs, seed, store)
        model = Model.fit(store)
        stretches = Stretches.fit(store, model)
    workflow = service()
    changes = [Change(workflow, each.changes) for each in OTHERS]
    forecasts = predict(
        workflow, model, changes, of_runs=runs, level=LEVEL, stretches=stretches, seed=seed
    )
    found = [measured(each, runs, seed * 1_000 + n) for n, each in enumerate(OTHERS)]
    return Trial(usual=usual, measured=found, forecasts=forecasts)


def measured(it: Configuration, runs: int, seed: int, store: Path | None = None) -> Figures:
    """What the runtime says of real runs under a configuration, in virtual time."""
    workflow = service(attempts=it.attempts)
    hidden_provider.provider = Provider(f"{seed}/{it.name}")
    queue = ps.Queue("gpt", concurrency=it.concurrency)
    dice = random.Random(f"{seed}/{it.name}/arrivals")

    async def main() -> Card:
        async with ps.Runtime(
            store,
            workflows=[workflow],
            queues=[queue],
            prices=PRICES,
            seed=seed,
            durability="async",
        ) as rt:
            for number in range(runs):
                await asyncio.sleep(dice.expovariate(it.rate))
                await rt.start(workflow, "x", run_id=str(number))
            await rt.join()
            return (await rt.scorecard()).whole

    return figures_of(ps.testing.VirtualClock().run(main()))
