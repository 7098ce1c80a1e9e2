"""CLOUD-10: floating addresses, one per instance; released and re-attached by command."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from medicarche import converge
from medicarche.probe import Capture, Endpoint, PortState, answers, inspect, scan
from medicarche.testing.machines import machine as connect

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from openstack.connection import Connection
    from openstack.network.v2.floating_ip import FloatingIP

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.requirement("CLOUD-10")


@pytest.fixture
def application(environment: Environment) -> Application:
    """The one whose address is taken and given: what the commands do is the same for every instance."""
    return environment.for_people[0]


def test_each_instance_has_one_of_its_own(
    member: Connection, environment: Environment, instance: InstanceState
) -> None:
    ports = {p.id for p in member.network.ports(device_id=instance.id)}
    attached = [ip for ip in member.network.ips() if ip.port_id in ports]
    expected = 1 if environment.instance(instance.name).floating_ip else 0
    assert [ip.floating_ip_address for ip in attached] == [instance.floating_address] * expected
    assert all(ip.status == "ACTIVE" for ip in attached)


def test_none_is_left_over(member: Connection, environment: Environment) -> None:
    mark = f"medicarche:{environment.name}:"
    ours = [ip for ip in member.network.ips() if (ip.description or "").startswith(mark)]
    assert [ip.floating_ip_address for ip in ours if ip.port_id is None] == []
    assert len(ours) == sum(i.floating_ip for i in environment.instances)


@pytest.mark.alone
def test_detached_and_attached_again_by_command(
    provisioned: Built, run_medicarche: Run, authority: Path, application: Application
) -> None:
    before = _instance(provisioned, application)
    endpoint = Endpoint(str(before.floating_address), application.port)
    try:
        detached = run_medicarche("floating-ip", "detach", before.name)
        assert detached.returncode == 0, detached.stderr
        shown = _show(run_medicarche, before.name)
        assert shown is not None
        assert (shown["address"], shown["private_address"]) == (before.floating_address, None)
        assert _until(lambda: scan([endpoint])[endpoint] is not PortState.OPEN), "it still answers"
        assert run_medicarche("plan").returncode == 2, "the plan doesn't see that it is detached"
        attached = run_medicarche("floating-ip", "attach", before.name)
        assert attached.returncode == 0, attached.stderr
        assert str(before.floating_address) in attached.stdout
        # the same address: its certificate is good already
        assert _until(lambda: answers(f"https://{endpoint.address}:{endpoint.port}/", authority))
        assert run_medicarche("plan").returncode == 0
        again = run_medicarche("floating-ip", "attach", before.name)
        assert again.returncode == 0, again.stderr
        assert _show(run_medicarche, before.name) == {**shown, **_attached(before)}
    finally:
        _mend(run_medicarche)


@pytest.mark.alone
def test_released_and_allocated_by_command(
    provisioned: Built, member: Connection, run_medicarche: Run, authority: Path, application: Application
) -> None:
    before = _instance(provisioned, application)
    others = {ip.id for ip in member.network.ips()} - {_floating(member, before).id}
    try:
        released = run_medicarche("floating-ip", "release", before.name)
        assert released.returncode == 0, released.stderr
        assert str(before.floating_address) in released.stdout
        assert {ip.id for ip in member.network.ips()} == others, "not released, or others were touched"
        assert _show(run_medicarche, before.name) is None
        attached = run_medicarche("floating-ip", "attach", before.name)
        assert attached.returncode == 0, attached.stderr
        assert str(_instance(provisioned, application).floating_address) in attached.stdout
        assert len(list(member.network.ips())) == len(others) + 1
        assert run_medicarche("plan").returncode == 0
    finally:
        _mend(run_medicarche)
    after = _instance(provisioned, application)
    assert answers(f"https://{after.floating_address}:{application.port}/", authority)


@pytest.mark.alone
def test_one_detached_by_hand_is_re_attached(
    provisioned: Built, member: Connection, run_medicarche: Run, authority: Path, application: Application
) -> None:
    before = _instance(provisioned, application)
    endpoint = Endpoint(str(before.floating_address), application.port)
    member.network.update_ip(_floating(member, before), port_id=None)
    try:
        # the layer-3 agent takes it away a moment after Neutron's answer
        assert _until(lambda: scan([endpoint])[endpoint] is not PortState.OPEN), "it still answers"
        planned = run_medicarche("plan", "--json")
        assert planned.returncode == 2, planned.stderr
        (action,) = json.loads(planned.stdout)["actions"]
        assert action["address"].startswith("floating_ip/")
        assert action["verb"] == "update"
    finally:
        done = _mend(run_medicarche)
    assert "cloud: 1 changed" in done.stdout
    after = _instance(provisioned, application)
    assert (after.id, after.floating_address) == (before.id, before.floating_address)
    assert answers(f"https://{endpoint.address}:{endpoint.port}/", authority)


@pytest.mark.alone
def test_one_released_by_hand_is_replaced_and_the_certificate_follows(
    provisioned: Built, member: Connection, run_medicarche: Run, authority: Path, application: Application
) -> None:
    before = _instance(provisioned, application)
    old = _floating(member, before)
    member.network.delete_ip(old)
    # Neutron mustn't give the same address again: somebody else takes it
    taken = _take(provisioned, old)
    try:
        planned = run_medicarche("plan", "--json")
        assert planned.returncode == 2, planned.stderr
        (action,) = json.loads(planned.stdout)["actions"]
        assert (action["verb"], action["address"].split("/")[0]) == ("create", "floating_ip")
        done = run_medicarche("provision")
        assert done.returncode == 0, done.stderr
        assert "cloud: 1 created" in done.stdout
        after = _instance(provisioned, application)
        assert after.id == before.id
        assert after.floating_address not in {None, before.floating_address}
        # another address, and TLS is verified for it: the certificate followed
        address = str(after.floating_address)
        assert answers(f"https://{address}:{application.port}/", authority)
        seen = inspect(address, application.port, authority=authority)
        assert address in seen.names
        assert before.floating_address not in seen.names
        assert run_medicarche("plan").returncode == 0
    finally:
        if taken is not None:
            taken()
        _mend(run_medicarche)


@pytest.fixture
def router_and_proxy(provisioned: Built, environment: Environment) -> tuple[str, tuple[str, int]]:
    """The router's external address, and a service on the external network that instances may reach."""
    embedded = provisioned.selection.embedded
    proxy = embedded.site_facts().package_proxy if embedded is not None else None
    declared = [r.external_address for r in environment.routers if r.external_address]
    if proxy is None or not declared:
        pytest.skip("on a configured cloud nobody of ours sits on the external network to see it")
    return declared[0], proxy


