"""What a cloud holds, read once: raw lists by kind, and the way from ids to logical addresses."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from medicarche.cloud import marks
from medicarche.plan.adoption import UNSEEN as UNSEEN_STATUS
from medicarche.plan.model import Observed, mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from medicarche.plan.resources import Kind, Resource

__all__ = ["UNSEEN", "Listing", "Raw", "united"]

#: a resource as the API's JSON gives it
Raw = dict[str, Any]
#: the only entry of a list that only an admin gets, where there is none
UNSEEN: Raw = {"unseen": True}


def united(first: Mapping[str, Sequence[Raw]], second: Mapping[str, Sequence[Raw]]) -> dict[str, list[Raw]]:
    """Return, list by list, what one of two looks has seen; as the second saw it, where both did.

    What is gone since the first look is taken to be there still: acting on it fails, and the next run knows
    better. The other way round there would be two of it.
    """
    found = {}
    for key, later in second.items():
        objects = {_identity(raw): raw for raw in (*first.get(key, ()), *later)}
        found[key] = list(objects.values())
    return found


def _identity(raw: Raw) -> str:
    """Return what tells an object from the others of its list."""
    if "id" in raw:
        return str(raw["id"])
    if "keypair" in raw:
        return str(raw["keypair"]["name"])
    # role assignments, and limits, of which there is one
    return json.dumps(
        {key: raw[key] for key in ("user", "group", "role", "scope") if key in raw}, sort_keys=True
    )


@dataclasses.dataclass(slots=True)
class Listing:
    """The lists of one look at the cloud, and what was made of them so far.

    Attributes:
        environment: the environment's name.
        project_id: the member's project.
        raw: list by list, as the APIs gave them.
        admin: there is an admin.
        wanted: address → resource, for what the API fills in by itself where it isn't asked for.
        addresses: cloud id → logical address, of what was observed so far and carries the mark.
        foreign: ids of what was observed so far and doesn't carry it.
        found: what was observed so far.
    """

    environment: str
    project_id: str
    raw: Mapping[str, Sequence[Raw]]
    wanted: Mapping[str, Resource]
    admin: bool = False
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)
    foreign: set[str] = dataclasses.field(default_factory=set)
    found: list[Observed] = dataclasses.field(default_factory=list)

    def own_name(self, kind: Kind, text: str | None) -> str | None:
        """Return the logical name where ``text`` holds a mark of this environment for that kind.

        One that names another project is that project's environment of the same name.
        """
        if marks.project_of(text) not in {None, self.project_id}:
            return None
        address = marks.address_of(self.environment, text)
        return marks.logical_name(address, kind) if address is not None else None

    def wants(self, kind: Kind, name: str) -> bool:
        """Say whether a resource of that name is wanted."""
        return f"{kind.value}/{name}" in self.wanted

    def known_as(self, kind: Kind, raw: Raw) -> tuple[str, bool] | None:
        """Return the logical name of something whose name is unique, and whether it is ours.

        Ours by its mark; somebody else's where it has a wanted name; None where it concerns nobody.
        """
        name = self.own_name(kind, raw.get("description"))
        if name is not None:
            return name, True
        return (str(raw["name"]), False) if self.wants(kind, raw["name"]) else None

    def reference(self, identifier: str | None) -> str:
        """Return the logical address behind a cloud id; ``id:<cloud id>`` where it isn't one of ours."""
        return self.addresses.get(identifier or "", f"id:{identifier or ''}")

    def references(self, identifiers: Iterable[str]) -> tuple[str, ...]:
        """Return sorted logical addresses."""
        return tuple(sorted(self.reference(identifier) for identifier in identifiers))

    def add_unseen(self, resource: Resource) -> None:
        """Say of something wanted that only an admin would see whether it is there."""
        self.add(resource, {}, identifier="", owned=False, status=UNSEEN_STATUS)

    def add_all_unseen(self, kind: Kind) -> None:
        """Say it of all that is wanted of a kind."""
        for resource in self.wanted.values():
            if resource.kind is kind:
                self.add_unseen(resource)

    def add(
        self,
        resource: Resource,
        raw: Raw,
        *,
        owned: bool = True,
        identifier: str | None = None,
        status: str | None = None,
        in_use: bool = False,
        refers: Iterable[str | None] = (),
        detail: Mapping[str, str] | None = None,
    ) -> None:
        """Add what was observed.

        Args:
            resource: its content.
            raw: the API's own form: id, status and time of creation are taken from it.
            owned: it carries the mark.
            identifier: its id, where ``raw["id"]`` isn't it.
            status: its status, where ``raw["status"]`` isn't it.
            in_use: something else refers to it.
            refers: the cloud ids of what it refers to.
            detail: for people.
        """
        identifier = identifier if identifier is not None else str(raw["id"])
        if owned:
            self.addresses[identifier] = resource.address
        else:
            self.foreign.add(identifier)
        referred = {self.addresses[i]: i for i in refers if i in self.addresses}
        self.found.append(
            Observed(
                id=identifier,
                resource=resource,
                mark=mark(self.environment, resource.address) if owned else None,
                status=(status if status is not None else str(raw.get("status") or "")).upper(),
                in_use=in_use,
                created_at=str(raw.get("created_at") or raw.get("created") or ""),
                detail=tuple(sorted((detail or {}).items())),
                references=tuple(sorted(referred.items())),
            )
        )
