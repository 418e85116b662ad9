"""Real runs of a workflow whose steps and people have the luck that a simulation gives them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

import penstock as ps
from penstock._simulation import Change, Model, World
from penstock._simulation._scene import Scene, scene_of

Spends: TypeAlias = list[tuple[str, int, int]]
"""What an attempt spends: resources, millionths of units and nano-dollars."""


class Luck:
    """Draws in a row that depend on the seed and on what they are for: the simulator's, again.

    Args:
        seed: of the simulation.
        what: the four numbers that they are for (rust/simulator/src/forecast/world.rs).
    """

    def __init__(self, seed: int, what: tuple[int, int, int, int]) -> None:
        self._state = _mix(seed)
        for part in what:
            self._state = _mix(self._state ^ part)

    def share(self) -> float:
        """Uniform in (0, 1)."""
        self._state = _mix(self._state)
        return ((self._state >> 11) + 0.5) / (1 << 53)


def _mix(value: int) -> int:
    """SplitMix64's step (Steele et al. 2014)."""
    z = (value + 0x9E37_79B9_7F4A_7C15) & _WORD
    z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9 & _WORD
    z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB & _WORD
    return z ^ (z >> 31)


class Stage:
    """What the steps of a workflow ask how they go: the same world as in the simulation.

    Args:
        seed: of the world, and of the runtime.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.scene: Scene | None = None
        self.model: Model | None = None
        self._places: dict[str, int] = {}
        self._beside: dict[str, int] = defaultdict(int)
        self._after: dict[tuple[str, str], str] = {}
        self._began = 0.0

    def set(
        self, workflow: ps.Workflow[..., Any], model: Model, change: Change, world: World
    ) -> None:
        """Take a scene on."""
        self.scene = scene_of(workflow, model, change, world)
        self.model = model
        self._places = {path: place for place, path in enumerate(self.scene.paths)}
        self._beside.clear()
        self._after.clear()

    async def act(self, ctx: ps.Context, node: str, queue: str) -> str:
        """An attempt of a node: takes as long, spends as much and fails as in the simulation."""
        assert self.scene is not None
        for resource, _, nanos in await self.attempt(ctx, node, queue):
            ctx.spend.usd(Decimal(nanos) / 10**9, resource)
        self.end(ctx, node)
        return node

    async def attempt(self, ctx: ps.Context, node: str, queue: str) -> Spends:
        """The time of an attempt, and what it spends; `end` is to be called after that is booked.

        Where the same node runs for several items of one run, all have the same luck, which is not
        the simulation's: let nothing be drawn there.
        """
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
        if end != "done":
            self._after[key] = end
        return [(self.scene.resources[it], units, nanos) for it, units, nanos in spends]

    def end(self, ctx: ps.Context, node: str) -> None:
        """How an attempt ends.

        Raises:
            RuntimeError: it is to be tried again.
            penstock.NonRetryable: it is not.
        """
        end = self._after.get((ctx.run_id, node))
        if end == "error":
            raise RuntimeError(node)
        if end == "fatal":
            raise ps.NonRetryable(node)

    def decision(self, run: int, node: str) -> float:
        """The draw for what a function decides in a node."""
        return Luck(self.seed, (_DECISIONS, run, self._places[node], _FUNCTION)).share()

    def outcome(self, run: int, node: str) -> str:
        """Which way a switch goes."""
        assert self.model is not None
        dice, total = self.decision(run, node), 0.0
        outcomes = self.model.choices[node].outcomes
        for label, share in outcomes.items():
            total += share
            if dice < total:
                return label
        return list(outcomes)[-1]

    def count(self, run: int, node: str) -> int:
        """How many items a map gets whose number is drawn from samples."""
        assert self.model is not None
        shape = self.model.choices[node].count
        assert shape is not None
        dice = Luck(self.seed, (_DECISIONS, run, self._places[node], _COUNT)).share()
        return int(shape.quantile(dice) + 0.5)

    def minutes(self, run: int, node: str, low: float, high: float) -> float:
        """Minutes that an answer takes at a desk, uniform between two."""
        luck = Luck(self.seed, (_SIGNALS, run, self._places[node], 0))
        # The first two draws are whether it is answered, and when.
        luck.share()
        luck.share()
        return low + (high - low) * luck.share()

    async def play(
        self,
        start: Callable[[int], Awaitable[ps.Run[Any]]],
        runs: int,
        rt: ps.Runtime,
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
            started.append(await start(number))
        await rt.join()
        if then is not None:
            for run in started:
                await then(run)


_WORD: Final = (1 << 64) - 1
_DECISIONS: Final = 12
_SIGNALS: Final = 13
_FUNCTION: Final = 0
_COUNT: Final = 1
