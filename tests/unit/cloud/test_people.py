"""Accounts, roles, limits and metadata on the fake cloud; as an admin of the cloud, and without one."""

from __future__ import annotations

import stat
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from fake_openstack import Fault, Kind
from fake_openstack.company import NAME, company, destroy, plan, provision
from fake_openstack.fixtures import still_clock
from medicarche import people
from medicarche.cloud.calls import Api
from medicarche.cloud.check import check
from medicarche.cloud.connect import Connections, connect
from medicarche.cloud.observe import observe
from medicarche.credentials import Credentials
from medicarche.errors import CloudRefused, ConvergenceError, MedicarcheError, QuotaTooSmall
from medicarche.plan.resources import Project, Quota, Resource, RoleAssignment, User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Target

PROJECT = Project(name=NAME)
PEOPLE = {"claire": "admin", "karim": "member", "sophie": "reader"}
LIMITS = (
    Quota(name="compute", limits=(("instances", 4), ("vcpus", 9))),
    Quota(name="network", limits=(("floating_ips", 7),)),
)


def wanted(roles: dict[str, str] | None = None) -> tuple[Resource, ...]:
    """Return the company, with its people."""
    found: list[Resource] = [PROJECT]
    for login, role in (PEOPLE if roles is None else roles).items():
        found += [
            User(name=login, purpose=login.title()),
            RoleAssignment(name=f"{login}-{role}", user=f"user/{login}", project=PROJECT.address, role=role),
        ]
    return (*found, *company())


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path / "environment"


@pytest.fixture(name="able")
def _able(connections: Connections, folder: Path) -> Connections:
    """Connections that can make users."""
    return people.with_secrets(connections, folder)


@pytest.fixture(name="alone")
def _alone(target: Target) -> Iterator[Connections]:
    """A plain member, without an admin."""
    with closing(connect(replace(target, admin_cloud=None), clock=still_clock())) as connected:
        yield connected


def granted(cloud: FakeOpenStack) -> set[tuple[str, str]]:
    """Return login and role of all that is granted in the project."""
    users = cloud.people.users
    return {
        (users[u]["name"], r.removeprefix("id-")) for p, u, r in cloud.people.grants if p == "project-demo"
    }


