"""What a cloud answers, call by call: asked of the fake and of a real one, so that the fake can't lie.

Each answer is reduced to what our code depends on: the status, the service's own name of an error, and the
fields that we read.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medicarche.cloud.connect import Connection, Connections

__all__ = ["answers"]

ABSENT = "00000000-0000-4000-8000-000000000000"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
#: what our code reads of each kind
FIELDS = {
    "network": {"id", "name", "description", "status", "subnets", "project_id", "router:external"},
    "subnet": {
        "id", "cidr", "gateway_ip", "enable_dhcp", "allocation_pools", "dns_nameservers", "network_id",
    },
    "router": {"id", "name", "description", "external_gateway_info", "project_id"},
    "port": {"id", "device_id", "device_owner", "fixed_ips", "security_groups", "network_id", "project_id"},
    "security_group": {"id", "name", "description", "security_group_rules", "project_id"},
    "security_group_rule": {
        "id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix",
        "remote_group_id", "security_group_id", "description",
    },
    "keypair": {"name", "public_key", "fingerprint"},
    "flavor": {
        "id", "name", "vcpus", "ram", "disk", "swap", "extra_specs", "description",
        "os-flavor-access:is_public", "OS-FLV-EXT-DATA:ephemeral",
    },
    "image": {
        "id", "name", "status", "visibility", "disk_format", "min_disk", "min_ram", "size", "created_at",
    },
    "application_credential": {"id", "name", "description", "project_id", "roles", "unrestricted"},
}  # fmt: skip


class _Asker:
    """Asks, and notes the answers under names; removes at the end what was made."""

    def __init__(self, connections: Connections, person: Connection) -> None:
        assert connections.admin is not None
        self.member, self.admin, self.person = connections.member, connections.admin, person
        self.noted: dict[str, tuple[object, ...]] = {}
        self.cleanup = contextlib.ExitStack()

    def ask(
        self,
        what: str,
        method: str,
        path: str,
        body: object = None,
        *,
        admin: bool = False,
        by: Connection | None = None,
        kind: str = "",
        **options: Any,  # noqa: ANN401 - requests' options
    ) -> dict[str, Any]:
        """Ask once, note the answer, and return its body."""
        service, _, path = path.partition(":")
        connection: Connection = by or (self.admin if admin else self.member)
        proxy = getattr(connection.sdk, service)
        answer = proxy.request(path, method, json=body, raise_exc=False, **options)
        content = answer.json() if answer.content and "json" in answer.headers.get("Content-Type", "") else {}
        told: tuple[object, ...] = (answer.status_code,)
        if answer.status_code >= 400 and service != "image":
            told = (*told, _name(content))
        elif kind:
            item = content.get(kind, content)
            item = item[0] if isinstance(item, list) else item
            told = (*told, tuple(sorted(FIELDS[kind] - set(item))))
        self.noted[what] = told
        found = content.get(kind, content) if kind else content
        return found if isinstance(found, dict) else {"items": found}

    def later(self, path: str, *, admin: bool = False) -> None:
        """Remove something at the end."""
        service, _, path = path.partition(":")
        connection = self.admin if admin else self.member
        proxy = getattr(connection.sdk, service)
        self.cleanup.callback(proxy.request, path, "DELETE", raise_exc=False)


def _name(content: dict[str, Any]) -> str:
    """Return the service's name of an error: Neutron's type, Nova's key."""
    key, inner = next(iter(content.items()), ("", {}))
    return str(inner.get("type", key)) if isinstance(inner, dict) else key


@contextlib.contextmanager
def _asking(connections: Connections, person: Connection) -> Iterator[_Asker]:
    asker = _Asker(connections, person)
    with asker.cleanup:
        yield asker


def answers(
    connections: Connections,
    limit: Callable[[str, int], contextlib.AbstractContextManager[None]],
    person: Connection,
) -> dict[str, tuple[object, ...]]:
    """Ask a cloud, and leave it as it was.

    Args:
        connections: the cloud, as a member and as an admin.
        limit: sets a quota of Neutron's for the member's project, for a while.
        person: a member with a password, no application credential; with the roles member and reader.

    Returns:
        What was asked → status, then the error's name, or the fields that we read and that were missing.
    """
    with _asking(connections, person) as asker:
        _networks(asker, limit)
        _gateways(asker)
        _groups(asker)
        _compute(asker)
        _images(asker)
        _credentials(asker)
        return asker.noted


