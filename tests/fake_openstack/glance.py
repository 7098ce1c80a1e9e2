"""Glance: images, in pages of 25 as the real one where no limit is given."""

from __future__ import annotations

import hashlib
from typing import Any

from fake_openstack.wire import Answer, Caller, Refusal, Request, Router, new_id

__all__ = ["Glance"]

PAGE = 25


class Glance:
    """The image service."""

    def __init__(self, router: Router) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.data: dict[str, bytes] = {}
        router.add("GET", "/image", self._versions)
        router.add("GET", "/image/v2/images", self._list)
        router.add("POST", "/image/v2/images", self._create)
        router.add("GET", "/image/v2/images/([^/]+)", lambda r: Answer(200, self._find(r)))
        router.add("PATCH", "/image/v2/images/([^/]+)", self._patch)
        router.add("DELETE", "/image/v2/images/([^/]+)", self._delete)
        router.add("PUT", "/image/v2/images/([^/]+)/file", self._upload)

    def _versions(self, request: Request) -> Answer:
        href = f"http://{request.headers['host']}/image/v2/"
        links = [{"rel": "self", "href": href}]
        return Answer(300, {"versions": [{"id": "v2.15", "status": "CURRENT", "links": links}]})

    def _visible(self, who: Caller, image: dict[str, Any]) -> bool:
        return who.admin or image["visibility"] == "public" or image["owner"] == who.project_id

    def _find(self, request: Request) -> dict[str, Any]:
        image = self.images.get(request.groups[0])
        if image is None or not self._visible(request.who, image):
            raise Refusal(404, {"message": "No image found with that ID"})
        return image

    def _list(self, request: Request) -> Answer:
        query = dict(request.query)
        limit, marker = int(query.pop("limit", PAGE)), query.pop("marker", None)
        found = [i for i in self.images.values() if self._visible(request.who, i) and _matches(i, query)]
        if marker is not None:
            ids = [image["id"] for image in found]
            found = found[ids.index(marker) + 1 :]
        body: dict[str, Any] = {"images": found[:limit]}
        if len(found) > limit:
            body["next"] = f"/v2/images?limit={limit}&marker={found[limit - 1]['id']}"
        return Answer(200, body)

    def _create(self, request: Request) -> Answer:
        who, wanted = request.who, request.json
        if wanted.get("visibility") == "public" and not who.admin:
            raise Refusal(403, {"message": "You are not authorized to complete publicize_image action."})
        image = {
            "visibility": "shared",
            "min_disk": 0,
            "min_ram": 0,
            **wanted,
            "id": new_id(),
            "status": "queued",
            "owner": who.project_id,
            "size": None,
            "tags": [],
            "created_at": "2026-01-01T00:00:00Z",
        }
        self.images[image["id"]] = image
        return Answer(201, image)

    def _upload(self, request: Request) -> Answer:
        image = self._find(request)
        if image["status"] != "queued":
            raise Refusal(409, {"message": "Image status transition from active to saving is not allowed"})
        self.data[image["id"]] = request.raw
        image |= {
            "status": "active",
            "size": len(request.raw),
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(request.raw).hexdigest(),
        }
        return Answer(204)

    def _patch(self, request: Request) -> Answer:
        image = self._find(request)
        if not request.who.admin and image["owner"] != request.who.project_id:
            raise Refusal(403, {"message": "You are not permitted to modify this image"})
        for operation in request.json:
            key = operation["path"].removeprefix("/")
            if operation["op"] == "remove":
                if key not in image:
                    raise Refusal(409, {"message": f"Property {key} does not exist."})
                del image[key]
            else:
                image[key] = operation["value"]
        return Answer(200, image)

    def _delete(self, request: Request) -> Answer:
        image = self._find(request)
        if not request.who.admin and image["owner"] != request.who.project_id:
            raise Refusal(403, {"message": "You are not permitted to delete this image"})
        del self.images[image["id"]]
        return Answer(204)


def _matches(image: dict[str, Any], query: dict[str, str]) -> bool:
    for key, value in query.items():
        if key == "name" and value.startswith("in:"):
            names = [name.strip('"') for name in value.removeprefix("in:").split(",")]
            if image["name"] not in names:
                return False
        elif str(image.get(key)) != value:
            return False
    return True