def test_people_get_their_account_and_role_and_that_is_all(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    provision(able, image, wanted())
    assert granted(cloud) == set(PEOPLE.items())
    for user in cloud.people.users.values():
        assert user["description"].startswith(f"medicarche:{NAME}:user/{user['name']} project=project-demo ")
        assert user["default_project_id"] == "project-demo"
    writes = len(cloud.faults.writes)
    assert plan(able, wanted()).empty
    assert len(cloud.faults.writes) == writes


def test_a_password_is_in_its_owners_file_and_nowhere_else(
    cloud: FakeOpenStack, able: Connections, image: Path, folder: Path
) -> None:
    provision(able, image, wanted())
    seen = set()
    for identifier, password in cloud.people.passwords.items():
        login = cloud.people.users[identifier]["name"]
        path = people.file_of(folder, login)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        entry = YAML(typ="safe", pure=True).load(path)["clouds"]["medicarche"]
        assert entry["auth"]["username"] == login
        assert entry["auth"]["password"] == password
        assert entry["auth"]["project_id"] == "project-demo"
        assert Credentials(folder).get(f"people/{login}") == password
        seen.add(password)
    assert len(seen) == len(PEOPLE)


def test_a_person_s_file_is_written_before_the_cloud_knows_the_password(
    cloud: FakeOpenStack, able: Connections, image: Path, folder: Path
) -> None:
    cloud.order(Fault(Kind.LOSE, "POST", "/identity/v3/users$"))
    provision(able, image, wanted({"karim": "member"}))
    ((identifier, password),) = cloud.people.passwords.items()
    assert cloud.people.users[identifier]["name"] == "karim"
    assert Credentials(folder).get("people/karim") == password
    assert cloud.census()["users"] == 1


def test_drift_of_people_is_mended(cloud: FakeOpenStack, able: Connections, image: Path) -> None:
    provision(able, image, wanted())
    ids = {user["name"]: user["id"] for user in cloud.people.users.values()}
    cloud.people.grants.add(("project-demo", ids["sophie"], "id-admin"))
    cloud.people.grants.remove(("project-demo", ids["karim"], "id-member"))
    cloud.people.users[ids["claire"]]["enabled"] = False
    planned = plan(able, wanted())
    assert {action.id.partition("#")[0] for action in planned.actions} == {
        "delete role_assignment/sophie-admin",
        "create role_assignment/karim-member",
        "update user/claire",
    }
    provision(able, image, wanted())
    assert granted(cloud) == set(PEOPLE.items())
    assert cloud.people.users[ids["claire"]]["enabled"]
    assert plan(able, wanted()).empty


def test_who_leaves_and_who_changes(
    cloud: FakeOpenStack, able: Connections, image: Path, folder: Path
) -> None:
    provision(able, image, wanted())
    old = Credentials(folder).get("people/sophie")
    provision(able, image, wanted({"claire": "member", "karim": "member"}))
    assert granted(cloud) == {("claire", "member"), ("karim", "member")}
    people.forget_others(folder, ["claire", "karim"])
    assert not people.file_of(folder, "sophie").exists()
    assert Credentials(folder).get("people/sophie") is None
    provision(able, image, wanted())
    assert Credentials(folder).get("people/sophie") not in {None, old}


def test_destroy_removes_our_people_and_nobody_else(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    assert able.admin is not None
    stranger = {"name": "stranger", "domain_id": "default", "password": "x", "description": "of another one"}
    able.admin.identity.post("/users", {"user": stranger})
    provision(able, image, wanted())
    destroy(able)
    assert [user["name"] for user in cloud.people.users.values()] == ["stranger"]
    assert cloud.census() == {"users": 1}


def test_a_stranger_of_a_wanted_name_is_in_the_way(
    cloud: FakeOpenStack, able: Connections, image: Path
) -> None:
    assert able.admin is not None
    able.admin.identity.post("/users", {"user": {"name": "karim", "domain_id": "default", "password": "x"}})
    assert "user/karim is in the cloud already" in "".join(plan(able, wanted()).conflicts)
    with pytest.raises(ConvergenceError, match="isn't ours"):
        provision(able, image, wanted())
    assert granted(cloud) == set()


def test_without_a_place_for_its_password_no_account_is_made(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    with pytest.raises(ConvergenceError, match="nowhere to hand its password over"):
        provision(connections, image, wanted({"karim": "member"}))
    assert cloud.people.users == {}


def test_a_role_that_the_cloud_lacks_is_named(cloud: FakeOpenStack, able: Connections, image: Path) -> None:
    cloud.people.roles.remove("reader")
    with pytest.raises(ConvergenceError, match="the cloud has no role 'reader'"):
        provision(able, image, wanted({"sophie": "reader"}))


def test_a_plain_member_takes_people_and_limits_as_given(
    able: Connections, alone: Connections, image: Path
) -> None:
    provision(able, image, wanted())
    planned = plan(alone, (*wanted(), *LIMITS))
    assert planned.empty
    notes = "\n".join(planned.notes)
    assert "only an admin of the cloud sees user/claire, user/karim, user/sophie, role_assignment/" in notes
    assert "subnet/external-subnet: not looked at" in notes
    assert "quota/compute differs (limits.instances 10, wanted 4" in notes
    destroyed = {found.resource.kind for found in observe(alone, NAME, ())}
    assert "user" not in destroyed


def test_what_only_an_admin_may_make_is_named_in_one_message(
    cloud: FakeOpenStack, alone: Connections, image: Path
) -> None:
    with pytest.raises(CloudRefused) as caught:
        provision(alone, image, wanted())
    assert "create flavor/medicarche.small" in caught.value.message
    assert "create network/external" in caught.value.message
    assert "user/" not in caught.value.message
    assert cloud.faults.writes == [] or {call[1] for call in cloud.faults.writes} == {
        "/identity/v3/auth/tokens"
    }


def test_external_networks_are_known_where_neutron_hides_it(
    connections: Connections, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Zed does with the rules of today: the network is another project's."""
    provision(connections, image)
    filtered: list[str] = []
    whole = Api.collection

    def hiding(api: Api, path: str, key: str, **params: object) -> list[dict[str, object]]:
        found = [dict(raw) for raw in whole(api, path, key, **params)]  # type: ignore[arg-type]
        for raw in found if key == "networks" else ():
            if raw.get("project_id") != "project-demo":
                raw.pop("router:external", None)
        filtered.extend(name for name in params if name == "router:external")
        return found

    monkeypatch.setattr(Api, "collection", hiding)
    assert plan(connections).empty
    assert filtered == ["router:external"]


def test_limits_are_set_before_they_are_needed_and_kept_at_the_end(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    cloud.nova.quota["instances"] = 0
    resources = (*company(), *LIMITS)
    changed = [a.wanted for a in plan(connections, resources).actions if a.wanted is not None]
    check(connections, changed)
    with pytest.raises(QuotaTooSmall, match="instances: 1 needed, 0 of 0 left"):
        check(connections, company())
    provision(connections, image, resources)
    assert cloud.nova.quota == {"instances": 4, "cores": 9, "ram": 51200, "key_pairs": 100}
    assert cloud.neutron.quota["floatingip"] == 7
    assert plan(connections, resources).empty
    destroy(connections)
    assert cloud.census() == {}
    assert cloud.nova.quota["instances"] == 4


def test_a_new_password(cloud: FakeOpenStack, able: Connections, image: Path, folder: Path) -> None:
    provision(able, image, wanted({"karim": "member"}))
    ((identifier, old),) = cloud.people.passwords.items()
    path = people.reset_password(able, NAME, folder, "karim")
    new = cloud.people.passwords[identifier]
    assert new != old
    assert new in path.read_text(encoding="utf-8")
    assert [found.name for found in path.parent.iterdir()] == ["karim"]
    with pytest.raises(MedicarcheError, match="'nobody' has no account"):
        people.reset_password(able, NAME, folder, "nobody")


def test_a_new_password_is_an_admins_to_give(alone: Connections, folder: Path) -> None:
    with pytest.raises(CloudRefused):
        people.reset_password(alone, NAME, folder, "karim")


def test_an_admin_of_a_part_of_the_cloud_sees_nobody(cloud: FakeOpenStack, able: Connections) -> None:
    lists = "/identity/v3/(users|role_assignments)($|[?])"
    cloud.order(Fault(Kind.REFUSE, "GET", lists, status=403, times=2))
    planned = plan(able, wanted())
    assert not any("user" in action.id or "role" in action.id for action in planned.actions)
    assert "only an admin of the cloud sees user/claire" in planned.notes[0]
