"""The host's loopback ports that lead into the embedded cloud: for a person's browser on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.embedded import bridge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.converge import InstanceState
    from medicarche.embedded.cloud import EmbeddedCloud
    from medicarche.spec.environment import Environment

__all__ = ["DASHBOARD", "endpoints", "local", "wanted"]

#: where Horizon answers inside the embedded cloud
DASHBOARD = ("127.0.0.1", 80)


def endpoints(environment: Environment, instances: Sequence[InstanceState]) -> dict[str, tuple[str, int]]:
    """Return application → floating address and port, of those that have one and are for people."""
    addresses = {i.name: i.floating_address for i in instances}
    found: dict[str, tuple[str, int]] = {}
    for application in environment.applications:
        address = addresses.get(application.instance)
        if address and application.traits.serves == "people":
            found[application.name] = (address, application.port)
    return found


def wanted(environment: Environment, instances: Sequence[InstanceState]) -> dict[int, tuple[str, int]]:
    """Return the host's port → where it leads: each application's own port, or the next free one."""
    ports: dict[int, tuple[str, int]] = {}
    for endpoint in endpoints(environment, instances).values():
        port = endpoint[1]
        while port in ports:
            port += 1
        ports[port] = endpoint
    return ports


def local(embedded: EmbeddedCloud) -> Mapping[tuple[str, int], tuple[str, int]]:
    """Return address and port inside → address and port on this machine, as the bridge has them now."""
    forwards = bridge.state(embedded.folder).get("forwards", ())
    return {tuple(f["connect"]): tuple(f["got"]) for f in forwards if f.get("got")}
