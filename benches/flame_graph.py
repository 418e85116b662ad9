"""`python benches/flame_graph.py [--seconds N]`: where the time of one step goes.

Samples the chain of no-op steps with py-spy, native frames included, into
`target/profile/chain.svg`. Sampling can be biased on a virtual machine, so `perf` and callgrind
write theirs beside it, where they are installed: act on what two of them agree on.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from contenders.engine import CONTENDERS
from gate import PROGRAM, uncountable
from measure import Session
from shapes import FULL, shapes
from table import refuse_debug_build

FOLDER = Path(__file__).parent.parent / "target" / "profile"


def spin(seconds: float) -> None:
    """Run the chain for so long: what the profilers watch."""
    chain = next(iter(shapes(FULL)))
    end = time.monotonic() + seconds
    with Session(CONTENDERS[0], chain) as session:
        while time.monotonic() < end:
            session.go(100)


def flame_graph(watched: Sequence[str]) -> None:
    py_spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if py_spy is None:
        print("no flame graph: py-spy is not installed (pip install py-spy)", file=sys.stderr)
        return
    output = FOLDER / "chain.svg"
    record = [py_spy, "record", "--native", "--rate", "500", "--output", str(output)]
    finish([*record, "--", *watched], output)


def perf(watched: Sequence[str]) -> None:
    if shutil.which("perf") is None:
        print("no cross-check by perf: it is not installed", file=sys.stderr)
        return
    data, output = FOLDER / "perf.data", FOLDER / "perf.txt"
    if finish(["perf", "record", "--quiet", "--output", str(data), "--", *watched], data):
        report = ["perf", "report", "--input", str(data), "--stdio", "--percent-limit", "0.5"]
        with output.open("w") as text:
            finish(report, output, stdout=text)


def callgrind() -> None:
    if reason := uncountable():
        print(f"no cross-check by callgrind: {reason}", file=sys.stderr)
        return
    data, output = FOLDER / "callgrind.out", FOLDER / "callgrind.txt"
    command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={data}"]
    if finish([*command, str(PROGRAM), "chain"], data):
        with output.open("w") as text:
            finish(["callgrind_annotate", str(data)], output, stdout=text)


def finish(command: Sequence[str], output: Path, stdout: TextIO | None = None) -> bool:
    """Run a profiler and say where its output is, or that it failed."""
    failed = subprocess.run(command, stdout=stdout, check=False).returncode != 0
    print(f"{command[0]} failed" if failed else f"wrote {output}", file=sys.stderr)
    return not failed


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10.0, help="for each profiler (10)")
    arguments.add_argument("--spin", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.spin:
        spin(options.seconds)
        return
    refuse_debug_build()
    FOLDER.mkdir(parents=True, exist_ok=True)
    watched = [sys.executable, __file__, "--spin", "--seconds", str(options.seconds)]
    flame_graph(watched)
    perf(watched)
    callgrind()


if __name__ == "__main__":
    main()
