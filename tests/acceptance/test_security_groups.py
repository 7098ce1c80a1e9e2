"""CLOUD-7: declared = enforced = listening = reachable, in both directions."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from medicarche.deploy import listeners as listeners_of_application
from medicarche.plan import derive
from medicarche.plan.reach import Policy
from medicarche.plan.resources import Kind, SecurityGroupRule
from medicarche.planning import site_of
from medicarche.private_files import turn
from medicarche.probe import Endpoint, PortState, compare, firewall, parse_ss, scan
from medicarche.probe.firewall import Pass
from medicarche.probe.sockets import ACCOUNTS_COMMAND, SS_COMMAND, account_names
from medicarche.process import run
from medicarche.spec import listeners
from medicarche.testing.listening import listener

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from pathlib import Path

    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.plan.resources import Resource
    from medicarche.probe import Listening
    from medicarche.report import Evidence
    from medicarche.spec.environment import Environment, Listener
    from medicarche.testing.built import Built

pytestmark = pytest.mark.requirement("CLOUD-7")

Rule = tuple[str, str, str, str | None, int | None, int | None, str | None, str | None]


@pytest.fixture(scope="module")
def wanted(provisioned: Built) -> tuple[Resource, ...]:
    """All that the cloud must hold, as it follows from the declaration."""
    return derive(provisioned.selection.environment, site_of(provisioned.selection))


def test_neutrons_rules_are_those_that_follow_from_the_declaration(
    wanted: tuple[Resource, ...], member: Connection
) -> None:
    expected = {
        (
            rule.group.removeprefix(f"{Kind.SECURITY_GROUP}/"),
            rule.direction,
            rule.ethertype,
            rule.protocol,
            rule.port_min,
            rule.port_max,
            _prefix(rule.remote_prefix),
            rule.remote_group and rule.remote_group.removeprefix(f"{Kind.SECURITY_GROUP}/"),
        )
        for rule in wanted
        if isinstance(rule, SecurityGroupRule)
    }
    groups = {g.id: g.name for g in member.network.security_groups(project_id=member.current_project_id)}
    ours = {rule[0] for rule in expected}
    found: set[Rule] = {
        (
            groups[rule.security_group_id],
            rule.direction,
            rule.ether_type,
            rule.protocol,
            rule.port_range_min,
            rule.port_range_max,
            _prefix(rule.remote_ip_prefix),
            rule.remote_group_id and groups[rule.remote_group_id],
        )
        for rule in member.network.security_group_rules()
        if groups.get(rule.security_group_id) in ours
    }
    assert found == expected


def _prefix(prefix: str | None) -> str | None:
    """All of IPv4 is the same as no prefix."""
    return None if prefix in {None, "0.0.0.0/0"} else str(ipaddress.ip_network(str(prefix)))


def test_the_nodes_packet_filter_holds_what_is_declared_and_nothing_else(
    provisioned: Built,
    wanted: tuple[Resource, ...],
    instance: InstanceState,
    instances: tuple[InstanceState, ...],
    evidence: Evidence,
) -> None:
    member = provisioned.connections.member.sdk
    embedded = provisioned.selection.embedded
    if embedded is None:
        pytest.skip("a configured cloud's nodes can't be looked into")
    addresses = {i.name: i.private_address for i in instances}
    policy = Policy(provisioned.selection.environment, wanted, addresses)
    declared = {
        Pass(rule.direction, rule.protocol, rule.port_min, rule.port_max, prefix)
        for rule in policy.rules_of(instance.name)
        for prefix in policy.remotes(rule)
    }
    (port,) = list(member.network.ports(device_id=instance.id))
    held = {what: run(embedded.command(command)) for what, command in firewall.COMMANDS.items()}
    found = firewall.parse(held["IPv4"], held["sets"], [port.id])[port.id]
    rows = sorted((*p[:2], f"{p.port_min}-{p.port_max}", p.remote, p in declared) for p in found.passes)
    columns = ("sens", "protocole", "ports", "de ou vers", "déclaré")
    evidence.table(f"Ce que laisse passer le nœud : {instance.name}", columns, rows)
    assert list(found.wrong) == []
    assert _named(found.passes - declared) == [], "the node lets pass what isn't declared"
    assert _named(declared - found.passes) == [], "the node doesn't let pass what is declared"
    # what leaves under another address or MAC than the instance's own is dropped
    assert found.senders == {(ip["ip_address"], port.mac_address.lower()) for ip in port.fixed_ips}
    assert port.allowed_address_pairs == []
    # no network of the environment has IPv6: its filter stands though, and lets nothing pass
    other = firewall.parse(held["IPv6"], held["sets"], [port.id], family="IPv6")[port.id]
    assert list(other.wrong) == []
    assert _named(other.passes) == [], "the node lets IPv6 pass"


def _named(passes: AbstractSet[Pass]) -> list[str]:
    return sorted(f"{p.direction} {p.protocol} {p.port_min}-{p.port_max} {p.remote}" for p in passes)


def test_each_instances_port_carries_declared_groups_only(
    member: Connection, environment: Environment, instance: InstanceState
) -> None:
    groups = {g.id: g.name for g in member.network.security_groups()}
    (port,) = list(member.network.ports(device_id=instance.id))
    assert port.is_port_security_enabled
    # a port that is DOWN may be connected though, without its filters (linuxbridge)
    assert port.status == "ACTIVE"
    carried = {groups[g] for g in port.security_group_ids}
    assert "default" not in carried
    assert set(environment.instance(instance.name).security_groups) <= carried
    # besides what is shared, one group for each application that it serves, and none of another instance
    applications = {a.name for a in environment.applications_of(instance.name)}
    others = {a.name for a in environment.applications} - applications
    assert [g for g in carried if any(other in g for other in others)] == []


def test_an_undeclared_port_on_which_something_listens_doesnt_answer(
    environment: Environment, instance: InstanceState, machine: Host, run_folder: Path
) -> None:
    declared = {w.port for w in listeners(environment, instance.name)}
    port = next(p for p in range(8000, 9000) if p not in declared)
    with _undisturbed(run_folder, instance), listener(machine, port):
        # it does answer where it is: the silence outside is the security group's
        machine.check_output("timeout 5 bash -c ': < /dev/tcp/127.0.0.1/%s'", str(port))
        machine.check_output("timeout 5 bash -c ': < /dev/tcp/%s/%s'", instance.private_address, str(port))
        endpoint = Endpoint(str(instance.floating_address), port)
        assert scan([endpoint]) == {endpoint: PortState.FILTERED}


def _undisturbed(run_folder: Path, instance: InstanceState) -> AbstractContextManager[None]:
    """Let nothing listen for a test while another process of this run looks at what listens."""
    return turn(run_folder / f"sockets-{instance.name}.lock")


@pytest.fixture(scope="module")
def _seen() -> dict[str, tuple[Listening, ...]]:
    """Instance's id → its sockets: looked at once."""
    return {}


