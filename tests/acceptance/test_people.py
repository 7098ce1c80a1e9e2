"""CLOUD-9: each person of the DSI may do what the role of their group says, and nothing else.

Everybody logs in with the file that was handed over to them, and really tries.
"""

from __future__ import annotations

import contextlib
import secrets
import stat
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import openstack
import pytest
from keystoneauth1 import exceptions as keystone
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack import exceptions as refused
from openstack.config import OpenStackConfig

from medicarche import people

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from openstack.connection import Connection

    from medicarche.cloud.connect import Connections
    from medicarche.spec import Environment, Person
    from medicarche.target import Selection

pytestmark = pytest.mark.requirement("CLOUD-9")

ROLES = ("admin", "member", "reader")
#: what each role includes (Keystone's implied roles); others that a cloud adds don't matter
INCLUDED = {"admin": {"admin", "member", "reader"}, "member": {"member", "reader"}, "reader": {"reader"}}
PREFIX = "medicarche-acceptance"


def _unique() -> str:
    return f"{PREFIX}-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def log_in(selection: Selection, connections: Connections) -> Iterator[Callable[..., Connection]]:
    """Log in as a person, with the person's file; keyword arguments take the place of what is in it."""
    if connections.admin is None:
        pytest.skip("only an admin of the cloud makes accounts, and no admin's entry was given")
    opened = []

    def log_in(person: Person, **auth: str) -> Connection:
        file = people.file_of(selection.folder, person.login)
        known = OpenStackConfig(config_files=[str(file)], secure_files=[], load_envvars=False)
        connection = openstack.connection.Connection(config=known.get_one(cloud=people.CLOUD, auth=auth))
        opened.append(connection)
        return connection

    yield log_in
    for connection in opened:
        connection.close()


def _person(environment: Environment, role: str) -> Person:
    for person in environment.people:
        if person.cloud_role == role:
            return person
    pytest.skip(f"the environment file names nobody with the role {role}")


@pytest.fixture(params=ROLES)
def person(request: pytest.FixtureRequest, environment: Environment) -> Person:
    """Each role's first person."""
    return _person(environment, request.param)


@pytest.fixture(scope="session")
def reader(environment: Environment, log_in: Callable[..., Connection]) -> Connection:
    """Somebody who may look."""
    return log_in(_person(environment, "reader"))


@pytest.fixture(scope="session")
def worker(environment: Environment, log_in: Callable[..., Connection]) -> Connection:
    """Somebody who may change the project."""
    return log_in(_person(environment, "member"))


@pytest.fixture(scope="session")
def chief(environment: Environment, log_in: Callable[..., Connection]) -> Connection:
    """Somebody who may do everything."""
    return log_in(_person(environment, "admin"))


@dataclass(frozen=True)
class Elsewhere:
    """Somebody else's project, with a network and a security group in it."""

    project: str
    network: str
    group: str


@pytest.fixture(scope="session")
def elsewhere(connections: Connections) -> Iterator[Elsewhere]:
    """What belongs to another project: the admin's own."""
    if connections.admin is None:
        pytest.skip("only an admin has another project to try")
    sdk, project = connections.admin.sdk, connections.admin.project_id
    network = sdk.network.create_network(name=_unique(), project_id=project)
    group = sdk.network.create_security_group(name=_unique(), project_id=project)
    yield Elsewhere(project, network.id, group.id)
    sdk.network.delete_security_group(group)
    sdk.network.delete_network(network)


def test_the_account_is_handed_over_to_its_owner_only(
    person: Person, selection: Selection, log_in: Callable[..., Connection]
) -> None:
    assert log_in(person).authorize()
    file = people.file_of(selection.folder, person.login)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_person_has_the_role_of_the_group_in_our_project_and_no_other(
    person: Person, log_in: Callable[..., Connection], connections: Connections
) -> None:
    session = log_in(person)
    assert isinstance(session.session.auth, BaseIdentityPlugin)
    access = session.session.auth.get_access(session.session)
    assert access.username == person.login
    assert access.project_id == connections.member.project_id
    assert {role for role in access.role_names or () if role in ROLES} == INCLUDED[str(person.cloud_role)]
    own = session.identity.get("/auth/projects").json()["projects"]
    assert [project["id"] for project in own] == [connections.member.project_id]


def test_a_wrong_password_is_refused(person: Person, log_in: Callable[..., Connection]) -> None:
    with pytest.raises(keystone.Unauthorized):
        log_in(person, password="x" * 32).session.get_token()


def test_a_person_has_no_business_in_another_project(
    environment: Environment, log_in: Callable[..., Connection], elsewhere: Elsewhere
) -> None:
    for role in ("member", "reader"):
        connection = log_in(_person(environment, role), project_id=elsewhere.project)
        with pytest.raises(keystone.Unauthorized):
            connection.session.get_token()


# --- a reader looks ----------------------------------------------------------------------------------------


