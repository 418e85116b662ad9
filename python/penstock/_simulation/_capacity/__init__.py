"""Capacity: how many slots of a queue, or people at a desk, it takes: by formula and simulation."""

from ._capacity import Capacity, Trial, capacity
from ._erlang import Line, erlang_b, erlang_c
from ._load import Load

__all__ = ["Capacity", "Line", "Load", "Trial", "capacity", "erlang_b", "erlang_c"]
