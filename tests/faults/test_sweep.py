"""The whole sweep: every row of the fault table at every call of every scenario (``nox -s faults``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_openstack.fault_table import ROWS, Row
from fake_openstack.sweep import SCENARIOS, Rig, Scenario
from fake_openstack.sweep_fixtures import rig

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["rig"]

#: rows and scenarios of which there are none: nothing is written, or nothing is created
EMPTY = {"idle provision": {"writes", "posts"}, "destroy": {"posts"}}
CASES = [
    (scenario, row)
    for scenario in SCENARIOS
    for row in ROWS
    if row.at.__name__.strip("_") not in EMPTY.get(scenario.name, ())
]


@pytest.mark.parametrize(
    ("scenario", "row"), CASES, ids=[f"{scenario.name}-{row.name}" for scenario, row in CASES]
)
def test_row(rig: Rig, scenario: Scenario, row: Row, record_property: Callable[[str, object], None]) -> None:
    calls = [call for call in rig.calls(scenario) if row.at(call)]
    assert calls
    wrong = [told for call in calls if (told := rig.point(scenario, call, row))]
    record_property("points", len(calls))
    assert not wrong, "\n" + "\n".join(wrong)


def test_there_are_enough_points(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    points = sum(row.at(call) for scenario in SCENARIOS for call in rig.calls(scenario) for row in ROWS)
    with capsys.disabled():
        print(f"\n{points} points: {len(ROWS)} rows, {len(SCENARIOS)} scenarios")  # noqa: T201 - the sweep's size
    assert points >= 1000
