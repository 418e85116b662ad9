"""Release: the handle of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock._errors import DefinitionError
from penstock._evidence import Evidence, Verdict
from penstock._policies import number

from ._arms import Arm
from ._stored import ReleaseState

if TYPE_CHECKING:
    from ._manager import Active, Releases


class Release:
    """A candidate beside what it is to take the place of.

    Attributes:
        name: of the release: the workflow and the candidate.
        workflow: what is released.
    """

    __slots__ = ("_active", "_releases", "name", "workflow")

    def __init__(self, releases: Releases, active: Active) -> None:
        self._releases = releases
        self._active = active
        self.name = active.record.name
        self.workflow = active.record.workflow

    @property
    def state(self) -> ReleaseState:
        """Where it is: "held" is undecided at its limit, and waits for a person."""
        return self._active.record.state

    @property
    def candidate(self) -> Arm:
        """What is to run."""
        return self._active.record.candidate

    @property
    def baseline(self) -> Arm:
        """What ran before."""
        return self._active.record.baseline

    @property
    def share(self) -> float:
        """Of the runs that go to the candidate, as long as it is judged."""
        return self._active.record.share

    @property
    def reason(self) -> str:
        """Why it is where it is, in a sentence with its numbers; of one under way, so far."""
        return self._active.record.reason or str(self.verdict)

    @property
    def needed(self) -> str:
        """How many runs and dollars it takes to tell, in a sentence."""
        return self._active.needed

    @property
    def verdict(self) -> Verdict:
        """What its runs amount to by now."""
        return self._active.trial.verdict(self._releases.now())

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What is known of each criterion by now."""
        return self._active.trial.evidence()

    async def set_share(self, share: float) -> None:
        """Send another share of the runs to the candidate from now on.

        Raises:
            DefinitionError: the share is none, or the release is over.
        """
        share = number(share, "a release's share", above=0, below=1)
        self._expect("running", "held")
        await self._releases.set_share(self._active, share)

    async def promote(self, *, by: str = "operator") -> None:
        """Send all runs to the candidate, whatever its runs say.

        Raises:
            DefinitionError: the release is over.
        """
        self._expect("running", "held")
        await self._releases.decide(self._active, "promoted", f"{by} has promoted it", by=by)

    async def rollback(self, *, by: str = "operator") -> None:
        """Send all runs to the baseline again, from the next start on; also after a promotion.

        Raises:
            DefinitionError: the release is over.
        """
        self._expect("running", "held", "promoted")
        await self._releases.decide(self._active, "rolled_back", f"{by} has rolled it back", by=by)

    async def end(self, *, by: str = "operator") -> None:
        """Let the code say again what runs: it has what was promoted, as its own.

        Raises:
            DefinitionError: it is not promoted.
        """
        self._expect("promoted")
        await self._releases.decide(self._active, "ended", f"{by} has ended it", by=by)

    def _expect(self, *states: ReleaseState) -> None:
        if self.state not in states:
            raise DefinitionError(
                f"release {self.name!r} is {self.state.replace('_', ' ')}",
                remedy="begin another one: rt.release(..., again=True)",
            )

    def __repr__(self) -> str:
        return f"<Release {self.name!r}: {self.state}>"
