"""Floating IPs by command, on the fake cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_openstack import FakeOpenStack, Fault, Kind
from fake_openstack.company import NAME, company, plan, provision
from medicarche.converge.floating_ips import attach, detach, floating_ip, release
from medicarche.errors import CloudUnsuitable, MedicarcheError
from medicarche.plan.resources import FloatingIp
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from medicarche.cloud.connect import Connections
    from medicarche.converge.floating_ips import FloatingIpState

BOTH = company(("a", "b"))
QUIET = SilentReporter()


@pytest.fixture(autouse=True)
def _two_instances(connections: Connections, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"disk")
    provision(connections, image, BOTH)


def _attach(connections: Connections) -> FloatingIpState:
    return attach(connections, NAME, BOTH, "a", reporter=QUIET)


def _raw(cloud: FakeOpenStack, name: str) -> dict[str, Any]:
    (found,) = [
        f for f in cloud.neutron.floatingips.values() if f["description"].endswith(f"floating_ip/{name}")
    ]
    return found


def test_shown_as_neutron_has_it(cloud: FakeOpenStack, connections: Connections) -> None:
    raw = _raw(cloud, "a")
    shown = floating_ip(connections, NAME, "a")
    assert shown is not None
    assert (shown.id, shown.address) == (raw["id"], raw["floating_ip_address"])
    assert shown.private_address == raw["fixed_ip_address"]
    assert floating_ip(connections, NAME, "nobody") is None
    assert floating_ip(connections, "other", "a") is None


def test_attached_already_is_no_call(cloud: FakeOpenStack, connections: Connections) -> None:
    writes = len(cloud.faults.writes)
    assert _attach(connections) == floating_ip(connections, NAME, "a")
    assert len(cloud.faults.writes) == writes


def test_detached_and_attached_again_it_keeps_its_address(
    cloud: FakeOpenStack, connections: Connections
) -> None:
    before, other = floating_ip(connections, NAME, "a"), dict(_raw(cloud, "b"))
    detached = detach(connections, NAME, "a", reporter=QUIET)
    assert detached is not None
    assert detached.private_address is None
    assert before is not None
    assert (detached.id, detached.address) == (before.id, before.address)
    writes = len(cloud.faults.writes)
    detach(connections, NAME, "a", reporter=QUIET)
    assert len(cloud.faults.writes) == writes, "detaching twice is no second call"
    attached = _attach(connections)
    assert (attached.id, attached.private_address) == (before.id, before.private_address)
    assert _raw(cloud, "b") == other
    assert plan(connections, BOTH).empty


@pytest.mark.parametrize("detached_before", [False, True], ids=["attached", "detached"])
def test_released_and_allocated_again(
    cloud: FakeOpenStack, connections: Connections, *, detached_before: bool
) -> None:
    before, other = _raw(cloud, "a"), dict(_raw(cloud, "b"))
    if detached_before:
        detach(connections, NAME, "a", reporter=QUIET)
    assert release(connections, NAME, "a", reporter=QUIET) == (before["floating_ip_address"],)
    assert list(cloud.neutron.floatingips) == [other["id"]]
    assert floating_ip(connections, NAME, "a") is None
    assert release(connections, NAME, "a", reporter=QUIET) == ()
    assert detach(connections, NAME, "a", reporter=QUIET) is None
    allocated = _attach(connections)
    assert allocated.id != before["id"]
    assert _raw(cloud, "a")["description"] == f"medicarche:{NAME}:floating_ip/a"
    assert _raw(cloud, "a")["port_id"] == before["port_id"] or detached_before
    assert plan(connections, BOTH).empty


def test_others_floating_ips_are_not_touched(cloud: FakeOpenStack, connections: Connections) -> None:
    """One without our mark on our own port, and one of another environment with the same name."""
    release(connections, NAME, "a", reporter=QUIET)
    port = next(p["id"] for p in cloud.neutron.ports.values() if p["name"] == "a")
    network = next(n["id"] for n in cloud.neutron.networks.values() if n["router:external"])
    for body in (
        {"port_id": port, "description": "by hand"},
        {"description": "medicarche:other:floating_ip/a"},
    ):
        connections.member.network.post(
            "/floatingips", {"floatingip": {"floating_network_id": network, **body}}
        )
    before = {key: dict(value) for key, value in cloud.neutron.floatingips.items()}
    assert floating_ip(connections, NAME, "a") is None
    assert detach(connections, NAME, "a", reporter=QUIET) is None
    assert release(connections, NAME, "a", reporter=QUIET) == ()
    assert cloud.neutron.floatingips == before


def test_only_the_floating_ip_is_changed(cloud: FakeOpenStack, connections: Connections) -> None:
    """Other drift is left to `provision`."""
    rule = next(iter(cloud.neutron.security_group_rules))
    connections.member.network.delete(f"/security-group-rules/{rule}")
    release(connections, NAME, "a", reporter=QUIET)
    writes = len(cloud.faults.writes)
    _attach(connections)
    assert [call[:2] for call in cloud.faults.writes[writes:]] == [("POST", "/network/v2.0/floatingips")]
    assert not plan(connections, BOTH).empty


def test_an_allocation_whose_answer_is_lost_is_not_repeated(
    cloud: FakeOpenStack, connections: Connections
) -> None:
    release(connections, NAME, "a", reporter=QUIET)
    cloud.order(Fault(Kind.LOSE, "POST", "/floatingips"))
    assert _attach(connections).private_address
    assert len(cloud.neutron.floatingips) == 2


def test_without_the_instance_nothing_is_allocated(cloud: FakeOpenStack, connections: Connections) -> None:
    release(connections, NAME, "a", reporter=QUIET)
    server = next(s["id"] for s in cloud.nova.servers.values() if s["name"] == "a")
    connections.member.compute.delete(f"/servers/{server}")
    writes = len(cloud.faults.writes)
    with pytest.raises(CloudUnsuitable, match="server/a"):
        _attach(connections)
    assert len(cloud.faults.writes) == writes


def test_where_the_environment_gives_none_none_is_attached(connections: Connections) -> None:
    wanted = tuple(r for r in BOTH if not (isinstance(r, FloatingIp) and r.name == "a"))
    with pytest.raises(MedicarcheError, match="gives a no floating IP"):
        attach(connections, NAME, wanted, "a", reporter=QUIET)
