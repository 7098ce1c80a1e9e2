"""SSH accounts' part of the plan: one group of the instances that ask the directory, and their way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.plan.groups import application_group, rule_between
from medicarche.plan.resources import SecurityGroup
from medicarche.spec.ssh_accounts import SSH_ACCOUNTS, asking, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.plan.resources import SecurityGroupRule
    from medicarche.spec.environment import Environment

__all__ = ["ssh_accounts_groups", "ssh_accounts_groups_of", "ssh_accounts_rules"]


def ssh_accounts_groups(environment: Environment) -> Iterator[SecurityGroup]:
    """Yield the group of the instances that ask, where some do."""
    if asking(environment):
        yield SecurityGroup(name=SSH_ACCOUNTS, purpose="asks the directory for SSH accounts")


def ssh_accounts_groups_of(environment: Environment, instance: str) -> frozenset[str]:
    """Return the names of the groups that an instance carries for its SSH accounts."""
    return frozenset({SSH_ACCOUNTS}) if instance in asking(environment) else frozenset()


def ssh_accounts_rules(environment: Environment) -> Iterator[SecurityGroupRule]:
    """Yield the way from the instances that ask to the directory's port, and to nothing else."""
    directory = serving(environment)
    if directory is None or not asking(environment):
        return
    own = application_group(directory.name)
    yield rule_between(own, "ingress", directory.port, SSH_ACCOUNTS, why="SSH accounts of the instances")
    yield rule_between(SSH_ACCOUNTS, "egress", directory.port, own, why="SSH accounts: the directory")
