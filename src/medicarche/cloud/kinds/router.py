"""Neutron routers and their interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.calls import ApiError
from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.plan.resources import Kind, Resource, Router, RouterInterface

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connection
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["RouterHandler", "RouterInterfaceHandler"]

BAD_REQUEST, NOT_FOUND = 400, 404


class RouterHandler:
    """Routers. A fixed external address is an admin's to give; the router stays the project's."""

    kind = Kind.ROUTER

    def read(self, listing: Listing) -> None:
        """Add routers; see `medicarche.cloud.work.Handler`."""
        for raw in listing.raw["routers"]:
            name = listing.own_name(self.kind, raw.get("description"))
            if name is None:
                continue
            gateway = raw.get("external_gateway_info") or {}
            addresses = [fixed["ip_address"] for fixed in gateway.get("external_fixed_ips", ())]
            wanted = listing.wanted.get(f"{self.kind.value}/{name}")
            # where no address is asked for, Neutron's choice is no difference
            any_address = isinstance(wanted, Router) and wanted.external_address is None
            router = Router(
                name=name,
                external_network=listing.reference(gateway["network_id"]) if gateway else None,
                external_address=None if any_address or not addresses else addresses[0],
            )
            in_use = any(port.get("device_id") == raw["id"] for port in listing.raw["ports"])
            detail = {"external_addresses": " ".join(addresses)}
            listing.add(router, raw, in_use=in_use, refers=[gateway.get("network_id")], detail=detail)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's argument
        """To make or change one with a fixed external address."""
        return isinstance(resource, Router) and resource.external_address is not None

    def create(self, work: Work, wanted: Router) -> str:
        """Make a router in the member's project."""
        body: dict[str, object] = {"name": wanted.name, "description": work.description(wanted)}
        body |= _gateway(work, wanted)
        connection = self._connection(work, wanted)
        if connection is not work.member:
            body["project_id"] = work.member.project_id
        made = create_once(
            work,
            lambda: connection.network.post("/routers", {"router": body})["router"],
            lambda: work.member.network.collection("/routers", "routers", description=body["description"]),
        )
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: Router) -> None:
        """Change the way out."""
        body = _gateway(work, wanted) or {"external_gateway_info": {}}
        api = self._connection(work, wanted).network
        while_in_use(work, lambda: api.put(f"/routers/{observed.id}", {"router": body}))

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a router."""
        while_in_use(work, lambda: work.member.network.delete(f"/routers/{observed.id}"))

    def _connection(self, work: Work, resource: Resource) -> Connection:
        return work.admin if self.needs_admin(work, resource) else work.member


def _gateway(work: Work, wanted: Router) -> dict[str, object]:
    if wanted.external_network is None:
        return {}
    gateway: dict[str, object] = {"network_id": work.id_of(wanted.external_network)}
    if wanted.external_address is not None:
        gateway["external_fixed_ips"] = [{"ip_address": wanted.external_address}]
    return {"external_gateway_info": gateway}


class RouterInterfaceHandler:
    """Ports of our routers on subnets. They carry no mark of their own: they are the router's."""

    kind = Kind.ROUTER_INTERFACE

    def read(self, listing: Listing) -> None:
        """Add interfaces; see `medicarche.cloud.work.Handler`."""
        wanted = {
            (item.router, item.subnet): item.name
            for item in listing.wanted.values()
            if isinstance(item, RouterInterface)
        }
        for raw in listing.raw["ports"]:
            router = listing.reference(raw.get("device_id"))
            if not str(raw.get("device_owner", "")).startswith("network:") or not router.startswith(
                "router/"
            ):
                continue
            # Neutron doesn't let go of one by which a floating address is reached
            in_use = any(ip.get("router_id") == raw["device_id"] for ip in listing.raw["floatingips"])
            for fixed in raw.get("fixed_ips", ()):
                subnet = listing.reference(fixed["subnet_id"])
                name = wanted.get((router, subnet)) or f"{_last(router)}-{_last(subnet)}"
                listing.add(
                    RouterInterface(name=name, router=router, subnet=subnet),
                    raw,
                    in_use=in_use,
                    refers=[raw["device_id"], fixed["subnet_id"]],
                    detail={"router_id": raw["device_id"], "address": fixed["ip_address"]},
                )

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: RouterInterface) -> str:
        """Add a subnet to a router. Neutron refuses to add it twice, so that the PUT may be repeated."""
        api = work.member.network
        router, subnet = work.id_of(wanted.router), work.id_of(wanted.subnet)

        def present() -> list[Raw]:
            ports = api.collection("/ports", "ports", device_id=router)
            return [p for p in ports if any(f["subnet_id"] == subnet for f in p["fixed_ips"])]

        def add() -> Raw:
            try:
                return api.put(f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
            except ApiError as error:
                # 400: "Router already has a port on subnet", the answer to a repeated PUT
                if error.status == BAD_REQUEST and (found := present()):
                    return {"port_id": found[0]["id"]}
                raise

        made = create_once(work, add, lambda: [{"port_id": port["id"]} for port in present()])
        return str(made["port_id"])

    def update(self, work: Work, observed: Observed, wanted: RouterInterface) -> None:
        """Nothing of an interface is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a subnet from a router."""
        router = dict(observed.detail)["router_id"]

        def remove() -> None:
            try:
                work.member.network.put(
                    f"/routers/{router}/remove_router_interface", {"port_id": observed.id}
                )
            except ApiError as error:
                # a repeated PUT, or the router is gone
                if error.status != NOT_FOUND:
                    raise

        while_in_use(work, remove)


def _last(address: str) -> str:
    return address.rpartition("/")[2].removeprefix("id:")
