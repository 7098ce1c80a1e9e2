"""From nothing to the company's environment, and again, on a fake cloud below the SDK."""

from __future__ import annotations

import base64
import signal
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from fake_openstack import FakeOpenStack, Fault, Kind
from fake_openstack.company import NAME, company, destroy, plan, provision
from fake_openstack.fixtures import StillClock, still_clock
from medicarche import converge
from medicarche.cloud.calls import ApiError
from medicarche.cloud.connect import Connections, Target, connect
from medicarche.cloud.marks import key_pair_name
from medicarche.cloud.observe import observe
from medicarche.errors import CloudRefused, ConvergenceError
from medicarche.plan.resources import Flavor, Image, Router, SecurityGroupRule

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = {
    "flavors": 1,
    "key_pairs": 1,
    "servers": 1,
    "images": 1,
    "networks": 2,
    "subnets": 2,
    "routers": 1,
    "interfaces": 1,
    "ports": 1,
    "security_groups": 2,
    "security_group_rules": 4,
    "floatingips": 1,
}


def test_converges_from_nothing_and_then_has_nothing_to_do(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    result = provision(connections, image)
    assert cloud.census() == EVERYTHING
    assert not result.failed
    assert not result.skipped
    assert set(result.ids) == {resource.address for resource in company()}
    writes = len(cloud.faults.writes)
    assert plan(connections).empty
    assert provision(connections, image).done == ()
    assert len(cloud.faults.writes) == writes


def test_everything_carries_its_mark_from_its_post_on(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    provision(connections, image)
    neutron = cloud.neutron
    for kind, store in (
        ("network", neutron.networks),
        ("subnet", neutron.subnets),
        ("router", neutron.routers),
        ("security_group", neutron.security_groups),
        ("security_group_rule", neutron.security_group_rules),
        ("floating_ip", neutron.floatingips),
        ("flavor", cloud.nova.flavors),
    ):
        assert store
        for raw in store.values():
            assert str(raw["description"]).startswith(f"medicarche:{NAME}:{kind}/")
    (server,) = cloud.nova.servers.values()
    assert server["metadata"] == {"medicarche": f"medicarche:{NAME}:server/website"}
    assert base64.b64decode(server["_user_data"]) == b"#cloud-config\n"
    (uploaded,) = cloud.glance.images.values()
    assert uploaded["medicarche_mark"] == f"medicarche:{NAME}:image/debian-13"
    assert cloud.glance.data[uploaded["id"]] == image.read_bytes()
    patched = [call for call in cloud.faults.writes if call[0] == "PATCH" or "/tags" in call[1]]
    assert patched == []


def test_only_what_needs_the_admin_is_the_admins(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    provision(connections, image)
    owners = {raw["name"]: raw["project_id"] for raw in cloud.neutron.networks.values()}
    assert owners == {"external": "project-admin", "private": "project-demo"}
    assert {raw["project_id"] for raw in cloud.neutron.routers.values()} == {"project-demo"}
    assert {raw["project_id"] for raw in cloud.neutron.ports.values()} == {"project-demo"}
    assert [raw["tenant_id"] for raw in cloud.nova.servers.values()] == ["project-demo"]


def test_the_number_of_calls_does_not_grow_with_the_environment(
    connections: Connections, image: Path
) -> None:
    def idle_calls(wanted: tuple[str, ...]) -> int:
        resources = company(wanted)
        provision(connections, image, resources)
        before = connections.traffic.requests
        assert plan(connections, resources).empty
        return connections.traffic.requests - before

    few = idle_calls(("website",))
    assert idle_calls(tuple(f"instance-{number}" for number in range(8))) == few
    assert few <= 17


def test_destroy_removes_what_is_ours_and_nothing_else(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    connections.member.network.post("/networks", {"network": {"name": "somebody-elses"}})
    other = {"name": "x", "description": "medicarche:other:network/x"}
    connections.member.network.post("/networks", {"network": other})
    provision(connections, image)
    destroy(connections)
    assert cloud.census() == {"networks": 2}
    assert {raw["name"] for raw in cloud.neutron.networks.values()} == {"somebody-elses", "x"}


POSTS = [
    "/networks",
    "/subnets",
    "/routers$",
    "/security-groups",
    "/security-group-rules",
    "/ports",
    "/floatingips",
    "/servers",
    "/flavors$",
    "/os-keypairs",
    "/images",
]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.LOSE, "POST", ""),
        Fault(Kind.DROP, "POST", ""),
        Fault(Kind.REFUSE_AFTER, "POST", "", status=504),
    ],
    ids=["answer lost", "request lost", "504 though done"],
)
def test_a_post_of_unknown_fate_makes_no_duplicate(
    cloud: FakeOpenStack, connections: Connections, image: Path, path: str, fault: Fault
) -> None:
    cloud.order(Fault(fault.kind, "POST", path, status=fault.status, headers=fault.headers))
    provision(connections, image)
    assert cloud.census() == EVERYTHING
    assert plan(connections).empty


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_what_may_be_repeated_is(
    cloud: FakeOpenStack, connections: Connections, image: Path, method: str
) -> None:
    cloud.order(Fault(Kind.LOSE, method, "/(routers|ports|servers)", times=3))
    provision(connections, image)
    assert cloud.census() == EVERYTHING


@pytest.mark.usefixtures("already_there")
def test_deleting_what_is_gone_is_success(cloud: FakeOpenStack, connections: Connections) -> None:
    cloud.order(Fault(Kind.LOSE, "DELETE", "", times=8))
    destroy(connections)
    assert cloud.census() == {}


@pytest.mark.usefixtures("already_there")
def test_an_interfaces_removal_whose_answer_is_lost(cloud: FakeOpenStack, connections: Connections) -> None:
    cloud.order(Fault(Kind.LOSE, "PUT", "/remove_router_interface"))
    destroy(connections)
    assert cloud.census() == {}


def test_a_half_uploaded_image_is_made_again(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    cloud.order(Fault(Kind.DROP, "PUT", "/file", times=3))
    with pytest.raises(ConvergenceError):
        provision(connections, image)
    assert [raw["status"] for raw in cloud.glance.images.values()] == ["queued"]
    provision(connections, image)
    assert [raw["status"] for raw in cloud.glance.images.values()] == ["active"]
    assert cloud.census() == EVERYTHING


@pytest.mark.usefixtures("already_there")
def test_an_image_that_glance_took_for_whole_though_it_was_cut_is_made_again(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    (uploaded,) = cloud.glance.images.values()
    uploaded["size"] -= 1
    provision(connections, image)
    (again,) = cloud.glance.images.values()
    assert again["id"] != uploaded["id"]
    assert cloud.census() == EVERYTHING


def test_an_upload_whose_answer_is_lost_is_not_repeated(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    cloud.order(Fault(Kind.LOSE, "PUT", "/file"))
    provision(connections, image)
    assert sum("/file" in path for _, path in cloud.faults.writes) == 1


def test_a_private_flavor_whose_maker_died_before_it_gave_access(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    wanted = [replace(r, public=False) if isinstance(r, Flavor) else r for r in company()]
    cloud.order(Fault(Kind.REFUSE, "POST", "/flavors/.*/action", status=400))
    with pytest.raises(ConvergenceError):
        provision(connections, image, wanted)
    assert cloud.nova.access == set()
    provision(connections, image, wanted)
    (flavor,) = cloud.nova.flavors
    assert cloud.nova.access == {(flavor, "project-demo")}
    assert plan(connections, wanted).empty
    destroy(connections)
    assert cloud.census() == {}


def test_ctrl_c_lets_what_is_under_way_finish(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    cloud.nova.looks = 1_000_000

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while not cloud.nova.servers and time.monotonic() < deadline:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        provision(connections, image)
    interrupting.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [server["status"] for server in cloud.nova.servers.values()] == ["BUILD"]
    (server,) = cloud.nova.servers.values()
    server["_looks"] = 1
    provision(connections, image)
    assert cloud.census() == EVERYTHING
    assert plan(connections).empty


def test_a_mistake_of_ours_is_not_swallowed(
    connections: Connections, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_arguments: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["medicarche.converge.apply"], "act", mistaken)
        with pytest.raises(ZeroDivisionError):
            provision(connections, image)
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["medicarche.converge.apply"], "poll", mistaken)
        with pytest.raises(ZeroDivisionError):
            provision(connections, image)


def test_a_plan_with_conflicts_is_not_run(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    admin = connections.admin
    assert admin is not None
    flavor = {"name": "medicarche.small", "vcpus": 1, "ram": 1, "disk": 1, "os-flavor-access:is_public": True}
    admin.compute.post("/flavors", {"flavor": flavor})
    writes = len(cloud.faults.writes)
    with pytest.raises(ConvergenceError, match=r"in the way:\n.*flavor/medicarche.small"):
        provision(connections, image)
    assert len(cloud.faults.writes) == writes


@pytest.fixture
def two(cloud: FakeOpenStack, connections: Connections, image: Path) -> dict[str, dict[str, Any]]:
    """Return what the cloud holds when an environment of two servers is there."""
    provision(connections, image, company(("a", "b")))
    return cloud.snapshot()


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=strategies.data())
def test_whatever_is_broken_by_hand_is_mended(
    cloud: FakeOpenStack,
    connections: Connections,
    image: Path,
    two: dict[str, dict[str, Any]],
    data: strategies.DataObject,
) -> None:
    wanted = company(("a", "b"))
    cloud.restore(two)
    whole = cloud.census()
    for _ in range(data.draw(strategies.integers(1, 4))):
        _break(cloud, connections, data)
    provision(connections, image, wanted)
    assert cloud.census() == whole
    assert plan(connections, wanted).empty


def _break(cloud: FakeOpenStack, connections: Connections, data: strategies.DataObject) -> None:
    """Delete something by hand, if the cloud allows it."""
    kinds = ("floatingips", "security-group-rules", "ports", "servers", "flavors", "images", "os-keypairs")
    kind = data.draw(strategies.sampled_from(kinds))
    admin = connections.admin
    assert admin is not None
    stores = {"servers": cloud.nova.servers, "flavors": cloud.nova.flavors, "images": cloud.glance.images}
    if kind == "os-keypairs":
        connections.member.compute.delete(f"/os-keypairs/{key_pair_name(NAME, 'administration')}")
        return
    store = stores[kind] if kind in stores else cloud.neutron.store(kind)
    if not store:
        return
    victim = data.draw(strategies.sampled_from(range(len(store))))
    identifier = list(store)[victim]
    api = {"servers": connections.member.compute, "flavors": admin.compute, "images": admin.image}.get(
        kind, connections.member.network
    )
    with suppress(ApiError):
        api.delete(f"/{kind}/{identifier}")


@pytest.mark.usefixtures("already_there")
def test_rules_added_by_hand_are_removed(cloud: FakeOpenStack, connections: Connections, image: Path) -> None:
    group = next(iter(cloud.neutron.security_groups))
    rule = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
    connections.member.network.post("/security-group-rules", {"security_group_rule": rule})
    (action,) = plan(connections).actions
    assert isinstance(action.observed and action.observed.resource, SecurityGroupRule)
    provision(connections, image)
    assert cloud.census() == EVERYTHING


@pytest.mark.usefixtures("already_there")
def test_two_with_one_mark_become_one(cloud: FakeOpenStack, connections: Connections, image: Path) -> None:
    description = f"medicarche:{NAME}:security_group/web-sg the web site"
    body = {"security_group": {"name": "web-sg", "description": description}}
    connections.member.network.post("/security-groups", body)
    used = next(iter(cloud.neutron.ports.values()))
    provision(connections, image)
    assert cloud.census() == EVERYTHING
    port = next(p for p in cloud.neutron.ports.values() if p["device_owner"] == "compute:nova")
    assert set(port["security_groups"]) == set(cloud.neutron.security_groups), used


@pytest.mark.usefixtures("already_there")
def test_a_floating_ip_detached_by_hand_is_attached_again(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    (address,) = cloud.neutron.floatingips.values()
    connections.member.network.put(f"/floatingips/{address['id']}", {"floatingip": {"port_id": None}})
    provision(connections, image)
    assert address["port_id"] is not None
    assert plan(connections).empty


def test_a_server_in_error_tells_its_fault_and_the_rest_is_done(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    cloud.nova.faults.append("No valid host was found.")
    wanted = company(("one", "two", "three"))
    with pytest.raises(ConvergenceError, match=r"No valid host was found\.") as caught:
        provision(connections, image, wanted)
    assert "medicarche provision" in (caught.value.hint or "")
    assert sorted(s["status"] for s in cloud.nova.servers.values()) == ["ACTIVE", "ACTIVE", "ERROR"]
    provision(connections, image, wanted)
    assert [s["status"] for s in cloud.nova.servers.values()] == ["ACTIVE"] * 3
    assert plan(connections, wanted).empty


def test_what_depends_on_a_failure_is_skipped(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    refusal: dict[str, object] = {"NeutronError": {"type": "BadRequest", "message": "I'd rather not"}}
    cloud.order(Fault(Kind.REFUSE, "POST", "/ports", status=400, body=refusal))
    with pytest.raises(ConvergenceError, match=r"create port/website: .* 400 I'd rather not") as caught:
        provision(connections, image)
    assert "2 skipped" in caught.value.message
    expected = {
        key: value for key, value in EVERYTHING.items() if key not in {"ports", "servers", "floatingips"}
    }
    assert cloud.census() == expected


def test_the_request_id_is_told(cloud: FakeOpenStack, connections: Connections, image: Path) -> None:
    cloud.neutron.quota["floatingip"] = 0
    with pytest.raises(ConvergenceError, match=r"Quota exceeded.*request id req-"):
        provision(connections, image)


def test_a_cancelled_run_begins_nothing_more(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    cancel = threading.Event()
    cancel.set()
    result = provision(connections, image, cancel=cancel)
    assert result.cancelled
    assert result.done == ()
    assert len(result.skipped) == len(company())
    assert cloud.faults.writes == []


def test_without_an_admin_nothing_is_begun(cloud: FakeOpenStack, target: Target, image: Path) -> None:
    alone = connect(Target(name="fake", clouds_yaml=target.clouds_yaml, cloud="demo"))
    try:
        with pytest.raises(CloudRefused) as caught:
            provision(alone, image)
    finally:
        alone.close()
    for address in (
        "flavor/medicarche.small",
        "image/debian-13",
        "network/external",
        "subnet/external-subnet",
    ):
        assert f"create {address}" in caught.value.message
    assert "create network/private" not in caught.value.message
    assert cloud.faults.writes == []


def test_a_member_uses_what_an_admin_made(
    cloud: FakeOpenStack, connections: Connections, target: Target, image: Path
) -> None:
    admin = connections.admin
    assert admin is not None
    flavor = {
        "name": "medicarche.small",
        "vcpus": 2,
        "ram": 1024,
        "disk": 5,
        "os-flavor-access:is_public": True,
    }
    flavor |= {"OS-FLV-EXT-DATA:ephemeral": 0, "swap": 0, "extra_specs": {"use": "web"}}
    admin.compute.post("/flavors", {"flavor": flavor})
    network = admin.network.post("/networks", {"network": {"name": "external", "router:external": True}})[
        "network"
    ]
    subnet = {
        "name": "given",
        "network_id": network["id"],
        "cidr": "10.20.20.0/24",
        "gateway_ip": "10.20.20.1",
    }
    admin.network.post("/subnets", {"subnet": {**subnet, "enable_dhcp": False, "ip_version": 4}})
    wanted = [
        replace(resource, visibility="private")
        if isinstance(resource, Image)
        else replace(resource, external_address=None)
        if isinstance(resource, Router)
        else resource
        for resource in company()
    ]
    alone = connect(
        Target(name="fake", clouds_yaml=target.clouds_yaml, cloud="demo"), clock=connections.clock
    )
    try:
        provision(alone, image, wanted)
        assert plan(alone, wanted).empty
        destroy(alone)
    finally:
        alone.close()
    assert cloud.census() == {"flavors": 1, "networks": 1, "subnets": 1}


def test_a_missing_image_file_is_found_first(
    cloud: FakeOpenStack, connections: Connections, tmp_path: Path
) -> None:
    with pytest.raises(ConvergenceError, match="debian-13"):
        provision(connections, tmp_path / "absent")
    assert cloud.faults.writes == []


@pytest.mark.usefixtures("already_there")
def test_instances_console_and_audit_trail(connections: Connections) -> None:
    (instance,) = converge.instances(connections, NAME)
    assert (instance.name, instance.status) == ("website", "ACTIVE")
    assert instance.private_address.startswith("192.168.222.")
    assert str(instance.floating_address).startswith("10.20.20.1")
    assert converge.console_log(connections, instance.id, lines=1) == "website line 4"
    assert [entry.action for entry in converge.audit_trail(connections, instance.id)] == ["create"]
    assert converge.instances(connections, "other") == ()


def test_addresses_are_neutrons_and_not_novas_old_copy(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    provision(connections, image, company(("a", "b")))
    cloud.nova.heal()
    released = next(f for f in cloud.neutron.floatingips.values() if "floating_ip/a" in f["description"])
    network = next(n["id"] for n in cloud.neutron.networks.values() if n["router:external"])
    # somebody else takes the address that gets free
    connections.member.network.delete(f"/floatingips/{released['id']}")
    connections.member.network.post("/floatingips", {"floatingip": {"floating_network_id": network}})
    assert converge.instances(connections, NAME)[0].floating_address is None
    provision(connections, image, company(("a", "b")))
    shown = [
        entry["addr"]
        for server in connections.member.compute.collection("/servers/detail", "servers")
        for network_entries in server["addresses"].values()
        for entry in network_entries
    ]
    assert released["floating_ip_address"] in shown, "the fake's Nova is up to date: this proves nothing"
    first, second = converge.instances(connections, NAME)
    attached = {f["port_id"]: f["floating_ip_address"] for f in cloud.neutron.floatingips.values()}
    for instance in (first, second):
        (port,) = [p for p in cloud.neutron.ports.values() if p["device_id"] == instance.id]
        assert instance.floating_address == attached[port["id"]]
        assert instance.private_address == port["fixed_ips"][0]["ip_address"]
    assert first.floating_address != released["floating_ip_address"]


def test_the_number_of_calls_for_the_instances_does_not_grow(connections: Connections, image: Path) -> None:
    def calls(wanted: tuple[str, ...]) -> int:
        provision(connections, image, company(wanted))
        before = connections.traffic.requests
        assert len(converge.instances(connections, NAME)) == len(wanted)
        return connections.traffic.requests - before

    assert calls(("a",)) == calls(tuple("abcdefgh")) == 3


def test_a_running_servers_port_is_waited_for(
    cloud: FakeOpenStack, connections: Connections, target: Target, image: Path
) -> None:
    provision(connections, image, company(("a", "b")))
    ports = [p for p in cloud.neutron.ports.values() if p["device_owner"] == "compute:nova"]
    ports[0]["status"] = "DOWN"
    with pytest.raises(ConvergenceError, match=r"ports of: \w \(DOWN\)$"):
        converge.connected_instances(connections, NAME)
    still = StillClock()

    def connect_after_three(seconds: float) -> None:
        still.sleep(seconds)
        ports[0]["status"] = "ACTIVE" if len(still.sleeps) == 3 else "DOWN"

    with closing(connect(target, clock=replace(still_clock(still), sleep=connect_after_three))) as waiting:
        found = converge.connected_instances(waiting, NAME)
    assert [i.port_status for i in found] == ["ACTIVE", "ACTIVE"]
    assert len(still.sleeps) == 3
    # the port of a server that is stopped is DOWN, and nothing is wrong with that
    ports[0]["status"] = "DOWN"
    cloud.nova.servers[ports[0]["device_id"]]["status"] = "SHUTOFF"
    assert len(converge.connected_instances(connections, NAME)) == 2


@pytest.mark.usefixtures("already_there")
def test_a_server_under_way_is_waited_for_before_planning(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    (server,) = cloud.nova.servers
    connections.member.compute.delete(f"/servers/{server}")
    observed = observe(connections, NAME, company())
    assert not [item for item in observed if item.resource.kind.value == "server"]
    provision(connections, image)
    assert cloud.census() == EVERYTHING
