"""Nova servers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

from medicarche.cloud.calls import ApiError
from medicarche.cloud.marks import METADATA_KEY, key_pair_name
from medicarche.cloud.work import Work, create_once, while_in_use
from medicarche.plan.resources import Kind, Resource, Server

if TYPE_CHECKING:
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed

__all__ = ["ServerHandler"]

#: Nova's word for a server that was stopped
STOPPED = "SHUTOFF"
CONFLICT = 409


class ServerHandler:
    """Servers that carry the mark. Making and removing one takes time: see `medicarche.converge.waiting`."""

    kind = Kind.SERVER

    def read(self, listing: Listing) -> None:
        """Add servers; see `medicarche.cloud.work.Handler`."""
        for raw in listing.raw["servers"]:
            name = listing.own_name(self.kind, raw["metadata"].get(METADATA_KEY))
            if name is None:
                continue
            image = raw.get("image")
            ports = [port for port in listing.raw["ports"] if port.get("device_id") == raw["id"]]
            server = Server(
                name=name,
                flavor=listing.reference(raw["flavor"].get("id")),
                image=listing.reference(image.get("id") if isinstance(image, dict) else None),
                key_pair=listing.reference(raw.get("key_name")),
                port=listing.reference(ports[0]["id"] if ports else None),
                title=raw["name"],
                running=raw["status"] != STOPPED,
                metadata=tuple(sorted((k, v) for k, v in raw["metadata"].items() if k != METADATA_KEY)),
            )
            detail = {
                "key_name": raw.get("key_name") or "",
                "fault": (raw.get("fault") or {}).get("message", ""),
            }
            refers = [
                raw["flavor"].get("id"),
                image.get("id") if isinstance(image, dict) else None,
                raw.get("key_name"),
                *(port["id"] for port in ports),
            ]
            listing.add(server, raw, in_use=bool(ports), refers=refers, detail=detail)

    def needs_admin(self, work: Work, resource: Resource) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Never."""
        return False

    def create(self, work: Work, wanted: Server) -> str:
        """Order a server; it is being built when this returns."""
        api = work.member.compute
        body: dict[str, object] = {
            "name": wanted.title or wanted.name,
            "flavorRef": work.id_of(wanted.flavor),
            "imageRef": work.id_of(wanted.image),
            "key_name": key_pair_name(work.environment, wanted.key_pair.partition("/")[2]),
            "networks": [{"port": work.id_of(wanted.port)}],
            "metadata": {**dict(wanted.metadata), METADATA_KEY: work.mark(wanted)},
            "config_drive": False,
        }
        if wanted.user_data:
            body["user_data"] = base64.b64encode(wanted.user_data.encode()).decode()

        def find() -> list[Raw]:
            return [
                raw
                for raw in api.collection("/servers/detail", "servers")
                if raw["metadata"].get(METADATA_KEY) == work.mark(wanted)
                and raw["status"] != "ERROR"
                and raw.get("OS-EXT-STS:task_state") != "deleting"
            ]

        return str(create_once(work, lambda: api.post("/servers", {"server": body})["server"], find)["id"])

    def update(self, work: Work, observed: Observed, wanted: Server) -> None:
        """Change name and metadata (key by key: the mark stays), and start it where it was stopped."""
        if not isinstance(observed.resource, Server):
            return
        api = work.member.compute
        if wanted.title not in {None, observed.resource.title}:
            api.put(f"/servers/{observed.id}", {"server": {"name": wanted.title}})
        if wanted.running and not observed.resource.running:
            self._start(work, observed.id)
        path = f"/servers/{observed.id}/metadata"
        old, new = dict(observed.resource.metadata), dict(wanted.metadata)
        if changed := {key: value for key, value in new.items() if old.get(key) != value}:
            api.post(path, {"metadata": changed}, repeatable=True)
        for key in sorted(old.keys() - new.keys()):
            api.delete(f"{path}/{quote(key, safe='')}")

    def _start(self, work: Work, identifier: str) -> None:
        api = work.member.compute
        try:
            api.post(f"/servers/{identifier}/action", {"os-start": None}, repeatable=True)
        except ApiError as error:
            # its answer was lost, or somebody else was quicker
            if error.status != CONFLICT or api.get(f"/servers/{identifier}")["server"]["status"] == STOPPED:
                raise

    def delete(self, work: Work, observed: Observed) -> None:
        """Order a server's removal; it may still be there when this returns."""
        while_in_use(work, lambda: work.member.compute.delete(f"/servers/{observed.id}"))
