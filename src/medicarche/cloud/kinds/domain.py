"""Keystone's domain of a directory's people, and the roles of its groups. Only an admin sees them.

Nothing that is read here asks the directory: it may be down, and then all else must go on.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from medicarche.cloud.calls import ApiError
from medicarche.cloud.listing import UNSEEN
from medicarche.cloud.work import Work, create_once
from medicarche.errors import CloudUnsuitable, ConvergenceError
from medicarche.plan.resources import Domain, GroupRole, Kind, Resource

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["CONFIGURATION", "DomainHandler", "GroupRoleHandler", "public_id"]

#: where `medicarche.cloud.observe` puts a domain's configuration
CONFIGURATION = "_configuration"
FORBIDDEN, NOT_FOUND, BROKEN = 403, 404, 500
#: before the digest of what was handed over, in a domain's description
_HANDED_OVER = "handed_over="
_GROUP = re.compile(r"\(cn=([^()]+)\)")


def public_id(domain_id: str, group: str) -> str:
    """Return the id under which Keystone knows a group of an LDAP domain (its generator ``sha256``)."""
    return hashlib.sha256(f"{domain_id}group{group}".encode()).hexdigest()


class DomainHandler:
    """Domains that carry the mark, and others that have a wanted name."""

    kind = Kind.DOMAIN

    def read(self, listing: Listing) -> None:
        """Add domains; see `medicarche.cloud.work.Handler`."""
        if UNSEEN in listing.raw["domains"]:
            listing.add_all_unseen(self.kind)
            return
        servers = {
            str(raw["floating_ip_address"]): listing.reference(raw["id"])
            for raw in listing.raw["floatingips"]
        }
        for raw in listing.raw["domains"]:
            # names are unique in the cloud
            known = listing.known_as(self.kind, raw)
            if known is None:
                continue
            name, owned = known
            options = _flat(raw.get(CONFIGURATION, {}))
            server, port = _asked(str(options.pop("ldap.url", "")))
            domain = Domain(
                name=name,
                server=servers.get(server, f"id:{server}"),
                port=port,
                options=tuple(sorted(options.items())),
                handed_over=_handed_over(raw.get("description")),
                enabled=bool(raw.get("enabled", True)),
            )
            groups = " ".join(_groups(domain))
            listing.add(domain, raw, owned=owned, status="", detail={"groups": groups})

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Always."""
        return True

    def create(self, work: Work, wanted: Domain) -> str:
        """Make a domain, and say how it is asked."""
        api = work.admin.identity
        description = work.description(wanted, shared=True)
        body = {"name": wanted.name, "description": description, "enabled": True}

        def find() -> list[Raw]:
            found = api.collection("/domains", "domains", name=wanted.name)
            return [raw for raw in found if str(raw.get("description")).startswith(description)]

        made = create_once(work, lambda: api.post("/domains", {"domain": body})["domain"], find)
        self._configure(work, str(made["id"]), wanted)
        return str(made["id"])

    def update(self, work: Work, observed: Observed, wanted: Domain) -> None:
        """Say anew how it is asked."""
        self._configure(work, observed.id, wanted)

    def _configure(self, work: Work, identifier: str, wanted: Domain) -> None:
        """Write the whole configuration, then which password and authority it was made with.

        Raises:
            ConvergenceError: there is no password to hand over, or the directory has no floating address.
            CloudUnsuitable: the cloud's operator doesn't allow domains a configuration of their own.
        """
        if work.connections.asks_with is None:
            raise ConvergenceError(f"{wanted.address}: there is no password that Keystone could ask with")
        api = work.admin.identity
        network = work.member.network
        found = network.collection("/floatingips", "floatingips", id=work.id_of(wanted.server))
        if not found:
            raise ConvergenceError(f"{wanted.address}: {wanted.server} is gone: the directory has no address")
        config: dict[str, dict[str, Any]] = {}
        for key, value in wanted.options:
            group, _, option = key.partition(".")
            config.setdefault(group, {})[option] = value
        config["ldap"] |= {
            "url": f"ldaps://{found[0]['floating_ip_address']}:{wanted.port}",
            "password": work.connections.asks_with(wanted),
        }
        try:
            api.put(f"/domains/{identifier}/config", {"config": config})
        except ApiError as error:
            if error.status not in {FORBIDDEN, NOT_FOUND}:
                raise
            raise CloudUnsuitable(
                f"{wanted.address}: the cloud refuses a domain a configuration of its own ({error.message})",
                hint="Its operator allows them by `domain_specific_drivers_enabled` and"
                " `domain_configurations_from_database`; or take 'directory.cloud_groups' away.",
            ) from error
        description = f"{work.description(wanted, shared=True)} {_HANDED_OVER}{wanted.handed_over}"
        body = {"description": description, "enabled": wanted.enabled}
        api.change(f"/domains/{identifier}", {"domain": body})

    def delete(self, work: Work, observed: Observed) -> None:
        """Shut a domain, then remove it with its groups' roles, whether its directory answers or not.

        Without its configuration Keystone has no directory to ask; without the domain nobody could tell any
        more whose roles those were.
        """
        api = work.admin.identity
        path = f"/domains/{observed.id}"
        try:
            api.change(path, {"domain": {"enabled": False}})
        except ApiError as error:
            if error.status == NOT_FOUND:
                return
            raise
        api.delete(f"{path}/config")
        groups = dict(observed.detail).get("groups", "").split()
        ids = {public_id(observed.id, group) for group in groups}
        scope = {"scope.project.id": work.member.project_id}
        for raw in api.collection("/role_assignments", "role_assignments", **scope):
            if raw.get("group", {}).get("id") in ids:
                api.delete(_grant(work.member.project_id, raw["group"]["id"], raw["role"]["id"]))
        api.delete(path)


