"""Keystone: the project, users and their roles in it. Only an admin of the cloud makes and sees users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.listing import UNSEEN
from medicarche.cloud.work import Work, create_once
from medicarche.errors import CloudUnsuitable, ConvergenceError
from medicarche.plan.resources import Kind, Project, Resource, RoleAssignment, User

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["ProjectHandler", "RoleAssignmentHandler", "UserHandler"]


class ProjectHandler:
    """The project that we are a member of, and no other: it is there, or we wouldn't be connected."""

    kind = Kind.PROJECT

    def read(self, listing: Listing) -> None:
        """Add the project; see `medicarche.cloud.work.Handler`."""
        project = Project(name=listing.environment)
        listing.add(project, {"id": listing.project_id}, owned=False)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never: nothing is ever done to it."""
        return False

    def create(self, work: Work, wanted: Project) -> str:
        """Refuse: it is there, or nobody could ask for this."""
        raise ConvergenceError(f"{wanted.address} isn't made here; {work.member.project_id} is it")

    def update(self, work: Work, observed: Observed, wanted: Project) -> None:
        """Nothing of a project is changed."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Keep it: it isn't ours."""


class UserHandler:
    """Users that carry the mark, and others that have a wanted name."""

    kind = Kind.USER

    def read(self, listing: Listing) -> None:
        """Add users; see `medicarche.cloud.work.Handler`."""
        if UNSEEN in listing.raw["users"]:
            listing.add_all_unseen(self.kind)
            return
        for raw in listing.raw["users"]:
            # names are unique in a domain
            known = listing.known_as(self.kind, raw)
            if known is None:
                continue
            name, owned = known
            listing.add(User(name=name, enabled=bool(raw.get("enabled", True))), raw, owned=owned, status="")

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Always."""
        return True

    def create(self, work: Work, wanted: User) -> str:
        """Make a user, whose password its owner has before the cloud does.

        Raises:
            ConvergenceError: there is nobody to hand the password over to.
        """
        if work.connections.password_of is None:
            raise ConvergenceError(f"{wanted.address}: there is nowhere to hand its password over")
        api = work.admin.identity
        domain = work.member.domain_id
        body = {
            "name": wanted.name,
            "domain_id": domain,
            "description": work.description(wanted, shared=True),
            "default_project_id": work.member.project_id,
            "enabled": wanted.enabled,
            "password": work.connections.password_of(wanted),
        }

        def find() -> list[Raw]:
            found = api.collection("/users", "users", name=wanted.name, domain_id=domain)
            return [raw for raw in found if raw.get("description") == body["description"]]

        return str(create_once(work, lambda: api.post("/users", {"user": body})["user"], find)["id"])

    def update(self, work: Work, observed: Observed, wanted: User) -> None:
        """Let a user in again, or keep it out."""
        work.admin.identity.change(f"/users/{observed.id}", {"user": {"enabled": wanted.enabled}})

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a user, its roles and its application credentials."""
        work.admin.identity.delete(f"/users/{observed.id}")


class RoleAssignmentHandler:
    """Roles in our project. They carry no mark: all of a marked user's are ours, and nobody else's."""

    kind = Kind.ROLE_ASSIGNMENT

    def read(self, listing: Listing) -> None:
        """Add role assignments; see `medicarche.cloud.work.Handler`."""
        if UNSEEN in listing.raw["role_assignments"]:
            listing.add_all_unseen(self.kind)
            return
        roles = {str(raw["id"]): str(raw["name"]) for raw in listing.raw["roles"]}
        for raw in listing.raw["role_assignments"]:
            identifier = raw.get("user", {}).get("id")
            user = listing.reference(identifier)
            # a group's, or inherited from a domain: neither is the user's own
            if user.startswith("id:") or "OS-INHERIT:inherited_to" in raw["scope"]:
                continue
            role_id = str(raw["role"]["id"])
            role = roles.get(role_id, role_id)
            assignment = RoleAssignment(
                name=f"{user.partition('/')[2]}-{role}",
                user=user,
                project=listing.reference(listing.project_id),
                role=role,
            )
            path = f"/projects/{listing.project_id}/users/{identifier}/roles/{role_id}"
            listing.add(assignment, {}, identifier=path, refers=[identifier])

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Always."""
        return True

    def create(self, work: Work, wanted: RoleAssignment) -> str:
        """Give a role; giving it twice is giving it once.

        Raises:
            CloudUnsuitable: the cloud has no such role.
        """
        api = work.admin.identity
        roles = api.collection("/roles", "roles", name=wanted.role)
        if not roles:
            raise CloudUnsuitable(
                f"{wanted.address}: the cloud has no role {wanted.role!r}",
                hint="Keystone has admin, member and reader since Rocky (2018): `keystone-manage bootstrap`.",
            )
        user, project = work.id_of(wanted.user), work.id_of(wanted.project)
        path = f"/projects/{project}/users/{user}/roles/{roles[0]['id']}"
        api.put(path)
        return path

    def update(self, work: Work, observed: Observed, wanted: RoleAssignment) -> None:
        """Nothing of a role assignment is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Take a role away."""
        work.admin.identity.delete(observed.id)
