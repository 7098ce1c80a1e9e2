"""CLOUD-1: an OpenStack whose services work, brought up or used as it is."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from openstack.connection import Connection

    from medicarche.cloud.connect import Connections
    from medicarche.testing.built import Built

pytestmark = pytest.mark.requirement("CLOUD-1")

#: seconds; Neutron's agents report every 30 s and count as dead after 75
FRESH = 75


@pytest.mark.parametrize("service", ["identity", "compute", "network", "image"])
def test_the_catalogue_names_the_service_and_it_answers(member: Connection, service: str) -> None:
    session = member.session
    endpoint = session.get_endpoint(service_type=service, interface="public")
    assert endpoint, f"{service} isn't in the catalogue"
    assert session.get(endpoint, authenticated=False).status_code in {200, 300}


def test_each_service_really_works_for_a_member(member: Connection) -> None:
    assert member.current_project_id
    assert list(member.compute.flavors(details=False))
    assert list(member.network.networks())
    assert list(member.image.images(limit=1))


def test_novas_services_and_neutrons_agents_are_alive(connections: Connections) -> None:
    if connections.admin is None:
        pytest.skip("only an admin sees them, and no admin's entry was given")
    admin = connections.admin.sdk
    services = list(admin.compute.services())
    assert {"nova-compute", "nova-conductor", "nova-scheduler"} <= {s.binary for s in services}
    assert [f"{s.binary} on {s.host}" for s in services if s.state != "up"] == []
    agents = list(admin.network.agents())
    assert agents
    assert [f"{a.agent_type} on {a.host}" for a in agents if not a.is_alive] == []
    now = dt.datetime.now(dt.UTC)
    for agent in agents:
        age = now - dt.datetime.fromisoformat(agent.last_heartbeat_at).replace(tzinfo=dt.UTC)
        assert age < dt.timedelta(seconds=FRESH), f"{agent.agent_type}: no heartbeat for {age}"


def test_the_status_names_the_cloud_that_was_chosen(
    provisioned: Built, run_medicarche: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_medicarche("status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    target = provisioned.selection.target
    assert status["cloud"]["name"] == target.name
    assert status["cloud"]["kind"] == ("embedded" if target.embedded else "configured")
    assert status["cloud"]["state"] == "up"
    assert {i["name"] for i in status["instances"]} == {i.name for i in provisioned.instances}
    assert status["drift"] is False
