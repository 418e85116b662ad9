"""Flow: what a workflow's function draws its graph with."""

from __future__ import annotations

from ._flow_bodies import Bodies
from ._flow_calls import Calls
from ._flow_choices import Choices
from ._flow_joins import Joins
from ._flow_waits import Waits


class Flow(Calls, Choices, Joins, Bodies, Waits):
    """Draws the graph of one workflow. The workflow's function gets it and returns a `Node`.

    - run: `call`, `apply`, `constant`, `spawn`
    - decide: `switch`, `match`, `when`, `cascade`
    - join: `merge`, `collect`, `race`, `optional`
    - repeat: `map`, `loop`, `recurse`
    - wait: `signal`, `review`, `sleep`
    - withdraw: `scope`, `cancel`

    Every node is finally taken, with a value, or skipped. What needs a value that is skipped is
    skipped as well, except for the joins. When the function has returned, the graph is verified.
    """

    __slots__ = ()
