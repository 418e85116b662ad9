"""Layout: where the boxes of a directed acyclic graph stand, in layers from top to bottom.

After Sugiyama, Tagawa and Toda (1981): layers by longest path, crossings reduced by barycentres,
then places that keep edges short and long edges straight. The edge weights are those of Gansner,
Koutsofios, North and Vo (1993); each layer is placed exactly, by isotonic regression.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum, inf
from typing import Final, TypeAlias

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything stands; all in pixels, from the top left corner.

    Attributes:
        width: of the whole.
        height: of the whole.
        corners: the top left corner of each box.
        routes: for each edge its points in pairs: it runs straight down between the points of a
            pair, and bends between one pair and the next.
    """

    width: float
    height: float
    corners: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]


def layered(
    sizes: Sequence[Point], edges: Sequence[tuple[int, int]], *, top: Iterable[int] = ()
) -> Layout:
    """Lay boxes out in layers.

    Args:
        sizes: width and height of each box; producers come before consumers.
        edges: from box to box, always to a higher index; may repeat.
        top: boxes that belong into the first layer, whatever is nearer to what they lead to.
    """
    ranks = _ranks(len(sizes), edges, frozenset(top))
    net = _Net(sizes, edges, ranks)
    _reduce_crossings(net)
    _place(net)
    return _drawn(net, sizes, edges)


class _Net:
    """The boxes, and a narrow lane in each layer that a long edge passes.

    Attributes:
        widths: of boxes and lanes.
        layers: what stands in each layer, from left to right.
        chains: for each edge, its box, its lanes and its other box.
        above, below: neighbours in the layer above and below, with the weight of their edge.
        x: the middle of each box and lane.
    """

    def __init__(
        self, sizes: Sequence[Point], edges: Sequence[tuple[int, int]], ranks: list[int]
    ) -> None:
        self.count = len(sizes)
        self.widths = [width for width, _ in sizes]
        self.layers: list[list[int]] = [[] for _ in range(max(ranks, default=0) + 1)]
        for box, rank in enumerate(ranks):
            self.layers[rank].append(box)
        self.chains: list[list[int]] = []
        self.above: list[list[tuple[int, int]]] = [[] for _ in sizes]
        self.below: list[list[tuple[int, int]]] = [[] for _ in sizes]
        for start, end in edges:
            chain = [start]
            for rank in range(ranks[start] + 1, ranks[end]):
                lane = len(self.widths)
                self.widths.append(_LANE)
                self.above.append([])
                self.below.append([])
                self.layers[rank].append(lane)
                chain.append(lane)
            chain.append(end)
            self._join(chain)
            self.chains.append(chain)
        self.x = [0.0] * len(self.widths)

    def _join(self, chain: list[int]) -> None:
        for upper, lower in itertools.pairwise(chain):
            weight = _WEIGHTS[(upper >= self.count) + (lower >= self.count)]
            self.below[upper].append((lower, weight))
            self.above[lower].append((upper, weight))

    def gap(self, left: int, right: int) -> float:
        """How far apart the middles of two neighbours in a layer are at least."""
        lanes = (left >= self.count) + (right >= self.count)
        return (self.widths[left] + self.widths[right]) / 2 + _SPACES[lanes]


def _ranks(count: int, edges: Sequence[tuple[int, int]], top: frozenset[int]) -> list[int]:
    """The layer of each box: below all it depends on; a source stands just above its consumers."""
    above: list[set[int]] = [set() for _ in range(count)]
    below: list[set[int]] = [set() for _ in range(count)]
    for start, end in edges:
        above[end].add(start)
        below[start].add(end)
    ranks = [0] * count
    for box in range(count):
        ranks[box] = max((ranks[other] + 1 for other in above[box]), default=0)
    for box in reversed(range(count)):
        if box not in top and len(above[box]) < len(below[box]):
            ranks[box] = min(ranks[other] for other in below[box]) - 1
    return ranks