def test_a_reader_sees_the_environment(reader: Connection, connections: Connections) -> None:
    everything = connections.member.sdk
    assert {s.id for s in reader.compute.servers()} == {s.id for s in everything.compute.servers()}
    for kind in ("networks", "subnets", "routers", "ports", "security_groups", "ips"):
        seen = {found.id for found in getattr(reader.network, kind)()}
        assert seen == {found.id for found in getattr(everything.network, kind)()}
    assert list(reader.image.images())
    assert list(reader.compute.flavors())


def _server_body(connection: Connection) -> dict[str, Any]:
    server = next(iter(connection.compute.servers()))
    return {
        "name": _unique(),
        "flavorRef": next(
            f.id for f in connection.compute.flavors() if f.name == server.flavor.original_name
        ),
        "imageRef": server.image.id,
        "networks": "none",
    }


def _make_image(connection: Connection, visibility: str) -> Any:  # noqa: ANN401 - what the SDK gives
    body = {"name": _unique(), "disk_format": "raw", "container_format": "bare", "visibility": visibility}
    answer = connection.image.post("/images", json=body)
    refused.raise_from_response(answer)
    return answer.json()["id"]


def _remove_server(connection: Connection, made: Any) -> None:  # noqa: ANN401 - what the SDK gives
    connection.compute.delete_server(made)
    connection.compute.wait_for_delete(made, wait=120)


def _make_server(connection: Connection) -> Any:  # noqa: ANN401 - what the SDK gives
    answer = connection.compute.post(
        "/servers", json={"server": _server_body(connection)}, microversion="2.61"
    )
    refused.raise_from_response(answer)
    return connection.compute.get_server(answer.json()["server"]["id"])


def _open_a_port(connection: Connection) -> Any:  # noqa: ANN401 - what the SDK gives
    # no instance carries this one: what the others measure meanwhile stays as it is
    group = next(g for g in connection.network.security_groups() if g.name == "default")
    return connection.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=1, port_range_max=1
    )


