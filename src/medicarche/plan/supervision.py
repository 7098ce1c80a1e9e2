"""Supervision's part of the plan: one group that every instance carries, and who reaches what through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from medicarche.plan.groups import SUPERVISED, application_group
from medicarche.plan.resources import Kind, SecurityGroup, SecurityGroupRule
from medicarche.spec.supervision import NGINX_PORT, NODE_PORT, supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.spec.environment import Environment

__all__ = ["groups_of_all", "supervision_groups", "supervision_rules", "without_packages"]


def groups_of_all(environment: Environment) -> frozenset[str]:
    """Return the names of the groups that every instance carries where the environment is supervised."""
    return frozenset() if supervisor(environment) is None else frozenset({SUPERVISED})


def without_packages(environment: Environment) -> tuple[str, ...]:
    """Return the instances for which no application opens the way to packages; agents need it."""
    if supervisor(environment) is None:
        return ()
    return tuple(
        instance.name
        for instance in environment.instances
        if not any("packages" in a.egress for a in environment.applications_of(instance.name))
    )


def supervision_groups(environment: Environment) -> Iterator[SecurityGroup]:
    """Yield the group of all that is supervised, where something supervises."""
    for name in groups_of_all(environment):
        yield SecurityGroup(name=name, purpose="shows its metrics to the supervision")


def supervision_rules(environment: Environment) -> Iterator[SecurityGroupRule]:
    """Yield the ways between the supervision and what it watches; each end names the other one's group.

    An instance's metrics, nginx' metrics where it serves an application, and each application at its own
    port, as its visitors reach it.
    """
    watcher = supervisor(environment)
    if watcher is None:
        return
    own = application_group(watcher.name)
    yield _rule(SUPERVISED, "ingress", NODE_PORT, own, why="supervision: the instance's metrics")
    yield _rule(own, "egress", NODE_PORT, SUPERVISED, why="supervision: instances' metrics")
    for application in environment.applications:
        group, name = application_group(application.name), application.name
        yield _rule(group, "ingress", NGINX_PORT, own, why="supervision: nginx' metrics")
        yield _rule(own, "egress", NGINX_PORT, group, why=f"supervision: nginx' metrics of {name}")
        yield _rule(own, "egress", application.port, group, why=f"supervision: {name} answers")


def _rule(
    group: str, direction: Literal["ingress", "egress"], port: int, remote: str, *, why: str
) -> SecurityGroupRule:
    return SecurityGroupRule(
        name=f"{group}-{direction}-tcp-{port}-{remote}",
        group=f"{Kind.SECURITY_GROUP}/{group}",
        direction=direction,
        protocol="tcp",
        port_min=port,
        port_max=port,
        remote_group=f"{Kind.SECURITY_GROUP}/{remote}",
        purpose=why,
    )
