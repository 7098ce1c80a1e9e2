"""The security groups that follow from the declaration: their names, and rules from one to another."""

from __future__ import annotations

from typing import Literal

from medicarche.plan.resources import Kind, SecurityGroupRule

__all__ = ["SUPERVISED", "application_group", "rule_between", "rule_with"]

#: carried by every instance of an environment that is supervised
SUPERVISED = "supervised"


def application_group(application_name: str) -> str:
    """Return the name of an application's own security group."""
    return f"app-{application_name}"


def rule_between(
    group: str, direction: Literal["ingress", "egress"], port: int, other: str, *, why: str
) -> SecurityGroupRule:
    """Return a rule that opens a TCP port to or of the instances of another group, and to no address else."""
    return SecurityGroupRule(
        name=f"{group}-{direction}-tcp-{port}-{other}",
        group=f"{Kind.SECURITY_GROUP}/{group}",
        direction=direction,
        protocol="tcp",
        port_min=port,
        port_max=port,
        remote_group=f"{Kind.SECURITY_GROUP}/{other}",
        purpose=why,
    )


def rule_with(
    group: str,
    direction: Literal["ingress", "egress"],
    protocol: str,
    port: int,
    prefix: str,
    *,
    why: str,
) -> SecurityGroupRule:
    """Return a rule that opens a port to or of a prefix."""
    return SecurityGroupRule(
        name=f"{group}-{direction}-{protocol}-{port}-{prefix}",
        group=f"{Kind.SECURITY_GROUP}/{group}",
        direction=direction,
        protocol=protocol,
        port_min=port,
        port_max=port,
        remote_prefix=prefix,
        purpose=why,
    )
