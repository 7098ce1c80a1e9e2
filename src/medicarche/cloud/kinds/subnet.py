"""Neutron subnets."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.plan.resources import Kind, Network, Resource, Subnet

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connection
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["SubnetHandler"]


class SubnetHandler:
    """Subnets; those of external networks belong to an admin."""

    kind = Kind.SUBNET

    def read(self, listing: Listing) -> None:
        """Add subnets; see `medicarche.cloud.work.Handler`."""
        for raw in listing.raw["subnets"]:
            name = listing.own_name(self.kind, raw.get("description"))
            owned = name is not None
            network = listing.reference(raw["network_id"])
            if name is None:
                # the planner compares the ranges of an external network that somebody else made
                if raw["network_id"] not in listing.foreign:
                    continue
                name = str(raw["name"])
            wanted = listing.wanted.get(f"{self.kind.value}/{name}")
            pools = tuple((pool["start"], pool["end"]) for pool in raw.get("allocation_pools", ()))
            if pools == _default_pools(raw) and not (isinstance(wanted, Subnet) and wanted.pools):
                pools = ()
            subnet = Subnet(
                name=name,
                network=network,
                cidr=raw["cidr"],
                gateway=raw.get("gateway_ip"),
                dhcp=bool(raw.get("enable_dhcp")),
                pools=pools,
                dns=tuple(raw.get("dns_nameservers", ())),
            )
            in_use = any(
                address.get("subnet_id") == raw["id"]
                for port in listing.raw["ports"]
                for address in port.get("fixed_ips", ())
                if port.get("device_owner") != "network:dhcp"
            )
            listing.add(subnet, raw, owned=owned, in_use=in_use, refers=[raw["network_id"]])
        if not listing.admin:
            self._add_unseen(listing)

    def _add_unseen(self, listing: Listing) -> None:
        """Add what a member isn't told: the subnets of the external networks that it sees."""
        seen = {found.resource.address for found in listing.found}
        for wanted in listing.wanted.values():
            if not isinstance(wanted, Subnet) or wanted.address in seen or wanted.network not in seen:
                continue
            network = listing.wanted.get(wanted.network)
            if isinstance(network, Network) and network.external:
                listing.add_unseen(wanted)

    def needs_admin(self, work: Work, resource: Resource) -> bool:
        """Those of external networks."""
        return isinstance(resource, Subnet) and work.is_external(resource.network)

    def create(self, work: Work, wanted: Subnet) -> str:
        """Make a subnet."""
        body = {
            "name": wanted.name,
            "description": work.description(wanted, shared=self.needs_admin(work, wanted)),
            "network_id": work.id_of(wanted.network),
            "ip_version": 4,
            "cidr": wanted.cidr,
            **_settings(wanted),
        }
        if not wanted.pools:
            del body["allocation_pools"]
        api = self._connection(work, wanted).network
        made = create_once(
            work,
            lambda: api.post("/subnets", {"subnet": body})["subnet"],
            lambda: api.collection("/subnets", "subnets", description=body["description"]),
        )
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: Subnet) -> None:
        """Change gateway, DHCP, pools and name servers."""
        api = self._connection(work, wanted).network
        body = _settings(wanted)
        if not wanted.pools:
            del body["allocation_pools"]
        while_in_use(work, lambda: api.put(f"/subnets/{observed.id}", {"subnet": body}))

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a subnet."""
        api = self._connection(work, observed.resource).network
        while_in_use(work, lambda: api.delete(f"/subnets/{observed.id}"))

    def _connection(self, work: Work, resource: Resource) -> Connection:
        return work.admin if self.needs_admin(work, resource) else work.member


def _settings(wanted: Subnet) -> dict[str, object]:
    return {
        "gateway_ip": wanted.gateway,
        "enable_dhcp": wanted.dhcp,
        "allocation_pools": [{"start": first, "end": last} for first, last in wanted.pools],
        "dns_nameservers": list(wanted.dns),
    }


def _default_pools(raw: Raw) -> tuple[tuple[str, str], ...]:
    """Return the pools that Neutron chooses where none are asked for: all hosts but the gateway."""
    network = ipaddress.ip_network(raw["cidr"])
    first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
    ranges = [(first, last)]
    if raw.get("gateway_ip"):
        gateway = int(ipaddress.ip_address(raw["gateway_ip"]))
        ranges = [(first, gateway - 1), (gateway + 1, last)] if first <= gateway <= last else ranges
    return tuple(
        (str(ipaddress.ip_address(low)), str(ipaddress.ip_address(high)))
        for low, high in ranges
        if low <= high
    )
