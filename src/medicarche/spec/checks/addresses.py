"""Address ranges, gateways, pools, routers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import TYPE_CHECKING

from medicarche.spec.checks.content import Content, Finding, host, inside
from medicarche.spec.suggest import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.spec.document import KeyPath
    from medicarche.spec.schema import NetworkModel, RouterModel, SubnetModel

__all__ = ["CHECKS"]

_SMALLEST_PREFIX = 29  # gateway, DHCP port and an instance: a /30 has no room for three
_UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "'this network' (RFC 1122)",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local, where the metadata service answers",
    IPv4Network("224.0.0.0/3"): "multicast or reserved",
}


def _subnets_distinct(content: Content) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for path, network, name, _ in content.subnets():
        if name in seen:
            yield path, f"network {seen[name]!r} has a subnet of this name too; give one of them another name"
        seen.setdefault(name, network)


def _ranges_overlap(content: Content) -> Iterator[Finding]:
    for (_, _, first, a), (path, _, _, b) in combinations(list(content.subnets()), 2):
        if IPv4Network(a.cidr).overlaps(IPv4Network(b.cidr)):
            yield (
                (*path, "cidr"),
                f"{b.cidr} overlaps with {a.cidr} of subnet {first!r}; choose another range",
            )


def _subnet_ranges(content: Content) -> Iterator[Finding]:
    for path, _, _, subnet in content.subnets():
        network = IPv4Network(subnet.cidr)
        for unusable, what in _UNUSABLE.items():
            if network.overlaps(unusable):
                yield (*path, "cidr"), f"{network} is {what}; choose a private range (RFC 1918)"
                break
        else:
            if network.prefixlen > _SMALLEST_PREFIX:
                yield (*path, "cidr"), f"{network} is too small; write a prefix length of 29 or less"
        yield from _gateway(path, network, subnet)
        yield from _pools(path, network, subnet)


def _gateway(path: KeyPath, network: IPv4Network, subnet: SubnetModel) -> Iterator[Finding]:
    if subnet.gateway is None:
        return
    if why := host(subnet.gateway, network):
        yield (*path, "gateway"), f"{why}; choose an address inside"
    for pool in subnet.pools:
        if inside(subnet.gateway, pool.first, pool.last):
            where = f"{pool.first} to {pool.last}"
            yield (*path, "gateway"), f"{subnet.gateway} is inside the pool {where}; take it out of the pool"


def _pools(path: KeyPath, network: IPv4Network, subnet: SubnetModel) -> Iterator[Finding]:
    for index, pool in enumerate(subnet.pools):
        here = (*path, "pools", index)
        for key, address in (("first", pool.first), ("last", pool.last)):
            if why := host(address, network):
                yield (*here, key), f"{why}; choose an address inside"
        if IPv4Address(pool.first) > IPv4Address(pool.last):
            yield here, f"begins at {pool.first}, behind its end {pool.last}; exchange the two"
        for other in subnet.pools[:index]:
            if inside(pool.first, other.first, other.last) or inside(other.first, pool.first, pool.last):
                yield here, f"overlaps with the pool {other.first} to {other.last}; separate the two"


def _routers(content: Content) -> Iterator[Finding]:
    joined: dict[str, str] = {}
    subnets = {name: (network, subnet) for _, network, name, subnet in content.subnets()}
    for name, router in content.file.routers.items():
        path: KeyPath = ("routers", name)
        yield from _router_outside(content, path, router)
        for index, subnet_name in enumerate(router.subnets):
            here = (*path, "subnets", index)
            if subnet_name not in content.subnet_names():
                yield (
                    here,
                    f"there is no subnet {subnet_name!r}; {one_of(subnet_name, content.subnet_names())}",
                )
                continue
            if subnet_name in joined:
                other = joined[subnet_name]
                yield here, f"router {other!r} joins this subnet already; remove one of the two"
            joined.setdefault(subnet_name, name)
            if subnet_name not in subnets:
                continue
            network, subnet = subnets[subnet_name]
            if content.file.networks[network].external:
                yield here, f"is a subnet of the external network {network!r}; name it as external_network"
            elif subnet.gateway is None:
                yield here, f"subnet {subnet_name!r} has no gateway for the router; give it one"


def _router_outside(content: Content, path: KeyPath, router: RouterModel) -> Iterator[Finding]:
    name = router.external_network
    if name is None:
        if router.external_address is not None:
            yield (*path, "external_address"), "needs external_network; add it"
        return
    if name not in content.names("networks"):
        missing = one_of(name, content.names("networks"))
        yield (*path, "external_network"), f"there is no network {name!r}; {missing}"
        return
    network = content.file.networks.get(name)
    if network is None:
        return
    if not network.external:
        yield (*path, "external_network"), f"network {name!r} is not external; write 'external: true' in it"
        return
    if router.external_address is not None and network.subnets:
        yield from _router_address((*path, "external_address"), router.external_address, name, network)


def _router_address(here: KeyPath, address: str, name: str, network: NetworkModel) -> Iterator[Finding]:
    for subnet in network.subnets.values():
        cidr = IPv4Network(subnet.cidr)
        if IPv4Address(address) not in cidr:
            continue
        if why := host(address, cidr):
            yield here, f"{why}; choose another address"
        elif address == subnet.gateway:
            yield here, f"{address} is the subnet's gateway; choose another address"
        elif not subnet.pools:
            yield here, f"{address} is in the floating pool, which is all of {cidr}; declare pools without it"
        elif any(inside(address, pool.first, pool.last) for pool in subnet.pools):
            yield here, f"{address} is in the floating pool; choose an address outside of the pools"
        return
    cidrs = ", ".join(subnet.cidr for subnet in network.subnets.values())
    yield here, f"{address} is outside of network {name!r} ({cidrs}); choose an address inside"


def _router_addresses_distinct(content: Content) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, router in content.file.routers.items():
        if router.external_address is None:
            continue
        if router.external_address in seen:
            other = seen[router.external_address]
            yield (
                ("routers", name, "external_address"),
                f"router {other!r} has this address too; choose another",
            )
        seen.setdefault(router.external_address, name)


def _floating_addresses(content: Content) -> Iterator[Finding]:
    """Check that the pools have an address for each instance that wants one."""
    wanted: dict[str, list[str]] = {}
    for name, instance in content.file.instances.items():
        network = content.file.networks.get(instance.network)
        if not instance.floating_ip or network is None:
            continue
        subnet = instance.subnet or next(iter(network.subnets), None)
        for router in content.file.routers.values():
            if subnet in router.subnets and router.external_network:
                wanted.setdefault(router.external_network, []).append(name)
    for external, names in wanted.items():
        network = content.file.networks.get(external)
        if network is None or not network.subnets:
            continue
        room = sum(_room(subnet) for subnet in network.subnets.values())
        if room < len(names):
            yield (
                ("networks", external, "subnets"),
                f"the pools have {room} addresses and {len(names)} instances want one; enlarge them",
            )


def _room(subnet: SubnetModel) -> int:
    if not subnet.pools:
        return IPv4Network(subnet.cidr).num_addresses - 2 - (subnet.gateway is not None)
    return sum(max(0, int(IPv4Address(p.last)) - int(IPv4Address(p.first)) + 1) for p in subnet.pools)


CHECKS = (
    _subnets_distinct,
    _ranges_overlap,
    _subnet_ranges,
    _routers,
    _router_addresses_distinct,
    _floating_addresses,
)
