"""In which order actions can be run: dependencies, and one stable topological order.

Most follow from references: creation after what is referred to, deletion before it. The others are rules of
Neutron's, each with its reason beside it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from medicarche.plan.model import Action, Observed, Verb
from medicarche.plan.resources import (
    Domain,
    FloatingIp,
    GroupRole,
    Kind,
    Network,
    Port,
    Resource,
    Router,
    RouterInterface,
    SecurityGroupRule,
    Server,
    Subnet,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medicarche.plan.links import Links

__all__ = ["ordered"]

#: what no quota of the project counts
_UNLIMITED = {
    Kind.PROJECT, Kind.QUOTA, Kind.USER, Kind.ROLE_ASSIGNMENT, Kind.APPLICATION_CREDENTIAL,
    Kind.FLAVOR, Kind.IMAGE, Kind.DOMAIN, Kind.GROUP_ROLE,
}  # fmt: skip
_RANK = {kind: index for index, kind in enumerate(Kind)}


def ordered(
    actions: Sequence[Action],
    links: Links,
    wanted: Mapping[str, Resource],
) -> tuple[Action, ...]:
    """Give the actions their dependencies and an order that can be run.

    Args:
        actions: without dependencies.
        links: who refers to whom, of all that carry our mark.
        wanted: address → wanted resource.

    Raises:
        ValueError: the dependencies go in a circle: a mistake in this module.
    """
    after = _Dependencies(actions, links, wanted).all()
    return _sorted([replace(action, after=frozenset(after[action.id])) for action in actions])


class _Dependencies:
    def __init__(
        self,
        actions: Sequence[Action],
        links: Links,
        wanted: Mapping[str, Resource],
    ) -> None:
        self._actions = actions
        self._links = links
        self._wanted = wanted
        self._after: dict[str, set[str]] = defaultdict(set)
        self._makes: dict[str, list[Action]] = defaultdict(list)
        self._detaches: dict[str, Action] = {}
        self._updates: dict[str, Action] = {}
        self._deletes: dict[str, Action] = {}
        self._deleted: dict[Kind, list[Action]] = defaultdict(list)
        self._deleted_at: dict[str, list[Action]] = defaultdict(list)
        for action in actions:
            if action.verb is Verb.DELETE:
                observed = _observed(action)
                self._deletes[observed.id] = action
                self._deleted[action.kind].append(action)
                self._deleted_at[action.address].append(action)
            elif action.id.endswith("#detach"):
                self._detaches[_observed(action).id] = action
            else:
                self._makes[action.address].append(action)
                if action.verb is Verb.UPDATE:
                    self._updates[_observed(action).id] = action
        self._quotas = [update for update in self._updates.values() if update.kind is Kind.QUOTA]
        self._index_wanted()

    def _index_wanted(self) -> None:
        """Index the actions that make something, by what they make it for."""
        self._rules_of: dict[str, list[Action]] = defaultdict(list)
        self._subnets_of: dict[str, list[Action]] = defaultdict(list)
        self._rules_deleted: dict[tuple[object, ...], list[Action]] = defaultdict(list)
        for action in self._actions:
            match action.wanted:
                case SecurityGroupRule(group=group):
                    self._rules_of[group].append(action)
                case Subnet(network=network):
                    self._subnets_of[network].append(action)
        self._wanted_interfaces: dict[str, list[RouterInterface]] = defaultdict(list)
        for resource in self._wanted.values():
            if isinstance(resource, RouterInterface):
                self._wanted_interfaces[resource.subnet].append(resource)
        for action in self._deleted[Kind.SECURITY_GROUP_RULE]:
            rule = _observed(action).resource
            if isinstance(rule, SecurityGroupRule):
                self._rules_deleted[_content(rule)].append(action)

    def all(self) -> dict[str, set[str]]:
        """Return action's id → ids of the actions before it."""
        for action in self._actions:
            if action.verb is Verb.DELETE:
                before = self._before_delete(_observed(action))
            elif action.id.endswith("#detach"):
                before = self._before_detach(action)
            else:
                before = self._before_make(action)
            self._after[action.id] |= {b.id for b in before} - {action.id}
        return self._after

    def _before_delete(self, observed: Observed) -> Iterator[Action]:
        for referrer in self._links.referrers(observed.id):
            yield from self._letting_go(referrer)
        match observed.resource:
            case RouterInterface() | Router():
                # Neutron refuses both while a floating address is reached through them (409)
                yield from self._deleted[Kind.FLOATING_IP]
                yield from (d for d in self._detaches.values() if d.kind is Kind.FLOATING_IP)
            case GroupRole():
                # Keystone asks the directory before it takes a role away; without a domain there is none
                yield from self._deleted[Kind.DOMAIN]
            case Subnet(network=network):
                # the routers' and the floating addresses come from a subnet of the external network
                for address_holder in self._links.ours:
                    kind = address_holder.resource.kind
                    if (
                        kind in {Kind.ROUTER, Kind.FLOATING_IP}
                        and network in address_holder.resource.referred()
                    ):
                        yield from self._letting_go(address_holder)

    def _letting_go(self, referrer: Observed) -> Iterator[Action]:
        """Yield the action after which a resource no longer refers to what it did."""
        for actions in (self._deletes, self._detaches, self._updates):
            if referrer.id in actions:
                yield actions[referrer.id]
                return

    def _before_detach(self, action: Action) -> Iterator[Action]:
        if action.kind is Kind.ROUTER:
            yield from self._deleted[Kind.FLOATING_IP]

    def _before_make(self, action: Action) -> Iterator[Action]:
        wanted = action.wanted
        if wanted is None:
            raise ValueError(f"action {action.id} makes nothing")
        if action.verb is Verb.CREATE:
            yield from self._deleted_at[action.address]
            if action.kind not in _UNLIMITED:
                yield from self._quotas
        elif (detach := self._detaches.get(_observed(action).id)) is not None:
            yield detach
        for address in wanted.referred():
            yield from self._makes[address]
        yield from self._before_make_by_kind(action, wanted)

    def _before_make_by_kind(self, action: Action, wanted: Resource) -> Iterator[Action]:
        match wanted:
            case Network(external=True) if action.verb is Verb.CREATE:
                # a physical network carries one flat network
                yield from (d for d in self._deleted[Kind.NETWORK] if _is_external(d))
            case Subnet():
                yield from self._before_subnet(action, wanted)
            case Router():
                yield from self._before_router(action, wanted)
            case RouterInterface(subnet=subnet):
                # the gateway's address is given to one port only
                yield from (d for d in self._deleted[Kind.ROUTER_INTERFACE] if subnet in _referred(d))
            case SecurityGroupRule():
                # Neutron refuses a second rule of one content, whatever its description (409)
                yield from self._rules_deleted[_content(wanted)]
            case Domain() | GroupRole():
                yield from self._before_keystones(wanted)
            case Server(port=port):
                # cloud-init asks for the metadata when the server boots: the way there must be open
                yield from self._way(port)
            case FloatingIp(network=network, port=port):
                yield from self._subnets_of[network]
                yield from self._before_floating(port)

    def _before_floating(self, port: str | None) -> Iterator[Action]:
        if port is not None:
            yield from self._way(port, rules=False)
            yield from self._other_ways(port)

    def _before_keystones(self, wanted: Domain | GroupRole) -> Iterator[Action]:
        if isinstance(wanted, GroupRole):
            yield from self._makes[wanted.domain]
            return
        yield from self._makes[wanted.server]
        # which groups are ours is known by what the domain is asked for
        yield from self._deleted[Kind.GROUP_ROLE]

    def _before_subnet(self, action: Action, wanted: Subnet) -> Iterator[Action]:
        if action.verb is Verb.UPDATE:
            # Neutron refuses to change a gateway's address while a router has it (409)
            deleted = self._deleted[Kind.ROUTER_INTERFACE]
            yield from (d for d in deleted if wanted.address in _referred(d))
            return
        for deletion in self._deleted[Kind.SUBNET]:
            old = _observed(deletion).resource
            if isinstance(old, Subnet) and IPv4Network(old.cidr).overlaps(IPv4Network(wanted.cidr)):
                yield deletion

    def _before_router(self, action: Action, wanted: Router) -> Iterator[Action]:
        if wanted.external_network is not None:
            # a gateway's address comes from a subnet
            yield from self._subnets_of[wanted.external_network]
        if wanted.external_address is not None:
            for deletion in self._deleted[Kind.ROUTER]:
                old = _observed(deletion).resource
                if isinstance(old, Router) and old.external_address == wanted.external_address:
                    yield deletion
        if action.verb is Verb.UPDATE:
            yield from self._deleted[Kind.FLOATING_IP]

    def _way(self, port_address: str, *, rules: bool = True) -> Iterator[Action]:
        """Yield what makes the way to and from a port: interface, router, and the groups' rules."""
        port = self._wanted.get(port_address)
        if not isinstance(port, Port):
            return
        for interface in self._wanted_interfaces[port.subnet]:
            yield from self._makes[interface.address]
            yield from self._makes[interface.router]
        if rules:
            for group in port.security_groups:
                yield from self._rules_of[group]

    def _other_ways(self, port_address: str) -> Iterator[Action]:
        """Yield the removals of interfaces by which Neutron might reach a port, and then not let them go."""
        port = self._wanted.get(port_address)
        if isinstance(port, Port):
            yield from (d for d in self._deleted[Kind.ROUTER_INTERFACE] if port.subnet in _referred(d))


