"""What relates several places of the environment file: references, address ranges, ports, sizes.

Each check is a function that yields ``(path of keys, what is wrong; what to do)``; `CHECKS` lists them. They
run on models whose form is right; the names that exist are taken from the raw document, so that an error of
form in one thing isn't followed by errors about everything that refers to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import TYPE_CHECKING, Any

from medicarche.spec.schema import ADMINISTRATORS, ANYWHERE
from medicarche.spec.suggest import one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medicarche.spec.document import KeyPath
    from medicarche.spec.schema import EnvironmentFile, InstanceModel, RouterModel, SubnetModel

__all__ = ["CHECKS", "RESERVED_PORTS", "Content", "Finding"]

Finding = tuple["KeyPath", str]

#: ports that every instance with an application serves itself
RESERVED_PORTS = {22: "SSH", 80: "the redirection to HTTPS"}

_SSH = 22
_EVERYWHERE = IPv4Network("0.0.0.0/0")
_SMALLEST_PREFIX = 29  # gateway, DHCP port and an instance: a /30 has no room for three
_UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "'this network' (RFC 1122)",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local, where the metadata service answers",
    IPv4Network("224.0.0.0/3"): "multicast or reserved",
}


@dataclass(frozen=True)
class Content:
    """The models, and the raw data for the names that are declared."""

    file: EnvironmentFile
    raw: dict[str, Any]

    def names(self, section: str) -> set[str]:
        """Return the names declared in a section, right in form or not."""
        declared = self.raw.get(section)
        return set(declared) if isinstance(declared, dict) else set()

    def subnet_names(self) -> set[str]:
        """Return the names of all subnets of all networks."""
        found: set[str] = set()
        networks = self.raw.get("networks")
        for network in networks.values() if isinstance(networks, dict) else ():
            if isinstance(network, dict) and isinstance(network.get("subnets"), dict):
                found |= set(network["subnets"])
        return found

    def subnets(self) -> Iterator[tuple[KeyPath, str, str, SubnetModel]]:
        """Yield path, network's name, subnet's name and subnet, of all subnets."""
        for network, declared in self.file.networks.items():
            for name, subnet in declared.subnets.items():
                yield ("networks", network, "subnets", name), network, name, subnet


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


def _host(address: str, network: IPv4Network) -> str:
    """Say why an address can't be a host's in a network; an empty text where it can."""
    parsed = IPv4Address(address)
    if parsed not in network:
        return f"{address} is outside of {network}"
    if parsed == network.network_address:
        return f"{address} is the address of {network} itself"
    if parsed == network.broadcast_address:
        return f"{address} is the broadcast address of {network}"
    return ""


def _inside(address: str, first: str, last: str) -> bool:
    return IPv4Address(first) <= IPv4Address(address) <= IPv4Address(last)


def _gateway(path: KeyPath, network: IPv4Network, subnet: SubnetModel) -> Iterator[Finding]:
    if subnet.gateway is None:
        return
    if why := _host(subnet.gateway, network):
        yield (*path, "gateway"), f"{why}; choose an address inside"
    for pool in subnet.pools:
        if _inside(subnet.gateway, pool.first, pool.last):
            where = f"{pool.first} to {pool.last}"
            yield (*path, "gateway"), f"{subnet.gateway} is inside the pool {where}; take it out of the pool"


def _pools(path: KeyPath, network: IPv4Network, subnet: SubnetModel) -> Iterator[Finding]:
    for index, pool in enumerate(subnet.pools):
        here = (*path, "pools", index)
        for key, address in (("first", pool.first), ("last", pool.last)):
            if why := _host(address, network):
                yield (*here, key), f"{why}; choose an address inside"
        if IPv4Address(pool.first) > IPv4Address(pool.last):
            yield here, f"begins at {pool.first}, behind its end {pool.last}; exchange the two"
        for other in subnet.pools[:index]:
            if _inside(pool.first, other.first, other.last) or _inside(other.first, pool.first, pool.last):
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
    address = router.external_address
    if address is None or not network.subnets:
        return
    here = (*path, "external_address")
    for subnet in network.subnets.values():
        cidr = IPv4Network(subnet.cidr)
        if IPv4Address(address) not in cidr:
            continue
        if why := _host(address, cidr):
            yield here, f"{why}; choose another address"
        elif address == subnet.gateway:
            yield here, f"{address} is the subnet's gateway; choose another address"
        elif not subnet.pools:
            yield here, f"{address} is in the floating pool, which is all of {cidr}; declare pools without it"
        elif any(_inside(address, pool.first, pool.last) for pool in subnet.pools):
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


def _administrators(content: Content) -> Iterator[Finding]:
    administrators = content.file.administrators
    if administrators.allow_anywhere:
        return
    for index, prefix in enumerate(administrators.prefixes):
        if IPv4Network(prefix) == _EVERYWHERE:
            yield (
                ("administrators", "prefixes", index),
                "0.0.0.0/0 opens SSH to everybody; name the administrators' networks,"
                " or write 'allow_anywhere: true' beside prefixes",
            )


def _security_groups(content: Content) -> Iterator[Finding]:
    for name, group in content.file.security_groups.items():
        path: KeyPath = ("security_groups", name)
        if name.startswith("app-") and name.removeprefix("app-") in content.names("applications"):
            yield path, "is the name of an application's own group; choose another name"
        seen: set[tuple[int, str, tuple[str, ...]]] = set()
        for index, rule in enumerate(group.ingress):
            here = (*path, "ingress", index)
            sources = (rule.sources,) if isinstance(rule.sources, str) else tuple(sorted(rule.sources))
            if (rule.port, rule.protocol, sources) in seen:
                yield (
                    here,
                    f"port {rule.port}/{rule.protocol} is opened to the same sources twice; remove one",
                )
            seen.add((rule.port, rule.protocol, sources))
            everybody = ANYWHERE in sources or str(_EVERYWHERE) in sources
            if rule.port == _SSH and everybody and not content.file.administrators.allow_anywhere:
                yield (
                    (*here, "from"),
                    "opens SSH to everybody; write administrators,"
                    " or 'allow_anywhere: true' in the section administrators",
                )


def _instances(content: Content) -> Iterator[Finding]:
    references = (("flavor", "flavors"), ("image", "images"), ("network", "networks"))
    for name, instance in content.file.instances.items():
        path: KeyPath = ("instances", name)
        for key, section in references:
            written = getattr(instance, key)
            if written not in content.names(section):
                missing = one_of(written, content.names(section))
                yield (*path, key), f"there is no {key} {written!r}; {missing}"
        for index, group in enumerate(instance.security_groups):
            here = (*path, "security_groups", index)
            if group not in content.names("security_groups"):
                missing = one_of(group, content.names("security_groups"))
                yield here, f"there is no security group {group!r}; {missing}"
            elif group in instance.security_groups[:index]:
                yield here, "is named twice; remove one"
        yield from _disk(content, path, instance)
        yield from _place(content, path, instance)


def _disk(content: Content, path: KeyPath, instance: InstanceModel) -> Iterator[Finding]:
    flavor = content.file.flavors.get(instance.flavor)
    image = content.file.images.get(instance.image)
    if flavor and image and flavor.disk_gib * 1024 < image.disk_mib:
        yield (
            (*path, "flavor"),
            f"flavor {instance.flavor!r} has a disk of {flavor.disk_gib} GiB, smaller than image"
            f" {instance.image!r} ({image.disk_mib} MiB); choose a larger flavor or a smaller image",
        )


def _place(content: Content, path: KeyPath, instance: InstanceModel) -> Iterator[Finding]:
    """Check the instance's network: its subnet, and the way out for a floating address."""
    network = content.file.networks.get(instance.network)
    if network is None:
        return
    if network.external:
        yield (*path, "network"), f"network {instance.network!r} is external; choose one that is not"
        return
    raw = content.raw["networks"][instance.network].get("subnets")
    declared = set(raw) if isinstance(raw, dict) else set()
    if not declared:
        yield (*path, "network"), f"network {instance.network!r} has no subnet; give it one"
        return
    if instance.subnet is None and len(declared) > 1:
        names = ", ".join(sorted(declared))
        yield (*path, "network"), f"has several subnets; choose one with 'subnet:' ({names})"
        return
    if instance.subnet is not None and instance.subnet not in declared:
        missing = one_of(instance.subnet, declared)
        yield (
            (*path, "subnet"),
            f"there is no subnet {instance.subnet!r} in network {instance.network!r}; {missing}",
        )
        return
    subnet = instance.subnet or next(iter(declared))
    if not instance.floating_ip or len(content.file.routers) < len(content.names("routers")):
        return
    if not any(subnet in r.subnets and r.external_network for r in content.file.routers.values()):
        yield (
            (*path, "floating_ip"),
            f"no router joins subnet {subnet!r} to an external network; add one, or write 'floating_ip: false'",
        )


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


