"""Floating IPs by command (CLOUD-10): allocated and attached, detached, released; ours only.

What the commands do is one piece of the plan that ``provision`` would run, so that both agree on what is
there: the mark says which floating IP is an instance's, and others are never touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medicarche.cloud.kinds import HANDLERS
from medicarche.cloud.listing import Listing
from medicarche.cloud.observe import observe
from medicarche.converge.apply import apply
from medicarche.errors import CloudUnsuitable, MedicarcheError
from medicarche.plan import Action, Plan, Verb, make_plan
from medicarche.plan.resources import FloatingIp, Kind, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medicarche.cloud.connect import Connections
    from medicarche.plan import Observed
    from medicarche.progress import Reporter

__all__ = ["FloatingIpState", "attach", "detach", "floating_ip", "release"]


@dataclass(frozen=True, slots=True)
class FloatingIpState:
    """An instance's floating IP as Neutron has it.

    Attributes:
        instance: the instance's logical name.
        id: Neutron's id.
        address: from the external network; the cloud's choice.
        private_address: what it leads to; None while it is detached.
        status: Neutron's word: ``ACTIVE``, ``DOWN``, ``ERROR``.
    """

    instance: str
    id: str
    address: str
    private_address: str | None
    status: str


def floating_ip(connections: Connections, environment_name: str, name: str) -> FloatingIpState | None:
    """Return an instance's floating IP, or None where it has none; attached or not.

    Raises:
        CloudError: Neutron refuses or doesn't answer.
    """
    found = _ours(_look(connections, environment_name), name)
    return _state(name, found[0]) if found else None


def attach(
    connections: Connections,
    environment_name: str,
    wanted: Sequence[Resource],
    name: str,
    *,
    reporter: Reporter,
) -> FloatingIpState:
    """Attach an instance's floating IP, allocating one where there is none; nothing where it is attached.

    Args:
        connections: the cloud.
        environment_name: whose mark counts as ours.
        wanted: what the environment declares.
        name: the instance's logical name.
        reporter: told of the work.

    Raises:
        MedicarcheError: the environment gives this instance none.
        CloudUnsuitable: the instance, or what it needs, isn't there.
        ConvergenceError: the cloud refused.
    """
    address = _address(name)
    if not any(resource.address == address for resource in wanted):
        raise MedicarcheError(
            f"the environment file gives {name} no floating IP",
            hint=f"instances: {name}: floating_ip: true",
        )
    whole = make_plan(environment_name, wanted, observe(connections, environment_name, wanted))
    own = [action for action in whole.actions if action.address == address]
    ids = {action.id for action in own}
    missing = [
        action.address
        for action in whole.actions
        if action.address in {f"{Kind.PORT}/{name}", f"{Kind.SERVER}/{name}"} and action.verb is Verb.CREATE
    ]
    if missing:
        raise CloudUnsuitable(f"{', '.join(missing)}: not there to attach to", hint="medicarche provision")
    _run(connections, whole, [replace(action, after=action.after & ids) for action in own], reporter)
    done = floating_ip(connections, environment_name, name)
    if done is None:
        raise CloudUnsuitable(f"{address} has vanished", hint="somebody else works on it; try again")
    return done


def detach(
    connections: Connections, environment_name: str, name: str, *, reporter: Reporter
) -> FloatingIpState | None:
    """Detach an instance's floating IP; the address stays the project's. None where there is none.

    Raises:
        ConvergenceError: the cloud refused.
    """
    found = _ours(_look(connections, environment_name), name)
    actions = [
        Action(
            f"{Verb.UPDATE} {_address(name)}#{item.id}",
            Verb.UPDATE,
            _address(name),
            wanted=replace(item.resource, port=None),
            observed=item,
            reason="detached by command",
        )
        for item in found
        if isinstance(item.resource, FloatingIp) and item.resource.port is not None
    ]
    _run(connections, Plan(environment_name, ()), actions, reporter)
    return floating_ip(connections, environment_name, name)


def release(
    connections: Connections, environment_name: str, name: str, *, reporter: Reporter
) -> tuple[str, ...]:
    """Give an instance's floating IP back to the cloud, attached or not.

    Returns:
        The addresses that were given back; empty where there was none.

    Raises:
        ConvergenceError: the cloud refused.
    """
    found = _ours(_look(connections, environment_name), name)
    actions = [
        Action(
            f"{Verb.DELETE} {_address(name)}#{item.id}",
            Verb.DELETE,
            _address(name),
            observed=item,
            reason="released by command",
        )
        for item in found
    ]
    _run(connections, Plan(environment_name, ()), actions, reporter)
    return tuple(dict(item.detail)["address"] for item in found)


def _address(name: str) -> str:
    return f"{Kind.FLOATING_IP}/{name}"


def _look(connections: Connections, environment_name: str) -> list[Observed]:
    """Return the environment's floating IPs; one call."""
    member = connections.member
    raw = member.network.collection("/floatingips", "floatingips", project_id=member.project_id)
    listing = Listing(environment_name, member.project_id, raw={"floatingips": raw}, wanted={})
    HANDLERS[Kind.FLOATING_IP].read(listing)
    return listing.found


def _ours(observed: Sequence[Observed], name: str) -> list[Observed]:
    """Return what carries the mark of the instance's floating IP, attached ones first."""
    found = [o for o in observed if o.mark is not None and o.resource.address == _address(name)]
    return sorted(found, key=lambda item: (not item.in_use, item.created_at, item.id))


def _state(name: str, item: Observed) -> FloatingIpState:
    detail = dict(item.detail)
    return FloatingIpState(name, item.id, detail["address"], detail["private_address"] or None, item.status)


def _run(connections: Connections, whole: Plan, actions: Sequence[Action], reporter: Reporter) -> None:
    if actions:
        apply(connections, replace(whole, actions=tuple(actions)), images={}, reporter=reporter)
