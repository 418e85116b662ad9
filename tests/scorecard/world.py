"""A made-up service and its rollup rows: what a scorecard is tried with."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from penstock._scorecard import Drift, NodeFacts, Nodes, Notes, Overrun, ReleaseNote, Row
from penstock._scorecard._histogram import bucket_of

START = 1_795_651_200.0  # 2026-11-26 00:00 UTC
STEPS = ("classify", "retrieve", "draft", "review", "send")
OWNERS = {"classify": "ml", "retrieve": "search", "draft": "ml", "review": "cx", "send": "cx"}
QUEUES = {"classify": "gpt", "retrieve": "index", "draft": "gpt", "review": "desk", "send": "mail"}
RESOURCES = {
    "classify": {"gpt-mini input": 210_000, "gpt-mini output": 95_000},
    "retrieve": {"retrieval": 400_000},
    "draft": {"gpt input": 2_100_000, "gpt cached": 340_000, "gpt output": 5_200_000},
    "review": {"human minutes": 9_000_000},
    "send": {"mail": 100_000},
}
TENANTS = tuple(f"tenant-{n}" for n in range(10))


def facts(versions: tuple[str, ...] = ("1.0.0", "1.1.0")) -> Nodes:
    return {
        ("support", version, f"support/{step}"): NodeFacts(
            step=step, owner=OWNERS[step], queue=QUEUES[step], tier=_TIERS.get(step)
        )
        for version in versions
        for step in STEPS
    }


def histogram(rng: random.Random, count: int, median: float, sigma: float = 0.7) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _ in range(count):
        bucket = str(bucket_of(int(median * math.exp(rng.gauss(0, sigma)) * 1e9)))
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


def runs_row(
    rng: random.Random, at: float, tenant: str | None, runs: int, trouble: float, version: str
) -> Row:
    """A minute's runs; `trouble` is the share of attempts that fail."""
    failed = sum(rng.random() < trouble / 3 for _ in range(runs))
    late = min(sum(rng.random() < trouble / 12 for _ in range(runs)), runs - failed)
    over = failed + late
    nodes: dict[str, dict[str, object]] = {}
    waste = dict.fromkeys(("useful", "failed_run", "failed_attempt", "lost", "escalation"), 0)
    nanos = lines = 0
    for step in STEPS:
        first = max(runs // 3, 1) if step == "review" else runs
        retry = sum(rng.random() < trouble for _ in range(first))
        spend: dict[str, dict[str, int]] = {}
        parts = dict.fromkeys(waste, 0)
        kinds = {"first": 0, "retry": 0}
        for resource, price in RESOURCES[step].items():
            one = price + rng.randrange(price // 4 + 1)
            spend[resource] = {
                "units": (first + retry) * 100,
                "nanos": one * (first + retry),
                "unpriced": first // 20 if step == "retrieve" else 0,
                "lines": first + retry,
            }
            kinds["first"] += one * first
            kinds["retry"] += one * retry
            bad = one * over * first // max(runs, 1)
            parts["failed_run"] += bad
            parts["failed_attempt"] += one * retry
            parts["lost"] += one * first // 50
            parts["escalation"] += one * first // 6 if step == "draft" else 0
            rest = one * (first + retry) - one * retry - bad - one * first // 50
            parts["useful"] += rest - (one * first // 6 if step == "draft" else 0)
        taken = sum(part["nanos"] for part in spend.values())
        nanos += taken
        lines += sum(part["lines"] for part in spend.values())
        for name, part in parts.items():
            waste[name] += part
        refused = sum(rng.random() < 0.03 + trouble / 4 for _ in range(first))
        nodes[f"support/{step}"] = {
            "first": first,
            "retry": retry,
            "succeeded": first - over * first // max(runs, 1),
            "failed": over * first // max(runs, 1),
            "held_ns": (first + retry) * 800_000_000,
            "handoffs": {
                "accepted": first - refused,
                "contract": refused // 2,
                "rejected": refused - refused // 2,
            },
            "cross": {"accepted": first // 2, "rejected": refused // 2},
            "spend": spend,
            "waste": parts,
            "kinds": kinds,
        }
    usd = nanos / 1e9
    return Row(
        at,
        "runs",
        {
            "workflow": "support",
            "version": version,
            "overlay": "",
            "tenant": tenant,
            "width": 60,
        },
        {
            "accepted": runs,
            "ended": {"succeeded": runs - over, "failed": failed, "deadline": late},
            "first_outcome": {"succeeded": runs - over, "failed": failed, "deadline": late},
            "first_pass": max(runs - over - int(runs * trouble * 2), 0),
            "degraded": runs // 50,
            "recovered": runs // 100,
            "latency": histogram(rng, min(runs, 20), 2.4),
            "cost": {
                "nanos": nanos,
                "squares": usd * usd / runs * 1.2,
                "succeeded": nanos * (runs - over) // runs,
            },
            "unpriced": {
                "lines": sum(
                    part["unpriced"]
                    for node in nodes.values()
                    for part in node["spend"].values()  # type: ignore[attr-defined]
                ),
                "of": lines,
            },
            "waste": waste,
            "nodes": nodes,
        },
    )


def service(
    *, hours: float = 24, tenants: tuple[str, ...] = TENANTS[:3], every: int = 300, seed: int = 7
) -> Iterator[Row]:
    """A day with a bad afternoon, a busy noon and a new version from the evening on."""
    rng = random.Random(seed)
    for number in range(int(hours * 3_600 / every)):
        at = START + number * every
        hour = number * every / 3_600
        busy = 1 + math.sin((hour - 6) / 24 * 2 * math.pi) * 0.6
        outage = math.exp(-((hour - 15.2) ** 2) / 0.8)
        trouble = 0.04 + 0.32 * outage + (0.02 if hour > 19 else 0)
        version = "1.1.0" if hour > 19 and rng.random() < 0.7 else "1.0.0"
        for place, tenant in enumerate(tenants):
            runs = max(int(busy * (22 - 5 * place) + rng.gauss(0, 2)), 1)
            yield runs_row(rng, at, tenant, runs, trouble, version)
            cash = {"gpt input": {"units": 900, "nanos": runs * 2_000_000, "lines": runs}}
            yield Row(
                at,
                "cash",
                {"workflow": "support", "version": version, "overlay": "", "tenant": tenant},
                cash,
            )
        for step in STEPS:
            sent = int(busy * 40)
            again = int(sent * trouble)
            wait = 0.06 * busy**2 * (1 + 14 * outage) * _WAITS[step]
            yield Row(
                at,
                "delays",
                {"step": step, "queue": QUEUES[step], "priority": 3},
                {
                    "attempts": sent + again,
                    "retries": again,
                    "hedges": 0,
                    "succeeded": sent,
                    "failed": again,
                    "timeouts": again // 3,
                    "delay": histogram(rng, min(sent, 30), wait),
                    "duration": histogram(rng, min(sent, 30), 0.8),
                    "parked_ns": int(again * 2e8),
                },
            )
        for queue in sorted(set(QUEUES.values())):
            sent = int(busy * 40)
            again = int(sent * trouble)
            yield Row(
                at,
                "queues",
                {"queue": queue},
                {
                    "first": sent,
                    "attempts": sent + again,
                    "denied": int(again * 1.4 * outage),
                    "succeeded": sent - again // 4,
                    "storms": int(outage > 0.9),
                    "storm_ns": int(outage * 6e10) if outage > 0.5 else 0,
                },
            )
        yield Row(
            at,
            "scores",
            {"workflow": "support", "version": version, "overlay": "", "kind": "csat"},
            {"count": 4, "sum": 17.0 - 4 * outage, "squares": 74.0 - 20 * outage},
        )


def notes() -> Notes:
    return Notes(
        releases=[
            ReleaseNote(
                workflow="support",
                version="1.1.0",
                registered=START + 8 * 3_600,
                full=START + 19 * 3_600,
                ended=START + 19 * 3_600,
                outcome="promoted",
            ),
            ReleaseNote(
                workflow="support",
                version="1.0.1",
                registered=START,
                ended=START + 4 * 3_600,
                outcome="rolled_back",
                first_bad=START + 3 * 3_600,
                alarm=START + 4 * 3_600,
                last_bad=START + 4 * 3_600 + 1,
            ),
        ],
        coverage={("support", "1.0.0"): 0.94, ("support", "1.1.0"): 0.88},
        drift=[
            Drift(workflow="support", version="1.1.0", metric="success", baseline=0.986, now=0.971)
        ],
        overruns=[
            Overrun(at=START + 60, workflow="support", version="1.0.0", nanos=12_000_000),
        ],
    )


_WAITS = {"classify": 1.0, "retrieve": 0.6, "draft": 2.0, "review": 3.0, "send": 0.2}
_TIERS = {"draft": 0, "review": 1}
