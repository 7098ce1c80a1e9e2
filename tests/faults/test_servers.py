"""What can become of the k-th server of several (``nox -s faults``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_openstack.server_fates import FATES, INSTANCES, REMOVALS, Fate, befall
from fake_openstack.sweep import SCENARIOS
from fake_openstack.sweep_fixtures import several

if TYPE_CHECKING:
    from fake_openstack.sweep import Rig

__all__ = ["several"]


@pytest.mark.parametrize("k", range(len(INSTANCES)))
@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.name)
def test_fate(several: Rig, fate: Fate, k: int) -> None:
    assert not befall(several, SCENARIOS[0], fate, k)


@pytest.mark.parametrize("k", range(len(INSTANCES)))
@pytest.mark.parametrize("fate", REMOVALS, ids=lambda fate: fate.name)
def test_fate_of_a_removal(several: Rig, fate: Fate, k: int) -> None:
    (destroy,) = (scenario for scenario in SCENARIOS if scenario.destroys)
    assert not befall(several, destroy, fate, k)
