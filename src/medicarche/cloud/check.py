"""Checking, before anything is created, that a cloud can carry what is to be created."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medicarche.cloud.calls import ApiError
from medicarche.cloud.kinds.flavor import FLAVOR_MICROVERSION
from medicarche.cloud.kinds.quota import COMPUTE_LIMITS, NETWORK_LIMITS
from medicarche.errors import CloudUnsuitable, QuotaTooSmall
from medicarche.plan.resources import Flavor, Kind, Quota, Server, Subnet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medicarche.cloud.connect import Connection, Connections
    from medicarche.plan.resources import Resource

__all__ = ["check"]

UNLIMITED = -1
FORBIDDEN, NOT_FOUND = 403, 404
#: Neutron's extensions without which the environment can't be made
EXTENSIONS = {
    "router": "routers",
    "external-net": "external networks",
    "security-group": "security groups",
    "standard-attr-description": "descriptions, which hold the ownership marks",
}
#: Neutron's name of a quota → the kind that it limits, and its name for people
NETWORK_QUOTAS = {
    "network": (Kind.NETWORK, "networks"),
    "subnet": (Kind.SUBNET, "subnets"),
    "router": (Kind.ROUTER, "routers"),
    "port": (Kind.PORT, "ports"),
    "security_group": (Kind.SECURITY_GROUP, "security groups"),
    "security_group_rule": (Kind.SECURITY_GROUP_RULE, "security-group rules"),
    "floatingip": (Kind.FLOATING_IP, "floating IPs"),
}
#: where Neutron tells no usage: the path and the key of the list to count
LISTS = {
    "network": ("/networks", "networks"),
    "subnet": ("/subnets", "subnets"),
    "router": ("/routers", "routers"),
    "port": ("/ports", "ports"),
    "security_group": ("/security-groups", "security_groups"),
    "security_group_rule": ("/security-group-rules", "security_group_rules"),
    "floatingip": ("/floatingips", "floatingips"),
}


#: Nova's name of a quota → that of its limit in ``/limits``
LIMITS = {
    "instances": "maxTotalInstances",
    "cores": "maxTotalCores",
    "ram": "maxTotalRAMSize",
    "key_pairs": "maxTotalKeypairs",
}


@dataclass(frozen=True, slots=True)
class _Quota:
    name: str
    limit: int
    used: int
    needed: int

    @property
    def short(self) -> bool:
        return self.needed > 0 and self.limit != UNLIMITED and self.used + self.needed > self.limit

    def __str__(self) -> str:
        return f"{self.name}: {self.needed} needed, {max(self.limit - self.used, 0)} of {self.limit} left"


def check(connections: Connections, created: Sequence[Resource]) -> None:
    """Check services, extensions and quotas.

    Args:
        connections: the cloud.
        created: the resources that are to be created; and the quotas that are to be changed, which count as
            they will be.

    Raises:
        CloudUnsuitable: an extension is missing.
        QuotaTooSmall: all quotas that are too small, in one message.
    """
    member = connections.member
    aliases = {raw["alias"] for raw in member.network.collection("/extensions", "extensions")}
    missing = [f"{alias} ({what})" for alias, what in EXTENSIONS.items() if alias not in aliases]
    if missing:
        raise CloudUnsuitable(f"Neutron of {member.entry!r} lacks: {', '.join(missing)}")
    short = [quota for quota in (*_network(member, created), *_compute(member, created)) if quota.short]
    if short:
        raise QuotaTooSmall(
            f"the quota of project {member.project_id} is too small:\n"
            + "\n".join(f"  {quota}" for quota in short),
            hint="Have the quota raised (`openstack quota set`), or remove what isn't needed.",
        )


def _network(member: Connection, created: Sequence[Resource]) -> list[_Quota]:
    external = {r.address for r in created if r.kind is Kind.NETWORK and getattr(r, "external", False)}
    # external networks and their subnets count in the admin's project
    own = [
        r
        for r in created
        if r.address not in external and not (isinstance(r, Subnet) and r.network in external)
    ]
    needed = Counter(resource.kind for resource in own)
    # a router's interface is a port, and so is a subnet's DHCP server
    needed[Kind.PORT] += needed[Kind.ROUTER_INTERFACE]
    needed[Kind.PORT] += sum(isinstance(resource, Subnet) and resource.dhcp for resource in own)
    # a new group holds Neutron's two rules for a moment
    needed[Kind.SECURITY_GROUP_RULE] += 2 * bool(needed[Kind.SECURITY_GROUP])
    usage = _network_usage(member)
    raised = _raised(created, NETWORK_LIMITS)
    usage = {name: (raised.get(name, limit), used) for name, (limit, used) in usage.items()}
    return [
        _Quota(title, *usage[name], needed[kind])
        for name, (kind, title) in NETWORK_QUOTAS.items()
        if name in usage
    ]


def _network_usage(member: Connection) -> dict[str, tuple[int, int]]:
    try:
        quota = member.network.get(f"/quotas/{member.project_id}/details.json")["quota"]
        return {
            name: (q["limit"], q["used"] + q["reserved"]) for name, q in quota.items() if isinstance(q, dict)
        }
    except ApiError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise
    # the extension "quota_details" is missing: count
    quota = member.network.get(f"/quotas/{member.project_id}")["quota"]
    return {
        name: (
            quota[name],
            len(member.network.collection(path, key, project_id=member.project_id, fields="id")),
        )
        for name, (path, key) in LISTS.items()
        if quota.get(name, UNLIMITED) != UNLIMITED
    }


def _compute(member: Connection, created: Sequence[Resource]) -> list[_Quota]:
    servers = [resource for resource in created if isinstance(resource, Server)]
    pairs = sum(resource.kind is Kind.KEY_PAIR for resource in created)
    if not servers and not pairs:
        return []
    limits: dict[str, Any] = member.compute.get("/limits")["limits"]["absolute"]
    raised = _raised(created, COMPUTE_LIMITS)
    limits |= {LIMITS[name]: limit for name, limit in raised.items()}
    sizes = _sizes(member, created)
    used = len(member.compute.collection("/os-keypairs", "keypairs")) if pairs else 0
    cores = sum(sizes.get(server.flavor, (0, 0))[0] for server in servers)
    ram = sum(sizes.get(server.flavor, (0, 0))[1] for server in servers)
    return [
        _Quota("instances", limits["maxTotalInstances"], limits["totalInstancesUsed"], len(servers)),
        _Quota("cores", limits["maxTotalCores"], limits["totalCoresUsed"], cores),
        _Quota("RAM in MiB", limits["maxTotalRAMSize"], limits["totalRAMUsed"], ram),
        _Quota("key pairs", limits["maxTotalKeypairs"], used, pairs),
    ]


def _raised(created: Sequence[Resource], names: dict[str, str]) -> dict[str, int]:
    """Return the limits that the plan sets, by the service's own names."""
    limits = [item for quota in created if isinstance(quota, Quota) for item in quota.limits]
    return {names[name]: limit for name, limit in limits if name in names}


def _sizes(member: Connection, created: Sequence[Resource]) -> dict[str, tuple[int, int]]:
    """Return vCPUs and RAM in MiB by flavor address, of flavors to be made and of those that are there."""
    there = member.compute.collection("/flavors/detail", "flavors", microversion=FLAVOR_MICROVERSION)
    sizes = {f"flavor/{raw['name']}": (raw["vcpus"], raw["ram"]) for raw in there}
    sizes |= {
        flavor.address: (flavor.vcpus, flavor.ram_mib) for flavor in created if isinstance(flavor, Flavor)
    }
    return sizes
