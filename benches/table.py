"""`python benches/table.py [--quick] [--json FILE]`: every shape on every contender, as one table.

Cells are ratios to the baseline of the row, so 0.10 takes a tenth of its time: the median of the
rounds, and half their range as a share of it. The baseline itself is in microseconds per attempt.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from contenders import CONTENDERS, Contender
from measure import Samples, compare
from penstock import _engine
from shapes import FULL, QUICK, Shape, shapes
from targets import baseline, verdict

ROUNDS, ROUNDS_QUICK, ROUNDS_WAITING = 7, 3, 3
PACKAGES = ("penstock", "uvloop", "tenacity", "pydantic-graph", "langgraph", "sayiir")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="fewer runs and rounds")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    options = arguments.parse_args()
    refuse_debug_build()
    print(surroundings(), end="\n\n")

    field = [contender for contender in CONTENDERS if contender.missing is None]
    print(header(field), flush=True)
    measured: list[tuple[Shape, Samples]] = []
    for shape in shapes(QUICK if options.quick else FULL):
        rounds = ROUNDS_QUICK if options.quick else ROUNDS_WAITING if shape.backoff else ROUNDS
        samples = compare(shape, field, rounds)
        measured.append((shape, samples))
        print(row(shape, samples, field), flush=True)

    left_out = [
        f"- {contender}: {contender.missing}" for contender in CONTENDERS if contender.missing
    ]
    print(*left_out, *reasons(samples for _, samples in measured), sep="\n", end="\n\n")
    print(*[line for shape, samples in measured for line in verdict(shape, samples)], sep="\n")
    if options.json:
        options.json.write_text(as_json(measured))


def refuse_debug_build() -> None:
    """Exit when the native module was not built for speed: its figures would mean nothing."""
    if _engine.BUILD_PROFILE != "release":
        sys.exit(
            f"penstock is a {_engine.BUILD_PROFILE} build, which says nothing about its speed. "
            "Build it with `maturin develop --release` and start again."
        )


def surroundings() -> str:
    """Versions, build profile and machine, in words."""
    packages = ", ".join(f"{package} {installed(package)}" for package in PACKAGES)
    return (
        f"Python {platform.python_version()}; {packages}\n"
        f"{_engine.BUILD_PROFILE} build; {os.cpu_count()} cores, {processor()}, "
        f"{platform.system()} {platform.release()} on {platform.machine()}"
    )


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unnamed processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unnamed processor"


def header(field: Sequence[Contender]) -> str:
    """Names in two lines, so that the table fits a screen."""
    names = [contender.name.split(", ") for contender in field]
    upper = "".join(f"{name[0]:>{width(c)}}" for name, c in zip(names, field, strict=True))
    lower = "".join(
        f"{''.join(name[1:]):>{width(c)}}" for name, c in zip(names, field, strict=True)
    )
    return f"{'shape':24}{'baseline, us':>13}{upper}\n{'':37}{lower}"


def width(contender: Contender) -> int:
    return 2 + max(10, *map(len, contender.name.split(", ")))


def row(shape: Shape, samples: Samples, field: Sequence[Contender]) -> str:
    base = baseline(shape)
    time = statistics.median(samples.seconds[base]) * 1e6
    cells = [f"{cell(samples, contender.name, base):>{width(contender)}}" for contender in field]
    return f"{shape!s:24}{f'{base} {time:.2f}':>13}" + "".join(cells)


def cell(samples: Samples, contender: str, base: str) -> str:
    if contender not in samples.seconds:
        return "-"
    ratio, spread = samples.ratio(contender, base)
    digits = 3 if ratio < 1 else 2 if ratio < 10 else 0
    return f"{ratio:.{digits}f} ±{spread / ratio:.0%}"


def reasons(measured: Iterable[Samples]) -> list[str]:
    """Why there are dashes."""
    skipped = {(name, why) for samples in measured for name, why in samples.skipped.items()}
    return [f"- {name}: {why}" for name, why in sorted(skipped)]


def as_json(measured: Iterable[tuple[Shape, Samples]]) -> str:
    rows = [
        {
            "shape": shape.name,
            "suspending": shape.suspending,
            "baseline": baseline(shape),
            "seconds_per_attempt": samples.seconds,
            "skipped": samples.skipped,
        }
        for shape, samples in measured
    ]
    return json.dumps({"surroundings": surroundings(), "shapes": rows}, indent=1) + "\n"


if __name__ == "__main__":
    main()
