"""Text: a model as lines, for people."""

from __future__ import annotations

from collections.abc import Iterator

from penstock._questions._words import columns
from penstock._scorecard._words import counted, percent, span

from ._arrivals import Arrivals
from ._model import Model
from ._places import Choice, Outage, SignalModel
from ._steps import StepModel


def of_model(model: Model) -> Iterator[str]:
    """What a model says, and what it does not know."""
    version = "" if model.version is None else f" {model.version}"
    yield f"{model.workflow}{version}: {_origin(model)}"
    yield f"  arrivals: {_arrivals(model.arrivals)}"
    if model.tenants:
        shares = sorted(model.tenants.items(), key=lambda item: -item[1])
        told = ", ".join(f"{name} {percent(share)}" for name, share in shares[:_SHOWN])
        rest = len(shares) - _SHOWN
        yield f"  tenants: {told}" + (f" and {rest} more" if rest > 0 else "")
    if model.frailty:
        yield f"  runs differ: their failure probabilities by a factor of sigma {model.frailty:.2g}"
    for outage in model.outages:
        yield f"  outages of queue {outage.queue}: {_outage(outage)}"
    yield ""
    head = ("step", "median", "p95", "error", "fatal", "hang", "under load", "cost", "judged", "")
    rows = [_step(name, step) for name, step in model.steps.items()]
    yield from (f"  {line}" for line in columns(head, rows))
    if model.choices:
        yield ""
        yield from (f"  {path}: {_choice(it)}" for path, it in model.choices.items())
    if model.signals:
        yield ""
        yield from (f"  signal {name}: {_signal(it)}" for name, it in model.signals.items())
    if model.fitted is not None and model.fitted.gaps:
        yield ""
        yield "not known:"
        yield from (f"  {gap}" for gap in model.fitted.gaps)


def _origin(model: Model) -> str:
    fitted = model.fitted
    if fitted is None:
        return "written by hand"
    told = f"fitted to {counted(fitted.runs, 'run')} from {fitted.since} to {fitted.until}"
    return f"{told}: a draft, too few to decide by" if fitted.draft else told


def _arrivals(arrivals: Arrivals) -> str:
    rate = f"{arrivals.mean_rate:.4g} runs a second"
    if arrivals.kind == "poisson":
        return f"{rate}, each for itself"
    if arrivals.kind == "trace":
        return f"{rate}, a trace of {len(arrivals.gaps):,}"
    calm, busy = arrivals.rates
    return (
        f"{rate}: {calm:.4g} for {span(arrivals.calm or 0.0)}, then {busy:.4g} for "
        f"{span(arrivals.busy or 0.0)}, on the average"
    )


def _outage(outage: Outage) -> str:
    when = (
        f"{len(outage.at)} at given times"
        if outage.every is None or outage.lasts is None
        else f"every {span(outage.every)} for {span(outage.lasts)}"
    )
    slower = f", {outage.slower:g} times slower" if outage.slower != 1 else ""
    return f"{when}, {percent(outage.error)} of attempts fail{slower}"


def _step(name: str, step: StepModel) -> tuple[str, ...]:
    first = step.failure(1)
    flight, factor = step.load[-1] if step.load else (0.0, 1.0)
    known = [] if step.quality is None else [f"quality {step.quality:.3g}"]
    if step.attempts_seen is not None:
        known.append(f"of {counted(step.attempts_seen, 'attempt')}")
    return (
        name,
        span(step.latency.quantile(0.5)),
        span(step.latency.quantile(0.95)),
        percent(first.error),
        percent(first.fatal),
        percent(first.hang),
        f"x{factor:.3g} at {flight:g}" if factor != 1 else "-",
        f"${step.mean_usd:.4g}" if step.spend else "-",
        _judged(step),
        ", ".join(known),
    )


def _judged(step: StepModel) -> str:
    if step.scores:
        return f"{counted(len(step.scores), 'score')}, {step.scores_seen}"
    return "-" if step.accepted is None else f"{percent(step.accepted)} accepted"


def _choice(choice: Choice) -> str:
    if choice.outcomes:
        return ", ".join(f"{label} {percent(share)}" for label, share in choice.outcomes.items())
    if choice.until:
        told = ", ".join(percent(share) for share in choice.until)
        return f"ends after an iteration with {told}"
    if choice.count is not None:
        return f"{choice.count.mean():.4g} items on the average"
    return counted(choice.keys or 0, "different key")


def _signal(signal: SignalModel) -> str:
    told = f"answered {percent(signal.answered)} of the time"
    if signal.latency is not None:
        told += f", half of them within {span(signal.latency.quantile(0.5))}"
    if signal.staff is not None:
        told += f", by {counted(signal.staff, 'person')} on {signal.days or 'every day'}"
        told += f" {signal.hours}" if signal.hours else ""
    if signal.minutes is not None:
        told += f", {signal.minutes.mean():.3g} minutes each"
    if signal.usd_per_hour is not None:
        told += f" at ${signal.usd_per_hour:g} an hour"
    return told


_SHOWN = 8
