"""Plain asyncio: one `loop.create_task` and await per step, or `asyncio.gather`."""

import asyncio

from contenders.contender import Contender, RunOne, UnsupportedError, one_by_one
from shapes import Shape


def tasks(shape: Shape) -> RunOne:
    plain, spawn = shape.plain, asyncio.get_running_loop().create_task
    return lambda x: plain(spawn, x)


def gather(shape: Shape) -> RunOne:
    gathered, spawn = shape.gathered, asyncio.get_running_loop().create_task
    if gathered is None:
        raise UnsupportedError("nothing to gather")
    return lambda x: gathered(spawn, x)


CONTENDERS = (
    Contender(name="tasks", prepare=one_by_one(tasks)),
    Contender(name="tasks, asyncio", prepare=one_by_one(tasks), loop="asyncio"),
    Contender(name="gather", prepare=one_by_one(gather)),
    Contender(name="gather, asyncio", prepare=one_by_one(gather), loop="asyncio"),
)
