"""In sample: real runs and simulated ones that have the same arrivals and the same luck.

The real side is the runtime in virtual time, and what it says of itself: its scorecard. The p95 of
a wait varies by a fifth from one hour to the next, so that only the same hour can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import penstock as ps
import staged_calls
import staged_support
from penstock._scorecard import Card
from penstock._simulation import Change, Model, World
from penstock._simulation._scene import scene_of
from penstock._simulation._simulate import played
from staging import Stage

Figures: TypeAlias = Mapping[str, float]

METRICS: Final = ("success", "cost", "latency_p95", "queue_delay_p95", "retry_burden")
"""What is compared, as forecasts name it."""


class Service(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def workflow(self) -> ps.Workflow[..., Any]: ...
    @property
    def prices(self) -> ps.PriceBook: ...
    @property
    def deadline(self) -> float | None: ...
    async def play(self, rt: ps.Runtime, stage: Stage, runs: int, /) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Case:
    """A service under one policy in one world.

    Attributes:
        name: of the configuration.
        service: that is run and simulated.
        model: of its world.
        changes: of its policies.
    """

    name: str
    service: Service
    model: Model
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def measured(self, runs: int, seed: int) -> Figures:
        """What the runtime says of real runs, in virtual time."""
        stage, service = Stage(seed), self.service
        change = Change(service.workflow, self.changes)
        stage.set(service.workflow, self.model, change, self._world(seed))

        async def main() -> Card:
            queues = change.queues.values()
            async with ps.Runtime(queues=queues, prices=service.prices, seed=seed) as rt:
                await service.play(rt, stage, runs)
                return (await rt.scorecard()).whole

        card = ps.testing.VirtualClock().run(main())
        assert card.accepted == runs
        return figures_of(card)

    def foretold(self, runs: int, seed: int) -> Figures:
        """What the simulation says of them."""
        change = Change(self.service.workflow, self.changes)
        scene = scene_of(self.service.workflow, self.model, change, self._world(seed))
        (found,), _ = played([scene], runs=runs, seed=seed, warm_up=0)
        assert found is not None
        return {name: found.figure(name).value or 0.0 for name in METRICS}

    def _world(self, seed: int) -> World:
        return World(seed=seed, deadline=self.service.deadline)


def figures_of(card: Card) -> Figures:
    """A scorecard's figures by the names that a forecast has for them; 0 for none."""
    reliability = card.reliability
    latency, delay = reliability.latency, reliability.queue_delay
    return {
        "success": card.quality.success.value or 0.0,
        "cost": card.economics.cost_per_success or 0.0,
        "latency_p95": latency.p95 if latency else 0.0,
        "queue_delay_p95": delay.p95 if delay else 0.0,
        "retry_burden": reliability.retry_burden.value or 0.0,
    }


def off(measured: float, foretold: float) -> float:
    """How much a forecast is off, as a share of what was measured, and of `LEAST` at least."""
    return abs(foretold - measured) / max(abs(measured), LEAST)


def support_cases() -> list[Case]:
    """The support example: at ease, short of slots, overrun, and with its provider down."""
    service = staged_support.Support()
    down = [{"queue": "provider", "at": [[2.0, 4.0]], "error": 0.9}]
    usual = staged_support.model(rate=250.0)
    return [
        Case(name="usual", service=service, model=usual),
        Case(
            name="tight",
            service=service,
            model=usual,
            changes={"queue.provider.concurrency": 14},
        ),
        Case(name="overloaded", service=service, model=staged_support.model(rate=700.0)),
        Case(name="outage", service=service, model=with_outages(usual, down)),
    ]


def call_cases() -> list[Case]:
    """The recorded hour of calls, likewise; it is bursty enough to need no faster one."""
    service = staged_calls.CallService()
    down = [{"queue": "gpt", "at": [[300.0, 600.0]], "error": 0.9, "slower": 1.5}]
    usual = staged_calls.model()
    return [
        Case(name="usual", service=service, model=usual, changes={"queue.gpt.concurrency": 32}),
        Case(name="tight", service=service, model=usual, changes={"queue.gpt.concurrency": 6}),
        Case(
            name="overloaded",
            service=service,
            model=staged_calls.model(speed=3.0),
            changes={"queue.gpt.concurrency": 6},
        ),
        Case(name="outage", service=service, model=with_outages(usual, down)),
    ]


def with_outages(model: Model, outages: list[dict[str, Any]]) -> Model:
    """A model in whose world something is out of order."""
    return Model.from_dict({**model.to_dict(), "outages": outages})


LEAST: Final = 1e-3
"""Waits of less are alike, and so are shares."""
