"""A sample of the fault sweep: each row of its table once, at a call that its name chooses."""

from __future__ import annotations

import zlib

import pytest

from fake_openstack.fault_table import ROWS, Row
from fake_openstack.server_fates import FATES, INSTANCES, Fate, befall
from fake_openstack.sweep import SCENARIOS, Rig
from fake_openstack.sweep_fixtures import rig, several

__all__ = ["rig", "several"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_fault_leaves_nothing_behind(rig: Rig, row: Row) -> None:
    points = [(scenario, call) for scenario in SCENARIOS for call in rig.calls(scenario) if row.at(call)]
    scenario, call = points[zlib.crc32(row.name.encode()) % len(points)]
    assert not rig.point(scenario, call, row)


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.name)
def test_a_servers_fate_leaves_nothing_behind(several: Rig, fate: Fate) -> None:
    assert not befall(several, SCENARIOS[0], fate, zlib.crc32(fate.name.encode()) % len(INSTANCES))


def test_the_sweep_sees_a_duplicate(rig: Rig) -> None:
    """What it is all for: a run that leaves two of one thing is found out."""
    scenario = SCENARIOS[0]
    rig.prepare(scenario)
    outcome = rig.run(scenario)
    copied = next(iter(rig.fake.neutron.floatingips.values()))
    rig.fake.neutron.floatingips["copy"] = {**copied, "id": "copy", "description": ""}
    assert "said that all was done" in rig.judge(scenario, outcome)


def test_the_sweep_sees_a_touched_foreign_object(rig: Rig) -> None:
    scenario = SCENARIOS[0]
    rig.prepare(scenario)
    outcome = rig.run(scenario)
    theirs = next(raw for raw in rig.fake.neutron.networks.values() if raw["id"] in rig.foreign_ids)
    theirs["name"] = "renamed"
    assert "foreign objects" in rig.judge(scenario, outcome)
