"""Nova flavors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.cloud.calls import ApiError
from medicarche.cloud.work import Work, create_once
from medicarche.plan.resources import Flavor, Kind, Resource

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["FLAVOR_MICROVERSION", "FlavorHandler"]

#: descriptions since 2.55, extra specs in the list since 2.61
FLAVOR_MICROVERSION = "2.61"
CONFLICT = 409


class FlavorHandler:
    """Flavors that carry the mark, and others that carry a wanted name. Only an admin makes them."""

    kind = Kind.FLAVOR

    def read(self, listing: Listing) -> None:
        """Add flavors; see `medicarche.cloud.work.Handler`."""
        usable = {raw["id"] for raw in listing.raw["flavors"]}
        for raw in listing.raw.get("all_flavors") or listing.raw["flavors"]:
            known = listing.known_as(self.kind, raw)
            if known is None:
                continue
            name, owned = known
            if raw["id"] not in usable and listing.wants(self.kind, name):
                # a private one whose maker was killed before it gave the project access: made again, it is
                # found by its mark, and access is given
                continue
            flavor = Flavor(
                name=name,
                vcpus=raw["vcpus"],
                ram_mib=raw["ram"],
                disk_gib=raw["disk"],
                ephemeral_gib=raw.get("OS-FLV-EXT-DATA:ephemeral", 0),
                swap_mib=raw.get("swap") or 0,
                public=bool(raw.get("os-flavor-access:is_public", True)),
                metadata=tuple(sorted((raw.get("extra_specs") or {}).items())),
            )
            in_use = any(server["flavor"].get("id") == raw["id"] for server in listing.raw["servers"])
            listing.add(flavor, raw, owned=owned, in_use=in_use)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Always."""
        return True

    def create(self, work: Work, wanted: Flavor) -> str:
        """Make a flavor, its extra specs, and the project's access to it where it is private."""
        api = work.admin.compute
        body = {
            "name": wanted.name,
            "description": work.description(wanted, shared=True),
            "vcpus": wanted.vcpus,
            "ram": wanted.ram_mib,
            "disk": wanted.disk_gib,
            "OS-FLV-EXT-DATA:ephemeral": wanted.ephemeral_gib,
            "swap": wanted.swap_mib,
            "os-flavor-access:is_public": wanted.public,
        }

        def find() -> list[Raw]:
            flavors = api.collection(
                "/flavors/detail", "flavors", microversion=FLAVOR_MICROVERSION, is_public="None"
            )
            return [raw for raw in flavors if raw.get("description") == body["description"]]

        made = create_once(
            work,
            lambda: api.post("/flavors", {"flavor": body}, microversion=FLAVOR_MICROVERSION)["flavor"],
            find,
        )
        identifier = str(made["id"])
        self._set_metadata(work, identifier, made.get("extra_specs") or {}, dict(wanted.metadata))
        if not wanted.public:
            self._give_access(work, identifier)
        return identifier

    def update(self, work: Work, observed: Observed, wanted: Flavor) -> None:
        """Change the extra specs."""
        if isinstance(observed.resource, Flavor):
            self._set_metadata(work, observed.id, dict(observed.resource.metadata), dict(wanted.metadata))

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove a flavor; servers that were made from it keep their size."""
        work.admin.compute.delete(f"/flavors/{observed.id}")

    def _set_metadata(self, work: Work, identifier: str, old: dict[str, str], new: dict[str, str]) -> None:
        api = work.admin.compute
        if changed := {key: value for key, value in new.items() if old.get(key) != value}:
            api.post(f"/flavors/{identifier}/os-extra_specs", {"extra_specs": changed}, repeatable=True)
        for key in old.keys() - new.keys():
            api.delete(f"/flavors/{identifier}/os-extra_specs/{key}")

    def _give_access(self, work: Work, identifier: str) -> None:
        try:
            work.admin.compute.post(
                f"/flavors/{identifier}/action",
                {"addTenantAccess": {"tenant": work.member.project_id}},
                repeatable=True,
            )
        except ApiError as error:
            # 409: the project has access already
            if error.status != CONFLICT:
                raise
