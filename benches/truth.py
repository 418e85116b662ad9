"""`python benches/truth.py [--quick]`: how true the simulation is.

- in sample: real runs in virtual time and simulated ones of the same arrivals and latencies, of the
  support example and of a recorded hour of calls of a language model, if that is there: each figure
  within 5 %;
- out of sample: a model is fitted to a store of real runs under a provider that drifts, slows down
  under load and fails in bursts, other configurations are forecast, and run for real under such a
  provider: 90 % intervals hold at least 8 of 10 figures, and the forecasts are nearer than "the
  same as last week".

Says which targets are met, and fails where one is missed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from in_sample import METRICS, Case, call_cases, off, support_cases
from out_of_sample import LEVEL, OTHERS, Trial, trial
from staged_calls import TRACE

IN_SAMPLE: Final = 0.05
COVERED: Final = 0.8


def in_sample(case: Case, runs: int, seed: int) -> bool:
    """Print the figures of a case both ways; whether all are near enough."""
    measured, foretold = case.measured(runs, seed), case.foretold(runs, seed)
    met = all(off(measured[name], foretold[name]) <= IN_SAMPLE for name in METRICS)
    head = f"{'pass' if met else 'MISS'}  {case.service.name} {case.name}"
    for name in METRICS:
        one, two = measured[name], foretold[name]
        print(f"{head:28}{name:18}{one:>12.5g}{two:>12.5g}{off(one, two):>10.3%}", flush=True)
        head = ""
    return met


def out_of_sample(found: Trial, seed: int) -> None:
    """Print what was forecast and what was measured."""
    ours, same = found.errors
    print(
        f"\nseed {seed}: {sum(found.covered)} of {len(found.covered)} covered; off by {ours:.0%}, "
        f'"the same" by {same:.0%}{"usual":>22}{"measured":>12}{"forecast":>12}'
    )
    rows = zip(OTHERS, found.measured, found.forecasts, strict=True)
    for it, measured, forecast in rows:
        head = it.name
        for name in METRICS:
            figure, value = forecast.figure(name), measured[name]
            low, high = figure.low or 0.0, figure.high or 0.0
            told = f"{head:28}{name:18}{found.usual[name]:>12.5g}{value:>12.5g}"
            missed = "" if low <= value <= high else "  outside"
            print(f"{told}{figure.value or 0.0:>12.5g}  [{low:.5g}, {high:.5g}]{missed}")
            head = ""
    sys.stdout.flush()


def verdicts(trials: Sequence[Trial]) -> list[bool]:
    """Print whether the targets are met by all trials together."""
    held = [it for found in trials for it in found.covered]
    ours, same = (fmean(it) for it in zip(*(found.errors for found in trials), strict=True))
    met = [sum(held) >= COVERED * len(held), ours < same]
    words = ["pass" if it else "MISS" for it in met]
    print(
        f"\n{words[0]}  {LEVEL:.0%} intervals hold {sum(held)} of {len(held)} "
        f"({sum(held) / len(held):.0%}, target {COVERED:.0%})\n"
        f'{words[1]}  forecasts are off by {ours:.0%} on the average, "the same as last week" by '
        f"{same:.0%}; nearer in {sum(a < b for a, b in (it.errors for it in trials))} of "
        f"{len(trials)}"
    )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a quarter of the runs, and two trials"
    )
    parser.add_argument("--trials", type=int, default=8, help="out of sample")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)  # storms are meant
    began = time.perf_counter()
    runs = 2_000 if chosen.quick else 8_000
    cases = support_cases()
    if TRACE.is_file():
        cases += call_cases()
    else:
        print(f"no {TRACE.name}: the recorded calls are left out")
    print(f"{f'{runs:,} runs each':46}{'measured':>12}{'foretold':>12}{'off':>10}")
    met = [in_sample(case, runs, chosen.seed) for case in cases]
    print(f"{sum(met)} of {len(met)} configurations within {IN_SAMPLE:.0%}")
    trials: list[Trial] = []
    for seed in range(chosen.seed, chosen.seed + (2 if chosen.quick else chosen.trials)):
        trials.append(trial(seed, 3_000))
        out_of_sample(trials[-1], seed)
    met += verdicts(trials)
    print(f"{time.perf_counter() - began:.0f} s")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
