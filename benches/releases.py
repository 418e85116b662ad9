"""`python benches/releases.py`: how often simulated releases end well, with a look after every run.

Says which targets are met, with how sure that is, and fails where one is missed. Everything is
drawn from `--seed`; another seed is another experiment. `tests/evidence/test_releases.py` is the
same with fewer releases.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Final

from penstock._evidence import Verdict
from simulated_releases import (
    AT_THE_MARGIN,
    BROKEN,
    FAILS_EARLIER,
    IDENTICAL,
    SLOWER,
    Service,
    releases,
    runs_until,
    share_of,
)

SHORT: Final = 400
"""Canary runs in which a candidate that is only slower would be wronged, if it was."""


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    canary: Service
    options: dict[str, Any]


CASES: Final = (
    Case(name="identical", canary=IDENTICAL, options={}),
    Case(name="at the margin: .98 -> .97", canary=AT_THE_MARGIN, options={}),
    Case(name="broken: .98 -> .90", canary=BROKEN, options={}),
    Case(name="dearer by 30 %", canary=replace(IDENTICAL, cost=0.013), options={}),
    Case(name="slower by 3x", canary=SLOWER, options={"max_runs": SHORT}),
    Case(name="fails earlier", canary=FAILS_EARLIER, options={"max_runs": SHORT}),
)


def part(case: Case, seeds: list[str]) -> list[Verdict]:
    return releases(case.canary, seeds, **case.options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", default="1")
    chosen = parser.parse_args()
    began = time.perf_counter()
    found = simulated(chosen.releases, chosen.seed)
    print(f"{'candidate':28}{'rollback':>10}{'promote':>10}{'hold':>8}   canary runs p50 / p90")
    for name, verdicts in found.items():
        shares = [share_of(verdicts, state) for state in ("rollback", "promote", "hold")]
        told = f"{name:28}{shares[0]:>10.1%}{shares[1]:>10.1%}{shares[2]:>8.1%}"
        runs = sorted(verdict.runs for verdict in verdicts)
        middle, most = runs[len(runs) // 2], runs[len(runs) * 9 // 10]
        print(f"{told}   {middle:,} / {most:,}")
    ends = [verdict(aim, chosen.releases) for aim in aims(found)]
    print(*ends, f"{chosen.releases} releases each, seed {chosen.seed}", sep="\n")
    busy = os.times().children_user
    print(f"{time.perf_counter() - began:.0f} s, of which {busy:.0f} s of work in all processes")
    return any(line.startswith("MISSED") for line in ends)


def simulated(count: int, seed: str) -> dict[str, list[Verdict]]:
    """By case, in parallel: many small jobs, since one case takes longer than another."""
    seeds = [f"{seed}/{index}" for index in range(count)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = {
            case.name: [pool.submit(part, case, seeds[first::16]) for first in range(16)]
            for case in CASES
        }
        return {
            name: [verdict for job in parts for verdict in job.result()]
            for name, parts in jobs.items()
        }


@dataclass(frozen=True, kw_only=True)
class Aim:
    what: str
    share: float
    least: float = 0.0
    most: float = 1.0


def aims(found: dict[str, list[Verdict]]) -> list[Aim]:
    identical, margin, broken, dearer, slower, earlier = found.values()
    alike = share_of(identical, "rollback", within=SHORT)
    late = runs_until(broken, "rollback", 0.9)
    return [
        Aim(what="identical, rolled back", share=share_of(identical, "rollback"), most=0.02),
        Aim(what="identical, promoted", share=share_of(identical, "promote"), least=0.7),
        Aim(what="at the margin, promoted", share=share_of(margin, "promote"), most=0.05),
        Aim(
            what=f"broken, found within 300 canary runs (p90: {late:,.0f})",
            share=share_of(broken, "rollback", within=300),
            least=0.9,
        ),
        Aim(what="dearer by 30 %, rolled back", share=share_of(dearer, "rollback"), least=0.9),
        *(
            Aim(
                what=f"{name}, rolled back by {SHORT} (identical: {alike:.1%})",
                share=share_of(verdicts, "rollback"),
                most=0.02,
            )
            for name, verdicts in (("slower", slower), ("fails earlier", earlier))
        ),
    ]


def verdict(aim: Aim, count: int) -> str:
    """Missed is what misses by more than two standard errors at the aim: less may be chance."""
    aimed = aim.most if aim.most < 1 else aim.least
    chance = 2 * sqrt(aimed * (1 - aimed) / count)
    off = max(aim.share - aim.most, aim.least - aim.share)
    word = "met" if off <= 0 else "chance" if off <= chance else "MISSED"
    sign = "<=" if aim.most < 1 else ">="
    return f"{word:7}{aim.what}: {aim.share:.1%} ({sign} {aimed:.0%}, chance {chance:.1%})"


if __name__ == "__main__":
    sys.exit(main())
