"""Neutron security groups and their rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.plan.model import mark
from medicarche.plan.resources import Kind, Resource, SecurityGroup, SecurityGroupRule

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing
    from medicarche.plan.model import Observed

__all__ = ["SecurityGroupHandler", "SecurityGroupRuleHandler"]


class SecurityGroupHandler:
    """Security groups. A new one is emptied of the two egress rules that Neutron puts into it."""

    kind = Kind.SECURITY_GROUP

    def read(self, listing: Listing) -> None:
        """Add groups; see `medicarche.cloud.work.Handler`."""
        for raw in listing.raw["security_groups"]:
            name = listing.own_name(self.kind, raw.get("description"))
            if name is None:
                continue
            _, _, purpose = str(raw["description"]).partition(" ")
            in_use = any(raw["id"] in port.get("security_groups", ()) for port in listing.raw["ports"])
            listing.add(SecurityGroup(name=name, purpose=purpose), raw, in_use=in_use, status="")

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: SecurityGroup) -> str:
        """Make an empty group."""
        api = work.member.network
        body = {"name": wanted.name, "description": work.description(wanted)}
        made = create_once(
            work,
            lambda: api.post("/security-groups", {"security_group": body})["security_group"],
            lambda: api.collection("/security-groups", "security_groups", description=body["description"]),
        )
        ours = mark(work.environment, "")
        for rule in made["security_group_rules"]:
            # a group that was there already, and that a list kept back, has ours
            if not str(rule.get("description") or "").startswith(ours):
                api.delete(f"/security-group-rules/{rule['id']}")
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: SecurityGroup) -> None:
        """Nothing of a group is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a group and, with it, its rules."""
        while_in_use(work, lambda: work.member.network.delete(f"/security-groups/{observed.id}"))


class SecurityGroupRuleHandler:
    """All rules of our groups: those without a mark were added by hand."""

    kind = Kind.SECURITY_GROUP_RULE

    def read(self, listing: Listing) -> None:
        """Add rules; see `medicarche.cloud.work.Handler`."""
        for group in listing.raw["security_groups"]:
            address = listing.reference(group["id"])
            if address.startswith("id:"):
                continue
            for raw in group.get("security_group_rules", ()):
                name = listing.own_name(self.kind, raw.get("description"))
                remote_group = raw.get("remote_group_id")
                rule = SecurityGroupRule(
                    name=name if name is not None else str(raw["id"]),
                    group=address,
                    direction=raw["direction"],
                    ethertype=raw["ethertype"],
                    protocol=raw.get("protocol"),
                    port_min=raw.get("port_range_min"),
                    port_max=raw.get("port_range_max"),
                    remote_prefix=raw.get("remote_ip_prefix"),
                    remote_group=listing.reference(remote_group) if remote_group else None,
                    purpose=str(raw.get("description") or "").partition(" ")[2],
                )
                listing.add(rule, raw, owned=name is not None, status="", refers=[group["id"], remote_group])

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: SecurityGroupRule) -> str:
        """Make a rule."""
        api = work.member.network
        body = {
            "security_group_id": work.id_of(wanted.group),
            "description": work.description(wanted),
            "direction": wanted.direction,
            "ethertype": wanted.ethertype,
            "protocol": wanted.protocol,
            "port_range_min": wanted.port_min,
            "port_range_max": wanted.port_max,
            "remote_ip_prefix": wanted.remote_prefix,
            "remote_group_id": work.id_of(wanted.remote_group) if wanted.remote_group else None,
        }
        made = create_once(
            work,
            lambda: api.post("/security-group-rules", {"security_group_rule": body})["security_group_rule"],
            lambda: api.collection(
                "/security-group-rules",
                "security_group_rules",
                description=body["description"],
                security_group_id=body["security_group_id"],
            ),
        )
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: SecurityGroupRule) -> None:
        """Nothing of a rule is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a rule."""
        work.member.network.delete(f"/security-group-rules/{observed.id}")