def _applications(content: Content) -> Iterator[Finding]:
    claimed: dict[tuple[str, int], str] = {}
    for name, application in content.file.applications.items():
        path: KeyPath = ("applications", name)
        if application.instance not in content.names("instances"):
            missing = one_of(application.instance, content.names("instances"))
            yield (*path, "instance"), f"there is no instance {application.instance!r}; {missing}"
        here = (*path, "port")
        claim = (application.instance, application.port)
        if application.port in RESERVED_PORTS:
            yield here, f"{application.port} is for {RESERVED_PORTS[application.port]}; choose another port"
        elif claim in claimed:
            yield (
                here,
                f"{application.port} is claimed twice in instance {application.instance!r}: application"
                f" {claimed[claim]!r} has it too; choose another port",
            )
        claimed.setdefault(claim, name)
        for index, word in enumerate(application.egress):
            if word in application.egress[:index]:
                yield (*path, "egress", index), f"{word!r} is there twice; remove one"


def _reachable_for_deployment(content: Content) -> Iterator[Finding]:
    """Check that an instance that gets an application can be administered."""
    groups = content.file.security_groups
    if len(groups) < len(content.names("security_groups")):
        return
    for name in {a.instance: None for a in content.file.applications.values()}:
        instance = content.file.instances.get(name)
        if instance is None or any(group not in groups for group in instance.security_groups):
            continue
        rules = [rule for group in instance.security_groups for rule in groups[group].ingress]
        if not any(rule.port == _SSH and rule.protocol == "tcp" for rule in rules):
            yield (
                ("instances", name, "security_groups"),
                "none of them opens port 22, through which the application is deployed;"
                f" add {{port: 22, from: {ADMINISTRATORS}, why: administration over SSH}} to one",
            )


CHECKS: tuple[Callable[[Content], Iterator[Finding]], ...] = (
    _subnets_distinct,
    _ranges_overlap,
    _subnet_ranges,
    _routers,
    _router_addresses_distinct,
    _administrators,
    _security_groups,
    _instances,
    _floating_addresses,
    _applications,
    _reachable_for_deployment,
)
