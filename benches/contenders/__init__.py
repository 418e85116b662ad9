"""Who is measured: penstock, plain tasks, an executor written by hand, and the peers.

A contender prepares a shape outside the timed part (drawing the graph, opening its runtime) and
gives a function that makes all of the shape's runs and returns their results in order.
"""

from contenders import by_hand, engine, peers, tasks
from contenders.contender import Contender, UnsupportedError

__all__ = ["CONTENDERS", "Contender", "UnsupportedError"]

CONTENDERS: tuple[Contender, ...] = (
    *engine.CONTENDERS,
    *tasks.CONTENDERS,
    *by_hand.CONTENDERS,
    *peers.CONTENDERS,
)
