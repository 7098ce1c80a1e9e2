"""What an administrator of the cloud made, without our mark, and what we use of it.

Flavors, external networks and public images are the cloud's as much as ours: where one of the wanted name is
there already, it is used as it is and never changed or deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from medicarche.plan.differences import differences
from medicarche.plan.resources import Flavor, Image, Kind, Network, Subnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medicarche.plan.model import Observed
    from medicarche.plan.resources import Resource

__all__ = ["READ_ONLY", "UNSEEN", "Adoption", "adopt"]

#: states of what was observed: it isn't known whether it is there; it can be looked at, and not changed
UNSEEN, READ_ONLY = "UNSEEN", "READ-ONLY"

_KEYSTONES = {
    Kind.PROJECT, Kind.QUOTA, Kind.USER, Kind.ROLE_ASSIGNMENT, Kind.DOMAIN, Kind.GROUP_ROLE,
}  # fmt: skip
_SEEN_BY_ALL = {"public", "community", "shared"}


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was found for a wanted resource that carries no mark of ours.

    Attributes:
        observed: what is used instead of making one.
        create: make one of our own.
        note: what the user should know.
        conflict: why it can't be made.
        change: it is always there: what differs is changed in place, mark or no mark.
        unseen: only an admin would see whether it is there: taken as given.
    """

    observed: Observed | None = None
    create: bool = True
    note: str = ""
    conflict: str = ""
    change: bool = False
    unseen: bool = False


def adopt(wanted: Resource, others: Iterable[Observed], adopted: Mapping[str, str]) -> Adoption:
    """Look among what isn't ours for something that serves.

    Args:
        wanted: the resource that is missing.
        others: what was observed and isn't ours.
        adopted: the cloud's id → address, of what was adopted so far.
    """
    if wanted.kind in _KEYSTONES:
        return _keystones(wanted, next(iter(_named(wanted, others)), None))
    match wanted:
        case Flavor():
            return _flavor(wanted, others)
        case Image():
            return _image(wanted, others)
        case Network(external=True):
            return _external_network(wanted, others)
        case Subnet():
            return _subnet(wanted, others, adopted)
    return Adoption()


def _named(wanted: Resource, others: Iterable[Observed]) -> list[Observed]:
    found = [o for o in others if o.resource.kind is wanted.kind and o.resource.name == wanted.name]
    return sorted(found, key=lambda o: (o.created_at or "~", o.id))


def _used(wanted: Resource, found: Observed) -> Adoption:
    return Adoption(
        found, create=False, note=f"{wanted.address} is the cloud's own ({found.id}): used, not changed"
    )


def _keystones(wanted: Resource, found: Observed | None) -> Adoption:
    """Take the project and its limits as they are there without us; never an account of somebody else's."""
    if found is not None and found.status == UNSEEN:
        return Adoption(create=False, unseen=True)
    if wanted.kind is Kind.QUOTA:
        return _quota(wanted, found)
    if wanted.kind is Kind.PROJECT:
        return Adoption(found, create=False)
    if wanted.kind is Kind.USER and found is not None:
        return Adoption(
            create=False,
            conflict=f"{wanted.address} is in the cloud already ({found.id}) and isn't ours: its password and"
            " its rights are somebody else's; write another login into the environment file",
        )
    if wanted.kind is Kind.DOMAIN and found is not None:
        return Adoption(
            create=False,
            conflict=f"{wanted.address} is in the cloud already ({found.id}) and isn't ours: the people of"
            " another directory; give the environment another name, or take 'directory.cloud_groups' away",
        )
    return Adoption()


def _quota(wanted: Resource, found: Observed | None) -> Adoption:
    if found is None:
        return Adoption(create=False, note=f"{wanted.address}: the cloud doesn't tell its limits")
    if found.status == READ_ONLY:
        text = ", ".join(f"{c.field} {c.old}, wanted {c.new}" for c in differences(wanted, found.resource))
        note = f"{wanted.address} differs ({text}), and only an admin of the cloud can change it"
        return Adoption(found, create=False, note=note if text else "")
    return Adoption(found, create=False, change=True)


def _flavor(wanted: Flavor, others: Iterable[Observed]) -> Adoption:
    for found in _named(wanted, others):
        # who else may use it says nothing about its size
        changes = [c for c in differences(wanted, found.resource) if c.field != "public"]
        if not changes:
            return _used(wanted, found)
        # Nova's flavor names are unique in the whole cloud
        text = ", ".join(f"{c.field} {c.old}, wanted {c.new}" for c in changes)
        return Adoption(
            create=False,
            conflict=f"{wanted.address} is in the cloud already, isn't ours and differs ({text});"
            " give the flavor another name in the environment file",
        )
    return Adoption()


def _image(wanted: Image, others: Iterable[Observed]) -> Adoption:
    named = [
        o
        for o in _named(wanted, others)
        if isinstance(o.resource, Image) and o.resource.visibility in _SEEN_BY_ALL
    ]
    for found in named:
        if found.status.upper() in {"", "ACTIVE"} and not differences(wanted, found.resource):
            return _used(wanted, found)
    if named:
        ids = ", ".join(found.id for found in named)
        return Adoption(
            note=f"the cloud has another image named {wanted.name!r} ({ids}); ours is made beside it"
        )
    return Adoption()


def _external_network(wanted: Network, others: Iterable[Observed]) -> Adoption:
    for found in _named(wanted, others):
        if isinstance(found.resource, Network) and found.resource.external:
            return _used(wanted, found)
    return Adoption()


def _subnet(wanted: Subnet, others: Iterable[Observed], adopted: Mapping[str, str]) -> Adoption:
    """Take a subnet as given where its network isn't ours; often we can't even see it."""
    if wanted.network not in adopted.values():
        unseen = any(found.status == UNSEEN for found in _named(wanted, others))
        return Adoption(create=not unseen, unseen=unseen)
    subnets = [
        o
        for o in others
        if isinstance(o.resource, Subnet)
        and adopted.get(o.resource.network.removeprefix("id:")) == wanted.network
    ]
    for found in subnets:
        if isinstance(found.resource, Subnet) and IPv4Network(found.resource.cidr) == IPv4Network(
            wanted.cidr
        ):
            changes = [c for c in differences(wanted, found.resource) if c.field != "network"]
            adoption = _used(wanted, found)
            if not changes:
                return adoption
            text = ", ".join(f"{c.field} {c.old}, wanted {c.new}" for c in changes)
            return Adoption(found, create=False, note=f"{adoption.note}, though it differs ({text})")
    if subnets:
        cidrs = ", ".join(o.resource.cidr for o in subnets if isinstance(o.resource, Subnet))
        return Adoption(
            create=False,
            conflict=f"{wanted.network} isn't ours, and has {cidrs} instead of {wanted.cidr}"
            f" ({wanted.address}); write the cloud's own ranges into the environment file",
        )
    return Adoption(
        create=False,
        note=f"{wanted.address} belongs to {wanted.network}, which isn't ours: taken as given",
    )
