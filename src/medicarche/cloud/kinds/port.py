"""Neutron ports of servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.plan.resources import Kind, Port, Resource

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing
    from medicarche.plan.model import Observed

__all__ = ["PortHandler"]


class PortHandler:
    """Ports that carry the mark."""

    kind = Kind.PORT

    def read(self, listing: Listing) -> None:
        """Add ports; see `medicarche.cloud.work.Handler`."""
        for raw in listing.raw["ports"]:
            name = listing.own_name(self.kind, raw.get("description"))
            if name is None:
                continue
            fixed = raw.get("fixed_ips", ())
            port = Port(
                name=name,
                network=listing.reference(raw["network_id"]),
                subnet=listing.reference(fixed[0]["subnet_id"] if fixed else None),
                security_groups=listing.references(raw.get("security_groups", ())),
            )
            detail = {
                "address": fixed[0]["ip_address"] if fixed else "",
                "device_id": raw.get("device_id") or "",
            }
            groups = raw.get("security_groups", ())
            refers = [raw["network_id"], *(address["subnet_id"] for address in fixed), *groups]
            listing.add(port, raw, in_use=bool(raw.get("device_id")), refers=refers, detail=detail)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: Port) -> str:
        """Make a port."""
        api = work.member.network
        body = {
            "name": wanted.name,
            "description": work.description(wanted),
            "network_id": work.id_of(wanted.network),
            "fixed_ips": [{"subnet_id": work.id_of(wanted.subnet)}],
            "security_groups": [work.id_of(group) for group in wanted.security_groups],
        }
        made = create_once(
            work,
            lambda: api.post("/ports", {"port": body})["port"],
            lambda: api.collection("/ports", "ports", description=body["description"]),
        )
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: Port) -> None:
        """Change the security groups."""
        groups = [work.id_of(group) for group in wanted.security_groups]
        work.member.network.put(f"/ports/{observed.id}", {"port": {"security_groups": groups}})

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a port."""
        while_in_use(work, lambda: work.member.network.delete(f"/ports/{observed.id}"))