def _reduce_crossings(net: _Net) -> None:
    """Order each layer by the barycentre of its neighbours, and keep the best order seen."""
    best, least = [list(layer) for layer in net.layers], _crossings(net)
    rounds = _ROUNDS if len(net.widths) < _LARGE else 2
    for turn in range(rounds):
        if not least:
            break
        down = turn % 2 == 0
        order = range(1, len(net.layers)) if down else range(len(net.layers) - 2, -1, -1)
        neighbours = net.above if down else net.below
        for index in order:
            fixed = {box: i for i, box in enumerate(net.layers[index - 1 if down else index + 1])}
            _sort_layer(net.layers[index], neighbours, fixed)
        crossings = _crossings(net)
        if crossings < least:
            best, least = [list(layer) for layer in net.layers], crossings
    net.layers = best


def _sort_layer(
    layer: list[int], neighbours: list[list[tuple[int, int]]], fixed: dict[int, int]
) -> None:
    """Sort by barycentre; what has no neighbour keeps its place."""
    centres: dict[int, float] = {}
    for box in layer:
        places = [fixed[other] for other, _ in neighbours[box]]
        if places:
            centres[box] = fsum(places) / len(places)
    movable = iter(sorted(centres, key=centres.__getitem__))
    layer[:] = [next(movable) if box in centres else box for box in layer]


def _crossings(net: _Net) -> int:
    """How many pairs of edges cross. O(edges log edges)."""
    crossings = 0
    for upper, lower in zip(net.layers, net.layers[1:], strict=False):
        places = {box: i for i, box in enumerate(lower)}
        seen: list[int] = []
        for box in upper:
            ends = [places[other] for other, _ in net.below[box]]
            crossings += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return crossings


def _place(net: _Net) -> None:
    """Give every box and lane its x: near its neighbours above, then below, then both."""
    for layer in net.layers:
        for left, right in itertools.pairwise(layer):
            net.x[right] = net.x[left] + net.gap(left, right)
    rounds = _ROUNDS if len(net.widths) < _LARGE else 3
    for _ in range(rounds):
        for layer in net.layers[1:]:
            _place_layer(net, layer, [net.above])
        for layer in reversed(net.layers[:-1]):
            _place_layer(net, layer, [net.below])
    for _ in range(rounds):
        for layer in (*net.layers, *reversed(net.layers)):
            _place_layer(net, layer, [net.above, net.below])
    for _ in range(2):
        _straighten(net)


def _straighten(net: _Net) -> None:
    """Let each long edge run straight down as far as its neighbours leave room."""
    beside: dict[int, tuple[int | None, int | None]] = {}
    for layer in net.layers:
        around = [None, *layer, None]
        for left, box, right in zip(around, layer, around[2:], strict=False):
            beside[box] = left, right
    for chain in net.chains:
        run: list[int] = []
        least, most = -inf, inf
        for lane in chain[1:-1]:
            left, right = beside[lane]
            low = -inf if left is None else net.x[left] + net.gap(left, lane)
            high = inf if right is None else net.x[right] - net.gap(lane, right)
            if max(low, least) > min(high, most):
                _align(net, run, least, most)
                run, least, most = [], -inf, inf
            run.append(lane)
            least, most = max(low, least), min(high, most)
        _align(net, run, least, most)


def _align(net: _Net, run: list[int], least: float, most: float) -> None:
    """Put lanes below each other at their mean, within limits."""
    if run:
        mean = fsum(net.x[lane] for lane in run) / len(run)
        for lane in run:
            net.x[lane] = min(max(mean, least), most)


