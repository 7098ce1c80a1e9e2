"""Looking at what is there: instances, their console logs, their audit trails."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medicarche.cloud.marks import METADATA_KEY, address_of, logical_name
from medicarche.errors import ConvergenceError
from medicarche.plan.resources import Kind

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connections
    from medicarche.cloud.listing import Raw

__all__ = ["AuditEntry", "InstanceState", "audit_trail", "connected_instances", "console_log", "instances"]

#: seconds for Neutron's agents to connect a running server's port, and between two looks
CONNECTED_TIMEOUT, CONNECTED_INTERVAL = 120.0, 1.0


@dataclass(frozen=True, slots=True)
class InstanceState:
    """An instance as the cloud has it.

    Attributes:
        name: its logical name.
        id: Nova's id.
        status: Nova's word: ``ACTIVE``, ``SHUTOFF``, ``ERROR``...
        private_address: on its own network, as Neutron has it; empty while it has none.
        floating_address: from the external network, as Neutron has it, or None.
        fault: what Nova says of an error, or an empty string.
        port_status: Neutron's word for its port: ``ACTIVE`` once the agent has connected and filtered it.
    """

    name: str
    id: str
    status: str
    private_address: str
    floating_address: str | None
    fault: str = ""
    port_status: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An action on a server, as Nova recorded it (``os-instance-actions``).

    Attributes:
        action: ``create``, ``reboot``, ``stop``...
        request_id: finds it in Nova's logs.
        user_id: who asked for it.
        started_at: ISO 8601, UTC.
        message: what Nova says of a failure, or an empty string.
    """

    action: str
    request_id: str
    user_id: str
    started_at: str
    message: str


def instances(connections: Connections, environment_name: str) -> tuple[InstanceState, ...]:
    """Return an environment's instances, by name; three calls, whatever their number.

    Addresses are Neutron's: those that Nova shows are a copy that it may bring up to date minutes later, or
    not before the next event of that port (nova's ``heal_instance_info_cache_interval``).

    Raises:
        CloudError: Nova or Neutron refuses or doesn't answer.
    """
    member = connections.member
    servers = member.compute.collection("/servers/detail", "servers", limit=1000)
    ports = member.network.collection("/ports", "ports", project_id=member.project_id)
    floating = member.network.collection("/floatingips", "floatingips", project_id=member.project_id)
    by_server: dict[str, list[Raw]] = defaultdict(list)
    for port in ports:
        by_server[port.get("device_id") or ""].append(port)
    # of two at one port ours comes last, and counts
    by_port = {
        raw["port_id"]: raw["floating_ip_address"]
        for raw in sorted(floating, key=lambda raw: address_of(environment_name, raw["description"]) or "")
        if raw.get("port_id")
    }
    found = []
    for raw in servers:
        address = address_of(environment_name, raw["metadata"].get(METADATA_KEY))
        name = logical_name(address, Kind.SERVER) if address else None
        if name is None:
            continue
        own = by_server[raw["id"]]
        found.append(
            InstanceState(
                name=name,
                id=raw["id"],
                status=raw["status"],
                private_address=next((ip["ip_address"] for port in own for ip in port["fixed_ips"]), ""),
                floating_address=next((by_port[port["id"]] for port in own if port["id"] in by_port), None),
                fault=(raw.get("fault") or {}).get("message", ""),
                port_status=next((port["status"] for port in own if port["status"] != "ACTIVE"), "ACTIVE"),
            )
        )
    return tuple(sorted(found, key=lambda instance: instance.name))


def connected_instances(
    connections: Connections, environment_name: str, timeout: float = CONNECTED_TIMEOUT
) -> tuple[InstanceState, ...]:
    """Return an environment's instances once the ports of those that run are connected.

    Nova may call a server ACTIVE before Neutron's agent has done its work; until then its port is DOWN, and
    with some agents (linuxbridge) it is connected already without its packet filters.

    Args:
        connections: the cloud.
        environment_name: whose mark counts as ours.
        timeout: seconds.

    Raises:
        CloudError: Nova or Neutron refuses or doesn't answer.
        ConvergenceError: a port isn't ACTIVE in its time.
    """
    deadline = connections.clock.monotonic() + timeout
    while True:
        found = instances(connections, environment_name)
        late = [f"{i.name} ({i.port_status})" for i in found if i.status == "ACTIVE" != i.port_status]
        if not late:
            return found
        if connections.clock.monotonic() >= deadline:
            raise ConvergenceError(
                f"Neutron hasn't connected the ports of: {', '.join(late)}",
                hint="are Neutron's agents alive? Their logs say why (embedded: medicarche cloud logs)",
            )
        connections.clock.sleep(CONNECTED_INTERVAL)


def console_log(connections: Connections, server_id: str, lines: int | None = None) -> str:
    """Return a server's console log, or its last lines.

    Raises:
        ApiError: there is no such server (404), or it has no console yet (409).
    """
    body = {"os-getConsoleOutput": {} if lines is None else {"length": lines}}
    path = f"/servers/{server_id}/action"
    return str(connections.member.compute.post(path, body, repeatable=True)["output"] or "")


def audit_trail(connections: Connections, server_id: str) -> tuple[AuditEntry, ...]:
    """Return the actions on a server, oldest first.

    Raises:
        ApiError: there is no such server.
    """
    path = f"/servers/{server_id}/os-instance-actions"
    entries = connections.member.compute.collection(path, "instanceActions")
    return tuple(
        AuditEntry(
            action=raw["action"],
            request_id=raw["request_id"],
            user_id=raw.get("user_id") or "",
            started_at=raw["start_time"],
            message=raw.get("message") or "",
        )
        for raw in sorted(entries, key=lambda raw: str(raw["start_time"]))
    )
