"""A cloud that dies at a write and takes no call any more; each third write, before and after it in turn.

The sweep has a run's death at each call; here the run lives on, and must end by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fake_openstack.company import destroy, plan, provision
from fake_openstack.fixtures import *  # noqa: F403 - fixtures, and those that they stand on
from medicarche.errors import ConvergenceError

if TYPE_CHECKING:
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections


def test_a_run_is_finished_by_the_next(cloud: FakeOpenStack, connections: Connections, image: Path) -> None:
    provision(connections, image)
    whole, writes = cloud.census(), len(cloud.faults.writes)
    assert writes > 20
    cloud.clear()
    for write in range(0, writes, 3):
        cloud.faults.die_at(write, after_effect=write % 2 == 0)
        with pytest.raises(ConvergenceError):
            provision(connections, image)
        cloud.faults.revive()
        provision(connections, image)
        assert cloud.census() == whole, f"died at write {write}"
        assert plan(connections).empty
        cloud.clear()


@pytest.mark.usefixtures("already_there")
def test_a_destruction_is_finished_by_the_next(
    cloud: FakeOpenStack, connections: Connections, companys: dict[str, dict[str, Any]]
) -> None:
    destroy(connections)
    writes = len(cloud.faults.writes)
    assert writes > 10
    for write in range(0, writes, 3):
        cloud.restore(companys)
        cloud.faults.die_at(write, after_effect=write % 2 == 0)
        with pytest.raises(ConvergenceError):
            destroy(connections)
        cloud.faults.revive()
        destroy(connections)
        assert cloud.census() == {}, f"died at write {write}"
