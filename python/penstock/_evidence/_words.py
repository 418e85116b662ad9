"""Words: numbers as the sentences of the evidence say them."""

from __future__ import annotations


def number(value: float) -> str:
    """Three digits or all whole ones: "1,930", "412", "0.0523"."""
    if abs(value) >= 1e9:
        return f"{value:.2g}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(value: float, *, signed: bool = False) -> str:
    """A share: "1.25 %"."""
    return f"{100 * value:{'+' if signed else ''}.3g} %"


def amount(metric: str, value: float | None, *, signed: bool = False) -> str:
    """A value of a metric in its own unit; nano-dollars become dollars."""
    if value is None:
        return "unknown"
    sign = ("+" if value >= 0 else "-") if signed else "-" if value < 0 else ""
    if metric == "cost":
        return f"{sign}${abs(value) * 1e-9:.4g}"
    if metric in _SHARES:
        return f"{sign}{100 * abs(value):.3g} %"
    return f"{sign}{abs(value):.4g}"


def times(value: float | None, factor: float) -> float | None:
    """A value in another unit, if there is one."""
    return None if value is None else value * factor


_SHARES = frozenset({"success", "handoff", "latency", "scored"})