def _networks(a: _Asker, limit: Callable[[str, int], contextlib.AbstractContextManager[None]]) -> None:
    mark = f"medicarche:contract:{uuid.uuid4()}"
    body: dict[str, Any] = {"network": {"name": "contract", "description": mark}}
    network = a.ask("network made", "POST", "network:/networks", body, kind="network")["id"]
    a.later(f"network:/networks/{network}")
    found = a.ask("network listed", "GET", "network:/networks", params={"description": mark})
    a.noted["networks of the mark"] = (len(found["networks"]),)
    a.ask("absent network removed", "DELETE", f"network:/networks/{ABSENT}")
    a.ask(
        "external network made by a member", "POST", "network:/networks",
        {"network": {"name": "contract", "router:external": True}},
    )  # fmt: skip
    subnet = {"network_id": network, "ip_version": 4, "cidr": "172.29.0.0/24", "gateway_ip": "172.29.0.1"}
    made = a.ask("subnet made", "POST", "network:/subnets", {"subnet": subnet}, kind="subnet")["id"]
    a.ask("overlapping subnet made", "POST", "network:/subnets", {"subnet": subnet})
    a.ask("absent subnet removed", "DELETE", f"network:/subnets/{ABSENT}")
    router = a.ask("router made", "POST", "network:/routers", {"router": {"name": "contract"}}, kind="router")
    path = f"network:/routers/{router['id']}"
    a.later(path)
    a.ask("interface added", "PUT", f"{path}/add_router_interface", {"subnet_id": made})
    a.ask("interface added again", "PUT", f"{path}/add_router_interface", {"subnet_id": made})
    body = {"router": {"name": "contract"}}
    other = a.ask("another router made", "POST", "network:/routers", body, kind="router")
    a.ask(
        "interface of another router added", "PUT", f"network:/routers/{other['id']}/add_router_interface",
        {"subnet_id": made},
    )  # fmt: skip
    a.ask("unused router removed", "DELETE", f"network:/routers/{other['id']}")
    a.ask("router in use removed", "DELETE", path)
    a.ask("subnet in use removed", "DELETE", f"network:/subnets/{made}")
    a.ask("network in use removed", "DELETE", f"network:/networks/{network}")
    ports = a.ask("ports", "GET", "network:/ports", kind="", params={"device_id": router["id"]})["ports"]
    gone = {"port_id": ports[0]["id"]}
    a.ask("interface's port removed", "DELETE", f"network:/ports/{ports[0]['id']}")
    a.ask("interface removed", "PUT", f"{path}/remove_router_interface", gone)
    a.ask("interface removed again", "PUT", f"{path}/remove_router_interface", gone)
    wanted: dict[str, object] = {"network_id": network, "name": "contract"}
    body = {"port": {**wanted, "fixed_ips": [{"subnet_id": made}]}}
    with limit("port", 0):
        a.ask("port over quota made", "POST", "network:/ports", body)
    port = a.ask("port made", "POST", "network:/ports", body, kind="port")["id"]
    a.ask("floating IP of an internal network", "POST", "network:/floatingips",
          {"floatingip": {"floating_network_id": network}})  # fmt: skip
    a.ask("port removed", "DELETE", f"network:/ports/{port}")
    a.ask("port removed again", "DELETE", f"network:/ports/{port}")
    a.ask("absent floating IP removed", "DELETE", f"network:/floatingips/{ABSENT}")
    a.ask("absent router removed", "DELETE", f"network:/routers/{ABSENT}")


