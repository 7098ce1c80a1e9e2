"""Waiting holds no worker, and one list serves all waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_openstack.company import company, plan
from medicarche import converge
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections


@pytest.mark.parametrize("servers", [1, 4])
def test_with_one_worker_all_servers_are_built_at_once(
    cloud: FakeOpenStack, connections: Connections, tmp_path: Path, servers: int
) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"disk")
    cloud.nova.looks = 6
    wanted = company([f"instance-{number}" for number in range(servers)])
    planned = plan(connections, wanted)
    lists = cloud.faults.calls.count(("GET", "/compute/v2.1/servers/detail?limit=1000"))
    converge.apply(
        connections, planned, images={"debian-13": image}, reporter=SilentReporter(), parallelism=1
    )
    after = cloud.faults.calls.count(("GET", "/compute/v2.1/servers/detail?limit=1000")) - lists
    assert len(cloud.nova.servers) == servers
    # each waiting by itself would ask 6 times for each; how many looks fall between the creations is chance
    assert after <= 6 + 3 * servers
