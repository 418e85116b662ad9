"""Pictures: a workflow's graph as SVG, plain or coloured by what a run or a test session did.

Bodies of maps, loops and recursions are boxes in the box of their node. A stripe at a step's left
shows its owner, an orange edge goes from one owner to another.
"""

from ._drawing import picture
from ._states import coverage_picture, node_of, states_of

__all__ = ["coverage_picture", "node_of", "picture", "states_of"]