#: what changes the project: how, and how it is undone
CHANGES: dict[str, tuple[Callable[[Connection], Any], Callable[[Connection, Any], object]]] = {
    "a network": (
        lambda c: c.network.create_network(name=_unique()),
        lambda c, made: c.network.delete_network(made),
    ),
    "a router": (
        lambda c: c.network.create_router(name=_unique()),
        lambda c, made: c.network.delete_router(made),
    ),
    "a security group": (
        lambda c: c.network.create_security_group(name=_unique()),
        lambda c, made: c.network.delete_security_group(made),
    ),
    "an open port": (_open_a_port, lambda c, made: c.network.delete_security_group_rule(made)),
    "a floating IP": (
        lambda c: c.network.create_ip(
            floating_network_id=next(c.network.networks(is_router_external=True)).id
        ),
        lambda c, made: c.network.delete_ip(made),
    ),
    "an image": (
        lambda c: _make_image(c, "private"),
        lambda c, made: c.image.delete_image(made),
    ),
    "a server": (
        _make_server,
        _remove_server,
    ),
    "a server's metadata": (
        lambda c: c.compute.set_server_metadata(next(iter(c.compute.servers())), acceptance="tried"),
        lambda c, made: c.compute.delete_server_metadata(made, ["acceptance"]),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_reader_can_not_make(what: str, reader: Connection, connections: Connections) -> None:
    make, undo = CHANGES[what]
    try:
        made = make(reader)
    except refused.ForbiddenException:
        return
    with contextlib.suppress(refused.SDKException):
        undo(connections.member.sdk, made)
    pytest.fail(f"a reader made {what}")


def test_a_reader_can_not_stop_nor_remove_an_instance(reader: Connection) -> None:
    server = next(iter(reader.compute.servers()))
    for action in (
        partial(reader.compute.stop_server, server),
        partial(reader.compute.reboot_server, server, "SOFT"),
        partial(reader.compute.delete_server, server),
    ):
        with pytest.raises(refused.ForbiddenException):
            action()
    assert reader.compute.get_server(server.id).status == "ACTIVE"


# --- a member works ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", CHANGES)
def test_a_member_makes_and_removes(what: str, worker: Connection) -> None:
    make, undo = CHANGES[what]
    undo(worker, make(worker))


#: what is everybody's, or somebody else's
FORBIDDEN: dict[str, Callable[[Connection, Elsewhere], object]] = {
    "a flavor": lambda c, _: c.compute.create_flavor(name=_unique(), vcpus=1, ram=64, disk=1),
    "an external network": lambda c, _: c.network.create_network(name=_unique(), is_router_external=True),
    "a public image": lambda c, _: _make_image(c, "public"),
    "an account": lambda c, _: c.identity.create_user(name=_unique()),
    "a project": lambda c, _: c.create_project(_unique(), "default"),
    "a list of the accounts": lambda c, _: list(c.identity.users()),
    "the servers of all projects": lambda c, _: list(c.compute.servers(all_projects=True)),
    "a network in another project": lambda c, other: c.network.create_network(
        name=_unique(), project_id=other.project
    ),
    "more of the project's quota": lambda c, _: c.network.update_quota(
        str(c.current_project_id), network=10_000
    ),
    "another project's quota": lambda c, other: c.network.update_quota(other.project, network=10_000),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_neither_member_nor_reader_gets(
    what: str, worker: Connection, reader: Connection, elsewhere: Elsewhere
) -> None:
    for connection in (worker, reader):
        with pytest.raises(refused.HttpException) as caught:
            FORBIDDEN[what](connection, elsewhere)
        # Neutron tells a member who names another project by 400
        assert caught.value.status_code in ({400, 403} if "another project" in what else {403})


def test_another_project_is_out_of_sight_and_out_of_reach(
    worker: Connection, reader: Connection, elsewhere: Elsewhere, connections: Connections
) -> None:
    for connection in (worker, reader):
        assert elsewhere.network not in {network.id for network in connection.network.networks()}
        assert elsewhere.group not in {group.id for group in connection.network.security_groups()}
        network = connection.network
        for call in (
            partial(network.get_network, elsewhere.network),
            partial(network.update_network, elsewhere.network, name="taken"),
            partial(network.delete_network, elsewhere.network, ignore_missing=False),
            partial(network.delete_security_group, elsewhere.group, ignore_missing=False),
        ):
            with pytest.raises((refused.NotFoundException, refused.ForbiddenException)):
                call()
    assert connections.admin is not None
    assert connections.admin.sdk.network.get_network(elsewhere.network).name.startswith(PREFIX)


# --- application credentials ------------------------------------------------------------------------------


def _make_credential(connection: Connection, role: str, **more: object) -> dict[str, Any]:
    body = {"name": _unique(), "roles": [{"name": role}], **more}
    path = f"/users/{connection.current_user_id}/application_credentials"
    answer = connection.identity.post(path, json={"application_credential": body})
    refused.raise_from_response(answer)
    made: dict[str, Any] = answer.json()["application_credential"]
    return made


def _with_credential(connection: Connection, made: dict[str, Any]) -> Connection:
    auth = {
        "auth_url": connection.config.config["auth"]["auth_url"],
        "application_credential_id": made["id"],
        "application_credential_secret": made["secret"],
    }
    return openstack.connection.Connection(
        auth_type="v3applicationcredential", auth=auth, cacert=connection.config.config.get("cacert")
    )


def test_an_application_credential_works_and_can_not_make_another(worker: Connection) -> None:
    made = _make_credential(worker, "member")
    try:
        assert not made.get("unrestricted")
        with _with_credential(worker, made) as narrow:
            make, undo = CHANGES["a security group"]
            undo(narrow, make(narrow))
            with pytest.raises(refused.ForbiddenException):
                _make_credential(narrow, "member")
            # nor remove the one that it is
            path = f"/users/{narrow.current_user_id}/application_credentials/{made['id']}"
            assert narrow.identity.delete(path).status_code == 403
    finally:
        worker.identity.delete(f"/users/{worker.current_user_id}/application_credentials/{made['id']}")
    with pytest.raises((keystone.Unauthorized, keystone.NotFound)), _with_credential(worker, made) as gone:
        gone.session.get_token()


def test_the_application_credential_of_the_provisioning_can_not_make_another(member: Connection) -> None:
    if member.config.config.get("auth_type") != "v3applicationcredential":
        pytest.skip("the configured entry isn't an application credential")
    with pytest.raises(refused.ForbiddenException):
        _make_credential(member, "member")


def test_a_reader_can_not_give_an_application_credential_more(reader: Connection) -> None:
    for role in ("member", "admin"):
        with pytest.raises(refused.HttpException) as caught:
            _make_credential(reader, role)
        assert caught.value.status_code in {400, 403, 404}


# --- an admin, and how little one is used -------------------------------------------------------------------


def test_an_admin_sees_accounts_and_makes_flavors(chief: Connection, environment: Environment) -> None:
    logins = {user.name for user in chief.identity.users()}
    assert {p.login for p in environment.people if p.cloud_role is not None} <= logins
    flavor = chief.compute.create_flavor(name=_unique(), vcpus=1, ram=64, disk=1)
    chief.compute.delete_flavor(flavor)


def test_the_admin_made_nothing_that_a_member_can_make(connections: Connections) -> None:
    if connections.admin is None:
        pytest.skip("no admin's entry was given")
    member, admin = connections.member, connections.admin
    servers = list(member.sdk.compute.servers())
    assert servers
    assert {server.user_id for server in servers} == {member.sdk.current_user_id}
    assert admin.sdk.current_user_id != member.sdk.current_user_id
    for kind in ("routers", "ports", "ips"):
        mine = [f for f in getattr(admin.sdk.network, kind)() if str(f.description).startswith("medicarche:")]
        assert {found.project_id for found in mine} == {member.project_id}, kind


@pytest.mark.alone
def test_a_new_password_ends_the_old_one(
    environment: Environment,
    selection: Selection,
    log_in: Callable[..., Connection],
    run_medicarche: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    person = _person(environment, "reader")
    old = log_in(person)
    assert old.authorize()
    done = run_medicarche("people", "password", person.login)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(people.file_of(selection.folder, person.login))
    new = log_in(person)
    assert new.authorize()
    assert new.config.config["auth"]["password"] not in done.stdout + done.stderr
    with pytest.raises(keystone.Unauthorized):
        log_in(person, password=old.config.config["auth"]["password"]).session.get_token()
