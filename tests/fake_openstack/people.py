"""Keystone's users and roles; and quotas, servers' metadata and names, which can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fake_openstack.keystone import refuse
from fake_openstack.wire import Answer, Refusal, Request, Router, new_id

if TYPE_CHECKING:
    from fake_openstack.neutron import Neutron
    from fake_openstack.nova import Nova

__all__ = ["People"]

Raw = dict[str, Any]
ROLES = ("admin", "member", "reader")
USER = "/identity/v3/users/([^/]+)"
GRANT = "/identity/v3/projects/([^/]+)/users/([^/]+)/roles/([^/]+)"


class People:
    """The users of one domain; their roles, by (project, user, role). Passwords are kept apart."""

    def __init__(self, router: Router, nova: Nova, neutron: Neutron) -> None:
        self._nova = nova
        self._neutron = neutron
        self.users: dict[str, Raw] = {}
        self.passwords: dict[str, str] = {}
        self.grants: set[tuple[str, str, str]] = set()
        self.roles = list(ROLES)
        for method, path, handler in (
            ("GET", "/identity/v3/users", self._list_users),
            ("POST", "/identity/v3/users", self._create_user),
            ("PATCH", USER, self._update_user),
            ("DELETE", USER, self._delete_user),
            ("GET", "/identity/v3/roles", self._list_roles),
            ("GET", "/identity/v3/role_assignments", self._list_assignments),
            ("PUT", GRANT, self._grant),
            ("DELETE", GRANT, self._revoke),
            ("GET", "/compute/v2.1/os-quota-sets/([^/]+)", self._compute_quota),
            ("PUT", "/compute/v2.1/os-quota-sets/([^/]+)", self._set_compute_quota),
            ("PUT", "/network/v2.0/quotas/([^/]+)", self._set_network_quota),
            ("GET", "/compute/v2.1/servers/(?!detail$)([^/]+)", self._show),
            ("PUT", "/compute/v2.1/servers/([^/]+)", self._rename),
            ("POST", "/compute/v2.1/servers/([^/]+)/metadata", self._set_metadata),
            ("DELETE", "/compute/v2.1/servers/([^/]+)/metadata/([^/]+)", self._delete_metadata),
        ):
            router.add(method, path, handler)

    def clear(self) -> None:
        """Remove everybody."""
        self.users.clear()
        self.passwords.clear()
        self.grants.clear()

    def _list_users(self, request: Request) -> Answer:
        _need_admin(request)
        names = {key: value for key, value in request.query.items() if key in {"name", "domain_id"}}
        found = [u for u in self.users.values() if all(u[key] == value for key, value in names.items())]
        return Answer(200, {"users": found, "links": {"next": None, "previous": None}})

    def _create_user(self, request: Request) -> Answer:
        _need_admin(request)
        wanted = dict(request.json["user"])
        if any(user["name"] == wanted["name"] for user in self.users.values()):
            raise refuse(
                409,
                "Conflict",
                "Conflict occurred attempting to store user - Duplicate entry found with name"
                f" {wanted['name']} at domain ID {wanted['domain_id']}.",
            )
        password = wanted.pop("password")
        user = {"enabled": True, "options": {}, **wanted, "id": new_id().replace("-", "")}
        self.users[user["id"]] = user
        self.passwords[user["id"]] = password
        return Answer(201, {"user": user})

    def _update_user(self, request: Request) -> Answer:
        _need_admin(request)
        user = self._user(request.groups[0])
        changes = dict(request.json["user"])
        if "password" in changes:
            self.passwords[user["id"]] = changes.pop("password")
        user |= changes
        return Answer(200, {"user": user})

    def _delete_user(self, request: Request) -> Answer:
        _need_admin(request)
        user = self._user(request.groups[0])
        del self.users[user["id"]], self.passwords[user["id"]]
        self.grants -= {grant for grant in self.grants if grant[1] == user["id"]}
        return Answer(204)

    def _user(self, identifier: str) -> Raw:
        try:
            return self.users[identifier]
        except KeyError:
            raise refuse(404, "Not Found", f"Could not find user: {identifier}.") from None

    def _list_roles(self, request: Request) -> Answer:
        _need_admin(request)
        name = request.query.get("name")
        return Answer(
            200,
            {"roles": [{"id": f"id-{r}", "name": r} for r in self.roles if name in {None, r}], "links": {}},
        )

    def _list_assignments(self, request: Request) -> Answer:
        _need_admin(request)
        wanted = request.query["scope.project.id"]
        others: list[Raw] = [
            # what a real one lists besides: groups', inherited, and those of users of others
            {"group": {"id": "g"}, "role": {"id": "id-reader", "name": "reader"}, "scope": {}},
            {"user": {"id": "user-demo"}, "role": {"id": "id-member", "name": "member"}, "scope": {}},
        ]
        found = [
            {
                "user": {"id": user, "name": self.users[user]["name"]},
                "role": {"id": role, "name": role.removeprefix("id-")},
                "scope": {"project": {"id": project}},
            }
            for project, user, role in sorted(self.grants)
            if project == wanted
        ]
        return Answer(200, {"role_assignments": [*others, *found], "links": {}})

    def _grant(self, request: Request) -> Answer:
        _need_admin(request)
        project, user, role = request.groups
        self._user(user)
        if role.removeprefix("id-") not in self.roles:
            raise refuse(404, "Not Found", f"Could not find role: {role}.")
        self.grants.add((project, user, role))
        return Answer(204)

    def _revoke(self, request: Request) -> Answer:
        _need_admin(request)
        project, user, role = request.groups
        if (project, user, role) not in self.grants:
            raise refuse(404, "Not Found", "Could not find role assignment.")
        self.grants.remove((project, user, role))
        return Answer(204)

    def _compute_quota(self, request: Request) -> Answer:
        # a project's members read its quota, and nobody else's
        if not request.who.admin and request.groups[0] != request.who.project_id:
            raise Refusal(403, {"forbidden": {"code": 403, "message": "Policy doesn't allow it"}})
        return Answer(200, {"quota_set": {"id": request.groups[0], "server_groups": 10, **self._nova.quota}})

    def _set_compute_quota(self, request: Request) -> Answer:
        _need_admin(request)
        limits = dict(request.json["quota_set"])
        limits.pop("force", None)
        self._nova.quota |= limits
        return Answer(200, {"quota_set": self._nova.quota})

    def _set_network_quota(self, request: Request) -> Answer:
        _need_admin(request)
        self._neutron.quota |= request.json["quota"]
        return Answer(200, {"quota": self._neutron.quota})

    def _show(self, request: Request) -> Answer:
        return Answer(200, {"server": self._server(request)})

    def _rename(self, request: Request) -> Answer:
        server = self._server(request)
        server["name"] = request.json["server"]["name"]
        return Answer(200, {"server": server})

    def _set_metadata(self, request: Request) -> Answer:
        server = self._server(request)
        server["metadata"] |= request.json["metadata"]
        return Answer(200, {"metadata": server["metadata"]})

    def _delete_metadata(self, request: Request) -> Answer:
        server = self._server(request)
        if server["metadata"].pop(request.groups[1], None) is None:
            raise Refusal(404, {"itemNotFound": {"code": 404, "message": "Metadata item was not found"}})
        return Answer(204)

    def _server(self, request: Request) -> Raw:
        server: Raw | None = self._nova.servers.get(request.groups[0])
        if server is None or server["tenant_id"] != request.who.project_id:
            raise Refusal(404, {"itemNotFound": {"code": 404, "message": "Instance could not be found."}})
        return server


def _need_admin(request: Request) -> None:
    if not request.who.admin:
        raise refuse(403, "Forbidden", "You are not authorized to perform the requested action.")
