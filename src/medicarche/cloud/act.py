"""Acting on a cloud: one plan's action at a time, by the right user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.kinds import HANDLERS
from medicarche.errors import CloudRefused
from medicarche.plan.model import Verb
from medicarche.plan.resources import Kind, Network, Subnet

if TYPE_CHECKING:
    from medicarche.cloud.connect import Connections
    from medicarche.cloud.work import Work
    from medicarche.plan.model import Action, Plan

__all__ = ["act", "check_rights", "external_networks"]


def act(work: Work, action: Action) -> str | None:
    """Do one action and return the resource's cloud id; None for a deletion.

    A server is being built, or being removed, when this returns; all else is done.

    Raises:
        CloudError: the cloud refused, or didn't answer.
        ConvergenceError: something that the action refers to isn't there.
    """
    handler = HANDLERS[action.kind]
    match action.verb:
        case Verb.CREATE:
            return handler.create(work, action.wanted)
        case Verb.UPDATE:
            if action.observed is None:
                raise ValueError(f"{action.id}: an update of nothing")
            handler.update(work, action.observed, action.wanted)
            return action.observed.id
        case Verb.DELETE:
            if action.observed is None:
                raise ValueError(f"{action.id}: a deletion of nothing")
            handler.delete(work, action.observed)
            return None


def external_networks(connections: Connections, plan: Plan) -> frozenset[str]:
    """Return the addresses and ids of the external networks that a plan's subnets may be on.

    Asks the cloud only where the plan has a subnet on a network that it doesn't touch.
    """
    touched: dict[str, bool] = {}
    for action in plan.actions:
        for resource in (action.wanted, action.observed and action.observed.resource):
            if isinstance(resource, Network):
                touched[resource.address] = resource.external
    found = {address for address, external in touched.items() if external}
    unknown = any(
        isinstance(resource, Subnet) and resource.network not in touched
        for action in plan.actions
        for resource in (action.wanted, action.observed and action.observed.resource)
    )
    if unknown:
        api = connections.member.network
        found |= {
            raw["id"]
            for raw in api.collection("/networks", "networks", fields="id", **{"router:external": "True"})
        }
    return frozenset(found)


def check_rights(work: Work, plan: Plan) -> None:
    """Make sure that there is an admin for what only an admin can do.

    Raises:
        CloudRefused: there is none; all actions that need one are named.
    """
    if work.connections.admin is not None:
        return
    lacking = []
    for action in plan.actions:
        handler = HANDLERS[action.kind]
        resources = [action.wanted, action.observed.resource if action.observed else None]
        if action.verb is Verb.DELETE and action.kind is Kind.ROUTER:
            continue
        if any(resource is not None and handler.needs_admin(work, resource) for resource in resources):
            lacking.append(action.id)
    if lacking:
        raise CloudRefused(
            "only an admin of the cloud can do this, and none is named:\n"
            + "\n".join(f"  {action}" for action in lacking),
            hint="Name an admin's entry of clouds.yaml with --admin-cloud, or have the cloud's admin make "
            "these under the same names.",
        )
