"""CLOUD-6: one instance per application, its addresses, its console log and its audit trail."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from medicarche import converge
from medicarche.deploy import KINDS
from medicarche.process import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.requirement("CLOUD-6")


def test_there_is_one_instance_for_each_that_is_declared(
    member: Connection, environment: Environment, instances: tuple[InstanceState, ...]
) -> None:
    declared = sorted(i.name for i in environment.instances)
    assert sorted(i.name for i in instances) == declared
    # Nova's own list, not ours: a duplicate of the same name would be seen here
    assert sorted(s.name for s in member.compute.servers() if s.name in declared) == declared


def test_no_two_applications_share_an_instance(environment: Environment) -> None:
    # Grafana is a part of the supervision: what shows its figures
    used = [a.instance for a in environment.applications if not KINDS[a.kind].beside]
    assert len(used) == len(set(used))


def test_it_runs_with_a_private_and_a_floating_address(
    environment: Environment, instance: InstanceState
) -> None:
    assert instance.status == "ACTIVE"
    declared = environment.instance(instance.name)
    prefixes = {n.name: [ipaddress.ip_network(s.cidr) for s in n.subnets] for n in environment.networks}
    private = ipaddress.ip_address(str(instance.private_address))
    assert any(private in prefix for prefix in prefixes[declared.network])
    if declared.floating_ip:
        floating = ipaddress.ip_address(str(instance.floating_address))
        external = [p for n in environment.networks if n.external for p in prefixes[n.name]]
        assert any(floating in prefix for prefix in external)


def test_no_address_is_given_twice(instances: tuple[InstanceState, ...]) -> None:
    addresses = [a for i in instances for a in (i.private_address, i.floating_address) if a]
    assert len(addresses) == len(set(addresses))


def test_its_console_log_can_be_read(connections: Connections, instance: InstanceState) -> None:
    log = converge.console_log(connections, instance.id)
    assert "systemd" in log
    assert "cloud-init" in log.lower()


def test_its_audit_trail_says_who_made_it(
    member: Connection, connections: Connections, instance: InstanceState
) -> None:
    trail = converge.audit_trail(connections, instance.id)
    (made,) = [entry for entry in trail if entry.action == "create"]
    # not the admin: the project's member (CLOUD-9)
    assert made.user_id == member.current_user_id
    assert made.request_id.startswith("req-")


def test_both_can_be_read_by_command(run_medicarche: Run, instances: tuple[InstanceState, ...]) -> None:
    # what is in them is looked at for each instance above; the commands are the same for all
    instance = instances[0]
    console = run_medicarche("console", instance.name)
    assert console.returncode == 0, console.stderr
    assert "systemd" in console.stdout
    audit = run_medicarche("audit", instance.name, "--json")
    assert audit.returncode == 0, audit.stderr
    assert "create" in [entry["action"] for entry in json.loads(audit.stdout)]


def test_an_unknown_name_is_one_clear_message(run_medicarche: Run, environment: Environment) -> None:
    done = run_medicarche("console", "nobody")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "'nobody'" in done.stderr
    assert environment.instances[0].name in done.stderr
    assert "Traceback" not in done.stderr


def test_to_start_one_leaves_the_others_control_groups_alone(
    provisioned: Built, instance: InstanceState, machine: Host
) -> None:
    """A group that systemd has just made is empty: whoever removes it has that service fail (219/CGROUP).

    What starts on the embedded cloud is libvirt_lxc with a container of nothing: it ends at once.
    """
    cloud = provisioned.selection.embedded
    if cloud is None or not machine.file("/sys/fs/cgroup/systemd").exists:
        pytest.skip("only containers on a host with version 1 of control groups share a hierarchy")
    empty = "/sys/fs/cgroup/systemd/system.slice/medicarche-test.service"
    machines = "/sys/fs/cgroup/systemd/machine"
    name = f"medicarche-test-{instance.name}"

    def start() -> list[str]:
        starts = ["/usr/lib/libvirt/libvirt_lxc", "--name", name, "--help"]
        subprocess.run(cloud.command(starts), capture_output=True, check=False, timeout=20)
        listed = run(cloud.command(["ls", machines])).split()
        return [group for group in listed if group.startswith(f"{name}-")]

    machine.run_expect([0], "mkdir -p %s", empty)
    try:
        first, second = start(), start()
        assert machine.file(empty).is_directory
    finally:
        machine.run("rmdir %s", empty)
    # what has ended leaves one behind, which the next start removes
    assert (len(first), len(second), first != second) == (1, 1, True)