@pytest.fixture
def sockets(
    instance: InstanceState, machine: Host, run_folder: Path, _seen: dict[str, tuple[Listening, ...]]
) -> tuple[Listening, ...]:
    """All that listens in the instance, but for the operating system's own way to its address (RFC 2131)."""
    if instance.id not in _seen:
        with _undisturbed(run_folder, instance):
            output, accounts = machine.check_output(SS_COMMAND), machine.check_output(ACCOUNTS_COMMAND)
        found = parse_ss(output, account_names(accounts))
        _seen[instance.id] = tuple(s for s in found if (s.protocol, s.port) != ("udp", 68))
    return _seen[instance.id]


def test_what_listens_is_what_is_declared(
    environment: Environment,
    instance: InstanceState,
    sockets: tuple[Listening, ...],
    evidence: Evidence,
) -> None:
    evidence.table(
        f"Ce qui écoute : {instance.name}",
        ("protocole", "adresse", "port", "programme", "compte"),
        [(s.protocol, s.address, s.port, s.process, s.user) for s in sockets],
    )
    declared: list[Listener] = [
        replace(d, address=instance.private_address) if d.address == d.PRIVATE else d
        for d in listeners(environment, instance.name)
    ]
    for application in environment.applications_of(instance.name):
        declared += listeners_of_application(application)
    assert [str(d) for d in compare(declared, sockets)] == []


def test_what_isnt_public_is_bound_to_loopback(
    environment: Environment, instance: InstanceState, sockets: tuple[Listening, ...]
) -> None:
    public = {(w.protocol, w.port) for w in listeners(environment, instance.name)}
    exposed = [str(s) for s in sockets if not s.loopback and (s.protocol, s.port) not in public]
    assert exposed == []
