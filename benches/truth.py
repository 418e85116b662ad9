"""`python benches/truth.py [--quick]`: how true the simulation is.

- in sample: real runs in virtual time and simulated ones of the same arrivals and latencies, of the
  support example and of a recorded hour of calls of a language model, if that is there.

Says which targets are met, and fails where one is missed.
"""

from __future__ import annotations

import argparse
import sys
import time

from in_sample import METRICS, Case, call_cases, off, support_cases
from staged_calls import TRACE

IN_SAMPLE: float = 0.05


def in_sample(case: Case, runs: int, seed: int) -> bool:
    """Print the figures of a case both ways; whether all are near enough."""
    measured, foretold = case.measured(runs, seed), case.foretold(runs, seed)
    worst = max(off(measured[name], foretold[name]) for name in METRICS)
    met = worst <= IN_SAMPLE
    head = f"{'pass' if met else 'MISS'}  {case.service.name} {case.name}"
    for name in METRICS:
        one, two = measured[name], foretold[name]
        print(f"{head:28}{name:18}{one:>12.5g}{two:>12.5g}{off(one, two):>10.3%}")
        head = ""
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fraction of the runs")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.perf_counter()
    runs = 2_000 if chosen.quick else 8_000
    cases = support_cases()
    if TRACE.is_file():
        cases += call_cases()
    else:
        print(f"no {TRACE.name}: the recorded calls are left out")
    print(f"{runs:,} runs each{'measured':>48}{'foretold':>12}{'off':>10}")
    met = [in_sample(case, runs, chosen.seed) for case in cases]
    print(f"{sum(met)} of {len(met)} within {IN_SAMPLE:.0%}, {time.perf_counter() - began:.0f} s")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
