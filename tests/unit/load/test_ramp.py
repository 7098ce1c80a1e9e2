"""The ramp's decisions, with an application of known capacity."""

from __future__ import annotations

import random

import pytest

from medicarche.load.ramp import Phase, Ramp, RampPlan, Step, catching_up, steady


def climb(plan: RampPlan, carries: int) -> Ramp:
    ramp = Ramp(plan)
    while (following := ramp.next()) is not None:
        phase, users = following
        ramp.steps.append(Step(phase, users, users <= carries))
        assert len(ramp.steps) < 60, "it doesn't end"
    return ramp


@pytest.mark.parametrize("carries", [1, 2, 3, 5, 9, 10, 37, 64, 100, 333])
def test_the_edge_is_found_within_the_precision(carries: int) -> None:
    ramp = climb(RampPlan(), carries)
    assert ramp.bounded
    assert ramp.capacity <= carries
    assert carries - ramp.capacity <= max(1, RampPlan().precision * carries)
    assert [step.phase for step in ramp.steps].count(Phase.RECOVERY) == 1
    assert ramp.steps[-1].users <= max(ramp.capacity // 2, 1)


def test_what_carries_nobody_ends_too() -> None:
    ramp = climb(RampPlan(), 0)
    assert ramp.capacity == 0
    assert ramp.bounded


def test_the_most_is_never_exceeded_and_said_to_be_no_limit() -> None:
    ramp = climb(RampPlan(most=50), 1000)
    assert max(step.users for step in ramp.steps) == 50
    assert ramp.capacity == 50
    assert not ramp.bounded


def test_a_rate_is_steady_when_only_chance_moves_it() -> None:
    chance = random.Random(3)  # noqa: S311 - test data
    assert steady([30 + chance.uniform(-4, 4) for _ in range(6)])
    assert not steady([5, 8, 12, 20, 30, 45])
    assert not steady([30, 30, 30])
    assert not steady([0, 0, 0, 0, 0, 0])
    assert steady([2, 1, 3, 2, 4, 1])  # so few that chance alone makes them differ


def test_people_come_by_and_by() -> None:
    plan = RampPlan()
    assert plan.rate(1) == 2.0
    assert plan.rate(24) == 3.0
    assert plan.rate(800) == 5.0


def test_a_queue_is_worked_off_while_answers_come_less_late() -> None:
    assert catching_up([9.0, 8.5, 8.0, 7.0, 6.5, 6.0], 2.0)
    assert not catching_up([9.0, 8.5, 8.0, 7.0, 6.5], 2.0)  # too few to tell
    assert not catching_up([5.0, 5.0, 5.0, 5.0, 5.5, 6.0], 2.0)  # it grows
    assert not catching_up([5.0, 4.0, 3.0, 1.9, 1.8, 1.7], 2.0)  # in time again
