"""Ownership marks as they are written into the cloud, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.model import mark

if TYPE_CHECKING:
    from medicarche.plan.resources import Kind, Resource

__all__ = [
    "METADATA_KEY",
    "PROPERTY_PREFIX",
    "address_of",
    "description",
    "key_pair_name",
    "logical_name",
    "project_of",
]

#: the key of a server's metadata that holds its mark
METADATA_KEY = "medicarche"
#: images' properties that are ours: ``medicarche_mark``, ``medicarche_environment``, ...
PROPERTY_PREFIX = "medicarche_"
#: before the project's id, behind the mark
PROJECT_PREFIX = "project="
#: of Neutron's description attributes
LONGEST_DESCRIPTION = 255


def description(environment: str, resource: Resource, project_id: str | None = None) -> str:
    """Return the description: the mark, and behind it what the resource is for.

    Args:
        environment: the environment's name.
        resource: what carries it.
        project_id: of what all projects of the cloud see (flavors, external networks, users): whose it is.
            Two projects may have environments of one name, and neither may take the other's for its own.
    """
    whose = f" {PROJECT_PREFIX}{project_id}" if project_id else ""
    purpose = str(getattr(resource, "purpose", ""))
    return f"{mark(environment, resource.address)}{whose} {purpose}".strip()[:LONGEST_DESCRIPTION]


def project_of(text: str | None) -> str | None:
    """Return the project that a description names behind its mark, or None: those of old name none."""
    words = (text or "").split(maxsplit=2)
    named = len(words) > 1 and words[1].startswith(PROJECT_PREFIX)
    return words[1].removeprefix(PROJECT_PREFIX) if named else None


def address_of(environment: str, text: str | None) -> str | None:
    """Return the logical address in a mark of that environment, or None.

    Args:
        environment: the environment's name.
        text: a description, or whatever else holds marks.
    """
    first = (text or "").split(maxsplit=1)
    prefix = mark(environment, "")
    return first[0].removeprefix(prefix) if first and first[0].startswith(prefix) else None


def logical_name(address: str, kind: Kind) -> str | None:
    """Return the name in a logical address of that kind, or None for one of another kind."""
    prefix = f"{kind.value}/"
    return address.removeprefix(prefix) if address.startswith(prefix) else None


def key_pair_name(environment: str, name: str) -> str:
    """Return a key pair's name in the cloud: it has no other place for a mark.

    An environment's name has dashes but no underscore: with dashes only, ``a``'s key pair ``b-c`` would be
    ``a-b``'s ``c``.
    """
    return f"medicarche_{environment}_{name}"
