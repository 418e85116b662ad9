"""What a shape is compared with, and the ratio it is built to reach (DESIGN, section 6)."""

import sys

from measure import Samples
from shapes import Shape

PEERS = ("pydantic-graph", "LangGraph", "Sayiir")
PEER_FACTOR = 30.0  # how many times the fastest peer takes for a diamond
MARGIN_3_11 = 1.5  # Python 3.11 has no eager tasks: its targets are that much wider

TARGETS: dict[tuple[str, str], dict[str, float]] = {
    ("chain", "none"): {"penstock": 0.15, "penstock, own task": 0.35},
    ("fan-out", "none"): {"penstock": 0.2},
    ("diamonds", "none"): {"penstock": 0.2},
    ("diamonds", "all"): {"penstock": 0.85},
}


def baseline(shape: Shape) -> str:
    """The contender that the others are divided by."""
    return "gather" if shape.name == "fan-out" else "tasks"


def targets(shape: Shape) -> dict[str, float]:
    """The largest ratio to the baseline, by contender."""
    margin = MARGIN_3_11 if sys.version_info < (3, 12) else 1.0
    stated = TARGETS.get((shape.name, shape.suspending), {})
    return {contender: ratio * margin for contender, ratio in stated.items()}


def verdict(shape: Shape, samples: Samples) -> list[str]:
    """One line for each target of the shape: met or missed, and by how much."""
    lines: list[str] = []
    base = baseline(shape)
    for contender, target in targets(shape).items():
        if contender in samples.seconds:
            ratio, _ = samples.ratio(contender, base)
            met = "pass" if ratio <= target else "MISS"
            lines.append(
                f"{met}  {shape}: {contender} {ratio:.3f}x of {base} (target {target:.3f}x)"
            )
    peers = [peer for peer in PEERS if peer in samples.seconds]
    if (shape.name, shape.suspending) == ("diamonds", "none") and peers:
        factor, fastest = min((samples.ratio(peer, "penstock")[0], peer) for peer in peers)
        met = "pass" if factor >= PEER_FACTOR else "MISS"
        lines.append(
            f"{met}  {shape}: {fastest}, the fastest peer, takes {factor:.0f}x of penstock "
            f"(target {PEER_FACTOR:.0f}x)"
        )
    return lines
