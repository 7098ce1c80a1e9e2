"""Neutron networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud import marks
from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.plan.resources import Kind, Network, Resource

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connection
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["NetworkHandler"]


class NetworkHandler:
    """Networks of the project, and external ones that carry a wanted name."""

    kind = Kind.NETWORK

    def read(self, listing: Listing) -> None:
        """Add networks; see `medicarche.cloud.work.Handler`."""
        own = {raw["id"]: self._own_name(listing, raw) for raw in listing.raw["networks"]}
        for raw in listing.raw["networks"]:
            name = own[raw["id"]]
            owned = name is not None
            external = bool(raw.get("router:external"))
            if name is None:
                if not external or not listing.wants(self.kind, raw["name"]) or raw["name"] in own.values():
                    continue
                name = str(raw["name"])
            network = Network(
                name=name, external=external, physical_network=raw.get("provider:physical_network")
            )
            listing.add(network, raw, owned=owned, in_use=bool(raw.get("subnets")))

    def _own_name(self, listing: Listing, raw: Raw) -> str | None:
        """Return the name of one of ours: others' networks may be shared with us, and an admin sees all."""
        text = raw.get("description")
        named = marks.project_of(text) is not None
        if not (named or raw.get("router:external") or raw.get("provider:physical_network")):
            owner = raw.get("project_id") or raw.get("tenant_id")
            if owner not in {None, listing.project_id}:
                return None
        return listing.own_name(self.kind, text)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's argument
        """External networks and those on a named physical network are an admin's."""
        return isinstance(resource, Network) and (resource.external or resource.physical_network is not None)

    def create(self, work: Work, wanted: Network) -> str:
        """Make a network."""
        body: dict[str, object] = {
            "name": wanted.name,
            "description": work.description(wanted, shared=self.needs_admin(work, wanted)),
        }
        if wanted.external:
            body["router:external"] = True
        if wanted.physical_network is not None:
            body |= {
                "provider:network_type": "flat",
                "provider:physical_network": wanted.physical_network,
            }
        api = self._connection(work, wanted).network
        made = create_once(
            work,
            lambda: api.post("/networks", {"network": body})["network"],
            lambda: api.collection("/networks", "networks", description=body["description"]),
        )
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: Network) -> None:
        """Nothing of a network is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a network."""
        api = self._connection(work, observed.resource).network
        while_in_use(work, lambda: api.delete(f"/networks/{observed.id}"))

    def _connection(self, work: Work, resource: Resource) -> Connection:
        # the physical network of what was observed is told to admins only, and says nothing about the owner
        admin = isinstance(resource, Network) and (resource.external or resource.physical_network is not None)
        return work.admin if admin else work.member
