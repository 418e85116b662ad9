"""How often releases end well, with a look after every run; `benches/releases.py` does more."""

from __future__ import annotations

import pytest

from simulated_releases import (
    AT_THE_MARGIN,
    BROKEN,
    FAILS_EARLIER,
    IDENTICAL,
    SLOWER,
    Service,
    releases,
    runs_until,
    share_of,
)

pytestmark = pytest.mark.slow


def test_a_broken_candidate_is_found_within_300_canary_runs_nine_times_of_ten() -> None:
    verdicts = releases(BROKEN, range(60))
    assert runs_until(verdicts, "rollback", 0.9) <= 300
    assert {verdict.criterion for verdict in verdicts if verdict.runs > 100} == {"success"}


def test_an_identical_candidate_is_promoted_and_hardly_ever_rolled_back() -> None:
    verdicts = releases(IDENTICAL, range(20))
    assert share_of(verdicts, "promote") >= 0.7
    assert share_of(verdicts, "rollback") <= 0.05


def test_a_candidate_at_the_margin_is_hardly_ever_promoted() -> None:
    assert share_of(releases(AT_THE_MARGIN, range(12)), "promote") <= 0.09


@pytest.mark.parametrize("candidate", [SLOWER, FAILS_EARLIER])
def test_who_takes_another_time_is_not_wronged(candidate: Service) -> None:
    """As many as are rolled back of identical ones. In order of their ends it would be most."""
    wronged = share_of(releases(candidate, range(30), max_runs=300), "rollback")
    assert wronged <= share_of(releases(IDENTICAL, range(30), max_runs=300), "rollback") + 0.05
