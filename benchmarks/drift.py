"""What people do to a cloud by hand: each is found by the plan, and mended by the next run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from medicarche.cloud.connect import Connections

__all__ = ["DRIFT", "ENVIRONMENT", "Hands", "state"]

Raw = dict[str, Any]
HTTP = 80
#: seconds for a server to come to rest
PATIENCE = 90.0
#: what environment.yaml has besides, where drift is tried: somebody who has a role, and limits
ENVIRONMENT = """
groups: {staff: {cloud_role: member}}
people: {bench.person: {name: A Person, group: staff}}
quotas: {instances: 40, networks: 90}
"""


class Hands:
    """Somebody with an admin's and a member's rights, and no plan."""

    def __init__(self, connections: Connections) -> None:
        admin = connections.admin
        assert admin is not None
        self.member, self.admin = connections.member, admin
        self.project = connections.member.project_id

    def network(self, kind: str) -> list[Raw]:
        """Return the objects of a kind of Neutron's that the environment ``bench`` made."""
        key = kind.replace("-", "_")
        found = self.member.network.collection(f"/{kind}", key, project_id=self.project)
        return [raw for raw in found if str(raw.get("description", "")).startswith("medicarche:bench:")]

    def servers(self) -> dict[str, Raw]:
        """Return the environment's servers by the name in their mark."""
        found = self.member.compute.collection("/servers/detail", "servers")
        marks = {raw["metadata"].get("medicarche", ""): raw for raw in found}
        prefix = "medicarche:bench:server/"
        return {mark.removeprefix(prefix): raw for mark, raw in marks.items() if mark.startswith(prefix)}

    def port(self, server: str) -> Raw:
        """Return a server's port."""
        return next(
            raw for raw in self.network("ports") if raw["description"].split()[0].endswith(f"/{server}")
        )

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait for the cloud."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError("the cloud doesn't do what it was asked for")
            time.sleep(1)


def _add_a_rule(hands: Hands) -> None:
    group = hands.network("security-groups")[0]["id"]
    rule = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
    rule |= {"port_range_min": 5432, "port_range_max": 5432, "remote_ip_prefix": "0.0.0.0/0"}
    hands.member.network.post("/security-group-rules", {"security_group_rule": rule})


def _remove_a_rule(hands: Hands) -> None:
    rule = next(raw for raw in hands.network("security-group-rules") if raw["port_range_min"] == HTTP)
    hands.member.network.delete(f"/security-group-rules/{rule['id']}")


def _detach_an_address(hands: Hands) -> None:
    for raw in hands.network("floatingips"):
        # of all: Neutron keeps a gateway that addresses are reached through
        hands.member.network.put(f"/floatingips/{raw['id']}", {"floatingip": {"port_id": None}})


def _delete_a_server(hands: Hands) -> None:
    hands.member.compute.delete(f"/servers/{hands.servers()['nextcloud']['id']}")
    hands.wait(lambda: "nextcloud" not in hands.servers())


def _stop_a_server(hands: Hands) -> None:
    path = f"/servers/{hands.servers()['odoo']['id']}/action"
    hands.member.compute.post(path, {"os-stop": None}, repeatable=True)
    hands.wait(lambda: bool(hands.servers()["odoo"]["status"] == "SHUTOFF"))


def _rename_a_server(hands: Hands) -> None:
    path = f"/servers/{hands.servers()['website']['id']}"
    hands.member.compute.put(path, {"server": {"name": "web-old"}})


def _change_groups(hands: Hands) -> None:
    port = hands.port("syncthing")["id"]
    hands.member.network.put(f"/ports/{port}", {"port": {"security_groups": []}})


def _add_a_role(hands: Hands) -> None:
    users = hands.admin.identity.collection("/users", "users", name="bench.person")
    roles = hands.admin.identity.collection("/roles", "roles", name="admin")
    hands.admin.identity.put(f"/projects/{hands.project}/users/{users[0]['id']}/roles/{roles[0]['id']}")


def _change_a_quota(hands: Hands) -> None:
    hands.admin.compute.put(f"/os-quota-sets/{hands.project}", {"quota_set": {"instances": 39}})


def _clear_the_gateway(hands: Hands) -> None:
    router = hands.network("routers")[0]["id"]
    hands.member.network.put(f"/routers/{router}", {"router": {"external_gateway_info": {}}})


#: what is done, by whom, and a part of the plan's action that finds it
DRIFT: tuple[tuple[str, Callable[[Hands], None], str], ...] = (
    ("a rule added", _add_a_rule, "delete security_group_rule/"),
    ("a rule removed", _remove_a_rule, "create security_group_rule/"),
    ("a floating IP detached", _detach_an_address, "update floating_ip/website"),
    ("a server deleted", _delete_a_server, "create server/nextcloud"),
    ("a server stopped", _stop_a_server, "update server/odoo"),
    ("a server renamed", _rename_a_server, "update server/website"),
    ("its security groups changed", _change_groups, "update port/syncthing"),
    ("a role added", _add_a_role, "delete role_assignment/bench.person-admin"),
    ("a quota changed", _change_a_quota, "update quota/compute"),
    ("a router's gateway cleared", _clear_the_gateway, "update router/router"),
)


def state(hands: Hands) -> dict[str, object]:
    """Return what drift changes, as Nova, Neutron and Keystone have it, without ids."""
    groups = {raw["id"]: raw["name"] for raw in hands.network("security-groups")}
    ports = {raw["id"]: raw["description"].split()[0] for raw in hands.network("ports")}
    rules = hands.member.network.collection(
        "/security-group-rules", "security_group_rules", project_id=hands.project
    )
    users = hands.admin.identity.collection("/users", "users", name="bench.person")
    given = hands.admin.identity.collection(
        "/role_assignments", "role_assignments", include_names="true", **{"scope.project.id": hands.project}
    )
    quota = hands.admin.compute.get(f"/os-quota-sets/{hands.project}")["quota_set"]
    return {
        "rules": sorted(
            (groups[r["security_group_id"]], r["direction"], r["port_range_min"], r["remote_ip_prefix"])
            for r in rules
            if r["security_group_id"] in groups
        ),
        "addresses": sorted(
            (r["description"], ports.get(r["port_id"])) for r in hands.network("floatingips")
        ),
        "servers": sorted((key, r["name"], r["status"]) for key, r in hands.servers().items()),
        "groups": sorted(
            (r["description"], sorted(groups[g] for g in r["security_groups"]))
            for r in hands.network("ports")
        ),
        "roles": sorted(g["role"]["name"] for g in given if g.get("user", {}).get("id") == users[0]["id"]),
        "quota": quota["instances"],
        "gateways": [bool(r["external_gateway_info"]) for r in hands.network("routers")],
    }
