"""Keystone: passwords, application credentials, the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fake_openstack.wire import Answer, Caller, Refusal, Request, Router, new_id

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Keystone", "User"]


@dataclass
class User:
    """A user with a role in one project."""

    name: str
    password: str
    project: str
    roles: tuple[str, ...]


class Keystone:
    """The identity service."""

    def __init__(self, router: Router, url: Callable[[], str]) -> None:
        self._url = url
        self.region = "RegionOne"
        self.services = ["identity", "compute", "network", "image"]
        self.users = {
            "demo": User("demo", "secret", "project-demo", ("member", "reader")),
            "admin": User("admin", "secret", "project-admin", ("admin", "member", "reader")),
        }
        self.application_credentials = {"credential-demo": ("credential-secret", "demo")}
        self._tokens: dict[str, Caller] = {}
        router.add("GET", "/identity(?:/v3)?", self._version)
        router.add("POST", "/identity/v3/auth/tokens", self._authenticate)

    def caller(self, token: str) -> Caller | None:
        """Return who a token belongs to."""
        return self._tokens.get(token)

    def forget_tokens(self) -> None:
        """Let all tokens expire."""
        self._tokens.clear()

    def _version(self, _request: Request) -> Answer:
        link = {"rel": "self", "href": f"{self._url()}/identity/v3/"}
        return Answer(200, {"version": {"id": "v3.14", "status": "stable", "links": [link]}})

    def _authenticate(self, request: Request) -> Answer:
        user = self._user(request.json["auth"]["identity"])
        token = new_id()
        self._tokens[token] = Caller(f"user-{user.name}", user.project, user.roles)
        body = {
            "token": {
                "methods": ["password"],
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "expires_at": "2099-01-01T00:00:00.000000Z",
                "user": {
                    "id": f"user-{user.name}",
                    "name": user.name,
                    "domain": {"id": "default", "name": "Default"},
                },
                "project": {
                    "id": user.project,
                    "name": user.project,
                    "domain": {"id": "default", "name": "Default"},
                },
                "roles": [{"id": role, "name": role} for role in user.roles],
                "catalog": [self._service(kind) for kind in self.services],
            }
        }
        return Answer(201, body, {"X-Subject-Token": token})

    def _user(self, identity: dict[str, Any]) -> User:
        if "application_credential" in identity["methods"]:
            given = identity["application_credential"]
            secret, name = self.application_credentials.get(given["id"], ("", ""))
            if secret and secret == given["secret"]:
                return self.users[name]
        else:
            given = identity["password"]["user"]
            user = self.users.get(given["name"])
            if user is not None and user.password == given["password"]:
                return user
        raise Refusal(
            401,
            {
                "error": {
                    "code": 401,
                    "title": "Unauthorized",
                    "message": "The request you have made requires authentication.",
                }
            },
        )

    def _service(self, kind: str) -> dict[str, object]:
        path = {
            "identity": "/identity/v3",
            "compute": "/compute/v2.1",
            "network": "/network",
            "image": "/image",
        }[kind]
        endpoints = [
            {
                "id": f"{kind}-{interface}",
                "interface": interface,
                "region": self.region,
                "region_id": self.region,
                "url": self._url() + path,
            }
            for interface in ("public", "internal", "admin")
        ]
        return {"id": kind, "type": kind, "name": kind, "endpoints": endpoints}
