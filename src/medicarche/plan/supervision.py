"""Supervision's part of the plan: one group that every instance carries, and who reaches what through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.groups import SUPERVISED, application_group, rule_between
from medicarche.plan.resources import SecurityGroup
from medicarche.spec.supervision import NODE, service_exporters, supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.plan.resources import SecurityGroupRule
    from medicarche.spec.environment import Environment

__all__ = ["groups_of_all", "supervision_groups", "supervision_rules", "without_packages"]


def groups_of_all(environment: Environment) -> frozenset[str]:
    """Return the names of the groups that every instance carries where the environment is supervised."""
    return frozenset() if supervisor(environment) is None else frozenset({SUPERVISED})


def without_packages(environment: Environment) -> tuple[str, ...]:
    """Return the instances for which no application opens the way to packages."""
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

    An instance's metrics; those of an application's services; its own port, as those reach it whom it is for.
    """
    watcher = supervisor(environment)
    if watcher is None:
        return
    own = application_group(watcher.name)
    yield rule_between(SUPERVISED, "ingress", NODE.port, own, why="supervision: the instance's metrics")
    yield rule_between(own, "egress", NODE.port, SUPERVISED, why="supervision: instances' metrics")
    for application in environment.applications:
        group, name = application_group(application.name), application.name
        for exporter in service_exporters(application):
            shown = f"supervision: {exporter.shows}"
            yield rule_between(group, "ingress", exporter.port, own, why=shown)
            yield rule_between(own, "egress", exporter.port, group, why=f"{shown} of {name}")
        yield rule_between(own, "egress", application.port, group, why=f"supervision: {name} answers")
        # one for people is open to all
        if application.traits.serves != "people":
            yield rule_between(group, "ingress", application.port, own, why="supervision: whether it answers")