def _gateways(a: _Asker) -> None:
    mark = f"medicarche:contract:{uuid.uuid4()}"
    body: dict[str, Any] = {"name": "contract-outside", "router:external": True, "description": mark}
    network = a.ask(
        "external network made", "POST", "network:/networks", {"network": body}, admin=True, kind="network"
    )
    a.later(f"network:/networks/{network['id']}", admin=True)
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "172.28.0.0/24", "enable_dhcp": False}
    a.ask("external subnet made", "POST", "network:/subnets", {"subnet": subnet}, admin=True, kind="subnet")
    gateway = {"network_id": network["id"], "external_fixed_ips": [{"ip_address": "172.28.0.9"}]}
    body = {"router": {"name": "contract", "external_gateway_info": gateway}}
    a.ask("gateway's address chosen by a member", "POST", "network:/routers", body)
    router = a.ask("gateway's address chosen", "POST", "network:/routers", body, admin=True, kind="router")
    a.later(f"network:/routers/{router['id']}", admin=True)
    a.ask("gateway's address chosen again", "POST", "network:/routers", body, admin=True)


def _groups(a: _Asker) -> None:
    body = {"security_group": {"name": "contract", "description": "medicarche:contract:x"}}
    group = a.ask("group made", "POST", "network:/security-groups", body, kind="security_group")
    a.later(f"network:/security-groups/{group['id']}")
    a.noted["rules of a new group"] = tuple(
        sorted((r["direction"], r["ethertype"], r["protocol"]) for r in group["security_group_rules"])
    )
    rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp", "ethertype": "IPv4"}
    rule |= {"port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "10.20.20.0/24"}
    path = "network:/security-group-rules"
    made = a.ask("rule made", "POST", path, {"security_group_rule": rule}, kind="security_group_rule")
    other = {"security_group_rule": {**rule, "description": "another"}}
    a.ask("rule made again", "POST", path, other)
    a.ask(
        "rule of an absent group",
        "POST",
        path,
        {"security_group_rule": {**rule, "security_group_id": ABSENT}},
    )
    a.ask("rule removed", "DELETE", f"{path}/{made['id']}")
    a.ask("rule removed again", "DELETE", f"{path}/{made['id']}")
    a.ask("absent group removed", "DELETE", f"network:/security-groups/{ABSENT}")


def _compute(a: _Asker) -> None:
    pair = {"keypair": {"name": "contract", "public_key": KEY}}
    a.ask("key pair made", "POST", "compute:/os-keypairs", pair, kind="keypair")
    a.ask("key pair made again", "POST", "compute:/os-keypairs", pair)
    flavor = {"name": "contract", "vcpus": 1, "ram": 64, "disk": 1, "description": "medicarche:contract:x"}
    options: dict[str, Any] = {"microversion": "2.61", "admin": True}
    made = a.ask("flavor made", "POST", "compute:/flavors", {"flavor": flavor}, kind="flavor", **options)
    a.ask("flavor made again", "POST", "compute:/flavors", {"flavor": flavor}, **options)
    a.ask("flavor made by a member", "POST", "compute:/flavors", {"flavor": flavor}, microversion="2.61")
    path = f"compute:/flavors/{made['id']}"
    specs = {"extra_specs": {"use": "web"}}
    a.ask("extra specs set", "POST", f"{path}/os-extra_specs", specs, admin=True)
    a.ask("extra spec removed", "DELETE", f"{path}/os-extra_specs/use", admin=True)
    a.ask("extra spec removed again", "DELETE", f"{path}/os-extra_specs/use", admin=True)
    server = {"name": "contract", "flavorRef": made["id"], "imageRef": ABSENT, "key_name": "contract"}
    server |= {"networks": [{"port": ABSENT}], "metadata": {}}
    a.ask("server of an absent image", "POST", "compute:/servers", {"server": server})
    absent = {"server": {**server, "flavorRef": ABSENT}}
    a.ask("server of an absent flavor", "POST", "compute:/servers", absent)
    a.ask("absent server removed", "DELETE", f"compute:/servers/{ABSENT}")
    a.ask("flavor removed", "DELETE", path, admin=True)
    a.ask("flavor removed again", "DELETE", path, admin=True)
    a.ask("key pair removed", "DELETE", "compute:/os-keypairs/contract")
    a.ask("key pair removed again", "DELETE", "compute:/os-keypairs/contract")


def _images(a: _Asker) -> None:
    image = {"name": "contract", "container_format": "bare", "disk_format": "raw", "visibility": "private"}
    image |= {"medicarche_mark": f"medicarche:contract:{uuid.uuid4()}"}
    made = a.ask("image made", "POST", "image:/images", image, kind="image")["id"]
    path = f"image:/images/{made}"
    a.ask("public image made by a member", "POST", "image:/images", {**image, "visibility": "public"})
    data: dict[str, Any] = {"data": b"data", "headers": {"Content-Type": "application/octet-stream"}}
    a.ask("image uploaded", "PUT", f"{path}/file", **data)
    a.ask("image uploaded again", "PUT", f"{path}/file", **data)
    found = a.ask("images", "GET", "image:/images", params={"medicarche_mark": image["medicarche_mark"]})
    a.noted["images of the mark"] = tuple((i["status"], i["size"]) for i in found["images"])
    headers: dict[str, Any] = {"headers": {"Content-Type": "application/openstack-images-v2.1-json-patch"}}
    a.ask("property replaced", "PATCH", path, [{"op": "add", "path": "/use", "value": "web"}], **headers)
    a.ask("absent property removed", "PATCH", path, [{"op": "remove", "path": "/absent"}], **headers)
    a.ask("image removed", "DELETE", path)
    a.ask("image removed again", "DELETE", path)


def _credentials(a: _Asker) -> None:
    path = f"identity:/users/{a.person.user_id}/application_credentials"
    secret = uuid.uuid4().hex
    wanted = {"name": f"contract-{uuid.uuid4()}", "description": "medicarche:contract:x", "secret": secret}

    def body(role: str, **more: str) -> dict[str, Any]:
        roles = [{"name": role}]
        return {"application_credential": {**wanted, **more, "roles": roles, "unrestricted": False}}

    made = a.ask("credential made", "POST", path, body("reader"), by=a.person, kind="application_credential")
    one = f"{path}/{made['id']}"
    a.noted["roles of the credential"] = tuple(sorted(role["name"] for role in made["roles"]))
    a.ask("credential made again", "POST", path, body("reader"), by=a.person)
    found = a.ask("credentials", "GET", path, by=a.person, params={"name": wanted["name"]})
    a.noted["credentials of the name"] = tuple(
        (tuple(sorted(FIELDS["application_credential"] - set(raw))), "secret" in raw)
        for raw in found["application_credentials"]
    )
    other = {"name": f"contract-{uuid.uuid4()}"}
    a.ask("credential with a role that its maker lacks", "POST", path, body("admin", **other), by=a.person)
    a.ask("credential with an absent role", "POST", path, body("absent", **other), by=a.person)
    theirs = path.replace(a.person.user_id, a.admin.user_id)
    a.ask("credential made for somebody else", "POST", theirs, body("reader", **other), by=a.person)
    headers = {"X-Auth-Token": _token(a, made["id"], secret)}
    by_it: dict[str, Any] = {"headers": headers, "authenticated": False}
    a.ask("credentials listed by one", "GET", path, by=a.person, **by_it)
    a.ask("credential made by one", "POST", path, body("reader", **other), by=a.person, **by_it)
    a.ask("credential removed by one", "DELETE", one, by=a.person, **by_it)
    a.ask("credential removed", "DELETE", one, by=a.person)
    a.ask("credential removed again", "DELETE", one, by=a.person)
    _token(a, made["id"], secret, "token by a credential that is gone")


def _token(a: _Asker, identifier: str, secret: str, what: str = "token by a credential") -> str:
    """Log in with an application credential."""
    given = {"id": identifier, "secret": secret}
    identity = {"methods": ["application_credential"], "application_credential": given}
    answer = a.person.sdk.identity.request(
        "/auth/tokens", "POST", json={"auth": {"identity": identity}}, raise_exc=False, authenticated=False
    )
    a.noted[what] = (answer.status_code,)
    return str(answer.headers.get("X-Subject-Token", ""))
