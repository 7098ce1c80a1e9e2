"""Glance images."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from medicarche.cloud.calls import AMBIGUOUS_STATUSES, ApiError
from medicarche.cloud.marks import PROPERTY_PREFIX
from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.errors import CloudUnreachable, ConvergenceError
from medicarche.plan.resources import Image, Kind, Resource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from medicarche.cloud.calls import Api
    from medicarche.cloud.connect import Connection
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["ImageHandler"]

MARK = f"{PROPERTY_PREFIX}mark"
ENVIRONMENT = f"{PROPERTY_PREFIX}environment"
RECIPE = f"{PROPERTY_PREFIX}recipe"
#: the project whose environment it belongs to: the admin owns public images, whoever had them made
PROJECT = f"{PROPERTY_PREFIX}project"
#: bytes of the whole file
SIZE = f"{PROPERTY_PREFIX}size"
#: what Glance and its clients write into an image by themselves
OWN_KEYS = frozenset(
    [
        "id",
        "name",
        "status",
        "visibility",
        "protected",
        "checksum",
        "size",
        "virtual_size",
        "container_format",
        "disk_format",
        "min_ram",
        "min_disk",
        "owner",
        "created_at",
        "updated_at",
        "tags",
        "self",
        "file",
        "schema",
        "direct_url",
        "locations",
        "stores",
        "os_hidden",
        "os_hash_algo",
        "os_hash_value",
        "owner_specified.openstack.md5",
        "owner_specified.openstack.sha256",
        "owner_specified.openstack.object",
    ]
)
UPLOADS = 3
#: refusals of an upload that pass: an expired token, too many requests, an error of the service or a gateway
PASSING = AMBIGUOUS_STATUSES | {401, 429}


class ImageHandler:
    """Images that carry the mark, and public ones that carry a wanted name."""

    kind = Kind.IMAGE

    def read(self, listing: Listing) -> None:
        """Add images; see `medicarche.cloud.work.Handler`."""
        seen: set[str] = set()
        for raw in (*listing.raw["images"], *listing.raw["named_images"]):
            name = listing.own_name(self.kind, raw.get(MARK))
            if raw.get(PROJECT) not in {None, listing.project_id}:
                name = None  # another project's environment of the same name
            owned = name is not None
            if name is None:
                if raw.get("visibility") != "public" or not listing.wants(self.kind, raw["name"]):
                    continue
                name = str(raw["name"])
            if raw["id"] in seen:
                continue
            seen.add(raw["id"])
            image = Image(
                name=name,
                disk_format=raw.get("disk_format") or "",
                recipe=raw.get(RECIPE) or "",
                visibility=raw["visibility"],
                min_disk_gib=raw.get("min_disk") or 0,
                min_ram_mib=raw.get("min_ram") or 0,
                properties=_properties(raw),
            )
            status = str(raw["status"])
            if status == "active" and raw.get(SIZE) not in {None, str(raw.get("size"))}:
                # an upload that was cut off and that Glance took for whole; its own word where it notices
                status = "killed"
            in_use = any(_image_id(server) == raw["id"] for server in listing.raw["servers"])
            detail = {"size": str(raw.get("size") or 0)}
            listing.add(image, raw, owned=owned, status=status, in_use=in_use, detail=detail)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's argument
        """Those that everybody can see."""
        return isinstance(resource, Image) and resource.visibility == "public"

    def create(self, work: Work, wanted: Image) -> str:
        """Register an image, then upload its data."""
        try:
            path = work.images[wanted.name]
        except KeyError:
            raise ConvergenceError(f"{wanted.address}: there is no file to upload") from None
        connection = self._connection(work, wanted)
        api = connection.image
        size = path.stat().st_size
        body: dict[str, object] = {
            **dict(wanted.properties),
            "name": wanted.name,
            "container_format": "bare",
            "disk_format": wanted.disk_format,
            "visibility": wanted.visibility,
            "min_disk": wanted.min_disk_gib,
            "min_ram": wanted.min_ram_mib,
            MARK: work.mark(wanted),
            ENVIRONMENT: work.environment,
            PROJECT: work.member.project_id,
            RECIPE: wanted.recipe,
            SIZE: str(size),
        }

        def find() -> list[Raw]:
            ours = {MARK: work.mark(wanted), PROJECT: work.member.project_id, RECIPE: wanted.recipe}
            found = api.collection("/images", "images", limit=1000, **ours)
            states = {"queued", "active"} if work.looks_first else {"queued"}
            return [raw for raw in found if raw["status"] in states and raw.get("size") in {None, size}]

        made = create_once(work, lambda: api.post("/images", body), find)
        if made["status"] != "active":
            self._upload(work, api, str(made["id"]), path)
        return str(made["id"])

    def _upload(self, work: Work, api: Api, identifier: str, path: Path) -> None:
        size = path.stat().st_size
        for attempt in range(UPLOADS):
            try:
                with path.open("rb") as stream:
                    api.upload(f"/images/{identifier}/file", _Reader(stream, size, work.progress))
            except (CloudUnreachable, ApiError) as error:
                there = api.get(f"/images/{identifier}")
                if there["status"] == "active" and there["size"] == size:
                    return  # only the answer was lost
                passing = not isinstance(error, ApiError) or error.status in PASSING
                if there["status"] != "queued" or not passing or attempt == UPLOADS - 1:
                    raise
                work.clock.back_off(attempt, error.retry_after if isinstance(error, ApiError) else None)
            else:
                return

    def update(self, work: Work, observed: Observed, wanted: Image) -> None:
        """Change visibility, minima and properties."""
        old = observed.resource
        if not isinstance(old, Image):
            return
        operations: list[dict[str, object]] = [
            {"op": "replace", "path": f"/{key}", "value": value}
            for key, value in (
                ("visibility", wanted.visibility),
                ("min_disk", wanted.min_disk_gib),
                ("min_ram", wanted.min_ram_mib),
            )
        ]
        # "add" replaces a value that is there (RFC 6902, section 4.1)
        operations += [{"op": "add", "path": f"/{key}", "value": value} for key, value in wanted.properties]
        admin = self.needs_admin(work, wanted) or self.needs_admin(work, old)
        connection = work.admin if admin else work.member
        connection.image.patch(f"/images/{observed.id}", operations)

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove an image."""
        api = self._connection(work, observed.resource).image
        while_in_use(work, lambda: api.delete(f"/images/{observed.id}"))

    def _connection(self, work: Work, resource: Resource) -> Connection:
        return work.admin if self.needs_admin(work, resource) else work.member


class _Reader:
    """A file that says how far it was read. requests takes its length for Content-Length."""

    def __init__(self, stream: IO[bytes], size: int, progress: Callable[[str], None]) -> None:
        self._stream = stream
        self._size = size
        self._progress = progress
        self._read = 0
        self._told = -1

    def __len__(self) -> int:
        return self._size

    def read(self, amount: int = -1) -> bytes:
        """Read the next bytes."""
        data = self._stream.read(amount)
        self._read += len(data)
        percent = self._read * 100 // max(self._size, 1)
        if percent != self._told:
            self._told = percent
            self._progress(f"uploaded {percent}% of {self._size / 2**20:.0f} MiB")
        return data


def _properties(raw: Raw) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted(
            (key, str(value))
            for key, value in raw.items()
            if key not in OWN_KEYS and not key.startswith(PROPERTY_PREFIX)
        )
    )


def _image_id(server: Raw) -> str | None:
    image = server.get("image")
    return image.get("id") if isinstance(image, dict) else None
