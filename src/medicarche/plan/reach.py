"""Who may reach what: the reachability that follows from the declaration, port by port. Pure.

A packet is judged as Neutron judges it: at the sender's port by the address that it dials, at the receiver's
port by the address that it comes from when it arrives there, which is another one behind a router.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Literal, NamedTuple

from medicarche.plan.resources import Kind, Port, SecurityGroupRule
from medicarche.spec.listeners import listeners

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medicarche.plan.resources import Resource
    from medicarche.spec.environment import Environment

__all__ = [
    "PORTS",
    "Expected",
    "Placed",
    "Policy",
    "Protocol",
    "Span",
    "Target",
    "VantagePoint",
    "administrators_address",
    "expectation",
    "outside_address",
    "targets",
]

Protocol = Literal["tcp", "udp"]
PORTS = range(1, 65_536)
_METADATA = "169.254.169.254"
_ANYWHERE = "0.0.0.0/0"
_LOOPBACK = "127.0.0.1"


class Expected(StrEnum):
    """What a probe has to find."""

    OPEN = "open"
    #: it may pass, and nothing listens
    REFUSED = "refused"
    #: a packet filter drops it without a word
    FILTERED = "filtered"
    #: it isn't the environment's machine, which may refuse or keep silent; it must not be open
    CLOSED = "closed"


class Span(NamedTuple):
    """Ports of one protocol that have one expectation, both ends included."""

    protocol: Protocol
    first: int
    last: int
    expected: Expected


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an instance is: its addresses as the cloud has them."""

    name: str
    private: str
    floating: str | None


@dataclass(frozen=True, slots=True)
class VantagePoint:
    """From where is probed.

    Attributes:
        name: unique among the vantage points: its kind, or the instance's name.
        kind: ``outside``: an address outside of the administrators' prefixes; ``administrators``: one inside
            of them; ``router``: the router's own side of the private network; ``keystone``: the cloud's own,
            where it asks the directory; ``instance``.
        address: the source address of what is sent.
        translated: as what it is seen behind the router's floating addresses; its own where that is empty.
    """

    name: str
    kind: Literal["outside", "administrators", "router", "keystone", "instance"]
    address: str
    translated: str = ""

    def seen_by(self, target: Target) -> str:
        """Return the source address with which a packet to a target arrives there."""
        return (self.translated or self.address) if target.kind == "floating" else self.address


@dataclass(frozen=True, slots=True)
class Target:
    """What is probed: one address.

    Attributes:
        name: the instance's name; the router's; or what the address serves.
        kind: ``private`` and ``floating`` are an instance's addresses, the others aren't.
        address: IPv4.
        serves: what answers there by itself: protocol and port.
    """

    name: str
    kind: Literal["private", "floating", "router", "dns", "metadata", "packages", "elsewhere"]
    address: str
    serves: frozenset[tuple[Protocol, int]] = field(default_factory=frozenset)

    @property
    def instance(self) -> str | None:
        """The instance whose address it is."""
        return self.name if self.kind in {"private", "floating"} else None


class Policy:
    """What the declared rules let pass at each instance's port, and what listens behind it.

    Args:
        environment: as `medicarche.spec.load_environment` gives it.
        wanted: as `medicarche.plan.derive` makes it from the environment.
        addresses: instance → its private address, which the cloud has chosen: what a rule that names a group
            stands for. One that isn't known is let in nowhere.
    """

    def __init__(
        self,
        environment: Environment,
        wanted: Iterable[Resource],
        addresses: Mapping[str, str],
    ) -> None:
        resources = tuple(wanted)
        self._groups = {r.name: set(r.security_groups) for r in resources if isinstance(r, Port)}
        self._rules = tuple(r for r in resources if isinstance(r, SecurityGroupRule))
        self._addresses = addresses
        self._listening = {
            instance.name: frozenset(
                (listener.protocol, listener.port)
                for listener in listeners(environment, instance.name)
                if listener.address != _LOOPBACK
            )
            for instance in environment.instances
        }

    def rules_of(self, instance: str) -> tuple[SecurityGroupRule, ...]:
        """Return the rules at an instance's port."""
        return tuple(rule for rule in self._rules if rule.group in self._groups[instance])

    def remotes(self, rule: SecurityGroupRule) -> tuple[str, ...]:
        """Return the prefixes that a rule lets pass: its own, or the addresses of all that carry its group.

        Neutron counts a member by its private address, never by a floating one.
        """
        if rule.remote_group is None:
            return (rule.remote_prefix or _ANYWHERE,)
        members = (name for name, groups in self._groups.items() if rule.remote_group in groups)
        return tuple(sorted(f"{self._addresses[name]}/32" for name in members if name in self._addresses))

    def leaves(self, instance: str, protocol: Protocol, port: int, destination: str) -> bool:
        """Tell whether an instance may send there."""
        return self._passes(instance, "egress", protocol, port, destination)

    def enters(self, instance: str, protocol: Protocol, port: int, source: str) -> bool:
        """Tell whether an instance receives what is sent to its port from a source address."""
        return self._passes(instance, "ingress", protocol, port, source)

    def listens(self, instance: str, protocol: Protocol, port: int) -> bool:
        """Tell whether the declaration has something listen there for others."""
        return (protocol, port) in self._listening[instance]

    def _passes(self, instance: str, direction: str, protocol: Protocol, port: int, remote: str) -> bool:
        address = IPv4Address(remote)
        return any(
            rule.direction == direction
            and rule.ethertype == "IPv4"
            and rule.protocol in {None, protocol}
            and (rule.port_min is None or rule.port_min <= port <= (rule.port_max or rule.port_min))
            and any(address in IPv4Network(prefix) for prefix in self.remotes(rule))
            for rule in self.rules_of(instance)
        )

    def edges(self) -> set[int]:
        """Return the ports at which an expectation may change: where a rule or a listener begins or ends."""
        found = {1}
        for rule in self._rules:
            if rule.port_min is not None:
                found |= {rule.port_min, (rule.port_max or rule.port_min) + 1}
        for ports in self._listening.values():
            found |= {edge for _, port in ports for edge in (port, port + 1)}
        return found