def _observed(action: Action) -> Observed:
    if action.observed is None:
        raise ValueError(f"action {action.id} has nothing observed")
    return action.observed


def _referred(action: Action) -> tuple[str, ...]:
    return _observed(action).resource.referred()


def _is_external(deletion: Action) -> bool:
    network = _observed(deletion).resource
    return isinstance(network, Network) and network.external


def _content(rule: SecurityGroupRule) -> tuple[object, ...]:
    """Return what Neutron compares to tell two rules apart."""
    everywhere = rule.remote_prefix in {"0.0.0.0/0", "::/0"}
    prefix = None if everywhere else rule.remote_prefix
    ports = (rule.port_min, rule.port_max)
    return (rule.group, rule.direction, rule.ethertype, rule.protocol, ports, prefix, rule.remote_group)


def _sorted(actions: list[Action]) -> tuple[Action, ...]:
    """Sort topologically; among those that could come next: deletions, changes, creations."""
    by_id = {action.id: action for action in actions}
    if len(by_id) < len(actions):
        raise ValueError("two actions of a plan have one id")
    waiting = {action.id: len(action.after) for action in actions}
    behind: dict[str, list[str]] = defaultdict(list)
    for action in actions:
        for before in action.after:
            behind[before].append(action.id)
    ready = [(_priority(by_id[i]), i) for i, count in waiting.items() if not count]
    heapq.heapify(ready)
    found: list[Action] = []
    while ready:
        _, action_id = heapq.heappop(ready)
        found.append(by_id[action_id])
        for follower in behind[action_id]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, (_priority(by_id[follower]), follower))
    if len(found) < len(actions):
        stuck = ", ".join(sorted(i for i, count in waiting.items() if count))
        raise ValueError(f"these actions wait for each other: {stuck}")
    return tuple(found)


def _priority(action: Action) -> tuple[int, int, str]:
    rank = _RANK[action.kind]
    if action.verb is Verb.DELETE:
        return 0, -rank, action.address
    return (1 if action.verb is Verb.UPDATE else 2), rank, action.address
