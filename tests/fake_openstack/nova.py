"""Nova: servers that take a few looks to be built and removed, flavors, key pairs, limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fake_openstack.wire import Answer, Refusal, Request, Router, new_id

if TYPE_CHECKING:
    from fake_openstack.glance import Glance
    from fake_openstack.neutron import Neutron

__all__ = ["Nova"]


def _refuse(status: int, message: str) -> Refusal:
    name = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest"}[status]
    return Refusal(status, {name: {"code": status, "message": message}})


class Nova:
    """The compute service. The addresses that it shows are a copy of Neutron's, old at times: see `heal`.

    Attributes:
        looks: how many lists of servers it takes to build or remove one.
        faults: messages of the failures of the next servers to be built.
    """

    def __init__(self, router: Router, neutron: Neutron, glance: Glance) -> None:
        self._neutron = neutron
        self._glance = glance
        self.looks = 2
        self.faults: list[str] = []
        self.max_microversion = "2.93"
        self.flavors: dict[str, dict[str, Any]] = {}
        self.access: set[tuple[str, str]] = set()
        self.key_pairs: dict[tuple[str, str], dict[str, Any]] = {}
        self.servers: dict[str, dict[str, Any]] = {}
        self.actions: dict[str, list[dict[str, Any]]] = {}
        self.quota = {"instances": 10, "cores": 20, "ram": 51200, "key_pairs": 100}
        for method, path, handler in (
            ("GET", "", self._version),
            ("GET", "/limits", self._limits),
            ("GET", "/flavors/detail", self._list_flavors),
            ("POST", "/flavors", self._create_flavor),
            ("DELETE", "/flavors/([^/]+)", self._delete_flavor),
            ("POST", "/flavors/([^/]+)/action", self._give_access),
            ("POST", "/flavors/([^/]+)/os-extra_specs", self._set_specs),
            ("DELETE", "/flavors/([^/]+)/os-extra_specs/([^/]+)", self._delete_spec),
            ("GET", "/os-keypairs", self._list_key_pairs),
            ("POST", "/os-keypairs", self._create_key_pair),
            ("DELETE", "/os-keypairs/([^/]+)", self._delete_key_pair),
            ("GET", "/servers/detail", self._list_servers),
            ("POST", "/servers", self._create_server),
            ("DELETE", "/servers/([^/]+)", self._delete_server),
            ("POST", "/servers/([^/]+)/action", self._server_action),
            ("GET", "/servers/([^/]+)/os-instance-actions", self._instance_actions),
        ):
            router.add(method, f"/compute/v2.1{path}", handler)

    def _version(self, request: Request) -> Answer:
        version = {
            "id": "v2.1",
            "status": "CURRENT",
            "version": self.max_microversion,
            "min_version": "2.1",
            "links": [{"rel": "self", "href": f"http://{request.headers['host']}/compute/v2.1/"}],
        }
        return Answer(200, {"version": version})

    def _limits(self, request: Request) -> Answer:
        used = [s for s in self.servers.values() if s["tenant_id"] == request.who.project_id]
        sizes = [self.flavors[s["flavor"]["id"]] for s in used if s["flavor"]["id"] in self.flavors]
        absolute = {
            "maxTotalInstances": self.quota["instances"],
            "maxTotalCores": self.quota["cores"],
            "maxTotalRAMSize": self.quota["ram"],
            "maxTotalKeypairs": self.quota["key_pairs"],
            "totalInstancesUsed": len(used),
            "totalCoresUsed": sum(flavor["vcpus"] for flavor in sizes),
            "totalRAMUsed": sum(flavor["ram"] for flavor in sizes),
        }
        return Answer(200, {"limits": {"rate": [], "absolute": absolute}})

    # flavors

    def _list_flavors(self, request: Request) -> Answer:
        who, version = request.who, _microversion(request)
        shown = []
        for flavor in self.flavors.values():
            public = flavor["os-flavor-access:is_public"]
            everything = who.admin and request.query.get("is_public") == "None"
            if not public and not everything and (flavor["id"], who.project_id) not in self.access:
                continue
            hidden = {"description"} if version < (2, 55) else set()
            hidden |= {"extra_specs"} if version < (2, 61) else set()
            shown.append({key: value for key, value in flavor.items() if key not in hidden})
        return Answer(200, {"flavors": shown})

    def _create_flavor(self, request: Request) -> Answer:
        self._need_admin(request)
        wanted = request.json["flavor"]
        if "description" in wanted and _microversion(request) < (2, 55):
            raise _refuse(400, "Invalid input for field/attribute flavor: description")
        if any(flavor["name"] == wanted["name"] for flavor in self.flavors.values()):
            raise _refuse(409, f"Flavor with name {wanted['name']} already exists.")
        unset = {"OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": True, "extra_specs": {}}
        flavor = {**unset, **wanted, "id": new_id(), "swap": wanted.get("swap") or ""}
        self.flavors[flavor["id"]] = flavor
        return Answer(200, {"flavor": flavor})

    def _delete_flavor(self, request: Request) -> Answer:
        self._need_admin(request)
        self._flavor(request)
        del self.flavors[request.groups[0]]
        return Answer(202)

    def _give_access(self, request: Request) -> Answer:
        self._need_admin(request)
        entry = (self._flavor(request)["id"], request.json["addTenantAccess"]["tenant"])
        if entry in self.access:
            raise _refuse(409, "Flavor access already exists for flavor and project combination.")
        self.access.add(entry)
        return Answer(200, {"flavor_access": []})

    def _set_specs(self, request: Request) -> Answer:
        self._need_admin(request)
        self._flavor(request)["extra_specs"] |= request.json["extra_specs"]
        return Answer(200, request.json)

    def _delete_spec(self, request: Request) -> Answer:
        self._need_admin(request)
        if self._flavor(request)["extra_specs"].pop(request.groups[1], None) is None:
            raise _refuse(404, f"Flavor {request.groups[0]} has no extra specs with key {request.groups[1]}.")
        return Answer(200)

    def _flavor(self, request: Request) -> dict[str, Any]:
        if request.groups[0] not in self.flavors:
            raise _refuse(404, f"Flavor {request.groups[0]} could not be found.")
        return self.flavors[request.groups[0]]

    def _need_admin(self, request: Request) -> None:
        if not request.who.admin:
            raise _refuse(403, "Policy doesn't allow this to be performed.")

    # key pairs

    def _list_key_pairs(self, request: Request) -> Answer:
        found = [
            {"keypair": pair} for (user, _), pair in self.key_pairs.items() if user == request.who.user_id
        ]
        return Answer(200, {"keypairs": found})

    def _create_key_pair(self, request: Request) -> Answer:
        wanted = request.json["keypair"]
        if re.search(r"[^A-Za-z0-9 _-]", wanted["name"]):
            raise _refuse(400, "Keypair data is invalid: name contains unsafe characters")
        key = (request.who.user_id, wanted["name"])
        if key in self.key_pairs:
            raise _refuse(409, f"Key pair '{wanted['name']}' already exists.")
        self.key_pairs[key] = {**wanted, "fingerprint": "00:11"}
        return Answer(200, {"keypair": {**self.key_pairs[key], "user_id": key[0]}})

    def _delete_key_pair(self, request: Request) -> Answer:
        if self.key_pairs.pop((request.who.user_id, request.groups[0]), None) is None:
            raise _refuse(404, f"Keypair {request.groups[0]} not found")
        return Answer(202)

    # servers

    def _list_servers(self, request: Request) -> Answer:
        for server in list(self.servers.values()):
            self._advance(server)
        found = [
            {key: value for key, value in server.items() if not key.startswith("_")}
            for server in self.servers.values()
            if server["tenant_id"] == request.who.project_id
        ]
        return Answer(200, {"servers": found})

    def _advance(self, server: dict[str, Any]) -> None:
        if server["OS-EXT-STS:task_state"] is None:
            return
        server["_looks"] -= 1
        if server["_looks"] > 0:
            return
        removed = server["OS-EXT-STS:task_state"] == "deleting"
        fault = server.get("_removal_fault") if removed else server["_fault"]
        if removed and not fault:
            self.vanish(server["id"])
            return
        server["OS-EXT-STS:task_state"] = None
        if fault:
            server |= {"status": "ERROR", "fault": {"code": 500, "message": fault, "created": ""}}
        else:
            server["status"] = "ACTIVE"
            for port in self._neutron.ports.values():
                if port["device_id"] == server["id"]:
                    port["status"] = "ACTIVE"
            self.heal()

    def vanish(self, server_id: str) -> None:
        """Forget a server, and give its ports back."""
        del self.servers[server_id]
        for port in self._neutron.ports.values():
            if port["device_id"] == server_id:
                port |= {"device_id": "", "device_owner": "", "status": "DOWN"}

    def heal(self) -> None:
        """Bring the servers' addresses up to date, as nova-compute does now and then.

        In between Nova shows what it knows, whatever Neutron did since (``_heal_instance_info_cache``).
        """
        for server in self.servers.values():
            server["addresses"] = self._addresses(server)

    def _addresses(self, server: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for port in self._neutron.ports.values():
            if port["device_id"] != server["id"]:
                continue
            entries = found.setdefault(self._neutron.networks[port["network_id"]]["name"], [])
            entries += [{"addr": f["ip_address"], "OS-EXT-IPS:type": "fixed"} for f in port["fixed_ips"]]
            entries += [
                {"addr": f["floating_ip_address"], "OS-EXT-IPS:type": "floating"}
                for f in self._neutron.floatingips.values()
                if f["port_id"] == port["id"]
            ]
        return found

    def _create_server(self, request: Request) -> Answer:
        who, wanted = request.who, request.json["server"]
        if (
            len([s for s in self.servers.values() if s["tenant_id"] == who.project_id])
            >= self.quota["instances"]
        ):
            raise _refuse(403, "Quota exceeded for instances: Requested 1, but already used all of them")
        if wanted["flavorRef"] not in self.flavors:
            raise _refuse(400, "Flavor could not be found.")
        image = self._glance.images.get(wanted["imageRef"])
        if image is None or image["status"] != "active":
            raise _refuse(400, "Image is not active.")
        if (who.user_id, wanted["key_name"]) not in self.key_pairs:
            raise _refuse(400, "Invalid key_name provided.")
        port = self._neutron.ports.get(wanted["networks"][0]["port"])
        if port is None:
            raise _refuse(400, "Port could not be found.")
        server_id = new_id()
        if port["device_id"]:
            raise _refuse(409, f"Port {port['id']} is still in use.")
        port |= {"device_id": server_id, "device_owner": "compute:nova"}
        self.servers[server_id] = {
            "id": server_id,
            "name": wanted["name"],
            "tenant_id": who.project_id,
            "status": "BUILD",
            "metadata": wanted["metadata"],
            "key_name": wanted["key_name"],
            "flavor": {"id": wanted["flavorRef"]},
            "image": {"id": wanted["imageRef"]},
            "created": "2026-01-01T00:00:00Z",
            "addresses": {},
            "OS-EXT-STS:task_state": "spawning",
            "_looks": self.looks,
            "_fault": self.faults.pop(0) if self.faults else "",
            "_user_data": wanted.get("user_data"),
        }
        self._record(request, server_id, "create")
        return Answer(202, {"server": {"id": server_id, "adminPass": "x", "links": []}})

    def _record(self, request: Request, server_id: str, action: str) -> None:
        entries = self.actions.setdefault(server_id, [])
        entries.append(
            {
                "action": action,
                "request_id": f"req-{new_id()}",
                "user_id": request.who.user_id,
                "start_time": f"2026-01-01T00:00:{len(entries):02}.000000",
                "message": None,
            }
        )

    def _server(self, request: Request) -> dict[str, Any]:
        server = self.servers.get(request.groups[0])
        if server is None or server["tenant_id"] != request.who.project_id:
            raise _refuse(404, f"Instance {request.groups[0]} could not be found.")
        return server

    def _delete_server(self, request: Request) -> Answer:
        server = self._server(request)
        server |= {"OS-EXT-STS:task_state": "deleting", "_looks": server.get("_removal", self.looks)}
        self._record(request, server["id"], "delete")
        return Answer(204)

    def _server_action(self, request: Request) -> Answer:
        server = self._server(request)
        if "os-getConsoleOutput" in request.json:
            lines = [f"{server['name']} line {number}" for number in range(5)]
            length = request.json["os-getConsoleOutput"].get("length", len(lines))
            return Answer(200, {"output": "\n".join(lines[-length:])})
        if "os-start" in request.json:
            if server["status"] != "SHUTOFF":
                raise _refuse(409, "Cannot 'start' instance while it is in vm_state active")
            server["status"] = "ACTIVE"
            self._record(request, server["id"], "start")
            return Answer(202)
        if "reboot" in request.json:
            self._record(request, server["id"], "reboot")
            return Answer(202)
        raise _refuse(400, "There is no such action")

    def _instance_actions(self, request: Request) -> Answer:
        self._server(request)
        return Answer(200, {"instanceActions": list(reversed(self.actions[request.groups[0]]))})


def _microversion(request: Request) -> tuple[int, int]:
    value = request.headers.get("openstack-api-version", "compute 2.1").split()[-1]
    major, minor = value.split(".")
    return int(major), int(minor)
