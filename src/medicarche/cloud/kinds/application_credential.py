"""Keystone application credentials: the member's own, for programs that act in its name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from medicarche.cloud.calls import ApiError
from medicarche.cloud.marks import key_pair_name
from medicarche.cloud.work import Work, create_once
from medicarche.errors import CloudRefused, ConvergenceError
from medicarche.plan.resources import ApplicationCredential, Kind, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["ApplicationCredentialHandler"]

FORBIDDEN = 403


class ApplicationCredentialHandler:
    """Application credentials of the member that carry the mark. No admin can make them for it."""

    kind = Kind.APPLICATION_CREDENTIAL

    def read(self, listing: Listing) -> None:
        """Add application credentials; see `medicarche.cloud.work.Handler`."""
        for raw in listing.raw["application_credentials"]:
            name = listing.own_name(self.kind, raw.get("description"))
            if name is None or raw.get("project_id") != listing.project_id:
                continue
            roles = tuple(sorted(role["name"] for role in raw.get("roles", ())))
            listing.add(ApplicationCredential(name=name, roles=roles), raw, status="")

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: ApplicationCredential) -> str:
        """Make an application credential, whose secret is handed over before the cloud knows it.

        Raises:
            ConvergenceError: there is nowhere to hand the secret over.
            CloudRefused: the member is an application credential itself, which makes no others.
        """
        if work.connections.secret_of is None:
            raise ConvergenceError(f"{wanted.address}: there is nowhere to hand its secret over")
        path = f"/users/{work.member.user_id}/application_credentials"
        api = work.member.identity
        # unique among the member's own, whatever the environment
        title = key_pair_name(work.environment, wanted.name)
        body = {
            "name": title,
            "description": work.description(wanted),
            "secret": work.connections.secret_of(wanted, title),
            "roles": [{"name": role} for role in wanted.roles],
            "unrestricted": False,
        }

        def find() -> list[Raw]:
            found = api.collection(path, "application_credentials", name=title)
            return [raw for raw in found if raw.get("description") == body["description"]]

        def post() -> Raw:
            made: Raw = api.post(path, {"application_credential": body})["application_credential"]
            return made

        with _told(wanted.address):
            return str(create_once(work, post, find)["id"])

    def update(self, work: Work, observed: Observed, wanted: ApplicationCredential) -> None:
        """Nothing of an application credential is changed in place."""

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove an application credential: what acts with it is refused from then on."""
        with _told(observed.resource.address):
            work.member.identity.delete(f"/users/{work.member.user_id}/application_credentials/{observed.id}")


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Say what Keystone's refusal means: it names its own policy only."""
    try:
        yield
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        raise CloudRefused(
            f"{address}: an application credential can't make or remove another one ({error.message})",
            hint="Name an entry of clouds.yaml that has the member's password: --cloud ENTRY",
        ) from error
