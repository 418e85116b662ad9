"""Real runs of a workflow whose steps have the luck that a simulation would give them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import penstock as ps
from penstock._simulation import Change, Model, World
from penstock._simulation._scene import Scene, scene_of


class Stage:
    """What the steps of a workflow ask how they go: the same world as in the simulation.

    Args:
        seed: of the world, and of the runtime.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.scene: Scene | None = None
        self._places: dict[str, int] = {}
        self._beside: dict[str, int] = defaultdict(int)
        self._after: dict[tuple[str, str], str] = {}
        self._began = 0.0

    def set(
        self, workflow: ps.Workflow[..., Any], model: Model, change: Change, world: World
    ) -> None:
        """Take a scene on."""
        self.scene = scene_of(workflow, model, change, world)
        self._places = {path: place for place, path in enumerate(self.scene.paths)}

    async def act(self, ctx: ps.Context, node: str, queue: str) -> str:
        """An attempt of a node: takes as long, spends as much and fails as in the simulation."""
        assert self.scene is not None
        key = (ctx.run_id, node)
        self._beside[queue] += 1
        end, seconds, spends = self.scene.scenario.attempt(
            self.seed,
            int(ctx.run_id),
            self._places[node],
            ctx.attempt,
            at=asyncio.get_running_loop().time() - self._began,
            after=self._after.pop(key, None),
            beside=self._beside[queue],
        )
        try:
            if end == "hang":
                await asyncio.Event().wait()
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._after[key] = "timeout"
            raise
        finally:
            self._beside[queue] -= 1
        for resource, _, nanos in spends:
            ctx.spend.usd(Decimal(nanos) / 10**9, self.scene.resources[resource])
        if end == "error":
            self._after[key] = "error"
            raise RuntimeError(node)
        if end == "fatal":
            raise ps.NonRetryable(node)
        return node

    async def play(
        self,
        rt: ps.Runtime,
        workflow: ps.Workflow[[str], Any],
        runs: int,
        *,
        then: Callable[[ps.Run[Any]], Awaitable[object]] | None = None,
    ) -> None:
        """Start runs when they come in the simulation, and wait for all of them."""
        assert self.scene is not None
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        started: list[ps.Run[Any]] = []
        at = self._began
        for number, gap in enumerate(self.scene.scenario.arrivals(self.seed, runs)):
            at += gap
            await asyncio.sleep(at - loop.time())
            started.append(await rt.start(workflow, "x", run_id=str(number)))
        await rt.join()
        if then is not None:
            for run in started:
                await then(run)
