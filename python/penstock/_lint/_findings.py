"""Findings: what lint says, and the table of everything it can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
"""The worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a workflow that is likely to cause trouble.

    Attributes:
        code: such as "R1.1"; stable, to be ignored by.
        severity: "error", "warning" or "info".
        node: the path of its node; of the first one, if a step stands in several; the workflow's
            name, if it is about all of it.
        what: what was found, in one clause.
        remedy: what to do about it.
    """

    code: str
    severity: Severity
    node: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: node {self.node!r}: {self.what}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing lint looks for.

    Attributes:
        severity: of its findings.
        looks_for: in one clause.
        remedy: the usual one.
    """

    severity: Severity
    looks_for: str
    remedy: str


def number(code: str) -> tuple[int, ...]:
    """A code as numbers, to sort by: R2.1 comes before R10.1."""
    return tuple(int(part) for part in code.removeprefix("R").split("."))


RULES: Final[Mapping[str, Rule]] = {
    "R1.1": Rule(
        "warning",
        "a step is retried and its effects are not declared",
        "declare effects='pure' or 'idempotent'; or 'once', which is never retried",
    ),
    "R1.2": Rule(
        "info",
        "a step's effects are not declared: it counts as idempotent, and a crash may repeat it",
        "declare effects='pure', 'idempotent' or 'once'",
    ),
    "R1.3": Rule(
        "info",
        "an idempotent step is retried and can't pass its idempotency key on: it takes no Context",
        "take a ps.Context and hand ctx.idempotency_key to what it calls, if that is not "
        "idempotent by itself",
    ),
    "R2.1": Rule(
        "warning",
        "an effect has no compensation, and effects after it have one",
        "give the step compensate=, or move it behind them",
    ),
    "R2.2": Rule(
        "warning",
        "a compensation has one attempt only",
        "give its step a retry policy and effects='idempotent'",
    ),
    "R3.1": Rule(
        "warning",
        "a step with one attempt follows the effect that can't be undone any more",
        "retry it, give it a fallback or on_failure='skip', or compensate the effect before it",
    ),
    "R4.1": Rule(
        "error",
        "a concurrency key comes from the time or from chance: no two runs ever share it",
        "make it of the inputs alone",
    ),
    "R4.2": Rule(
        "error",
        "a step makes an idempotency key of the attempt, the time or chance: it differs each time",
        "use ctx.idempotency_key, which is the same for every attempt",
    ),
    "R5.1": Rule(
        "warning",
        "a step has no timeout: an attempt that hangs is never ended",
        "give it timeout= or total_timeout=, or the workflow a default",
    ),
    "R5.2": Rule(
        "info",
        "a step's attempts and waits do not fit into its total_timeout",
        "allow fewer attempts, a shorter timeout or more total_timeout",
    ),
    "R5.3": Rule(
        "warning",
        "the run's worst case is longer than the deadline",
        "shorten the timeouts and retries on its longest path",
    ),
    "R5.4": Rule(
        "warning",
        "a heartbeat_timeout is not shorter than the timeout: it never matters",
        "shorten heartbeat_timeout, or leave it out",
    ),
    "R5.5": Rule(
        "info",
        "a wait for a signal has no timeout: a run may wait for ever",
        "give it timeout= and on_timeout=, or the run a deadline",
    ),
    "R6.1": Rule(
        "warning",
        "a step can be tried more than 10 times in one run, retries and repetitions multiplied",
        "retry in one place only: the innermost",
    ),
    "R6.2": Rule(
        "info",
        "a step is retried, and no retry budget keeps its retries a share of the load",
        "let it wait in a ps.Queue, which has a retry budget unless it is told None",
    ),
    "R6.3": Rule(
        "warning",
        "a retried step runs a workflow and waits for it: the attempts of both multiply",
        "put the workflow into the graph with flow.call, or retry inside of it only",
    ),
    "R6.4": Rule(
        "warning",
        "the retries of a queue can keep it overloaded by themselves: it is metastable",
        "give it a ps.RetryBudget(ratio=0.1), or allow fewer attempts",
    ),
    "R9.1": Rule(
        "info",
        "a switch has a default, and a case for every key: the default is never taken",
        "leave the default out",
    ),
    "R9.2": Rule(
        "info",
        "nothing follows an outcome of a decision",
        "draw what happens then, if something should",
    ),
    "R10.1": Rule(
        "warning",
        "a loop's body uses neither the loop's value nor an impure step: every iteration is alike",
        "let the body depend on its first input",
    ),
    "R10.2": Rule(
        "error",
        "a recursion passes its own inputs on unchanged: it only ends at max_depth",
        "make the problem smaller before it recurses",
    ),
    "R12.1": Rule(
        "warning",
        "a step has no owner, and neither has its workflow",
        "give owner= to the step or to the workflow",
    ),
    "R12.2": Rule(
        "warning",
        "a step's contract is open: Any or object",
        "annotate what it takes and returns",
    ),
    "R12.3": Rule(
        "info",
        "a step fails its run and has no playbook",
        "give playbook=: what a person does then",
    ),
    "R13.1": Rule(
        "warning",
        "a value goes to another owner under a contract that says little",
        "annotate both ends with a model or a dataclass",
    ),
    "R14.1": Rule(
        "warning",
        "a workflow has more than 50 nodes of its own",
        "draw parts of it as workflows and call them",
    ),
    "R14.2": Rule(
        "warning",
        "a workflow's decisions and forks are more than one can follow (control-flow complexity)",
        "draw parts of it as workflows and call them",
    ),
    "R14.3": Rule(
        "info",
        "a node has more than 10 edges on one side",
        "use flow.map for many alike, or put a step between that gathers them",
    ),
    "R14.4": Rule(
        "info",
        "three or more joins do not match the fork they come from",
        "join each fork where it began, or move a fork with its join into a workflow",
    ),
    "R15.1": Rule(
        "warning",
        "a step declared pure reads the clock, draws at random, writes or sends",
        "pass such values in as inputs, or declare effects='idempotent' or 'once'",
    ),
    "R15.2": Rule(
        "warning",
        "an idempotent step sends, or draws at random, without its idempotency key",
        "hand ctx.idempotency_key to what it calls, or declare effects='once'",
    ),
    "R15.3": Rule(
        "warning",
        "a function evaluated inline reads the clock, draws at random, or does I/O",
        "do that in a step, and pass the value on",
    ),
    "R16.1": Rule(
        "warning",
        "steps of a workflow have owners, and the workflow has none: nobody answers for a run",
        "give the workflow owner=",
    ),
    "R16.2": Rule(
        "info",
        "steps of a workflow have owners, and nothing says what takes a release of it back",
        "give the workflow rollback=: the criteria of its releases",
    ),
}
"""By code: the rule of the literature, and the check within it."""
NOT_CHECKED: Final[Mapping[str, str]] = {
    "R2": "A compensation that does not take None for a missing result is refused when the "
    "workflow is defined; R2 finds the rest.",
    "R7": "Writes of shared state by parallel branches can't occur: values travel on edges only.",
    "R8": "Reads of undeclared or unset state can't occur: a node reads its input edges only.",
    "R9": "Unhandled outcomes are refused when the workflow is defined; R9 finds what is left.",
    "R10": "Loops and recursions without a bound are refused when the workflow is defined; R10 "
    "finds those that do not move.",
    "R11": "Joins that can't fire are refused when the workflow is defined.",
}
"""Rules of the literature that the model makes needless, wholly or in part."""
