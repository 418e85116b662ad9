"""The trial of a release: events of its runs in, a verdict out.

It owns the order in which runs are judged, what counts as late, and when it is over; what the runs
show is for the judge. It reads no clock and does no I/O: whoever drives it says what time it is,
and keeps its `state` next to the position in the journal that this was reached at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from math import inf
from typing import Any, Final, Literal, TypeAlias, get_args

from penstock._policies import Seconds, number, seconds, whole
from penstock._policies._checks import one_of

from ._criteria import Criteria
from ._failures import SampleRatioTest
from ._judge import Judge, State, Verdict
from ._outcomes import Outcome, Seen
from ._units import Units
from ._watches import Evidence
from ._words import number as told
from ._words import percent

Arm: TypeAlias = Literal["canary", "baseline"]
OnUndecided: TypeAlias = Literal["hold", "promote", "rollback"]
UNBALANCED: Final = 1_000.0
"""The e-value at which arms of the wrong sizes void a release: by mistake in 1 of 1,000."""
FULL: Final = 0.85
"""The forecast utilisation of a queue above which nothing is promoted."""


class _Run:
    """A run until it is judged."""

    __slots__ = (
        "at",
        "canary",
        "ended",
        "horizon",
        "lanes",
        "levels",
        "name",
        "outcome",
        "part",
        "parts",
        "scores",
        "share",
        "unit",
    )

    def __init__(
        self, name: str, *, canary: bool, at: float, share: float, unit: str, horizon: float
    ) -> None:
        self.name, self.canary, self.at, self.share, self.unit = name, canary, at, share, unit
        self.horizon = horizon
        self.ended: float | None = None
        self.outcome: Outcome | None = None
        self.part: Outcome | None = None
        self.parts: list[str] = []
        self.levels: list[list[int]] = []
        self.scores: dict[str, float] = {}
        self.lanes = 0

    def seen(self) -> Seen:
        outcome = self.outcome
        if outcome is not None and self.part is not None:
            outcome = outcome.with_part(self.part)
        if self.ended is None:
            return Seen(succeeded=False, elapsed=inf, outcome=outcome, scores=self.scores)
        elapsed = self.ended - self.at
        good = outcome is not None and outcome.result == "succeeded"
        return Seen(good and elapsed <= self.horizon, elapsed, outcome, self.scores)

    @property
    def over(self) -> bool:
        """Whether it has ended, and all that it has started, directly or not."""
        if self.ended is None or self.cancelled:
            return self.ended is not None
        below = [*self.levels[1:], [0, 0]]
        return all(up[1] <= down[0] for up, down in zip(self.levels, below, strict=True))

    def counts(self, depth: int, started: int) -> None:
        """A run at a depth, 0 for this one, has ended, and has started so many others."""
        while len(self.levels) <= depth:
            self.levels.append([0, 0])
        self.levels[depth][0] += 1
        self.levels[depth][1] += started

    def state(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self.__slots__}
        outcome = None if self.outcome is None else self.outcome.to_dict()
        part = None if self.part is None else self.part.to_dict()
        copies = {"scores": dict(self.scores), "parts": list(self.parts)}
        levels = [list(level) for level in self.levels]
        return kept | copies | {"outcome": outcome, "part": part, "levels": levels}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> _Run:
        names = ("canary", "at", "share", "unit", "horizon")
        run = cls(state["name"], **{name: state[name] for name in names})
        outcome, part = state["outcome"], state["part"]
        run.outcome = None if outcome is None else Outcome.from_dict(outcome)
        run.part = None if part is None else Outcome.from_dict(part)
        run.parts, run.levels = list(state["parts"]), [list(it) for it in state["levels"]]
        run.ended, run.lanes, run.scores = state["ended"], state["lanes"], dict(state["scores"])
        return run

    @property
    def cancelled(self) -> bool:
        return self.ended is not None and (
            self.outcome is not None and self.outcome.result == "cancelled"
        )


class Trial:
    """Judges one release, run by run.

    A run has succeeded if it did within `horizon` seconds of its start, or by its deadline where
    that is earlier; one that is older and has not ended counts as failed. What runs that it has
    started spend and do counts as its own, and is waited for as long; whether it succeeded is its
    own matter. Runs are judged in start order, and none before each older one, of
    either arm, has ended or passed the horizon: else an arm that merely takes longer, or fails
    earlier, would look different from what it is.

    Commands: `started`, `ended`, `part_ended`, `so_far`, `scored`, `changed_share`, `forecast`.
    Then `settled` and `verdict` say what they amount to; they look after every run that is judged,
    and once that has decided they stay with it.

    Args:
        criteria: what the candidate is judged by.
        horizon: seconds, for runs without an earlier deadline; twice the p99.9 of the baseline.
        began: when the release began, on the clock of all other times.
        share: of the runs that go to the canary, more than 0 and less than 1.
        max_runs: canary runs that are judged at most; units, where runs stay together.
        max_age: seconds that it lasts at most, or None for no limit.
        on_undecided: what happens at either limit.
        score_within: seconds from the end of a run in which its score counts.
        gather: seconds from a unit's first start in which its runs count.

    Raises:
        DefinitionError: a value is out of its range.

    >>> from penstock._evidence import Criteria, Outcome, Trial
    >>> trial = Trial(Criteria(), horizon=60.0, share=0.5)
    >>> for run in range(100):
    ...     arm = "canary" if run % 2 else "baseline"
    ...     trial.started(str(run), arm, at=run)
    ...     failed = arm == "canary" and run % 3 == 0
    ...     trial.ended(str(run), run + 1.0, Outcome(result="failed" if failed else "succeeded"))
    >>> print(trial.verdict(101.0))
    rollback: failed 10 of 29 canary runs, 0 of 29 baseline runs; e-value 134 >= 100
    """

    def __init__(
        self,
        criteria: Criteria,
        *,
        horizon: Seconds,
        began: float = 0.0,
        share: float = 0.1,
        max_runs: int = 3_000,
        max_age: Seconds | None = None,
        on_undecided: OnUndecided = "hold",
        score_within: Seconds = 3_600.0,
        gather: Seconds = 3_600.0,
    ) -> None:
        self.criteria = criteria
        self.horizon = seconds(horizon, "a release's horizon")
        self.began = began
        self.share = _checked_share(share)
        self.max_runs = whole(max_runs, "a release's max_runs")
        self.max_age = None if max_age is None else seconds(max_age, "a release's max_age")
        known = get_args(OnUndecided)
        self.on_undecided: OnUndecided = one_of(on_undecided, "a release's on_undecided", known)
        self.score_within = seconds(score_within, "a release's score_within")
        self.gather = seconds(gather, "a release's gather")
        self._kinds = criteria.scores
        self._judge = Judge(criteria)
        self._balance = SampleRatioTest()
        self._started = False
        self._runs: dict[str, _Run] = {}
        self._lanes: dict[str, deque[_Run]] = {"": deque()} | {
            kind: deque[_Run]() for kind in self._kinds
        }
        self._units = {lane: Units(self.gather) for lane in self._lanes}
        self._unit_names: set[str] = set()
        self._fullest: tuple[str, float] | None = None
        self._newest = began
        self._shown_at: float | None = None
        self._final: Verdict | None = None

    def started(
        self,
        run: str,
        arm: Arm,
        at: float,
        *,
        unit: str | None = None,
        deadline: float | None = None,
    ) -> None:
        """A run has started. Call it in start order.

        Args:
            run: its id.
            arm: "canary" or "baseline".
            at: when.
            unit: what stays in its arm together, such as the tenant; None for the run by itself.
            deadline: seconds from its start, by which it must have ended; None for none.
        """
        if self._final is not None or run in self._runs:
            return
        canary = one_of(arm, "the arm of a run", get_args(Arm)) == "canary"
        within = self.horizon if deadline is None else min(deadline, self.horizon)
        record = _Run(run, canary=canary, at=at, share=self.share, unit=unit or "", horizon=within)
        self._runs[run] = record
        record.lanes = 1
        self._lanes[""].append(record)
        if unit:
            if unit in self._unit_names:
                return
            self._unit_names.add(unit)
        self._balance.started(canary=canary, share=self.share)
        self._started = True

    def ended(self, run: str, at: float, outcome: Outcome, *, started: int = 0) -> None:
        """A run has ended. One that is not known, or was judged as too old, changes nothing.

        Args:
            run: its id.
            at: when.
            outcome: of itself.
            started: how many runs it has started that are of its arm, and are told of.
        """
        record = self._runs.get(run)
        if record is not None and record.ended is None:
            record.ended, record.outcome = at, outcome
            record.counts(0, started)

    def part_ended(
        self, run: str, part: str, outcome: Outcome, *, depth: int = 1, started: int = 0
    ) -> None:
        """A run has ended that another run has started, or one that comes from that one.

        Args:
            run: the id of the first of them, which was sent to its arm.
            part: its own id.
            outcome: what it has spent and done; whether it succeeded is no matter.
            depth: 1 if that run has started it, 2 if one that it has started has, and so on.
            started: how many it has started itself.
        """
        record = self._runs.get(run)
        if record is not None and part not in record.parts:
            record.parts.append(part)
            record.part = outcome if record.part is None else record.part.with_part(outcome)
            record.counts(depth, started)

    def is_canary(self, run: str) -> bool:
        """Whether a run that is not judged yet is the canary's."""
        return run in self._runs and self._runs[run].canary

    def so_far(self, run: str, outcome: Outcome) -> None:
        """What is known of a run that may outlive the horizon, such as its spend."""
        record = self._runs.get(run)
        if record is not None and record.ended is None:
            record.outcome = outcome

    def scored(self, run: str, kind: str, value: float, at: float) -> None:
        """A run was scored. A later score of the kind replaces it, as long as it is not judged."""
        record = self._runs.get(run)
        late = (
            record is not None
            and record.ended is not None
            and (at > record.ended + self.score_within)
        )
        if record is not None and not late:
            record.scores[kind] = number(value, f"the score {kind!r} of run {run!r}")

    def changed_share(self, share: float) -> None:
        """From now on runs go to the canary with another probability."""
        self.share = _checked_share(share)

    def forecast(self, utilisation: Mapping[str, float]) -> None:
        """How full each queue would be with all runs on the candidate: promotion hangs on it."""
        fullest = max(utilisation.items(), key=lambda item: item[1], default=None)
        self._fullest = fullest

    def verdict(self, now: float) -> Verdict:
        """What is to become of the release; `settled` is all it takes while it runs."""
        return self.settled(now) or self._verdict("running", self._why_running(), ())

    def settled(self, now: float) -> Verdict | None:
        """The verdict if it is final, else None. O(criteria) for each run that gets judged."""
        if self._final is None:
            self._final = self._decide(now)
            if self._final is not None:
                self._forget()
        return self._final

    def evidence(self) -> tuple[Evidence, ...]:
        """What is known of each criterion by now: of objectives that they hold, else of harm."""
        return tuple(
            self._judge.evidence(metric, harm=not objective, noun=self._noun)
            for metric, objective in self._judge.criteria
        )

    def _forget(self) -> None:
        """What was not judged is not needed any more."""
        self._runs.clear()
        for lane in self._lanes.values():
            lane.clear()

    def _decide(self, now: float) -> Verdict | None:
        if self._started:
            self._started = False
            if self._balance.e_value >= UNBALANCED:
                return self._void()
        for lane in self._lanes:
            found = self._judge_lane(lane, now)
            if found is not None:
                return found
        if self._shown_at is not None and self._promotable():
            return self._promote()  # Nothing new was judged, but what it waited for has come.
        if self.max_age is not None and now - self.began >= self.max_age:
            return self._undecided(f"after {told(self.max_age)} s")
        return None

    def _judge_lane(self, lane: str, now: float) -> Verdict | None:
        waiting = self._lanes[lane]
        while waiting and self._ready(waiting[0], lane, now):
            run = waiting.popleft()
            found = self._judge_run(run, lane) or self._close_units(lane, run.at)
            if found is not None:
                return found
        until = waiting[0].at if waiting else self._reached(lane, now)
        return self._close_units(lane, until)

    def _reached(self, lane: str, now: float) -> float:
        """The start before which every run has been judged, when none is waiting."""
        before = self._lanes[""]
        return before[0].at if lane and before else now

    def _ready(self, run: _Run, lane: str, now: float) -> bool:
        if not lane:
            return run.over or now - run.at > run.horizon
        # Only what succeeded is waited for: nothing else is to be scored.
        late = run.ended is None or now > run.ended + self.score_within
        return lane in run.scores or late or not run.seen().succeeded

    def _judge_run(self, run: _Run, lane: str) -> Verdict | None:
        if not lane and not run.cancelled:
            for kind in self._kinds:
                self._lanes[kind].append(run)
                run.lanes += 1
        run.lanes -= 1
        if run.lanes == 0:
            del self._runs[run.name]
        if run.cancelled:
            return None
        if not lane:
            self._newest = run.at
        reading = self._judge.read(run.seen(), lane)
        if run.unit:
            self._units[lane].add(run.unit, reading, canary=run.canary, share=run.share, at=run.at)
            return None
        self._judge.observe(reading, canary=run.canary, share=run.share, lane=lane)
        return self._look(lane)

    def _close_units(self, lane: str, until: float) -> Verdict | None:
        for reading, canary, share in self._units[lane].closed(until):
            self._judge.observe(reading, canary=canary, share=share, lane=lane)
            found = self._look(lane)
            if found is not None:
                return found
        return None

    def _look(self, lane: str) -> Verdict | None:
        harm = self._judge.harm(lane)
        if harm is not None:
            evidence = self._judge.evidence(harm, harm=True, noun=self._noun)
            return self._verdict("rollback", evidence.said, (evidence,), criterion=harm)
        if self._promotable():
            return self._promote()
        if self._judge.canary_runs >= self.max_runs:
            return self._undecided(f"after {told(self._judge.canary_runs)} canary {self._noun}")
        return None

    def _promotable(self) -> bool:
        """Whether it is good enough, there is room, and the scores of these runs are in."""
        if not self._judge.shown:
            self._shown_at = None
            return False
        if self._shown_at is None:
            self._shown_at = self._newest
        due = (self._lanes[kind] for kind in self._kinds)
        return not self._blocked and not any(lane and lane[0].at <= self._shown_at for lane in due)

    def _promote(self) -> Verdict:
        evidence = self._judge.objectives(self._noun)
        return self._verdict("promote", _joined(evidence), evidence)

    def _void(self) -> Verdict:
        balance = self._balance
        return self._verdict(
            "void",
            f"the arms are not as large as they should be: {told(balance.canary)} of "
            f"{told(balance.canary + balance.others)} {self._noun} went to the canary, "
            f"{percent(balance.share)} were to; e-value {told(balance.e_value)} >= "
            f"{told(UNBALANCED)}. See what assigns them, or starts only some of them",
            (),
        )

    def _undecided(self, when: str) -> Verdict:
        evidence = self._judge.objectives(self._noun)
        missing = self._judge.without_data
        reason = f"undecided {when}: {_joined(evidence)}{f'; {missing}' if missing else ''}"
        blocked = self._blocked
        state: State = "hold" if blocked and self.on_undecided == "promote" else self.on_undecided
        return self._verdict(state, f"{reason}; {blocked}" if blocked else reason, evidence)

    def _why_running(self) -> str:
        if self._judge.shown:
            return f"good enough, but {self._blocked or 'not all of its runs are scored'}"
        so_far = f"{told(self._judge.canary_runs)} of at most {told(self.max_runs)} canary"
        missing = self._judge.without_data
        return f"{so_far} {self._noun} judged{f'; {missing}' if missing else ''}"

    @property
    def _blocked(self) -> str:
        """Why it must not be promoted, whatever the runs show; empty if it may."""
        if self._fullest is None or self._fullest[1] <= FULL:
            return ""
        queue, full = self._fullest
        return f"queue {queue!r} would be {percent(full)} full, above {percent(FULL)}"

    @property
    def _noun(self) -> str:
        return "units" if self._unit_names else "runs"

    def _verdict(
        self,
        state: State,
        reason: str,
        evidence: tuple[Evidence, ...],
        *,
        criterion: str | None = None,
    ) -> Verdict:
        return Verdict(
            state=state,
            criterion=criterion,
            reason=reason,
            evidence=evidence,
            runs=self._judge.canary_runs,
            others=self._judge.baseline_runs,
        )

    def state(self) -> dict[str, Any]:
        """All of it as plain data, ready for JSON; `restored` reads it, exactly."""
        names = (
            "horizon",
            "began",
            "share",
            "max_runs",
            "max_age",
            "on_undecided",
            "score_within",
            "gather",
        )
        return {
            "criteria": self.criteria.to_dict(),
            "options": {name: getattr(self, name) for name in names},
            "judge": self._judge.state(),
            "balance": self._balance.state(),
            "runs": [run.state() for run in self._runs.values()],
            "lanes": {lane: [run.name for run in runs] for lane, runs in self._lanes.items()},
            "units": {lane: units.state() for lane, units in self._units.items()},
            "unit_names": sorted(self._unit_names),
            "fullest": None if self._fullest is None else list(self._fullest),
            "newest": self._newest,
            "shown_at": self._shown_at,
            "final": None if self._final is None else asdict(self._final),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Trial:
        """The trial of `state`, which goes on as if nothing had happened."""
        trial = cls(Criteria.from_dict(state["criteria"]), **state["options"])
        trial._judge.restore(state["judge"])
        trial._balance = SampleRatioTest.restored(state["balance"])
        trial._started = True
        trial._runs = {kept["name"]: _Run.restored(kept) for kept in state["runs"]}
        for lane, names in state["lanes"].items():
            trial._lanes[lane] = deque(trial._runs[name] for name in names)
            trial._units[lane].restore(state["units"][lane])
        trial._newest, trial._shown_at = state["newest"], state["shown_at"]
        trial._unit_names = set(state["unit_names"])
        fullest = state["fullest"]
        trial._fullest = None if fullest is None else (fullest[0], fullest[1])
        final = state["final"]
        if final is not None:
            kept = dict[str, Any](final)
            kept["evidence"] = tuple(Evidence(**each) for each in final["evidence"])
            trial._final = Verdict(**kept)
        return trial


def _checked_share(share: float) -> float:
    return number(share, "a release's share", above=0, below=1)


def _joined(evidence: tuple[Evidence, ...]) -> str:
    return "; ".join(each.said for each in evidence)
