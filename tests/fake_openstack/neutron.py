"""Neutron: networks to floating IPs, with its conflicts, rights and quotas."""

from __future__ import annotations

import ipaddress
from typing import Any

from fake_openstack.wire import Answer, Caller, Refusal, Request, Router, new_id

__all__ = ["Neutron"]

Raw = dict[str, Any]
EXTENSIONS = [
    "router",
    "external-net",
    "security-group",
    "standard-attr-description",
    "quotas",
    "quota_details",
]
COLLECTIONS = {
    "networks": "network",
    "subnets": "subnet",
    "routers": "router",
    "ports": "port",
    "security-groups": "security_group",
    "security-group-rules": "security_group_rule",
    "floatingips": "floatingip",
}

#: as Neutron's exceptions of absent objects begin
NAMES = {
    "networks": "Network",
    "subnets": "Subnet",
    "routers": "Router",
    "ports": "Port",
    "security-groups": "SecurityGroup",
    "security-group-rules": "SecurityGroupRule",
    "floatingips": "FloatingIP",
}


def _refuse(status: int, code: str, message: str) -> Refusal:
    return Refusal(status, {"NeutronError": {"type": code, "message": message, "detail": ""}})


def _taken(address: str, subnet: Raw) -> Refusal:
    message = f"IP address {address} already allocated in subnet {subnet['id']}"
    return _refuse(409, "IpAddressAlreadyAllocated", message)