def _place_layer(net: _Net, layer: list[int], sides: list[list[list[tuple[int, int]]]]) -> None:
    """Place a layer as near to its wishes as its order and the gaps allow.

    Least squares under order constraints: pool adjacent violators. O(boxes + edges).
    """
    offset = 0.0
    pools: list[tuple[float, float, int]] = []  # place, weight, boxes
    for index, box in enumerate(layer):
        if index:
            offset += net.gap(layer[index - 1], box)
        near = [pair for side in sides for pair in side[box]]
        weight = fsum(w for _, w in near)
        wish = fsum(net.x[other] * w for other, w in near) / weight if near else net.x[box]
        pool = (wish - offset, weight or _FREE, 1)
        while pools and pools[-1][0] > pool[0]:
            place, heavy, boxes = pools.pop()
            total = heavy + pool[1]
            pool = ((place * heavy + pool[0] * pool[1]) / total, total, boxes + pool[2])
        pools.append(pool)
    places = [place for place, _, boxes in pools for _ in range(boxes)]
    offset = 0.0
    for index, (box, place) in enumerate(zip(layer, places, strict=True)):
        if index:
            offset += net.gap(layer[index - 1], box)
        net.x[box] = place + offset


def _drawn(net: _Net, sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Layout:
    left = min((net.x[i] - width / 2 for i, width in enumerate(net.widths)), default=0.0)
    x = [place - left for place in net.x]
    tops: list[float] = []
    bottoms: list[float] = []
    rank_of: dict[int, int] = {}
    y = 0.0
    for rank, layer in enumerate(net.layers):
        tops.append(y)
        y += max((sizes[box][1] for box in layer if box < net.count), default=0.0)
        bottoms.append(y)
        y += _LAYER_GAP
        rank_of.update(dict.fromkeys(layer, rank))
    corners: list[Point] = []
    for box, (width, height) in enumerate(sizes):
        rank = rank_of[box]
        corners.append((x[box] - width / 2, (tops[rank] + bottoms[rank] - height) / 2))
    leaving = _ports(net, x, [chain[:2] for chain in net.chains])
    arriving = _ports(net, x, [chain[:-3:-1] for chain in net.chains])
    routes: list[tuple[Point, ...]] = []
    for edge, ((start, end), chain) in enumerate(zip(edges, net.chains, strict=True)):
        points = [(leaving[edge], corners[start][1] + sizes[start][1])]
        points.append((leaving[edge], bottoms[rank_of[start]]))
        for lane in chain[1:-1]:
            points += [(x[lane], tops[rank_of[lane]]), (x[lane], bottoms[rank_of[lane]])]
        points += [(arriving[edge], tops[rank_of[end]]), (arriving[edge], corners[end][1])]
        routes.append(tuple(points))
    width = max((x[i] + w / 2 for i, w in enumerate(net.widths)), default=0.0)
    return Layout(
        width=width,
        height=bottoms[-1] if bottoms else 0.0,
        corners=tuple(corners),
        routes=tuple(routes),
    )


def _ports(net: _Net, x: list[float], ends: list[list[int]]) -> list[float]:
    """Where on its box each edge begins: side by side, in the order of where they lead.

    Args:
        net: the boxes and lanes.
        x: the middle of each.
        ends: for each edge the box, and the box or lane it leads to next.
    """
    sharing: dict[int, list[int]] = {}
    for edge, (box, _) in enumerate(ends):
        sharing.setdefault(box, []).append(edge)
    ports = [0.0] * len(ends)
    for box, group in sharing.items():
        group.sort(key=lambda edge: x[ends[edge][1]])
        room = min(_PORT, net.widths[box] * 0.6 / max(len(group) - 1, 1))
        for place, edge in enumerate(group):
            ports[edge] = x[box] + (place - (len(group) - 1) / 2) * room
    return ports


_LANE: Final = 2.0
_LAYER_GAP: Final = 40.0
_PORT: Final = 14.0
_SPACES: Final = (28.0, 18.0, 12.0)
"""Pixels between two boxes, a box and a lane, two lanes."""
_WEIGHTS: Final = (1, 2, 8)
"""Of an edge between two boxes, a box and a lane, two lanes."""
_FREE: Final = 0.01
_ROUNDS: Final = 16
_LARGE: Final = 4000
