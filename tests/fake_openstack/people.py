"""Keystone's users and roles; and quotas, servers' metadata and names, which can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fake_openstack.keystone import refuse
from fake_openstack.wire import Answer, Refusal, Request, Router, new_id
from medicarche.cloud.kinds.domain import public_id

if TYPE_CHECKING:
    from fake_openstack.neutron import Neutron
    from fake_openstack.nova import Nova

__all__ = ["People"]

Raw = dict[str, Any]
ROLES = ("admin", "member", "reader")
USER = "/identity/v3/users/([^/]+)"
GRANT = "/identity/v3/projects/([^/]+)/users/([^/]+)/roles/([^/]+)"
GROUP_GRANT = "/identity/v3/projects/([^/]+)/groups/([^/]+)/roles/([^/]+)"
DOMAIN = "/identity/v3/domains/([^/]+)"


class People:
    """The users of one domain; their roles, by (project, user, role). Passwords are kept apart."""

    def __init__(self, router: Router, nova: Nova, neutron: Neutron) -> None:
        self._nova = nova
        self._neutron = neutron
        self.users: dict[str, Raw] = {}
        self.passwords: dict[str, str] = {}
        self.grants: set[tuple[str, str, str]] = set()
        self.roles = list(ROLES)
        self.domains: dict[str, Raw] = {}
        #: domain → configuration, with the password, which isn't shown
        self.configurations: dict[str, Raw] = {}
        #: the directory's groups; None: it doesn't answer
        self.directory: set[str] | None = set()
        #: (project, id of the group, role)
        self.group_grants: set[tuple[str, str, str]] = set()
        self.configurable = True
        for method, path, handler in (
            ("GET", "/identity/v3/users", self._list_users),
            ("POST", "/identity/v3/users", self._create_user),
            ("PATCH", USER, self._update_user),
            ("DELETE", USER, self._delete_user),
            ("GET", "/identity/v3/roles", self._list_roles),
            ("GET", "/identity/v3/role_assignments", self._list_assignments),
            ("GET", "/identity/v3/domains", self._list_domains),
            ("POST", "/identity/v3/domains", self._create_domain),
            ("PATCH", DOMAIN, self._update_domain),
            ("DELETE", DOMAIN, self._delete_domain),
            ("GET", f"{DOMAIN}/config", self._configuration),
            ("PUT", f"{DOMAIN}/config", self._configure),
            ("DELETE", f"{DOMAIN}/config", self._forget_configuration),
            ("GET", "/identity/v3/groups", self._list_groups),
            ("PUT", GROUP_GRANT, self._grant_group),
            ("DELETE", GROUP_GRANT, self._revoke_group),
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
        self.domains.clear()
        self.configurations.clear()
        self.group_grants.clear()

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
        if request.query.get("include_names") and self.group_grants:
            self._ask("the names of groups")
        others: list[Raw] = [
            # what a real one lists besides: groups', inherited, and those of users of others
            {"group": {"id": "g"}, "role": {"id": "id-reader"}, "scope": {}},
            {"user": {"id": "user-demo"}, "role": {"id": "id-member"}, "scope": {}},
        ]
        found = [
            {who: {"id": actor}, "role": {"id": role}, "scope": {"project": {"id": project}}}
            for who, grants in (("user", self.grants), ("group", self.group_grants))
            for project, actor, role in sorted(grants)
            if project == wanted
        ]
        return Answer(200, {"role_assignments": [*others, *found], "links": {}})

    def _list_domains(self, request: Request) -> Answer:
        _need_admin(request)
        name = request.query.get("name")
        found = [dict(d) for d in self.domains.values() if name in {None, d["name"]}]
        default = {"id": "default", "name": "Default", "description": "The default domain", "enabled": True}
        return Answer(200, {"domains": [*([default] if name is None else []), *found], "links": {}})

    def _create_domain(self, request: Request) -> Answer:
        _need_admin(request)
        wanted = request.json["domain"]
        if any(domain["name"] == wanted["name"] for domain in self.domains.values()):
            raise refuse(409, "Conflict", f"it is not permitted to have two domains named {wanted['name']}.")
        domain = {**wanted, "id": new_id().replace("-", "")}
        self.domains[domain["id"]] = domain
        return Answer(201, {"domain": dict(domain)})

    def _update_domain(self, request: Request) -> Answer:
        _need_admin(request)
        domain = self._domain(request)
        domain |= request.json["domain"]
        return Answer(200, {"domain": dict(domain)})

    def _delete_domain(self, request: Request) -> Answer:
        _need_admin(request)
        domain = self._domain(request)
        if domain["enabled"]:
            raise refuse(403, "Forbidden", "Cannot delete a domain that is enabled, please disable it first.")
        del self.domains[domain["id"]]
        self.configurations.pop(domain["id"], None)
        return Answer(204)

    def _configuration(self, request: Request) -> Answer:
        _need_admin(request)
        known = self.configurations.get(self._domain(request)["id"])
        if known is None:
            raise refuse(404, "Not Found", "Could not find domain configuration.")
        shown = {g: {k: v for k, v in options.items() if k != "password"} for g, options in known.items()}
        return Answer(200, {"config": shown})

    def _configure(self, request: Request) -> Answer:
        _need_admin(request)
        if not self.configurable:
            raise refuse(403, "Forbidden", "You are not authorized to perform the requested action.")
        self.configurations[self._domain(request)["id"]] = request.json["config"]
        return self._configuration(request)

    def _forget_configuration(self, request: Request) -> Answer:
        _need_admin(request)
        self.configurations.pop(self._domain(request)["id"], None)
        return Answer(204)

    def _domain(self, request: Request) -> Raw:
        try:
            return self.domains[request.groups[0]]
        except KeyError:
            raise refuse(404, "Not Found", f"Could not find domain: {request.groups[0]}.") from None

    def _ask(self, what: str) -> set[str]:
        """Ask the directory, where it answers."""
        if self.directory is None:
            message = "An unexpected error prevented the server from fulfilling your request."
            raise refuse(500, "Internal Server Error", f"{message} ({what})")
        return self.directory

    def _list_groups(self, request: Request) -> Answer:
        _need_admin(request)
        domain = request.query["domain_id"]
        known = self._ask("groups") if domain in self.configurations else set()
        found = [
            {"id": public_id(domain, name), "name": name, "domain_id": domain}
            for name in sorted(known)
            if request.query.get("name") in {None, name}
        ]
        return Answer(200, {"groups": found, "links": {}})

    def _grant_group(self, request: Request) -> Answer:
        _need_admin(request)
        project, group, role = request.groups
        ids = {public_id(d, name) for d in self.configurations for name in self._ask("a group")}
        if group not in ids:
            raise refuse(404, "Not Found", f"Could not find group: {group}.")
        self.group_grants.add((project, group, role))
        return Answer(204)

    def _revoke_group(self, request: Request) -> Answer:
        _need_admin(request)
        if self.configurations:
            self._ask("a group")
        project, group, role = request.groups
        if (project, group, role) not in self.group_grants:
            raise refuse(404, "Not Found", "Could not find role assignment.")
        self.group_grants.remove((project, group, role))
        return Answer(204)

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
