"""The project's limits in Nova and Neutron. They are always there; only an admin changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.errors import ConvergenceError
from medicarche.plan import adoption
from medicarche.plan.resources import Kind, Quota, Resource

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing
    from medicarche.cloud.work import Work
    from medicarche.plan.model import Observed

__all__ = ["COMPUTE_LIMITS", "NETWORK_LIMITS", "QuotaHandler"]

#: the environment file's names → Nova's (API reference, os-quota-sets)
COMPUTE_LIMITS = {"instances": "instances", "vcpus": "cores", "ram_mib": "ram", "key_pairs": "key_pairs"}
#: the environment file's names → Neutron's (API reference, quotas)
NETWORK_LIMITS = {
    "networks": "network",
    "subnets": "subnet",
    "routers": "router",
    "ports": "port",
    "security_groups": "security_group",
    "security_group_rules": "security_group_rule",
    "floating_ips": "floatingip",
}
_LIMITS = {"compute": COMPUTE_LIMITS, "network": NETWORK_LIMITS}


class QuotaHandler:
    """Those that are wanted. They carry no mark, so that nothing ever removes them."""

    kind = Kind.QUOTA

    def read(self, listing: Listing) -> None:
        """Add quotas; see `medicarche.cloud.work.Handler`."""
        for name, names in _LIMITS.items():
            for raw in listing.raw.get(f"{name}_quota", ()):
                limits = tuple(
                    sorted((ours, int(raw[theirs])) for ours, theirs in names.items() if theirs in raw)
                )
                status = "" if listing.admin else adoption.READ_ONLY
                quota = Quota(name=name, limits=limits)
                identifier = f"{name} of {listing.project_id}"
                listing.add(quota, {}, identifier=identifier, owned=False, status=status)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Always."""
        return True

    def create(self, work: Work, wanted: Quota) -> str:
        """Refuse: a project always has its limits."""
        raise ConvergenceError(f"{wanted.address}: project {work.member.project_id} tells no such limits")

    def update(self, work: Work, observed: Observed, wanted: Quota) -> None:  # noqa: ARG002 - the protocol's arguments
        """Set the limits."""
        limits = {_LIMITS[wanted.name][ours]: limit for ours, limit in wanted.limits}
        project = work.member.project_id
        if wanted.name == "compute":
            # a limit below what is used now, when the rest of the plan removes servers, is no mistake
            body = {"quota_set": {**limits, "force": True}}
            work.admin.compute.put(f"/os-quota-sets/{project}", body)
        else:
            work.admin.network.put(f"/quotas/{project}", {"quota": limits})

    def delete(self, work: Work, observed: Observed) -> None:
        """Keep them: they aren't ours."""