class GroupRoleHandler:
    """Roles of our domain's groups in our project, all of which are ours."""

    kind = Kind.GROUP_ROLE

    def read(self, listing: Listing) -> None:
        """Add groups' roles; see `medicarche.cloud.work.Handler`."""
        if UNSEEN in listing.raw["role_assignments"] or UNSEEN in listing.raw["domains"]:
            listing.add_all_unseen(self.kind)
            return
        known = {
            public_id(found.id, group): (found, group)
            for found in listing.found
            if found.resource.kind is Kind.DOMAIN and found.mark is not None
            for group in dict(found.detail)["groups"].split()
        }
        roles = {str(raw["id"]): str(raw["name"]) for raw in listing.raw["roles"]}
        for raw in listing.raw["role_assignments"]:
            identifier = str(raw.get("group", {}).get("id"))
            if identifier not in known or "OS-INHERIT:inherited_to" in raw["scope"]:
                continue
            domain, group = known[identifier]
            role = roles.get(str(raw["role"]["id"]), str(raw["role"]["id"]))
            given = GroupRole(
                name=f"{group}-{role}",
                domain=domain.resource.address,
                project=listing.reference(listing.project_id),
                group=group,
                role=role,
            )
            path = _grant(listing.project_id, identifier, raw["role"]["id"])
            listing.add(given, {}, identifier=path)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Always."""
        return True

    def create(self, work: Work, wanted: GroupRole) -> str:
        """Give a role; giving it twice is giving it once.

        Raises:
            ConvergenceError: the directory doesn't answer Keystone, or has no such group.
            CloudUnsuitable: the cloud has no such role, or knows groups by other ids than are recognized.
        """
        api = work.admin.identity
        roles = api.collection("/roles", "roles", name=wanted.role)
        if not roles:
            raise CloudUnsuitable(f"{wanted.address}: the cloud has no role {wanted.role!r}")
        domain, project = work.id_of(wanted.domain), work.id_of(wanted.project)
        try:
            # the first look is what makes Keystone know the group
            groups = api.collection("/groups", "groups", domain_id=domain, name=wanted.group)
        except ApiError as error:
            if error.status < BROKEN:
                raise
            raise _silent(wanted.address, error) from error
        if not groups:
            raise ConvergenceError(
                f"{wanted.address}: Keystone finds no group {wanted.group!r} in the directory",
                hint="Does the group have people? Does Keystone ask (`domain_specific_drivers_enabled`,"
                " `domain_configurations_from_database`)? An embedded cloud that was started by an older"
                " Medicarche does after `medicarche cloud down` and `provision`.",
            )
        if groups[0]["id"] != public_id(domain, wanted.group):
            raise CloudUnsuitable(
                f"{wanted.address}: this Keystone makes ids of another kind: roles can't be told",
                hint="`[identity_mapping] generator` has to be `sha256`, as it is unless it is changed.",
            )
        path = _grant(project, groups[0]["id"], roles[0]["id"])
        api.put(path)
        return path

    def update(self, work: Work, observed: Observed, wanted: GroupRole) -> None:
        """Nothing of a group's role is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Take a role away.

        Raises:
            ConvergenceError: the directory doesn't answer Keystone, which asks it before.
        """
        try:
            work.admin.identity.delete(observed.id)
        except ApiError as error:
            if error.status < BROKEN:
                raise
            raise _silent(observed.resource.address, error) from error


def _silent(address: str, error: ApiError) -> ConvergenceError:
    return ConvergenceError(
        f"{address}: the directory doesn't answer Keystone ({error.message})",
        hint="Is its instance up? Run `medicarche provision` again when it is. The accounts that aren't the"
        " directory's go on working meanwhile.",
    )


def _grant(project: str, group: str, role: str) -> str:
    return f"/projects/{project}/groups/{group}/roles/{role}"


def _flat(config: Raw) -> dict[str, Any]:
    """Return ``group.option`` → value."""
    return {
        f"{group}.{option}": value for group, options in config.items() for option, value in options.items()
    }


def _asked(url: str) -> tuple[str, int]:
    """Return the address and port of a URL that we have written; of another one what can be had."""
    try:
        parts = urlsplit(url)
        port = parts.port or 0
    except ValueError:
        return url, 0
    return (parts.hostname or "", port) if parts.scheme == "ldaps" else (url, port)


def _handed_over(description: str | None) -> str:
    last = (description or "").rsplit(maxsplit=1)[-1:]
    return last[0].removeprefix(_HANDED_OVER) if last and last[0].startswith(_HANDED_OVER) else ""


def _groups(domain: Domain) -> list[str]:
    """Return the groups that a domain is asked for."""
    return _GROUP.findall(str(dict(domain.options).get("ldap.group_filter", "")))
