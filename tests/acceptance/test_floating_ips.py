"""CLOUD-10: floating addresses, one per instance; released and re-attached by command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from medicarche import converge
from medicarche.probe import Capture, Endpoint, PortState, answers, scan

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from openstack.connection import Connection
    from openstack.network.v2.floating_ip import FloatingIP
    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.requirement("CLOUD-10")


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
def test_a_detached_one_is_re_attached(
    provisioned: Built, member: Connection, run_medicarche: Run, authority: Path, application: Application
) -> None:
    before = _instance(provisioned, application)
    endpoint = Endpoint(str(before.floating_address), application.port)
    member.network.update_ip(_floating(member, before), port_id=None)
    try:
        assert scan([endpoint])[endpoint] is not PortState.OPEN
        planned = run_medicarche("plan", "--json")
        assert planned.returncode == 2, planned.stderr
        (action,) = json.loads(planned.stdout)["actions"]
        assert action["address"].startswith("floating_ip/")
        assert action["verb"] == "update"
    finally:
        done = run_medicarche("provision")
    assert done.returncode == 0, done.stderr
    assert "cloud: 1 changed" in done.stdout
    after = _instance(provisioned, application)
    assert (after.id, after.floating_address) == (before.id, before.floating_address)
    assert answers(f"https://{endpoint.address}:{endpoint.port}/", authority)


@pytest.mark.alone
def test_a_released_one_is_replaced_and_the_certificate_follows(
    provisioned: Built, member: Connection, run_medicarche: Run, authority: Path, application: Application
) -> None:
    before = _instance(provisioned, application)
    member.network.delete_ip(_floating(member, before))
    try:
        planned = run_medicarche("plan", "--json")
        assert planned.returncode == 2, planned.stderr
        (action,) = json.loads(planned.stdout)["actions"]
        assert (action["verb"], action["address"].split("/")[0]) == ("create", "floating_ip")
    finally:
        done = run_medicarche("provision")
    assert done.returncode == 0, done.stderr
    assert "cloud: 1 created" in done.stdout
    after = _instance(provisioned, application)
    assert after.id == before.id
    assert after.floating_address
    # another address, and TLS is still verified for it: names and certificate followed
    assert answers(f"https://{after.floating_address}:{application.port}/", authority)
    assert run_medicarche("plan").returncode == 0


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
    machines: Callable[[InstanceState], Host],
) -> None:
    router, (address, port) = router_and_proxy
    member = provisioned.connections.member.sdk
    instance = _instance(provisioned, application)
    # SSH needs the address that is taken away: the connection is made by a timer in the instance
    machines(instance).check_output(
        "systemd-run --quiet --collect --on-active=6 --timer-property=AccuracySec=100ms"
        " timeout 5 bash -c ': < /dev/tcp/%s/%s'",
        address,
        str(port),
    )
    wanted = (router, address, port)
    try:
        with Capture(lambda p: (p.source, p.destination, p.destination_port) == wanted) as capture:
            member.network.update_ip(_floating(member, instance), port_id=None)
            seen = capture.wait(20)
    finally:
        done = run_medicarche("provision")
    assert done.returncode == 0, done.stderr
    assert seen, f"nothing went to {address}:{port} from {router}"


def _instance(built: Built, application: Application) -> InstanceState:
    found = converge.instances(built.connections, built.selection.environment.name)
    return next(i for i in found if i.name == application.instance)


def _floating(member: Connection, instance: InstanceState) -> FloatingIP:
    return next(ip for ip in member.network.ips() if ip.floating_ip_address == instance.floating_address)