class Neutron:
    """The network service."""

    def __init__(self, router: Router) -> None:
        self.networks: dict[str, Raw] = {}
        self.subnets: dict[str, Raw] = {}
        self.routers: dict[str, Raw] = {}
        self.ports: dict[str, Raw] = {}
        self.security_groups: dict[str, Raw] = {}
        self.security_group_rules: dict[str, Raw] = {}
        self.floatingips: dict[str, Raw] = {}
        self.quota = {
            "network": 100, "subnet": 100, "router": 10, "port": 500,
            "security_group": 10, "security_group_rule": 100, "floatingip": 50,
        }  # fmt: skip
        self.extensions = list(EXTENSIONS)
        router.add("GET", "/network", self._versions)
        router.add("GET", "/network/v2.0/extensions", self._extensions)
        router.add("GET", "/network/v2.0/quotas/([^/]+)(/details.json)?", self._quotas)
        router.add("PUT", "/network/v2.0/routers/([^/]+)/add_router_interface", self._add_interface)
        router.add("PUT", "/network/v2.0/routers/([^/]+)/remove_router_interface", self._remove_interface)
        for path, key in COLLECTIONS.items():
            router.add("GET", f"/network/v2.0/({path})", self._list)
            router.add("POST", f"/network/v2.0/({path})", getattr(self, f"_create_{key}"))
            router.add("PUT", f"/network/v2.0/({path})/([^/]+)", self._update)
            router.add("DELETE", f"/network/v2.0/({path})/([^/]+)", self._delete)

    def store(self, path: str) -> dict[str, Raw]:
        """Return the objects behind a collection's path."""
        found: dict[str, Raw] = getattr(self, path.replace("-", "_"))
        return found

    def _versions(self, request: Request) -> Answer:
        links = [{"rel": "self", "href": f"http://{request.headers['host']}/network/v2.0/"}]
        return Answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})

    def _extensions(self, _request: Request) -> Answer:
        return Answer(200, {"extensions": [{"alias": alias, "name": alias} for alias in self.extensions]})

    def _quotas(self, request: Request) -> Answer:
        project = request.groups[0]
        if not request.path.endswith("details.json"):
            return Answer(200, {"quota": self.quota})
        if "quota_details" not in self.extensions:
            raise _refuse(404, "HTTPNotFound", "The resource could not be found.")
        counts = {key: self._used(path, project) for path, key in COLLECTIONS.items()}
        quota = {key: {"limit": self.quota[key], "used": counts[key], "reserved": 0} for key in counts}
        return Answer(200, {"quota": quota})

    def _used(self, path: str, project: str) -> int:
        return sum(item["project_id"] == project for item in self.store(path).values())

    def _visible(self, who: Caller, item: Raw) -> bool:
        return who.admin or item["project_id"] == who.project_id or bool(item.get("router:external"))

    def _list(self, request: Request) -> Answer:
        path = request.groups[0]
        query = {key: value for key, value in request.query.items() if key not in {"fields", "limit"}}
        found = [
            self._shown(path, item)
            for item in self.store(path).values()
            if self._visible(request.who, item)
            and all(
                str(item.get(key) if item.get(key) is not None else "") == value
                for key, value in query.items()
            )
        ]
        return Answer(200, {path.replace("-", "_"): found})

    def _shown(self, path: str, item: Raw) -> Raw:
        if path == "security-groups":
            rules = [r for r in self.security_group_rules.values() if r["security_group_id"] == item["id"]]
            return {**item, "security_group_rules": rules}
        if path == "networks":
            return {
                **item,
                "subnets": [s["id"] for s in self.subnets.values() if s["network_id"] == item["id"]],
            }
        return item

    def _new(self, request: Request, path: str, defaults: Raw) -> Raw:
        who, key = request.who, COLLECTIONS[path]
        wanted = request.json[key]
        project = wanted.get("project_id", who.project_id)
        if project != who.project_id and not who.admin:
            raise _refuse(403, "PolicyNotAuthorized", "rule:create is disallowed by policy")
        if self._used(path, project) >= self.quota[key]:
            raise _refuse(409, "OverQuota", f"Quota exceeded for resources: ['{key}'].")
        return {
            "name": "",
            "description": "",
            "status": "ACTIVE",
            **defaults,
            **wanted,
            "id": new_id(),
            "project_id": project,
            "created_at": "2026-01-01T00:00:00Z",
        }

    def _keep(self, path: str, item: Raw) -> Answer:
        self.store(path)[item["id"]] = item
        return Answer(201, {COLLECTIONS[path]: self._shown(path, item)})

    def _create_network(self, request: Request) -> Answer:
        wanted = request.json["network"]
        special = wanted.get("router:external") or "provider:physical_network" in wanted
        if special and not request.who.admin:
            raise _refuse(
                403, "PolicyNotAuthorized", "rule:create_network:router:external is disallowed by policy"
            )
        physical = wanted.get("provider:physical_network")
        if physical and any(n.get("provider:physical_network") == physical for n in self.networks.values()):
            raise _refuse(409, "FlatNetworkInUse", f"Flat network on {physical} is in use")
        return self._keep("networks", self._new(request, "networks", {"router:external": False}))

    def _create_subnet(self, request: Request) -> Answer:
        subnet = self._new(request, "subnets", {"enable_dhcp": True, "dns_nameservers": []})
        network = self.networks.get(subnet["network_id"])
        if network is None or not self._visible(request.who, network):
            raise _refuse(404, "NetworkNotFound", "Network could not be found.")
        if network["project_id"] != request.who.project_id and not request.who.admin:
            raise _refuse(403, "PolicyNotAuthorized", "rule:create_subnet is disallowed by policy")
        cidr = ipaddress.ip_network(subnet["cidr"])
        subnet.setdefault("gateway_ip", str(cidr[1]))
        for other in self.subnets.values():
            if other["network_id"] == network["id"] and ipaddress.ip_network(other["cidr"]).overlaps(cidr):
                raise _refuse(400, "InvalidInput", "Requested subnet overlaps with another subnet")
        if "allocation_pools" not in subnet:
            subnet["allocation_pools"] = _pools(subnet)
        answer = self._keep("subnets", subnet)
        if subnet["enable_dhcp"]:
            self._port(network, subnet, "network:dhcp", "dhcp-agent")
        return answer

    def _create_router(self, request: Request) -> Answer:
        router = self._new(request, "routers", {"external_gateway_info": None})
        router["external_gateway_info"] = self._gateway(request, router["external_gateway_info"])
        return self._keep("routers", router)

    def _gateway(self, request: Request, wanted: Raw | None, but: str = "") -> Raw | None:
        if not wanted:
            return None
        if wanted.get("external_fixed_ips") and not request.who.admin:
            rule = "rule:create_router:external_gateway_info:external_fixed_ips"
            raise _refuse(403, "PolicyNotAuthorized", f"{rule} is disallowed by policy")
        subnet = next((s for s in self.subnets.values() if s["network_id"] == wanted["network_id"]), None)
        if subnet is None:
            raise _refuse(400, "BadRequest", "No subnet on the external network")
        fixed = (wanted.get("external_fixed_ips") or [{}])[0]
        address = fixed.get("ip_address") or self._free(subnet)
        holders = [r["external_gateway_info"] for r in self.routers.values() if r["id"] != but]
        if any(f["ip_address"] == address for info in holders if info for f in info["external_fixed_ips"]):
            raise _taken(address, subnet)
        fixed_ips = [{"subnet_id": subnet["id"], "ip_address": address}]
        return {"network_id": wanted["network_id"], "external_fixed_ips": fixed_ips, "enable_snat": True}

    def _router(self, request: Request) -> Raw:
        router = self.routers.get(request.groups[0])
        if router is None or not self._visible(request.who, router):
            raise _refuse(404, "RouterNotFound", "Router could not be found.")
        return router

    def _add_interface(self, request: Request) -> Answer:
        router = self._router(request)
        subnet = self.subnets[request.json["subnet_id"]]
        for port in self._interfaces(router["id"]):
            if port["fixed_ips"][0]["subnet_id"] == subnet["id"]:
                raise _refuse(400, "BadRequest", "Bad router request: Router already has a port on subnet")
        network = self.networks[subnet["network_id"]]
        if any(
            f["ip_address"] == subnet["gateway_ip"]
            for p in self.ports.values()
            for f in p["fixed_ips"]
            if f["subnet_id"] == subnet["id"]
        ):
            raise _taken(subnet["gateway_ip"], subnet)
        port = self._port(
            network, subnet, "network:router_interface", router["id"], address=subnet["gateway_ip"]
        )
        return Answer(200, {"id": router["id"], "port_id": port["id"], "subnet_id": subnet["id"]})

    def _interfaces(self, router_id: str) -> list[Raw]:
        return [p for p in self.ports.values() if p["device_id"] == router_id]

    def _remove_interface(self, request: Request) -> Answer:
        router = self._router(request)
        port = self.ports.get(request.json["port_id"])
        if port is None:
            raise _refuse(404, "RouterInterfaceNotFound", "Router does not have an interface with this id")
        if any(f["router_id"] == router["id"] for f in self.floatingips.values()):
            raise _refuse(
                409, "RouterInterfaceInUseByFloatingIP", "Router interface is required by a floating IP"
            )
        del self.ports[port["id"]]
        return Answer(200, {"id": router["id"]})

    def _port(self, network: Raw, subnet: Raw, owner: str, device: str, address: str | None = None) -> Raw:
        port = {
            "id": new_id(),
            "name": "",
            "description": "",
            "project_id": network["project_id"],
            "network_id": network["id"],
            "device_owner": owner,
            "device_id": device,
            "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": address or self._free(subnet)}],
            "security_groups": [],
            "status": "ACTIVE",
            "created_at": "2026-01-01T00:00:00Z",
        }
        self.ports[port["id"]] = port
        return port

    def _create_port(self, request: Request) -> Answer:
        unset: Raw = {"device_id": "", "device_owner": "", "status": "DOWN", "security_groups": []}
        port = self._new(request, "ports", unset)
        for fixed in port["fixed_ips"]:
            fixed["ip_address"] = self._free(self.subnets[fixed["subnet_id"]])
        return self._keep("ports", port)

    def _create_security_group(self, request: Request) -> Answer:
        group = self._new(request, "security-groups", {})
        self.security_groups[group["id"]] = group
        for ethertype in ("IPv4", "IPv6"):
            rule = {**_RULE, "ethertype": ethertype, "direction": "egress", "security_group_id": group["id"]}
            rule |= {"id": new_id(), "project_id": group["project_id"], "description": None}
            self.security_group_rules[rule["id"]] = rule
        return self._keep("security-groups", group)

    def _create_security_group_rule(self, request: Request) -> Answer:
        rule = self._new(request, "security-group-rules", _RULE)
        if rule["security_group_id"] not in self.security_groups:
            raise _refuse(404, "SecurityGroupNotFound", "Security group does not exist")
        for other in self.security_group_rules.values():
            if all(other[key] == rule[key] for key in (*_RULE, "direction", "security_group_id")):
                raise _refuse(
                    409, "SecurityGroupRuleExists", f"Rule already exists. Rule id is {other['id']}."
                )
        return self._keep("security-group-rules", rule)

    def _create_floatingip(self, request: Request) -> Answer:
        address = self._new(request, "floatingips", {"port_id": None, "status": "DOWN"})
        network = self.networks.get(address["floating_network_id"], {})
        if not network.get("router:external"):
            raise _refuse(
                400, "BadRequest", "Bad floatingip request: Network is not a valid external network."
            )
        subnet = next(s for s in self.subnets.values() if s["network_id"] == address["floating_network_id"])
        address["floating_ip_address"] = self._free(subnet)
        self._associate(address)
        return self._keep("floatingips", address)

    def _associate(self, address: Raw) -> None:
        address |= {"fixed_ip_address": None, "router_id": None}
        if address["port_id"] is None:
            return
        port = self.ports[address["port_id"]]
        fixed = port["fixed_ips"][0]
        for router in self.routers.values():
            gateway = router["external_gateway_info"] or {}
            reached = [f["subnet_id"] for p in self._interfaces(router["id"]) for f in p["fixed_ips"]]
            if gateway.get("network_id") == address["floating_network_id"] and fixed["subnet_id"] in reached:
                address |= {"fixed_ip_address": fixed["ip_address"], "router_id": router["id"]}
                return
        raise _refuse(
            404, "ExternalGatewayForFloatingIPNotFound", "External network is not reachable from subnet"
        )

    def _item(self, request: Request) -> Raw:
        path, identifier = request.groups
        item = self.store(path).get(identifier)
        if item is None or not self._visible(request.who, item):
            raise _refuse(404, f"{NAMES[path]}NotFound", f"{path} {identifier} could not be found.")
        if item["project_id"] != request.who.project_id and not request.who.admin:
            raise _refuse(403, "PolicyNotAuthorized", "disallowed by policy")
        return item

    def _update(self, request: Request) -> Answer:
        item, path = self._item(request), request.groups[0]
        changes = dict(request.json[COLLECTIONS[path]])
        if "external_gateway_info" in changes:
            changes["external_gateway_info"] = self._gateway(
                request, changes["external_gateway_info"], item["id"]
            )
        item |= changes
        if path == "floatingips":
            self._associate(item)
        return Answer(200, {COLLECTIONS[path]: item})

    def _delete(self, request: Request) -> Answer:
        item, path = self._item(request), request.groups[0]
        getattr(self, f"_release_{COLLECTIONS[path]}", lambda _item: None)(item)
        del self.store(path)[item["id"]]
        return Answer(204)

    def _release_network(self, network: Raw) -> None:
        for port in list(self.ports.values()):
            if port["network_id"] == network["id"] and port["device_owner"] != "network:dhcp":
                raise _refuse(409, "NetworkInUse", "There are one or more ports still in use on the network")
        self._drop(self.ports, "network_id", network["id"])
        self._drop(self.subnets, "network_id", network["id"])

    def _release_port(self, port: Raw) -> None:
        if port["device_owner"] in {"network:router_interface", "network:router_gateway"}:
            raise _refuse(
                409, "ServicePortInUse", f"Port {port['id']} cannot be deleted directly via the port API"
            )

    def _release_subnet(self, subnet: Raw) -> None:
        holders = [p for p in self.ports.values() if p["fixed_ips"][0]["subnet_id"] == subnet["id"]]
        if any(port["device_owner"] != "network:dhcp" for port in holders):
            raise _refuse(409, "SubnetInUse", "One or more ports have an IP allocation from this subnet")
        for port in holders:
            del self.ports[port["id"]]

    def _release_router(self, router: Raw) -> None:
        if self._interfaces(router["id"]):
            raise _refuse(409, "RouterInUse", "Router still has ports")

    def _release_security_group(self, group: Raw) -> None:
        if any(group["id"] in port["security_groups"] for port in self.ports.values()):
            raise _refuse(409, "SecurityGroupInUse", "Security Group in use.")
        self._drop(self.security_group_rules, "security_group_id", group["id"])

    @staticmethod
    def _drop(store: dict[str, Raw], key: str, value: str) -> None:
        for item in list(store.values()):
            if item[key] == value:
                del store[item["id"]]

    def _free(self, subnet: Raw) -> str:
        taken = {
            f["ip_address"] for port in self.ports.values() for f in port["fixed_ips"] if "ip_address" in f
        }
        taken |= {address["floating_ip_address"] for address in self.floatingips.values()}
        for pool in subnet["allocation_pools"]:
            first, last = (int(ipaddress.ip_address(pool[end])) for end in ("start", "end"))
            for number in range(first, last + 1):
                if (address := str(ipaddress.ip_address(number))) not in taken:
                    return address
        raise _refuse(409, "IpAddressGenerationFailure", "No more IP addresses available on network")


_RULE: Raw = {
    "ethertype": "IPv4",
    "protocol": None,
    "port_range_min": None,
    "port_range_max": None,
    "remote_ip_prefix": None,
    "remote_group_id": None,
}


def _pools(subnet: Raw) -> list[Raw]:
    hosts = list(ipaddress.ip_network(subnet["cidr"]).hosts())
    first, last = hosts[0], hosts[-1]
    if subnet.get("gateway_ip") == str(first):
        first = hosts[1]
    return [{"start": str(first), "end": str(last)}]
