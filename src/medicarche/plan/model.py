"""What the planner reads and writes: observed resources, actions, plan. Pure data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medicarche.plan.resources import Kind, Resource

__all__ = ["Action", "FieldChange", "Observed", "Plan", "Verb", "mark"]


def mark(environment: str, address: str) -> str:
    """Return the ownership mark that is written into the POST that creates a resource (design, section 3)."""
    return f"medicarche:{environment}:{address}"


@dataclass(frozen=True, slots=True)
class Observed:
    """A resource as the cloud has it.

    Attributes:
        id: the cloud's own id.
        resource: its content; its name is the logical name where it carries a mark, else the cloud's name.
        mark: the ownership mark that it carries, or None.
        status: the API's own word (``ACTIVE``, ``ERROR``, ``queued``...), upper case.
        in_use: something else of the cloud refers to it; of two with one mark this one is kept.
        created_at: ISO 8601, or an empty string where the API doesn't say.
        detail: what status shows and nothing compares (addresses, fault message ...).
        references: address → the cloud's id, of the marked resources that it refers to. Only with them can
            two resources of one mark be told apart by what refers to them; without them addresses are
            trusted.
    """

    id: str
    resource: Resource
    mark: str | None
    status: str = ""
    in_use: bool = False
    created_at: str = ""
    detail: tuple[tuple[str, str], ...] = ()
    references: tuple[tuple[str, str], ...] = ()


class Verb(StrEnum):
    """What an action does."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field's difference; values as shown to a person."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Action:
    """One call (or call and wait) that brings the cloud nearer to what is wanted.

    Attributes:
        id: unique in its plan: ``verb address``, with ``#cloud-id`` behind it for deletions, and ``#detach``
            for the first of two updates (it lets go of what is replaced; the second takes the new one).
        verb: what is done.
        address: the resource's logical address.
        wanted: the resource to create, or to change it to.
        observed: the resource to change or delete.
        changes: field by field, for an update or the creation half of a replacement.
        reason: why, in a few words, for the user ("recipe differs", "added by hand", "no longer wanted").
        replacement: this is one half of a replacement.
        after: ids of the actions that must be done before.
    """

    id: str
    verb: Verb
    address: str
    wanted: Resource | None = None
    observed: Observed | None = None
    changes: tuple[FieldChange, ...] = ()
    reason: str = ""
    replacement: bool = False
    after: frozenset[str] = frozenset()

    @property
    def kind(self) -> Kind:
        """The resource's kind."""
        subject = self.wanted if self.wanted is not None else self.observed and self.observed.resource
        if not subject:
            raise ValueError(f"action {self.id} has no subject")
        return subject.kind


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions that lead from what was observed to what is wanted, in an order that can be run.

    Attributes:
        environment: the environment's name.
        actions: in topological order.
        kept: address → the cloud's id, of all wanted resources that are there (changed in place or not).
        notes: what the user should know though nothing is done about it.
        conflicts: what stands in the way, one line each; a plan with any must not be run.
        begun: the cloud holds something of the environment already.
    """

    environment: str
    actions: tuple[Action, ...]
    kept: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    begun: bool = False

    @property
    def empty(self) -> bool:
        """Nothing to do."""
        return not self.actions

    def counts(self) -> dict[str, int]:
        """Count by what a user sees: create, update, replace (both halves are one), delete."""
        counted: Counter[str] = Counter()
        for action in self.actions:
            if action.replacement:
                counted["replace"] += action.verb is Verb.CREATE
            else:
                counted[action.verb.value] += 1
        return {key: counted[key] for key in ("create", "update", "replace", "delete")}
