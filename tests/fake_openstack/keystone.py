"""Keystone: passwords, application credentials, the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fake_openstack.wire import Answer, Caller, Refusal, Request, Router, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Keystone", "User", "refuse"]


@dataclass
class User:
    """A user with a role in one project."""

    name: str
    password: str
    project: str
    roles: tuple[str, ...]


class Keystone:
    """The identity service."""

    def __init__(self, router: Router, url: Callable[[], str], tokens: Mapping[str, Caller]) -> None:
        self._url = url
        self.region = "RegionOne"
        self.services = ["identity", "compute", "network", "image"]
        self.users = {
            "demo": User("demo", "secret", "project-demo", ("member", "reader")),
            "admin": User("admin", "secret", "project-admin", ("admin", "member", "reader")),
        }
        #: id → what is listed, with the secret and the user's name
        self.application_credentials: dict[str, dict[str, Any]] = {
            "credential-demo": {
                "id": "credential-demo",
                "name": "by hand",
                "description": "",
                "project_id": "project-demo",
                "roles": [{"id": "id-member", "name": "member"}, {"id": "id-reader", "name": "reader"}],
                "unrestricted": False,
                "_secret": "credential-secret",
                "_user": "demo",
            }
        }
        self.tokens = dict(tokens)
        router.add("GET", "/identity(?:/v3)?", self._version)
        router.add("POST", "/identity/v3/auth/tokens", self._authenticate)
        path = "/identity/v3/users/user-([^/]+)/application_credentials"
        router.add("GET", path, self._list_credentials)
        router.add("POST", path, self._create_credential)
        router.add("DELETE", f"{path}/([^/]+)", self._delete_credential)

    def caller(self, token: str) -> Caller | None:
        """Return who a token belongs to."""
        return self.tokens.get(token)

    def clear(self) -> None:
        """Remove the application credentials that were made, but for the one made by hand."""
        for identifier in self.application_credentials.keys() - {"credential-demo"}:
            del self.application_credentials[identifier]

    def forget_tokens(self) -> None:
        """Let all tokens expire."""
        self.tokens.clear()

    def _version(self, _request: Request) -> Answer:
        link = {"rel": "self", "href": f"{self._url()}/identity/v3/"}
        return Answer(200, {"version": {"id": "v3.14", "status": "stable", "links": [link]}})

    def _authenticate(self, request: Request) -> Answer:
        user, credential = self._user(request.json["auth"]["identity"])
        token = new_id()
        self.tokens[token] = Caller(f"user-{user.name}", user.project, user.roles, credential)
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

    def _list_credentials(self, request: Request) -> Answer:
        user = self._owner(request)
        found = [
            {key: value for key, value in raw.items() if not key.startswith("_")}
            for raw in self.application_credentials.values()
            if raw["_user"] == user and request.query.get("name") in {None, raw["name"]}
        ]
        return Answer(200, {"application_credentials": found, "links": {}})

    def _create_credential(self, request: Request) -> Answer:
        user = self._owner(request)
        self._need_password(request)
        wanted = request.json["application_credential"]
        named = {role["name"] for role in wanted["roles"]}
        known = {role for one in self.users.values() for role in one.roles}
        if absent := named - known:
            raise refuse(404, "Not Found", f"Could not find role: {absent.pop()}.")
        if named - set(self.users[user].roles):
            raise refuse(400, "Bad Request", "Invalid application credential: Could not find role assignment")
        if any(
            (raw["_user"], raw["name"]) == (user, wanted["name"])
            for raw in self.application_credentials.values()
        ):
            raise refuse(
                409,
                "Conflict",
                "Conflict occurred attempting to store application_credential - Duplicate entry found with"
                f" name {wanted['name']}.",
            )
        made = {
            "id": new_id().replace("-", ""),
            "name": wanted["name"],
            "description": wanted["description"],
            "project_id": request.who.project_id,
            "roles": [{"id": f"id-{role['name']}", **role} for role in wanted["roles"]],
            "unrestricted": wanted["unrestricted"],
        }
        self.application_credentials[made["id"]] = {**made, "_secret": wanted["secret"], "_user": user}
        return Answer(201, {"application_credential": {**made, "secret": wanted["secret"]}})

    def _delete_credential(self, request: Request) -> Answer:
        self._owner(request)
        self._need_password(request)
        if self.application_credentials.pop(request.groups[1], None) is None:
            raise refuse(404, "Not Found", "Could not find Application Credential.")
        return Answer(204)

    def _owner(self, request: Request) -> str:
        if request.who.user_id != f"user-{request.groups[0]}":
            raise refuse(403, "Forbidden", "You are not authorized to perform the requested action.")
        return request.groups[0]

    def _need_password(self, request: Request) -> None:
        if request.who.by_credential:
            raise refuse(
                403,
                "Forbidden",
                "Using method 'application_credential' is not allowed for managing additional application"
                " credentials.",
            )

    def _user(self, identity: dict[str, Any]) -> tuple[User, bool]:
        if "application_credential" in identity["methods"]:
            given = identity["application_credential"]
            for raw in self.application_credentials.values():
                of_user = given.get("user", {}).get("id") == f"user-{raw['_user']}"
                named = of_user and given.get("name") == raw["name"]
                if (named or given.get("id") == raw["id"]) and given["secret"] == raw["_secret"]:
                    user = self.users[raw["_user"]]
                    roles = tuple(role["name"] for role in raw["roles"])
                    return replace(user, roles=roles), True
                if named or given.get("id") == raw["id"]:
                    break
            else:
                raise refuse(404, "Not Found", "Could not find Application Credential.")
        else:
            given = identity["password"]["user"]
            known = self.users.get(given["name"])
            if known is not None and known.password == given["password"]:
                return known, False
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


def refuse(status: int, title: str, message: str) -> Refusal:
    """Return a refusal in Keystone's form."""
    return Refusal(status, {"error": {"code": status, "title": title, "message": message}})
