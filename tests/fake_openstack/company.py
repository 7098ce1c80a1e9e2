"""An environment like the company's, as resources, and the plans that lead to it, by the real planner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from medicarche import converge
from medicarche.cloud.observe import observe
from medicarche.plan import make_plan, plan_destroy
from medicarche.plan.resources import (
    Flavor,
    FloatingIp,
    Image,
    KeyPair,
    Network,
    Port,
    Resource,
    Router,
    RouterInterface,
    SecurityGroup,
    SecurityGroupRule,
    Server,
    Subnet,
)
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from medicarche.cloud.connect import Connections
    from medicarche.plan import Plan

__all__ = ["NAME", "company", "destroy", "plan", "provision"]

NAME = "medicarche"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def _rule(
    name: str, group: str, port: int, source: str, direction: Literal["ingress", "egress"] = "ingress"
) -> SecurityGroupRule:
    return SecurityGroupRule(
        name=name,
        group=f"security_group/{group}",
        direction=direction,
        protocol="tcp",
        port_min=port,
        port_max=port,
        remote_prefix=source,
        purpose=f"reaches port {port}",
    )


def company(instances: Sequence[str] = ("website",)) -> tuple[Resource, ...]:
    """Return what is wanted: the networks, the rules, and one server, port and floating IP per instance."""
    shared: list[Resource] = [
        Flavor(name="medicarche.small", vcpus=2, ram_mib=1024, disk_gib=5, metadata=(("use", "web"),)),
        Image(
            name="debian-13",
            disk_format="raw",
            recipe="recipe-1",
            visibility="public",
            properties=(("os_distro", "debian"),),
        ),
        KeyPair(name="administration", public_key=PUBLIC_KEY),
        Network(name="external", external=True, physical_network="physnet1"),
        Network(name="private"),
        Subnet(
            name="external-subnet",
            network="network/external",
            cidr="10.20.20.0/24",
            gateway="10.20.20.1",
            dhcp=False,
            pools=(("10.20.20.100", "10.20.20.199"),),
        ),
        Subnet(
            name="private-subnet", network="network/private", cidr="192.168.222.0/24", gateway="192.168.222.1"
        ),
        Router(name="router", external_network="network/external", external_address="10.20.20.224"),
        RouterInterface(name="router-to-private", router="router/router", subnet="subnet/private-subnet"),
        SecurityGroup(name="private-sg", purpose="shared by all instances"),
        SecurityGroup(name="web-sg", purpose="the web site"),
        _rule("ssh", "private-sg", 22, "10.20.20.0/24"),
        _rule("http", "private-sg", 80, "0.0.0.0/0"),
        _rule("packages", "private-sg", 3142, "10.20.20.1/32", direction="egress"),
        _rule("web", "web-sg", 8088, "0.0.0.0/0"),
    ]
    for name in instances:
        shared += [
            Port(
                name=name,
                network="network/private",
                subnet="subnet/private-subnet",
                security_groups=("security_group/private-sg", "security_group/web-sg"),
            ),
            Server(
                name=name,
                flavor="flavor/medicarche.small",
                image="image/debian-13",
                key_pair="key_pair/administration",
                port=f"port/{name}",
                user_data="#cloud-config\n",
            ),
            FloatingIp(name=name, network="network/external", port=f"port/{name}"),
        ]
    return tuple(shared)


def plan(connections: Connections, wanted: Sequence[Resource] | None = None) -> Plan:
    """Observe and plan."""
    wanted = company() if wanted is None else wanted
    return make_plan(NAME, wanted, observe(connections, NAME, wanted))


def provision(
    connections: Connections,
    image: Path,
    wanted: Sequence[Resource] | None = None,
    cancel: threading.Event | None = None,
) -> converge.Result:
    """Observe, plan and run the plan, with no pause between looks at the servers."""
    return converge.apply(
        connections,
        plan(connections, wanted),
        images={"debian-13": image},
        reporter=SilentReporter(),
        cancel=cancel,
        poll_interval=0,
    )


def destroy(connections: Connections) -> converge.Result:
    """Remove all that carries the mark."""
    planned = plan_destroy(NAME, observe(connections, NAME, ()))
    return converge.apply(connections, planned, images={}, reporter=SilentReporter(), poll_interval=0)
