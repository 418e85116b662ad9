"""`python benches/gate.py [--update]`: fails where penstock has become slower than was recorded.

Two kinds of figures, and wall time alone is none of them: ratios to the baseline within one run
(`baseline.json`, by Python version), and the engine's instruction counts under callgrind
(`instructions.json`), which do not depend on what else the machine does.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from contenders import CONTENDERS, Contender
from measure import compare
from shapes import QUICK, Shape, shapes
from table import refuse_debug_build, surroundings
from targets import baseline, verdict

HERE = Path(__file__).parent
RATIOS, INSTRUCTIONS = HERE / "baseline.json", HERE / "instructions.json"
PROGRAM = HERE.parent / "target" / "release" / "examples" / "instructions"
SCENARIOS = ("chain", "limited", "diamond", "retry", "timers", "ready")
GATED = ("penstock", "penstock, own task")
ROUNDS, TRIES = 5, 3
INSTRUCTIONS_MARGIN = 0.03
PYTHON = ".".join(platform.python_version_tuple()[:2])
UPDATE = "If that is meant, record it with `make bench-gate ARGS=--update` and say why."


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--update", action="store_true", help="record what is measured now")
    arguments.add_argument("--margin", type=float, default=0.25, help="for noise in ratios (0.25)")
    options = arguments.parse_args()
    refuse_debug_build()
    print(surroundings(), end="\n\n")
    if options.update:
        update()
    elif problems := [*slower_ratios(options.margin), *more_instructions()]:
        sys.exit("\n".join(["", "The benchmark gate fails:", *problems, UPDATE]))


def slower_ratios(margin: float) -> list[str]:
    """The ratios that stay above the recorded ones by more than `margin` in each of the tries.

    One that was never recorded counts as 0, and so fails.
    """
    every = read(RATIOS)
    # A Python that nobody has measured is held to the newest that somebody has.
    recorded = every.get(PYTHON) or every[max(every)]
    problems: list[str] = []
    for shape in shapes(QUICK):
        limits = {name: recorded.get(f"{shape}: {name}", 0.0) * (1 + margin) for name in GATED}
        slow: dict[str, float] = {}
        for _ in range(TRIES):
            measured = ratios(shape)
            slow = {name: measured[name] for name in GATED if measured[name] > limits[name]}
            if not slow:
                break
        problems += [
            f"- {shape}: {name} takes {ratio:.3f}x of {baseline(shape)} in each of {TRIES} tries, "
            f"the limit is {limits[name]:.3f}x."
            for name, ratio in slow.items()
        ]
    return problems


def ratios(shape: Shape) -> dict[str, float]:
    """Measure and print the gated ratios of a shape, and how they stand to DESIGN's targets."""
    base = baseline(shape)
    samples = compare(shape, field(base), ROUNDS)
    measured = {name: samples.ratio(name, base)[0] for name in GATED}
    cells = ", ".join(f"{name} {ratio:.3f}x" for name, ratio in measured.items())
    print(f"{shape!s:26} {cells} of {base}", flush=True)
    print("".join(f"  {line}\n" for line in verdict(shape, samples)), end="")
    return measured


def field(base: str) -> list[Contender]:
    return [contender for contender in CONTENDERS if contender.name in (base, *GATED)]


def more_instructions() -> list[str]:
    """The engine scenarios that take more instructions than recorded, beyond the margin."""
    if reason := uncountable():
        print(f"\nNOT CHECKED: the engine's instruction counts. {reason}", file=sys.stderr)
        return []
    recorded = read(INSTRUCTIONS).get(built_by())
    if recorded is None:
        reason = (
            f"none are recorded for {built_by()}, and compilers differ by more than the margin."
        )
        print(f"\nNOT CHECKED: the engine's instruction counts: {reason}", file=sys.stderr)
        return []
    problems: list[str] = []
    for scenario in SCENARIOS:
        count = instructions(scenario)
        change = count / recorded.get(scenario, 1) - 1
        print(f"{scenario:26} {count:,} instructions ({change:+.1%})", flush=True)
        if change > INSTRUCTIONS_MARGIN:
            problems.append(f"- engine, {scenario}: {count:,} instructions, {change:+.1%}.")
    return problems


def uncountable() -> str | None:
    """Why instructions can't be counted here, with the remedy, if they can't."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed: install the system's package `valgrind`."
    if shutil.which("rustc") is None:
        return "rustc is not on PATH, so the compiler they were built by is not known."
    if not PROGRAM.exists():
        return (
            f"{PROGRAM.name} is not built: "
            "`cargo build --release -p penstock-engine --example instructions`."
        )
    return None


def built_by() -> str:
    """What instruction counts depend on beside the code: compiler and processor."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return f"{' '.join(rustc.stdout.split()[:2])}, {platform.machine()}"


def instructions(scenario: str) -> int:
    """The instructions of one scenario of the engine, by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command = [*callgrind, str(PROGRAM), scenario]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or found is None:
        sys.exit(f"callgrind failed on the scenario {scenario}:\n{ran.stderr}")
    return int(found[1])


def update() -> None:
    """Record the ratios of this Python version and the instruction counts of this processor."""
    measured = {
        f"{shape}: {name}": round(ratio, 4)
        for shape in shapes(QUICK)
        for name, ratio in ratios(shape).items()
    }
    write(RATIOS, read(RATIOS) | {PYTHON: measured})
    if reason := uncountable():
        print(f"\nNOT RECORDED: the engine's instruction counts. {reason}", file=sys.stderr)
        return
    counts: dict[str, float] = {scenario: instructions(scenario) for scenario in SCENARIOS}
    write(INSTRUCTIONS, read(INSTRUCTIONS) | {built_by(): counts})


def read(path: Path) -> dict[str, dict[str, float]]:
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, figures: dict[str, dict[str, float]]) -> None:
    path.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
