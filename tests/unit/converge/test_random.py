"""Random environments, and random drift of all kinds: one run mends it, the next has nothing to do.

A sample here; ``nox -s random`` tries many more (``MEDICARCHE_RANDOM``).
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_openstack.company import company, destroy, plan, provision
from medicarche import people
from medicarche.plan.resources import (
    ApplicationCredential,
    FloatingIp,
    Port,
    Project,
    Quota,
    Resource,
    RoleAssignment,
    Router,
    SecurityGroupRule,
    Server,
    User,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections

Chance = random.Random
SAMPLE = int(os.environ.get("MEDICARCHE_RANDOM", "5"))


@pytest.fixture(name="able")
def _able(connections: Connections, tmp_path: Path) -> Connections:
    return people.with_secrets(connections, tmp_path)


def _environment(chance: Chance) -> tuple[Resource, ...]:
    """Return the company's environment with other servers, rules, people, limits and credentials."""
    wanted: list[Resource] = []
    for resource in company(chance.sample(["a", "b", "c", "d"], chance.randint(0, 3))):
        match resource:
            case SecurityGroupRule() if chance.random() < 0.2:
                continue
            case FloatingIp() if chance.random() < 0.3:
                continue
            case Router() if chance.random() < 0.3:
                wanted.append(replace(resource, external_address=None))
            case Port() if chance.random() < 0.3:
                wanted.append(replace(resource, security_groups=resource.security_groups[:1]))
            case Server():
                metadata = tuple(
                    (key, chance.choice("xy")) for key in chance.sample("pqr", chance.randint(0, 3))
                )
                title = chance.choice([None, resource.name, f"{resource.name}-1"])
                wanted.append(replace(resource, metadata=tuple(sorted(metadata)), title=title))
            case _:
                wanted.append(resource)
    project = Project(name="medicarche")
    wanted.append(project)
    for login in chance.sample(["claire", "karim", "sophie"], chance.randint(0, 3)):
        role = chance.choice(["admin", "member", "reader"])
        user = User(name=login)
        wanted += [
            user,
            RoleAssignment(name=f"{login}-{role}", user=user.address, project=project.address, role=role),
        ]
    if chance.random() < 0.5:
        wanted.append(Quota(name="compute", limits=(("instances", chance.choice([10, 20])),)))
    for name in chance.sample(["backup", "supervision"], chance.randint(0, 2)):
        wanted.append(ApplicationCredential(name=name, roles=(chance.choice(["member", "reader"]),)))
    return tuple(wanted)


def _of(store: dict[str, dict[str, Any]], chance: Chance) -> dict[str, Any] | None:
    marked = [
        raw for raw in store.values() if "medicarche:" in f"{raw.get('description')}{raw.get('metadata')}"
    ]
    return chance.choice(marked) if marked else None


def _add_a_rule(cloud: FakeOpenStack, able: Connections, chance: Chance) -> None:
    if group := _of(cloud.neutron.security_groups, chance):
        port = chance.randint(1, 65535)
        rule = {
            "security_group_id": group["id"],
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": "tcp",
        }
        rule |= {"port_range_min": port, "port_range_max": port, "remote_ip_prefix": "0.0.0.0/0"}
        able.member.network.post("/security-group-rules", {"security_group_rule": rule})


def _remove_a_rule(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if rule := _of(cloud.neutron.security_group_rules, chance):
        del cloud.neutron.security_group_rules[rule["id"]]


def _detach_an_address(cloud: FakeOpenStack, able: Connections, chance: Chance) -> None:
    if address := _of(cloud.neutron.floatingips, chance):
        able.member.network.put(f"/floatingips/{address['id']}", {"floatingip": {"port_id": None}})


def _clear_the_gateway(cloud: FakeOpenStack, able: Connections, chance: Chance) -> None:
    for address in list(cloud.neutron.floatingips):
        able.member.network.put(f"/floatingips/{address}", {"floatingip": {"port_id": None}})
    if router := _of(cloud.neutron.routers, chance):
        able.member.network.put(f"/routers/{router['id']}", {"router": {"external_gateway_info": {}}})


def _delete_a_server(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if server := _of(cloud.nova.servers, chance):
        cloud.nova.vanish(server["id"])


def _stop_a_server(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if server := _of(cloud.nova.servers, chance):
        server["status"] = "SHUTOFF"


def _break_a_server(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if server := _of(cloud.nova.servers, chance):
        server["status"] = "ERROR"


def _rename_a_server(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if server := _of(cloud.nova.servers, chance):
        server["name"] = "by-hand"


def _change_metadata(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if server := _of(cloud.nova.servers, chance):
        server["metadata"] |= {chance.choice("pqrs"): "by hand"}


def _change_groups(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if port := _of(cloud.neutron.ports, chance):
        port["security_groups"] = chance.sample(port["security_groups"], len(port["security_groups"]) - 1)


def _add_a_role(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if user := _of(cloud.people.users, chance):
        cloud.people.grants.add(("project-demo", user["id"], f"id-{chance.choice(['admin', 'reader'])}"))


def _take_roles_away(cloud: FakeOpenStack, _able: Connections, _chance: Chance) -> None:
    cloud.people.grants.clear()


def _lock_somebody_out(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if user := _of(cloud.people.users, chance):
        user["enabled"] = False


def _change_a_quota(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    cloud.nova.quota["instances"] = chance.randint(5, 30)


def _remove_a_credential(cloud: FakeOpenStack, _able: Connections, chance: Chance) -> None:
    if credential := _of(cloud.keystone.application_credentials, chance):
        del cloud.keystone.application_credentials[credential["id"]]


DRIFT: tuple[Callable[[FakeOpenStack, Connections, Chance], None], ...] = (
    _add_a_rule, _remove_a_rule, _detach_an_address, _clear_the_gateway, _delete_a_server, _stop_a_server,
    _break_a_server, _rename_a_server, _change_metadata, _change_groups, _add_a_role, _take_roles_away,
    _lock_somebody_out, _change_a_quota, _remove_a_credential,
)  # fmt: skip


@settings(max_examples=SAMPLE, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**40))
def test_one_run_mends_it_and_the_next_is_idle(
    cloud: FakeOpenStack, able: Connections, image: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a sample
    cloud.clear()
    for number in range(2):
        wanted = _environment(chance)
        provision(able, image, wanted)
        assert plan(able, wanted).empty, f"environment {number}"
        whole = cloud.census()
        done = chance.sample(DRIFT, chance.randint(1, 5))
        for drift in done:
            drift(cloud, able, chance)
        provision(able, image, wanted)
        left = [action.id for action in plan(able, wanted).actions]
        assert not left, (number, [drift.__name__ for drift in done])
        assert cloud.census() == whole
    destroy(able)
    assert cloud.census() == {}
