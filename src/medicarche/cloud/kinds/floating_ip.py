"""Neutron floating IPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.plan.resources import FloatingIp, Kind, Resource

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing
    from medicarche.plan.model import Observed

__all__ = ["FloatingIpHandler"]


class FloatingIpHandler:
    """Floating IPs that carry the mark."""

    kind = Kind.FLOATING_IP

    def read(self, listing: Listing) -> None:
        """Add floating IPs; see `medicarche.cloud.work.Handler`."""
        for raw in listing.raw["floatingips"]:
            name = listing.own_name(self.kind, raw.get("description"))
            if name is None:
                continue
            port = raw.get("port_id")
            address = FloatingIp(
                name=name,
                network=listing.reference(raw["floating_network_id"]),
                port=listing.reference(port) if port else None,
            )
            detail = {
                "address": raw["floating_ip_address"],
                "private_address": raw.get("fixed_ip_address") or "",
            }
            refers = [raw["floating_network_id"], port]
            listing.add(address, raw, in_use=bool(port), refers=refers, detail=detail)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: FloatingIp) -> str:
        """Allocate an address, attached where a port is wanted, in one POST."""
        api = work.member.network
        body = {"floating_network_id": work.id_of(wanted.network), "description": work.description(wanted)}
        if wanted.port is not None:
            body["port_id"] = work.id_of(wanted.port)
        made = create_once(
            work,
            lambda: api.post("/floatingips", {"floatingip": body})["floatingip"],
            lambda: api.collection("/floatingips", "floatingips", description=body["description"]),
        )
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: FloatingIp) -> None:
        """Attach to another port, or release."""
        port = work.id_of(wanted.port) if wanted.port is not None else None
        api = work.member.network
        while_in_use(work, lambda: api.put(f"/floatingips/{observed.id}", {"floatingip": {"port_id": port}}))

    def delete(self, work: Work, observed: Observed) -> None:
        """Give the address back."""
        work.member.network.delete(f"/floatingips/{observed.id}")
