"""What `retry_storm.py` calls: a dependency with ten servers, and when it is down.

Knows nothing of penstock. The outages are as long as some that GitHub's operators reported, if
`../shared/data/outages` is beside the repository, and as long as a few built-in ones if not.
"""

import asyncio
import csv
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["fails", "hangs"]

SERVERS: Final = 10
SERVICE: Final = 0.1  # seconds that a call takes, on average
CAPACITY: Final = SERVERS / SERVICE  # calls a second

RECORDS: Final = (
    Path(__file__).parents[2] / "shared/data/outages/github-status_operator_reported.csv"
)
BUILT_IN: Final = (10_800.0, 10_400.0, 6_400.0, 3_500.0)  # seconds

# Ten minutes of an outage become a second. The days between two become a minute and a half.
SCALE: Final = 600
SHORTEST, LONGEST = 3, 20
FIRST, CALM, AFTER = 20, 90, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """When the dependency is down, in seconds, and what it does to those who call it then."""

    starts: int
    ends: int
    kind: Kind

    @property
    def seconds(self) -> int:
        """How long it lasts."""
        return self.ends - self.starts


def outages(seconds: int, seed: int) -> tuple[list[Outage], str]:
    """The outages of so many seconds, and where they are from.

    They fail and hang in turn. Each is followed by `AFTER` calm seconds or more.
    """
    most = seconds // (FIRST + CALM) + 1
    if RECORDS.is_file():
        with RECORDS.open(newline="", encoding="utf-8") as lines:
            recorded = [
                float(row["end_time"]) - float(row["start_time"]) for row in csv.DictReader(lines)
            ]
        lasted = random.Random(f"{seed}/outages").sample(recorded, min(most, len(recorded)))
        source = f"as long as some of the {len(recorded)} outages in {RECORDS.name}"
    else:
        lasted, source = list(BUILT_IN), f"built in, as {RECORDS.name} is not there"
    return _laid_out(lasted, seconds), source


def _laid_out(lasted: Sequence[float], seconds: int) -> list[Outage]:
    laid_out: list[Outage] = []
    starts = FIRST
    for number, real in enumerate(lasted):
        ends = starts + min(max(round(real / SCALE), SHORTEST), LONGEST)
        if ends + AFTER > seconds:
            break
        laid_out.append(Outage(starts=starts, ends=ends, kind="hangs" if number % 2 else "fails"))
        starts = ends + CALM
    return laid_out


class Dependency:
    """Servers behind one line of calls, first come, first served.

    While it "fails", a call fails at once. While it "hangs", calls come into the line, and none is
    taken up. A call whose client has given up stays in the line and is served all the same: the
    servers don't know. That work is wasted, and is what keeps a storm going.
    """

    def __init__(self, outages: Sequence[Outage], seed: int) -> None:
        self._outages = outages
        self._dice = random.Random(f"{seed}/service")
        self._loop = asyncio.get_running_loop()
        self._line = deque[asyncio.Future[None]]()
        self._busy = 0
        for outage in outages:
            self._loop.call_at(outage.ends, self._serve)

    @property
    def waiting(self) -> int:
        """Calls in the line, those included that nobody waits for any more."""
        return len(self._line)

    async def call(self) -> None:
        """Be served.

        Raises:
            ConnectionError: it is down, and says so.
        """
        if self._state() == "fails":
            raise ConnectionError("the provider refuses connections")
        served = self._loop.create_future()
        self._line.append(served)
        self._serve()
        await served

    def _state(self) -> Kind | None:
        now = self._loop.time()
        for outage in self._outages:
            if outage.starts <= now < outage.ends:
                return outage.kind
        return None

    def _serve(self) -> None:
        while self._line and self._busy < SERVERS and self._state() != "hangs":
            self._busy += 1
            seconds = self._dice.expovariate(1 / SERVICE)
            self._loop.call_later(seconds, self._served, self._line.popleft())

    def _served(self, call: asyncio.Future[None]) -> None:
        self._busy -= 1
        if not call.done():
            call.set_result(None)
        self._serve()
