"""Failures: exact sequential tests on shares, for runs that go to the canary by chance.

Each run goes to the canary with probability `share`, independently of all others. That alone makes
these tests valid at every look: they estimate no variance and need no least number of runs. What is
kept of a test is a logarithm or two, and a run costs O(1).

A `failure` is a weight from 0 (did not fail) to 1 (failed); in between is the mean of a unit of
several runs. By convexity the tests stay valid for these.
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p
from typing import Any, Final

HARM_RATIOS: Final = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
"""Ratios of failure rates that the harm test looks for, in multiples of what is tolerated."""


class HarmTest:
    """Evidence that the canary fails more often than `tolerated` times what the baseline does.

    Of the runs that failed, the canary's are a share θ₀ = s·r₀ / (s·r₀ + 1 - s) if its rate is r₀
    times the other. The e-value is the mixture over larger ratios of their likelihood ratios to
    that; it exceeds 1/x at any time with a probability of at most x if there is no harm. A share
    that changes only changes the next factors: each ratio stays a martingale, and so the mixture.

    >>> test = HarmTest()
    >>> for _ in range(12):
    ...     test.failed(1.0, canary=True, share=0.1)
    >>> test.e_value > 100
    True
    """

    __slots__ = ("_for", "_logs", "_steps", "log_e", "tolerated")

    def __init__(self, tolerated: float = 1.0) -> None:
        self.tolerated = tolerated
        self.log_e = 0.0
        self._logs = [0.0] * len(HARM_RATIOS)
        self._for = -1.0
        self._steps: tuple[list[float], list[float]] = ([], [])

    def failed(self, failure: float, *, canary: bool, share: float) -> None:
        """Take a failure in; 0 changes nothing."""
        if failure == 0.0:
            return
        if share != self._for:
            self._for, self._steps = share, _harm_steps(share, self.tolerated)
        steps = self._steps[0] if canary else self._steps[1]
        self._logs = [known + failure * step for known, step in zip(self._logs, steps, strict=True)]
        self.log_e = _log_mean(self._logs)

    @property
    def e_value(self) -> float:
        """How many times likelier the failures are with harm than without."""
        return _exp(self.log_e)

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restored` reads it, exactly."""
        return {"tolerated": self.tolerated, "logs": list(self._logs)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> HarmTest:
        """The test of `state`."""
        test = cls(state["tolerated"])
        test._logs = list(state["logs"])
        test.log_e = _log_mean(test._logs)
        return test


class NoWorseTest:
    """Evidence that the canary's failure rate is less than `offset` + `slope` · the baseline's.

    Each run multiplies the e-value by the likelihood ratio of "both arms fail at the rate p seen so
    far" to the pair of rates nearest to it, by Kullback-Leibler, among all that are too bad. These
    are a convex set, so that is an e-variable for each of them, after Turner and Grünwald (Safe
    sequential testing in stratified count data, AISTATS 2023).

    >>> test = NoWorseTest(offset=0.05)
    >>> for _ in range(100):
    ...     test.ran(0.0, canary=True, share=0.5)
    ...     test.ran(0.0, canary=False, share=0.5)
    >>> test.e_value > 20
    True
    """

    __slots__ = ("_bet", "_for", "_steps", "failures", "log_e", "offset", "runs", "slope")

    def __init__(self, *, offset: float, slope: float = 1.0) -> None:
        self.offset, self.slope = offset, slope
        self.log_e = 0.0
        self.runs = 0
        self.failures = 0.0
        self._bet: list[float] = []
        self._for: tuple[float, float] | None = None
        self._steps = (0.0, 0.0, 0.0, 0.0)

    def ran(self, failure: float, *, canary: bool, share: float) -> None:
        """Take a run in; the bet on it was made before."""
        bet = self._bet
        if not bet or self.runs >= bet[1]:
            # A few equal bets in a row cost no power to speak of, and solving is what takes time.
            rate = (self.failures + 0.5) / (self.runs + 25.0)
            self._bet = bet = [rate, max(self.runs * 1.02, self.runs + 20.0)]
        if (bet[0], share) != self._for:
            self._for = (bet[0], share)
            self._steps = _no_worse_steps(bet[0], share, self.offset, self.slope)
        canary_failed, canary_passed, failed, passed = self._steps
        if canary:
            failed, passed = canary_failed, canary_passed
        self.log_e += passed if failure == 0.0 else failure * failed + (1.0 - failure) * passed
        self.runs += 1
        if failure != 0.0:
            self.failures += failure
            self._bet = []

    @property
    def e_value(self) -> float:
        """How many times likelier the runs are with equal rates than with too bad ones."""
        return _exp(self.log_e)

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restored` reads it, exactly."""
        names = ("offset", "slope", "log_e", "runs", "failures")
        return {name: getattr(self, name) for name in names} | {"bet": list(self._bet)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> NoWorseTest:
        """The test of `state`."""
        test = cls(offset=state["offset"], slope=state["slope"])
        test.log_e, test.runs, test.failures = state["log_e"], state["runs"], state["failures"]
        test._bet = list(state["bet"])
        return test


class LimitTest:
    """Evidence that more than a share `allowed` of all runs is over a limit, whatever the arm.

    >>> test = LimitTest(0.01)
    >>> for over in [0.0, 1.0] * 10:
    ...     test.ran(over)
    >>> test.e_value > 1000
    True
    """

    __slots__ = ("_logs", "_steps", "allowed")

    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        rates = [_harmful_rate(allowed, ratio) for ratio in HARM_RATIOS]
        self._steps = [(log(each / allowed), log((1 - each) / (1 - allowed))) for each in rates]
        self._logs = [0.0] * len(rates)

    def ran(self, over: float) -> None:
        """Take a run in: 1 if it was over the limit, 0 if not."""
        self._logs = [
            known + over * high + (1.0 - over) * low
            for known, (high, low) in zip(self._logs, self._steps, strict=True)
        ]

    @property
    def e_value(self) -> float:
        """How many times likelier the runs are with too many over the limit."""
        return _exp(_log_mean(self._logs))

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restored` reads it, exactly."""
        return {"allowed": self.allowed, "logs": list(self._logs)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> LimitTest:
        """The test of `state`."""
        test = cls(state["allowed"])
        test._logs = list(state["logs"])
        return test


class SampleRatioTest:
    """Evidence that the runs are not shared out among the arms as they should be.

    The e-value is a beta mixture around the share, after Lindon and Malek (Anytime-valid inference
    for multinomial count data, NeurIPS 2022), multiplied over the stretches of one share each.

    >>> test = SampleRatioTest()
    >>> for _ in range(200):
    ...     test.started(canary=True, share=0.1)
    >>> test.e_value > 1000
    True
    """

    __slots__ = ("_before", "canary", "others", "share")

    _CONCENTRATION: Final = 1_000.0

    def __init__(self) -> None:
        self.share = -1.0
        self.canary = self.others = 0
        self._before = 0.0

    def started(self, *, canary: bool, share: float) -> None:
        """Count a run, or a unit of runs that stay together."""
        if share != self.share:
            self._before, self.share = self._before + self._stretch(), share
            self.canary = self.others = 0
        if canary:
            self.canary += 1
        else:
            self.others += 1

    @property
    def e_value(self) -> float:
        """How many times likelier the counts are with a share that is not the planned one."""
        return _exp(self._before + self._stretch())

    def _stretch(self) -> float:
        canary, others, share = self.canary, self.others, self.share
        if canary + others == 0:
            return 0.0
        a, b = self._CONCENTRATION * share, self._CONCENTRATION * (1.0 - share)
        mixed = _log_beta(a + canary, b + others) - _log_beta(a, b)
        return mixed - canary * log(share) - others * log1p(-share)

    def state(self) -> dict[str, Any]:
        """All of it as plain data; `restored` reads it, exactly."""
        return {
            "share": self.share,
            "canary": self.canary,
            "others": self.others,
            "before": self._before,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> SampleRatioTest:
        """The test of `state`."""
        test = cls()
        test.share, test.canary, test.others = state["share"], state["canary"], state["others"]
        test._before = state["before"]
        return test


def _harm_steps(share: float, tolerated: float) -> tuple[list[float], list[float]]:
    """What a failure of the canary and one of the baseline add to the logarithms."""
    null = _canary_share(share, tolerated)
    shares = [_canary_share(share, tolerated * ratio) for ratio in HARM_RATIOS]
    return (
        [log(each / null) for each in shares],
        [log((1.0 - each) / (1.0 - null)) for each in shares],
    )


def _canary_share(share: float, ratio: float) -> float:
    return share * ratio / (share * ratio + 1.0 - share)


def _no_worse_steps(
    rate: float, share: float, offset: float, slope: float
) -> tuple[float, float, float, float]:
    """Logarithms of the likelihood ratios: canary failed and not, baseline failed and not.

    The nearest pair of rates that is too bad lies on the edge c = offset + slope·b, where the
    weighted divergence from `rate` is convex in b: its derivative is bisected.
    """
    low = max((rate - offset) / slope, 0.0)
    high = min(rate, (1.0 - offset) / slope)
    for _ in range(40):
        base = (low + high) / 2
        canary = offset + slope * base
        slant = (1.0 - share) * (base - rate) / (base * (1.0 - base)) + share * slope * (
            canary - rate
        ) / (canary * (1.0 - canary))
        low, high = (base, high) if slant < 0 else (low, base)
    base = high
    canary = min(offset + slope * base, 1.0 - 1e-12)
    return (
        log(rate / canary),
        log((1.0 - rate) / (1.0 - canary)),
        log(rate / base),
        log((1.0 - rate) / (1.0 - base)),
    )


def _harmful_rate(allowed: float, ratio: float) -> float:
    """The rate whose odds are so many times those of `allowed`: below 1 for every ratio."""
    odds = ratio * allowed / (1.0 - allowed)
    return odds / (1.0 + odds)


def _log_mean(logs: list[float]) -> float:
    most = max(logs)
    return most + log(sum(exp(each - most) for each in logs) / len(logs))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _exp(value: float) -> float:
    return exp(min(value, 700.0))
