"""What of a plan has to wait for the directory: Keystone asks it before it gives a group a role."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from medicarche.plan.model import Action, Plan, Verb
from medicarche.plan.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["after_deployment", "before_deployment", "something_left"]


def before_deployment(plan: Plan) -> Plan:
    """Return a plan without what has to wait."""
    return _part(plan, lambda action: not _waits(action))


def something_left(plan: Plan) -> bool:
    """Tell whether something is left after `before_deployment`.

    Where the directory gets another address, Keystone can be told only when that is known.
    """
    known = any(address.startswith(f"{Kind.DOMAIN}/") for address, _ in plan.kept)
    return any(
        _waits(action) or (known and action.kind is Kind.FLOATING_IP and action.verb is Verb.CREATE)
        for action in plan.actions
    )


def after_deployment(plan: Plan) -> Plan:
    """Return what a plan, made anew when the directory is deployed, holds for Keystone."""
    return _part(plan, lambda action: action.kind in {Kind.DOMAIN, Kind.GROUP_ROLE})


def _waits(action: Action) -> bool:
    return action.kind is Kind.GROUP_ROLE and action.verb is Verb.CREATE


def _part(plan: Plan, belongs: Callable[[Action], bool]) -> Plan:
    actions = [action for action in plan.actions if belongs(action)]
    ids = {action.id for action in actions}
    return replace(plan, actions=tuple(replace(a, after=a.after & ids) for a in actions))
