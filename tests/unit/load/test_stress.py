"""What is said of answers under stress; the stress itself is run by the acceptance tests."""

from __future__ import annotations

import re
from array import array

import pytest

from medicarche.load import stress
from medicarche.load.objectives import ApplicationObjectives
from medicarche.load.samples import Samples

#: 60 times slower at most, where an answer takes more than 1.5 s
OBJECTIVES = ApplicationObjectives(fixed_limits={"p95_ms": 1500.0}, stress_slowdown=60.0)


def _phase(name: str, seconds: float) -> stress._Phase:
    return stress._Phase(name, Samples(latency=array("d", [seconds] * 6), asked=6), ())


@pytest.mark.parametrize(
    ("quiet", "stressed", "broken"),
    [
        (0.004, 0.7, False),  # 175 times slower, and nobody notices
        (0.004, 2.0, True),
        (0.1, 2.0, False),  # slow, and it was before
        (0.02, 1.6, True),
    ],
)
def test_answers_are_too_slow_where_they_are_far_slower_and_beyond_what_is_borne(
    quiet: float,
    stressed: float,
    broken: bool,  # noqa: FBT001 - what is expected
) -> None:
    phases = [_phase("au repos", quiet), _phase("mémoire", stressed), _phase("après", quiet)]
    reasons = stress._broken(phases, OBJECTIVES)
    assert bool(reasons) is broken
    if broken:
        assert re.search(r", en [12]\d{3} ms$", reasons[0])


def test_without_a_limit_of_the_fixed_scenario_being_slower_suffices() -> None:
    phases = [_phase("au repos", 0.004), _phase("mémoire", 0.7)]
    assert stress._broken(phases, ApplicationObjectives(stress_slowdown=60.0))
