"""Observed and wanted resources → the actions between them (design, section 3). Pure.

Identity goes by the ownership mark only, never by likeness. What is decided here is *what* is done; in which
order is decided in `medicarche.plan.ordering`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medicarche.plan.adoption import adopt
from medicarche.plan.differences import differences, on_change
from medicarche.plan.links import Links
from medicarche.plan.model import Action, FieldChange, Observed, Plan, Verb, mark
from medicarche.plan.ordering import ordered
from medicarche.plan.reasons import why_foreign, why_missing, why_removed
from medicarche.plan.resources import (
    FloatingIp,
    Kind,
    Port,
    Resource,
    Router,
    RouterInterface,
    SecurityGroupRule,
    Subnet,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["make_plan", "plan_destroy"]

_KINDS = tuple(Kind)
#: half-made for ever: a server that failed, an image whose upload was cut off
_BROKEN = {
    # who observes waits for those being built: what is in BUILD here, is stuck there
    Kind.SERVER: {"ERROR", "BUILD"},
    Kind.IMAGE: {"QUEUED", "SAVING", "UPLOADING", "IMPORTING", "KILLED"},
}
_HALF_MADE = {Kind.IMAGE}
_RUNNING = {"", "ACTIVE"}
#: an image's deletion under way: neither there nor in the way
_VANISHING = {"DELETED", "PENDING_DELETE", "SOFT_DELETED"}
#: kinds whose deletion Neutron refuses while something refers to them
_HELD = {Kind.NETWORK, Kind.SUBNET, Kind.ROUTER, Kind.SECURITY_GROUP, Kind.PORT}


def make_plan(environment_name: str, wanted: Sequence[Resource], observed: Sequence[Observed]) -> Plan:
    """Plan what leads from what was observed to what is wanted.

    Args:
        environment_name: whose marks count as ours.
        wanted: all resources of the environment; each reference must be to one of them.
        observed: the cloud's resources, ours and others; others are never touched, but for unmarked
            rules in our security groups, which are drift.

    Raises:
        ValueError: the wanted resources contradict themselves (one address twice, a dangling reference):
            a mistake of the program, not of the user.
    """
    return _Planner(environment_name, wanted, observed, "no longer wanted").plan()


def plan_destroy(environment_name: str, observed: Sequence[Observed]) -> Plan:
    """Plan the removal of everything that carries the environment's mark, and of nothing else."""
    return _Planner(environment_name, (), observed, "the environment is destroyed").plan()


