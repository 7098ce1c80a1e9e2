"""The cloud's exporter, on the fake OpenStack: what a reader sees, and what it costs the cloud."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import openstack
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fake_openstack.cloud import FakeOpenStack
from fake_openstack.faults import Fault, Kind
from medicarche.deploy.applications.supervision.cloud_exporter import FRESH, PARTS, Cloud, CloudCollector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openstack.connection import Connection


@pytest.fixture(name="fake")
def _fake() -> Iterator[FakeOpenStack]:
    with FakeOpenStack() as fake:
        yield fake


@pytest.fixture(name="connection")
def _connection(fake: FakeOpenStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(fake.write_clouds_yaml(tmp_path / "clouds.yaml")))
    with closing(openstack.connect(cloud="demo")) as connected:
        yield connected


@pytest.fixture(name="clock")
def _clock() -> list[float]:
    return [0.0]


@pytest.fixture(name="collector")
def _collector(connection: Connection, clock: list[float]) -> CloudCollector:
    return CloudCollector(Cloud(connection), clock=lambda: clock[0])


def _scrape(collector: CloudCollector) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    series = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    # the text format has each family once
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    return {name: float(value) for name, _, value in series}


def _servers(fake: FakeOpenStack, *states: str) -> None:
    project = "project-demo"
    for number, status in enumerate(states):
        fake.nova.servers[str(number)] = {
            "id": str(number),
            "tenant_id": project,
            "status": status,
            "flavor": {"id": "f"},
            "OS-EXT-STS:task_state": None,
            "addresses": {},
        }


def test_a_reader_sees_what_carries_the_project_and_what_it_uses(
    fake: FakeOpenStack, collector: CloudCollector
) -> None:
    _servers(fake, "ACTIVE", "ACTIVE", "SHUTOFF")
    fake.infrastructure.agents[1]["alive"] = False
    fake.infrastructure.services[0]["state"] = "down"
    found = _scrape(collector)
    assert {part: found[f'openstack_part_up{{part="{part}"}}'] for part in PARTS} == dict.fromkeys(PARTS, 1.0)
    assert found['openstack_instances{status="ACTIVE"}'] == 2
    assert found['openstack_instances{status="SHUTOFF"}'] == 1
    assert found['openstack_service_up{host="node",service="nova-conductor"}'] == 0
    assert found['openstack_service_up{host="node",service="nova-compute"}'] == 1
    assert found['openstack_agent_up{agent="DHCP agent",host="node"}'] == 0
    assert found['openstack_hypervisor_memory_bytes{hypervisor="node"}'] == 10240 * 2**20
    assert found['openstack_hypervisor_vcpus_used{hypervisor="node"}'] == 6
    assert found['openstack_compute_quota_limit{resource="instances",service="compute"}'] == 10
    assert found['openstack_compute_quota_used{resource="instances",service="compute"}'] == 3
    assert found['openstack_network_quota_limit{resource="floatingip",service="network"}'] == 50


@pytest.mark.parametrize("many", [0, 1, 300])
def test_the_number_of_calls_doesnt_grow_with_what_there_is(
    fake: FakeOpenStack, collector: CloudCollector, clock: list[float], many: int
) -> None:
    _servers(fake, *["ACTIVE"] * many)
    _scrape(collector)  # with the first comes each service's discovery, and a token
    clock[0] += FRESH
    before = len(fake.faults.calls)
    assert _scrape(collector)["openstack_scrape_calls"] == len(PARTS) == 8
    assert len(fake.faults.calls) - before == len(PARTS)


def test_who_asks_again_at_once_costs_the_cloud_nothing(
    fake: FakeOpenStack, collector: CloudCollector, clock: list[float]
) -> None:
    _scrape(collector)
    before = len(fake.faults.calls)
    clock[0] += FRESH / 2
    _scrape(collector)
    assert len(fake.faults.calls) == before
    clock[0] += FRESH
    _scrape(collector)
    assert len(fake.faults.calls) > before


def test_what_a_cloud_keeps_for_its_admin_is_told_as_refused(
    fake: FakeOpenStack, collector: CloudCollector
) -> None:
    fake.infrastructure.readers = False
    found = _scrape(collector)
    refused = {part for part in PARTS if found[f'openstack_part_refused{{part="{part}"}}']}
    assert refused == {"nova-services", "nova-hypervisors", "neutron-agents"}
    assert not [name for name in found if re.match("openstack_(service|agent|hypervisor)", name)]
    assert found['openstack_part_up{part="nova-limits"}'] == 1


@pytest.mark.parametrize("status", [500, 503])
def test_one_that_fails_leaves_the_others_alone(
    fake: FakeOpenStack, collector: CloudCollector, clock: list[float], status: int
) -> None:
    _scrape(collector)
    clock[0] += FRESH
    fake.order(Fault(Kind.REFUSE, "GET", "/compute/v2.1/limits", status=status, times=9))
    found = _scrape(collector)
    assert found['openstack_part_up{part="nova-limits"}'] == 0
    assert found['openstack_part_refused{part="nova-limits"}'] == 0
    assert not [name for name in found if name.startswith("openstack_compute_quota")]
    assert found['openstack_part_up{part="nova-instances"}'] == 1
    # it isn't asked again and again: the next scrape is the next attempt
    assert found["openstack_scrape_calls"] == len(PARTS)
    assert len([path for _, path in fake.faults.calls if "/limits" in path]) == 2


def test_it_only_looks(fake: FakeOpenStack, collector: CloudCollector) -> None:
    _servers(fake, "ACTIVE")
    before = fake.snapshot()["nova"]
    _scrape(collector)
    assert fake.snapshot()["nova"] == before
    asked = {method for method, path in fake.faults.calls if "/auth/" not in path}
    assert asked == {"GET"}