def expectation(
    policy: Policy, source: VantagePoint, target: Target, udp: Iterable[int] = ()
) -> tuple[Span, ...]:
    """Return what must be found at all TCP ports of a target, and at some of its UDP ports.

    Args:
        policy: what is declared.
        source: from where.
        target: what.
        udp: the UDP ports that are probed.
    """
    edges = policy.edges() | {edge for _, port in target.serves for edge in (port, port + 1)}
    starts = sorted(edge for edge in edges if edge in PORTS)
    spans: list[Span] = []
    for first, after in zip(starts, [*starts[1:], PORTS.stop], strict=True):
        expected = _expected(policy, source, target, "tcp", first)
        if spans and spans[-1].expected is expected:
            spans[-1] = spans[-1]._replace(last=after - 1)
        else:
            spans.append(Span("tcp", first, after - 1, expected))
    spans += [Span("udp", port, port, _expected(policy, source, target, "udp", port)) for port in sorted(udp)]
    return tuple(spans)


def _expected(
    policy: Policy, source: VantagePoint, target: Target, protocol: Protocol, port: int
) -> Expected:
    if source.kind == "instance" and not policy.leaves(source.name, protocol, port, target.address):
        return Expected.FILTERED
    if target.instance is None:
        return Expected.OPEN if (protocol, port) in target.serves else Expected.CLOSED
    if not policy.enters(target.instance, protocol, port, source.seen_by(target)):
        return Expected.FILTERED
    return Expected.OPEN if policy.listens(target.instance, protocol, port) else Expected.REFUSED


def targets(
    environment: Environment,
    instances: Iterable[Placed],
    *,
    name_servers: Mapping[str, str],
    package_proxy: tuple[str, int] | None,
    elsewhere: str | None,
    api: Iterable[tuple[str, int]] = (),
) -> tuple[Target, ...]:
    """Return all addresses that are probed.

    Args:
        environment: what is declared.
        instances: as they are.
        name_servers: address → the name of the subnet that it serves.
        package_proxy: address and port, where there is one.
        elsewhere: an address that belongs to nobody of the environment, on which every port would answer.
        api: addresses and ports of the cloud's API, as far as instances may find it.
    """
    found = []
    for instance in instances:
        found.append(Target(instance.name, "private", instance.private))
        if instance.floating is not None:
            found.append(Target(instance.name, "floating", instance.floating))
    gateways = {subnet.name: subnet.gateway for network in environment.networks for subnet in network.subnets}
    for router in environment.routers:
        inside = [gateways[name] for name in router.subnets]
        found += [
            Target(router.name, "router", address)
            for address in (*inside, router.external_address)
            if address
        ]
    both: tuple[tuple[Protocol, int], ...] = (("tcp", 53), ("udp", 53))
    found += [Target(name, "dns", address, frozenset(both)) for address, name in name_servers.items()]
    found.append(Target("metadata", "metadata", _METADATA, frozenset({("tcp", 80)})))
    serving: dict[str, set[tuple[Protocol, int]]] = {}
    for address, port in (*([package_proxy] if package_proxy is not None else []), *api):
        serving.setdefault(address, set()).add(("tcp", port))
    for address, served in serving.items():
        found.append(Target("packages", "packages", address, frozenset(served)))
    if elsewhere is not None:
        found.append(Target("elsewhere", "elsewhere", elsewhere))
    return tuple(found)


def outside_address(environment: Environment) -> str | None:
    """Return an address for somebody outside: of a network for documentation (RFC 5737), no administrator's.

    None where everybody is an administrator.
    """
    inside = [IPv4Network(prefix) for prefix in environment.administrators]
    for address in ("203.0.113.1", "198.51.100.1", "192.0.2.1"):
        if not any(IPv4Address(address) in prefix for prefix in inside):
            return address
    return None


def administrators_address(environment: Environment) -> tuple[str, ...]:
    """Return one address in each of the administrators' prefixes that nothing of the environment uses."""
    subnets = [subnet for network in environment.networks for subnet in network.subnets]
    taken = {subnet.gateway for subnet in subnets} | {r.external_address for r in environment.routers}
    pools = [tuple(map(IPv4Address, pool)) for subnet in subnets for pool in subnet.pools]
    found = []
    for prefix in environment.administrators:
        # the highest ones first: pools and gateways are low, as a rule
        network = IPv4Network(prefix)
        last = int(network.broadcast_address) - (1 if network.num_addresses > 2 else 0)  # noqa: PLR2004 - RFC 3021: two addresses have no broadcast
        candidates = map(IPv4Address, range(last, int(network.network_address) - 1, -1))
        free = (a for a in candidates if str(a) not in taken and not any(x <= a <= y for x, y in pools))
        address = next(free, None)
        if address is not None:
            found.append(str(address))
    return tuple(found)


def group_name(rule: SecurityGroupRule) -> str:
    """Return the name of a rule's group."""
    return rule.group.removeprefix(f"{Kind.SECURITY_GROUP}/")
