"""What `retry_storm.py` shows: both services second by second, and in the end what came of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from retry_storm_dependency import Outage
from retry_storm_figures import AFTER, Figures, Record, Second, figures

PACE: Final = 0.02  # real seconds that a second is shown for, on a terminal
LINES: Final = 5  # seconds between two lines, elsewhere
BESIDE: Final = 20  # columns of a panel that are not the small charts
TOP: Final = 210  # attempts a second that fill it
BARS: Final = " ▁▂▃▄▅▆▇█"


class Board:
    """Shows how it goes, while it does: live on a terminal, else a line every few seconds."""

    def __init__(self, console: Console, outages: Sequence[Outage], *, quiet: bool) -> None:
        self._console, self._outages, self._quiet = console, outages, quiet
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        elif not self._quiet:
            self._console.print(_HEAD, soft_wrap=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, records: Sequence[Record], second: int) -> None:
        """Show the second that has just ended."""
        if self._live is not None:
            self._live.update(self._panels(records, second), refresh=True)
            time.sleep(PACE)  # virtual time stands still meanwhile
        elif not self._quiet and second % LINES == 0:
            told = " | ".join(_line(record) for record in records)
            line = f"{second:5}  {self._weather(second):5} | {told}"
            self._console.print(line.rstrip(), soft_wrap=True)

    def _weather(self, second: int) -> str:
        """What the provider did at the end of a second."""
        down = (each.kind for each in self._outages if each.starts < second <= each.ends)
        return next(down, "")

    def _panels(self, records: Sequence[Record], second: int) -> Group:
        weather = self._weather(second)
        state = (f"the provider {weather}", "bold red") if weather else ("all is well", "green")
        both = Table.grid(expand=True)
        for _ in records:
            both.add_column(ratio=1)
        span = max(10, self._console.width // 2 - BESIDE)
        both.add_row(*(_panel(record, span) for record in records))
        return Group(Text.assemble((f"{second:4} s  ", "bold"), state), both)


_TITLES: Final = f"{'offered':>8}{'attempts':>9}{'goodput':>8}{'waiting':>8}{'parked':>7}  storm"
_HEAD: Final = "\n".join(
    (
        f"{'':12} | {'naive, per second':46} | penstock, per second",
        f"{'s':>5}  {'':5} | {_TITLES} | {_TITLES}",
    )
)


def _line(record: Record) -> str:
    """The last few seconds of a service: rates are means of them."""
    now = record.seconds[-1]
    rates = _rates(record.seconds[-LINES:])
    counts = f"{rates[0]:8.0f}{rates[1]:9.0f}{rates[2]:8.0f}{_waiting(now):8}{now.parked:7}"
    return f"{counts}  {'STORM' if now.storm else '-':5}"


def _rates(seconds: Sequence[Second]) -> tuple[float, float, float]:
    """Offered load, attempts and goodput, per second."""
    count = len(seconds)
    return (
        sum(second.offered for second in seconds) / count,
        sum(second.attempts for second in seconds) / count,
        sum(second.good for second in seconds) / count,
    )


def _waiting(second: Second) -> int:
    """What waits in the service's queue, or for the provider's servers."""
    return second.waiting + second.line


def _panel(record: Record, span: int) -> RenderableType:
    """The last second of a service, and the `span` seconds before it as small charts."""
    now, shown = record.seconds[-1], record.seconds[-span:]
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True)
    rows.add_column(width=6, justify="right")
    rows.add_column(no_wrap=True)
    for name, values, style in (
        ("offered", [second.offered for second in shown], "white"),
        ("attempts", [second.attempts for second in shown], "yellow"),
        ("goodput", [second.good for second in shown], "cyan"),
    ):
        rows.add_row(name, f"{values[-1]}/s", Text(_chart(values), style), style=style)
    rows.add_row("waiting", f"{_waiting(now):,}")
    rows.add_row("parked", f"{now.parked:,}")
    rows.add_row("lost", f"{sum(second.lost for second in record.seconds):,}")
    storm = Text("STORM", "bold white on red") if now.storm else Text("no storm", "green")
    told = "".join(f"  {'on' if on else 'off'} at {at:.0f} s" for at, on in record.storms[-2:])
    return Panel(Group(rows, Text.assemble(storm, (told, "dim"))), title=record.name)


def _chart(values: Sequence[int]) -> str:
    """A bar for each second."""
    top = len(BARS) - 1
    return "".join(BARS[min(top, round(top * value / TOP + 0.49))] for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What an outage did to a service, in words."""

    outage: str
    service: str
    figures: tuple[str, ...]


COLUMNS: Final = {  # in short, for a terminal, and in full
    "attempts/\nfirst": "attempts per first attempt, during it",
    "runs\nlost": "runs lost, until the next",
    "good,\n30 s": f"goodput of the first {AFTER} s after it, by offered",
    "recov-\nered": "recovered after",
    "backlog": "backlog, at its peak",
    "drained\n(ideal)": "drained after (ideal)",
    "storm\nflagged": "storm flagged after",
}


def rows(records: Sequence[Record], outages: Sequence[Outage], rate: float) -> list[Row]:
    """What each outage did to each service; the figures are those of `COLUMNS`, in order."""
    measured = [list(figures(record, list(outages), rate)) for record in records]
    return [
        Row(outage=_outage(outage), service=record.name, figures=_words(of_record[number][1]))
        for number, outage in enumerate(outages)
        for record, of_record in zip(records, measured, strict=True)
    ]


def _outage(outage: Outage) -> str:
    return f"{outage.kind} {outage.starts}-{outage.ends} s"


def _words(found: Figures) -> tuple[str, ...]:
    drained = "never" if found.drained is None else f"{found.drained} s ({found.ideal:.0f})"
    match found.flagged:
        case None:
            flagged = "never"
        case 0.0:
            flagged = "was on"
        case seconds:
            flagged = f"{seconds:.1f} s"
    return (
        f"{found.amplification:.2f}",
        f"{found.lost:,}",
        f"{found.goodput:.0%}",
        "never" if found.recovered is None else f"{found.recovered} s",
        f"{found.backlog:,}",
        drained,
        flagged,
    )


def verdict(record: Record) -> str:
    """What became of a service, in a sentence."""
    offered, good = record.last(10)
    lost = f"{record.lost:,} of {record.runs:,} runs lost" if record.lost else "no run lost"
    return f"{lost}; in the end it answers {good:.0f} of {offered:.0f} tickets a second"


def told(records: Sequence[Record], outages: Sequence[Outage], rate: float) -> Group:
    """What came out, as a table and a sentence for each service."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")  # fits 80 columns
    table.add_column("outage", no_wrap=True)
    table.add_column("service")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    before = ""
    for row in rows(records, outages, rate):
        table.add_row("" if row.outage == before else row.outage, row.service, *row.figures)
        before = row.outage
    sentences = [Text.assemble((f"{record.name}: ", "bold"), verdict(record)) for record in records]
    return Group("", table, "", *sentences)