@pytest.mark.alone
@pytest.mark.requirement("CLOUD-3")
def test_without_one_an_instance_leaves_under_the_routers_address(
    provisioned: Built,
    router_and_proxy: tuple[str, tuple[str, int]],
    run_medicarche: Run,
    application: Application,
) -> None:
    router, (address, port) = router_and_proxy
    member = provisioned.connections.member.sdk
    instance = _instance(provisioned, application)
    # SSH needs the address that is taken away: the instance goes on trying by itself meanwhile
    # (by a connection of its own: those of other tests may have lost their address since)
    connect(provisioned.selection, instance).check_output(
        "systemd-run --quiet --collect bash -c"
        " 'for n in $(seq 25); do timeout 1 bash -c \": < /dev/tcp/%s/%s\"; sleep 1; done'",
        address,
        str(port),
    )
    wanted = (router, address, port)
    try:
        with Capture(lambda p: (p.source, p.destination, p.destination_port) == wanted) as capture:
            member.network.update_ip(_floating(member, instance), port_id=None)
            seen = capture.wait(30)
    finally:
        _mend(run_medicarche)
    assert seen, f"nothing went to {address}:{port} from {router}"


def _instance(built: Built, application: Application) -> InstanceState:
    found = converge.instances(built.connections, built.selection.environment.name)
    return next(i for i in found if i.name == application.instance)


def _floating(member: Connection, instance: InstanceState) -> FloatingIP:
    return next(ip for ip in member.network.ips() if ip.floating_ip_address == instance.floating_address)


def _show(run: Run, name: str) -> dict[str, Any] | None:
    done = run("floating-ip", "show", name, "--json")
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] | None = json.loads(done.stdout)
    return shown


def _attached(instance: InstanceState) -> dict[str, Any]:
    return {"private_address": instance.private_address, "status": "ACTIVE"}


def _until(holds: Callable[[], bool], seconds: float = 40) -> bool:
    """Say whether something comes true in time: Neutron's agent does its work after the API's answer."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def _mend(run: Run) -> subprocess.CompletedProcess[str]:
    """Bring the environment back, whatever the test left of it."""
    done = run("provision")
    assert done.returncode == 0, done.stderr
    return done


def _take(built: Built, released: FloatingIP) -> Callable[[], None] | None:
    """Let an admin hold an address, so that nobody is given it; returns what gives it back."""
    if built.connections.admin is None:
        return None  # then Neutron may give the same one again, and the test says so
    admin = built.connections.admin.sdk
    held = admin.network.create_ip(
        floating_network_id=released.floating_network_id,
        floating_ip_address=released.floating_ip_address,
        description="held by an acceptance test",
    )
    return lambda: admin.network.delete_ip(held)
