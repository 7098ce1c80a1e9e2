"""What resources are called in the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.resources import Kind

if TYPE_CHECKING:
    from medicarche.plan.resources import Resource

__all__ = ["cloud_name", "logical_name"]


def cloud_name(environment_name: str, resource: Resource) -> str:
    """Return the name that a resource carries in the cloud.

    It is the logical name, but for key pairs: they have no description or properties, so that their name is
    the only place for an ownership mark.
    """
    if resource.kind is Kind.KEY_PAIR:
        return _key_pair_prefix(environment_name) + resource.name
    return resource.name


def logical_name(environment_name: str, kind: Kind, name: str) -> str | None:
    """Return the logical name behind a marked name of the cloud; None where it carries no mark.

    Only key pairs carry their mark in their name. The mark of ``medicarche-a-b-c`` is environment ``a``'s
    as much as ``a-b``'s: the environment's name must be known, and one that begins another's is told
    apart by the key pair's public key only.
    """
    prefix = _key_pair_prefix(environment_name)
    if kind is Kind.KEY_PAIR and name.startswith(prefix) and len(name) > len(prefix):
        return name.removeprefix(prefix)
    return None


def _key_pair_prefix(environment_name: str) -> str:
    return f"medicarche-{environment_name}-"
