"""Why something is done, in a few words for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.resources import GroupRole, Resource, RoleAssignment, SecurityGroupRule

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["why_foreign", "why_missing", "why_removed"]


def why_missing(wanted: Resource, kept: Container[str]) -> str:
    """Say why a resource is made; ``kept``: addresses of what is there."""
    match wanted:
        case SecurityGroupRule(group=group) if group in kept:
            return "new in the file, or removed by hand"
        case RoleAssignment(user=user) if user in kept:
            return "new in the file, or taken away by hand"
        case GroupRole(domain=domain) if domain in kept:
            return "new in the file, or taken away by hand"
    return "missing"


def why_removed(unwanted: Resource, wanted: Container[str], removal: str) -> str:
    """Say why a resource of ours is removed; ``wanted``: addresses, ``removal``: the usual reason."""
    if isinstance(unwanted, RoleAssignment) and unwanted.user in wanted:
        return "a role that the environment file doesn't give"
    if isinstance(unwanted, GroupRole) and unwanted.domain in wanted:
        return "a role that the environment file doesn't give"
    return removal


def why_foreign(rule: SecurityGroupRule) -> str:
    """Say why a rule in one of our groups that isn't ours is removed."""
    content = (rule.protocol, rule.port_min, rule.remote_prefix, rule.remote_group)
    if rule.direction == "egress" and content == (None, None, None, None):
        return "Neutron's default: everything may leave"
    return "added by hand"