class _Planner:
    """One planning; decides kind by kind, in the order in which kinds refer to each other."""

    def __init__(
        self,
        environment: str,
        wanted: Sequence[Resource],
        observed: Sequence[Observed],
        removal: str,
    ) -> None:
        self._environment = environment
        self._removal = removal
        self._wanted = _by_address(wanted)
        self._ours: dict[str, list[Observed]] = defaultdict(list)
        self._others: list[Observed] = []
        prefix = mark(environment, "")
        for item in sorted(observed, key=lambda item: (_KINDS.index(item.resource.kind), item.id)):
            if item.status.upper() in _VANISHING:
                continue
            if item.mark is not None and item.mark.startswith(prefix):
                self._ours[item.mark.removeprefix(prefix)].append(item)
            else:
                self._others.append(item)
        self._links = Links(self._ours)
        self._actions: list[Action] = []
        self._kept: dict[str, str] = {}
        self._notes: list[str] = []
        self._conflicts: list[str] = []
        self._unseen: list[str] = []
        self._replaced: set[str] = set()
        self._gone: dict[str, Observed] = {}
        self._updated: dict[str, tuple[FieldChange, ...]] = {}
        #: interfaces' subnets, and external networks, that something is taken away from
        self._unplugged: set[str] = set()
        self._disturbed: set[str] = set()

    def plan(self) -> Plan:
        """Decide everything."""
        by_kind: dict[str, list[str]] = defaultdict(list)
        for address in {*self._wanted, *self._ours}:
            by_kind[address.partition("/")[0]].append(address)
        for kind in _KINDS:
            for address in sorted(by_kind[kind.value]):
                self._decide(address)
            if kind is Kind.SECURITY_GROUP_RULE:
                self._foreign_rules()
        self._foreign_referrers()
        if self._unseen:
            self._notes.append(
                f"only an admin of the cloud sees {', '.join(self._unseen)}: not looked at, taken as given",
            )
        return Plan(
            environment=self._environment,
            actions=ordered(self._actions, self._links, self._wanted),
            kept=tuple((address, self._kept[address]) for address in sorted(self._kept, key=_creation_order)),
            notes=tuple(self._notes),
            conflicts=tuple(self._conflicts),
            begun=bool(self._ours),
        )

    def _decide(self, address: str) -> None:
        wanted = self._wanted.get(address)
        candidates = self._ours.get(address, [])
        if len(candidates) > 1:
            candidates = sorted(candidates, key=self._preference)
        if wanted is None:
            for item in candidates:
                self._delete(address, item, why_removed(item.resource, self._wanted, self._removal))
            return
        if not candidates:
            self._create_or_adopt(wanted)
            return
        kept, *duplicates = candidates
        self._links.kept[address] = kept.id
        for item in duplicates:
            why = "in use" if self._in_use(kept) and not self._in_use(item) else "kept"
            self._delete(address, item, f"carries the same mark as {kept.id}, which is {why}")
        self._compare(wanted, kept)

    def _preference(self, item: Observed) -> tuple[bool, bool, bool, bool, str, str]:
        """Order duplicates: sound, on what is kept, in use, in use by what is in use itself, oldest."""
        return (
            self._broken(item),
            any(_stale(self._links.addresses(item, field)) for field in item.resource.references),
            not self._in_use(item),
            not any(referrer.in_use for referrer in self._referrers(item)),
            item.created_at or "~",
            item.id,
        )

    def _in_use(self, item: Observed) -> bool:
        return item.in_use or bool(self._referrers(item))

    def _referrers(self, item: Observed) -> list[Observed]:
        return self._links.referrers(item.id)

    def _broken(self, item: Observed) -> bool:
        return item.status.upper() in _BROKEN.get(item.resource.kind, ())

    def _create_or_adopt(self, wanted: Resource) -> None:
        adoption = adopt(wanted, self._others, self._links.adopted)
        if adoption.note:
            self._notes.append(adoption.note)
        if adoption.conflict:
            self._conflicts.append(adoption.conflict)
        if adoption.unseen:
            self._unseen.append(wanted.address)
        if adoption.observed is not None and adoption.change:
            self._compare(wanted, adoption.observed)
        elif adoption.observed is not None:
            self._links.adopted[adoption.observed.id] = wanted.address
            self._kept[wanted.address] = adoption.observed.id
        elif adoption.create:
            reason = why_missing(wanted, self._kept)
            self._add(Action(f"create {wanted.address}", Verb.CREATE, wanted.address, wanted, reason=reason))

    def _compare(self, wanted: Resource, kept: Observed) -> None:
        address = wanted.address
        changes = differences(wanted, kept.resource, lambda value: self._links.translate(kept, value))
        if reason := self._replacement(wanted, kept, changes):
            self._replace(wanted, kept, changes, reason)
            return
        self._kept[address] = kept.id
        started = any(change.field == "running" for change in changes)
        if kept.resource.kind is Kind.SERVER and kept.status.upper() not in _RUNNING and not started:
            self._notes.append(
                f"{address} is {kept.status.upper()}: start it, or delete it and provision again"
            )
        detached = self._detached(kept, changes)
        if detached:
            self._detach(address, kept, detached)
            own = {change.field for change in changes}
            changes += tuple(
                FieldChange(field, "none", ", ".join(self._links.addresses(kept, field)))
                for field in detached
                if field not in own
            )
        if not changes:
            return
        self._updated[address] = changes
        names = ", ".join(change.field for change in changes)
        reason = (
            f"{names} attached again"
            if detached and not own
            else f"{names} differ{'s' * (len(changes) == 1)}"
        )
        self._add(Action(f"update {address}", Verb.UPDATE, address, wanted, kept, changes, reason))

    def _replacement(self, wanted: Resource, kept: Observed, changes: tuple[FieldChange, ...]) -> str:
        """Say why a resource must be replaced; an empty text where it needn't."""
        if self._broken(kept):
            half_made = kept.resource.kind in _HALF_MADE
            return f"half-made ({kept.status})" if half_made else f"in state {kept.status.upper()}"
        differing = [change.field for change in changes if on_change(wanted, change.field) == "replace"]
        if differing:
            return f"{differing[0]} differs"
        return self._replaced_along(wanted, kept)

    def _replaced_along(self, wanted: Resource, kept: Observed) -> str:
        """Say why a resource that is right in itself must be replaced: what it stands on is."""
        for field in wanted.references:
            if on_change(wanted, field) != "replace":
                continue
            for referred in self._links.addresses(kept, field):
                if referred in self._replaced:
                    return f"{referred} is replaced"
        match wanted:
            case RouterInterface(subnet=subnet):
                if any(change.field == "gateway" for change in self._updated.get(subnet, ())):
                    return f"the gateway of {subnet} changes"
            case FloatingIp(network=network) if network in self._disturbed:
                return f"a subnet of {network} is removed"
        return ""

    def _replace(
        self,
        wanted: Resource,
        kept: Observed,
        changes: tuple[FieldChange, ...],
        reason: str,
    ) -> None:
        address = wanted.address
        self._replaced.add(address)
        self._delete(address, kept, reason, replacement=True)
        self._add(
            Action(
                f"create {address}",
                Verb.CREATE,
                address,
                wanted,
                changes=changes,
                reason=reason,
                replacement=True,
            ),
        )

    def _delete(self, address: str, item: Observed, reason: str, *, replacement: bool = False) -> None:
        self._gone[item.id] = item
        match item.resource:
            case RouterInterface():
                self._unplugged |= set(self._links.addresses(item, "subnet"))
            case Subnet():
                self._disturbed |= set(self._links.addresses(item, "network"))
        self._add(
            Action(
                f"delete {address}#{item.id}",
                Verb.DELETE,
                address,
                observed=item,
                reason=reason,
                replacement=replacement,
            ),
        )

    def _detached(self, kept: Observed, changes: tuple[FieldChange, ...]) -> list[str]:
        """Return the changeable reference fields that must let go before something can be deleted."""
        found = []
        for field in kept.resource.references:
            if on_change(kept.resource, field) == "replace":
                continue
            addresses = self._links.addresses(kept, field)
            if any(address in self._replaced for address in addresses):
                found.append(field)
        match kept.resource:
            case Router(external_network=str()):
                # of two external networks on one physical network, the first must go before the second comes
                changed = any(change.field == "external_network" for change in changes)
                leaving = changed and any(i in self._gone for i in self._links.ids(kept))
                disturbed = self._disturbed & set(self._links.addresses(kept, "external_network"))
                if (leaving or disturbed) and not found:
                    found.append("external_network")
            case FloatingIp(port=str(port)) if not found:
                # Neutron keeps an interface through which a floating address is reached
                subnets = [
                    subnet
                    for item in self._ours.get(port, ())
                    if isinstance(item.resource, Port)
                    for subnet in self._links.addresses(item, "subnet")
                ]
                if self._unplugged & set(subnets):
                    found.append("port")
        return found

    def _detach(self, address: str, kept: Observed, detached: list[str]) -> None:
        emptied: dict[str, Any] = {
            field: self._links.translate(kept, getattr(kept.resource, field))
            for field in kept.resource.references
        }
        changes = []
        for field in detached:
            old = getattr(kept.resource, field)
            if isinstance(old, tuple):
                going = {a for a in old if self._links.translate(kept, a) in self._replaced}
                emptied[field] = tuple(a for a in old if a not in going)
            else:
                emptied[field] = None
            new = ", ".join(emptied[field] or ()) or "none"
            changes.append(FieldChange(field, ", ".join(self._links.addresses(kept, field)), new))
        if isinstance(kept.resource, Router) and "external_network" in detached:
            emptied["external_address"] = None
        self._add(
            Action(
                f"update {address}#detach",
                Verb.UPDATE,
                address,
                replace(kept.resource, **emptied),
                kept,
                tuple(changes),
                "detached while what it refers to is replaced",
            ),
        )

    def _foreign_rules(self) -> None:
        """Remove rules that our groups have and that aren't ours: drift that opens or closes something."""
        for item in self._others:
            rule = item.resource
            if not isinstance(rule, SecurityGroupRule) or rule.group not in self._ours:
                continue
            if self._links.ids(item) & set(self._gone):
                continue  # it goes with its group
            self._delete(rule.address, item, why_foreign(rule))

    def _foreign_referrers(self) -> None:
        """Tell of what isn't ours and holds something that is to be deleted."""
        for item in self._others:
            if (
                not item.id
                or item.id in self._gone
                or dict(item.detail).get("device_owner", "").startswith("network:")
            ):
                continue
            for held in sorted(self._links.ids(item) & set(self._gone)):
                subject = self._gone[held].resource
                if subject.kind not in _HELD or isinstance(item.resource, SecurityGroupRule):
                    continue
                who = f"{item.resource.kind.value} {item.resource.name or 'without a name'} ({item.id})"
                self._notes.append(
                    f"{who} isn't ours and uses {subject.address}, which is to be deleted:"
                    " if the cloud refuses, remove it yourself first",
                )

    def _add(self, action: Action) -> None:
        self._actions.append(action)


def _by_address(wanted: Iterable[Resource]) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for resource in wanted:
        if resource.address in found:
            raise ValueError(f"{resource.address} is wanted twice")
        found[resource.address] = resource
    for resource in found.values():
        for referred in resource.referred():
            if referred not in found:
                raise ValueError(f"{resource.address} refers to {referred}, which isn't wanted")
    return found


def _stale(addresses: tuple[str, ...]) -> bool:
    return any(address.startswith("id:") for address in addresses)


def _creation_order(address: str) -> tuple[int, str]:
    return _KINDS.index(Kind(address.partition("/")[0])), address
