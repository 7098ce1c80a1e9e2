"""Observing a cloud: one list call per kind, all at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from medicarche.cloud.calls import ApiError
from medicarche.cloud.kinds import HANDLERS
from medicarche.cloud.kinds.domain import CONFIGURATION
from medicarche.cloud.kinds.flavor import FLAVOR_MICROVERSION
from medicarche.cloud.kinds.image import ENVIRONMENT
from medicarche.cloud.listing import UNSEEN, Listing, Raw, united
from medicarche.cloud.marks import METADATA_KEY
from medicarche.plan.model import mark
from medicarche.plan.resources import Flavor, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from medicarche.cloud.connect import Connection, Connections
    from medicarche.plan.model import Observed
    from medicarche.plan.resources import Resource

__all__ = ["in_transition", "observe"]

#: seconds that servers under way get to settle, and between two looks at them
SETTLE_TIMEOUT, SETTLE_INTERVAL = 600.0, 2.0
PAGE = 1000
FORBIDDEN, NOT_FOUND = 403, 404
EXTERNAL = "router:external"
#: asked for before all else, one of each service: where several of a service's processes meet a token for the
#: first time at once, each has Keystone look at it
FIRST = {"servers", "floatingips", "application_credentials"}


def observe(
    connections: Connections,
    environment_name: str,
    wanted: Sequence[Resource],
    *,
    note: Callable[[str], None] = lambda _text: None,
) -> tuple[Observed, ...]:
    """Return what the cloud holds of an environment.

    What carries the environment's mark is returned, all rules of its security groups, its routers'
    interfaces; and flavors, external networks (with their subnets, where an admin looks) and public images
    of others that have a wanted name. The number of calls doesn't depend on the number of resources.
    Where a server is being built or removed by a run that was cut short, its end is waited for; ``note`` is
    told so.

    Where something wanted isn't found, the lists are asked for once more, and what either look has seen is
    there: one list that is late, or cut short, doesn't lead to a second object. Where nothing is missing,
    this costs nothing.

    Raises:
        CloudUnreachable: a service doesn't answer.
        ApiError: a service refuses.
    """
    calls = _calls(connections, environment_name, wanted)
    raw = _read(calls)
    deadline = connections.clock.monotonic() + SETTLE_TIMEOUT
    told = False
    while (
        names := _unsettled(environment_name, raw["servers"])
    ) and connections.clock.monotonic() < deadline:
        if not told:
            note(f"waiting for Nova, at work on {', '.join(names)} (at most {SETTLE_TIMEOUT:.0f} s)")
            told = True
        connections.clock.sleep(SETTLE_INTERVAL)
        raw |= _read({key: calls[key] for key in ("servers", "ports")})
    found = _understood(connections, environment_name, wanted, raw)
    if {resource.address for resource in wanted} <= {item.resource.address for item in found}:
        return found
    return _understood(connections, environment_name, wanted, united(raw, _read(calls)))


def _understood(
    connections: Connections, environment: str, wanted: Sequence[Resource], raw: dict[str, list[Raw]]
) -> tuple[Observed, ...]:
    """Return what the raw lists hold of an environment."""
    _fill_in_external(connections, raw["networks"])
    listing = Listing(
        environment=environment,
        project_id=connections.member.project_id,
        raw=raw,
        wanted={resource.address: resource for resource in wanted},
        admin=connections.admin is not None,
    )
    for handler in HANDLERS.values():
        handler.read(listing)
    return tuple(listing.found)


def _fill_in_external(connections: Connections, networks: Sequence[Raw]) -> None:
    """Ask which networks are external, where Neutron doesn't say.

    With the rules that came with the default roles, Neutron of Zed hides the attribute of others' networks
    from a project's member, and still filters by it (``get_network:router:external``; removed since).
    """
    if all(EXTERNAL in raw for raw in networks):
        return
    api = connections.member.network
    found = {raw["id"] for raw in api.collection("/networks", "networks", fields="id", **{EXTERNAL: "True"})}
    for raw in networks:
        raw.setdefault(EXTERNAL, raw["id"] in found)


def in_transition(server: Raw) -> bool:
    """Say whether Nova is still at work on a server."""
    return server["status"] == "BUILD" or server.get("OS-EXT-STS:task_state") is not None


def _unsettled(environment: str, servers: Sequence[Raw]) -> list[str]:
    """Return the names of our servers that Nova is at work on."""
    prefix = mark(environment, "")
    return [
        str(server.get("name", server["id"]))
        for server in servers
        if in_transition(server) and str(server["metadata"].get(METADATA_KEY, "")).startswith(prefix)
    ]


def _calls(
    connections: Connections, environment: str, wanted: Sequence[Resource]
) -> dict[str, Callable[[], list[Raw]]]:
    member, admin = connections.member, connections.admin
    project = member.project_id
    network, compute = member.network, member.compute

    def subnets() -> list[Raw]:
        # a member doesn't see the subnets of external networks
        found = network.collection("/subnets", "subnets", project_id=project)
        if admin is not None and admin.project_id != project:
            found += admin.network.collection("/subnets", "subnets", project_id=admin.project_id)
        return found

    def flavors() -> list[Raw]:
        return compute.collection("/flavors/detail", "flavors", microversion=FLAVOR_MICROVERSION, limit=PAGE)

    def images(**filters: str) -> list[Raw]:
        return member.image.collection("/images", "images", limit=PAGE, **filters)

    calls: dict[str, Callable[[], list[Raw]]] = {
        "networks": lambda: network.collection("/networks", "networks"),
        "subnets": subnets,
        "routers": lambda: network.collection("/routers", "routers", project_id=project),
        "ports": lambda: network.collection("/ports", "ports", project_id=project),
        "security_groups": lambda: network.collection(
            "/security-groups", "security_groups", project_id=project
        ),
        "floatingips": lambda: network.collection("/floatingips", "floatingips", project_id=project),
        "servers": lambda: compute.collection("/servers/detail", "servers", limit=PAGE),
        "keypairs": lambda: compute.collection("/os-keypairs", "keypairs"),
        "flavors": flavors,
        "images": lambda: images(**{ENVIRONMENT: environment}),
        "named_images": list,
        **_identity_calls(connections, environment),
        **_quota_calls(connections, wanted),
    }
    calls["application_credentials"] = lambda: _credentials(member)
    names = [resource.name for resource in wanted if resource.kind is Kind.IMAGE]
    if names:
        # Glance takes a list of names, quoted (API reference, "in:" operator)
        quoted = ",".join(f'"{name}"' for name in names)
        calls["named_images"] = lambda: images(name=f"in:{quoted}", visibility="public")
    private = any(isinstance(resource, Flavor) and not resource.public for resource in wanted)
    if admin is not None and (private or not wanted):
        calls["all_flavors"] = lambda: admin.compute.collection(
            "/flavors/detail", "flavors", microversion=FLAVOR_MICROVERSION, limit=PAGE, is_public="None"
        )
    return calls


def _identity_calls(connections: Connections, environment: str) -> dict[str, Callable[[], list[Raw]]]:
    """Return the lists of users and domains and of roles in our project, which only an admin gets."""
    member, admin = connections.member, connections.admin
    if admin is None:
        return dict.fromkeys(("users", "roles", "role_assignments", "domains"), lambda: [UNSEEN])
    identity = admin.identity

    def listed(path: str, key: str, **filters: str) -> list[Raw]:
        try:
            return identity.collection(path, key, **filters)
        except ApiError as error:
            if error.status == FORBIDDEN:  # an admin of a part of the cloud
                return [UNSEEN]
            raise

    def domains() -> list[Raw]:
        found = listed("/domains", "domains")
        ours = mark(environment, f"{Kind.DOMAIN}/")
        for raw in found:
            if str(raw.get("description")).startswith(ours):
                raw[CONFIGURATION] = _configuration(admin, str(raw["id"]))
        return found

    # not with names: for those Keystone asks the directory whose groups have roles, and it may be down
    scope = {"scope.project.id": member.project_id}
    return {
        "domains": domains,
        "roles": lambda: listed("/roles", "roles"),
        "users": lambda: listed("/users", "users", domain_id=member.domain_id),
        "role_assignments": lambda: listed("/role_assignments", "role_assignments", **scope),
    }


def _configuration(admin: Connection, domain: str) -> Raw:
    try:
        found: Raw = admin.identity.get(f"/domains/{domain}/config")["config"]
    except ApiError as error:
        if error.status in {FORBIDDEN, NOT_FOUND}:  # none yet, or none allowed
            return {}
        raise
    return found


def _credentials(member: Connection) -> list[Raw]:
    path = f"/users/{member.user_id}/application_credentials"
    try:
        return member.identity.collection(path, "application_credentials")
    except ApiError as error:
        # a policy that hides them, or a Keystone from before Queens (2018)
        if error.status in {FORBIDDEN, NOT_FOUND}:
            return []
        raise


def _quota_calls(connections: Connections, wanted: Sequence[Resource]) -> dict[str, Callable[[], list[Raw]]]:
    asked = connections.admin or connections.member
    project = connections.member.project_id
    calls: dict[str, Callable[[], list[Raw]]] = {
        "compute_quota": lambda: [asked.compute.get(f"/os-quota-sets/{project}")["quota_set"]],
        "network_quota": lambda: [asked.network.get(f"/quotas/{project}")["quota"]],
    }
    names = {f"{resource.name}_quota" for resource in wanted if resource.kind is Kind.QUOTA}
    return {key: call for key, call in calls.items() if key in names}


def _read(calls: dict[str, Callable[[], list[Raw]]]) -> dict[str, list[Raw]]:
    with ThreadPoolExecutor(max_workers=6, thread_name_prefix="observe") as pool:
        found: dict[str, list[Raw]] = {}
        for keys in (FIRST & calls.keys(), calls.keys() - FIRST):
            futures = {key: pool.submit(call) for key, call in calls.items() if key in keys}
            found |= {key: future.result() for key, future in futures.items()}
    return found
