"""The shapes under pytest-benchmark: `pytest benches --benchmark-json=out.json`.

Before each timed round the baseline has a round of its own, so that `ratio` (in `extra_info`) comes
from pairs taken side by side. The peers, which make fewer runs, are measured by `table.py` only.
"""

import statistics
from itertools import product
from typing import Any

import pytest

from contenders import CONTENDERS, Contender, UnsupportedError
from measure import Session, calibrated
from shapes import QUICK, Shape, shapes
from targets import baseline

ROUNDS = 5
CASES = [
    pytest.param(
        shape, contender, marks=pytest.mark.benchmark(group=str(shape)), id=f"{shape}: {contender}"
    )
    for shape, contender in product(shapes(QUICK), CONTENDERS)
    if contender.share == 1.0
]


@pytest.mark.parametrize(("shape", "contender"), CASES)
def test_shape(benchmark: Any, shape: Shape, contender: Contender) -> None:
    base = next(other for other in CONTENDERS if other.name == baseline(shape))
    try:
        calibrated(contender, shape)
        goes = calibrated(base, shape)
    except UnsupportedError as reason:
        pytest.skip(str(reason))
    ratios: list[float] = []
    with Session(contender, shape) as ours, Session(base, shape) as theirs:

        def time_baseline() -> None:
            ratios.append(theirs.go(goes))

        def time_contender() -> None:
            ratios[-1] = ours.go(goes) / ratios[-1]

        benchmark.pedantic(time_contender, setup=time_baseline, rounds=ROUNDS)
    benchmark.extra_info["ratio"] = statistics.median(ratios)
