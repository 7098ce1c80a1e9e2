"""Application credentials: the member's own, for programs, each in a file that works as it is."""

from __future__ import annotations

import stat
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fake_openstack import Fault, Kind
from fake_openstack.company import company, destroy, plan, provision
from fake_openstack.fixtures import still_clock
from medicarche import people
from medicarche.cloud.connect import Target, connect
from medicarche.errors import ConvergenceError
from medicarche.plan.resources import ApplicationCredential

if TYPE_CHECKING:
    from pathlib import Path

    from fake_openstack import FakeOpenStack
    from medicarche.cloud.connect import Connections

CREDENTIAL = ApplicationCredential(name="supervision", roles=("reader",), purpose="finds the instances")
WANTED = (*company(), CREDENTIAL)
PATH = "/identity/v3/users/user-demo/application_credentials"


@pytest.fixture(name="able")
def _able(connections: Connections, tmp_path: Path) -> Connections:
    return people.with_secrets(connections, tmp_path)


def test_it_is_made_once_and_its_file_works(
    cloud: FakeOpenStack, able: Connections, image: Path, tmp_path: Path
) -> None:
    provision(able, image, WANTED)
    assert cloud.census()["application_credentials"] == 1
    assert plan(able, WANTED).empty
    file = people.credential_file(tmp_path, "supervision")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(connect(Target("fake", file, people.CLOUD), clock=still_clock())) as program:
        assert program.member.project_id == able.member.project_id
        assert program.member.roles == {"reader"}
        assert program.admin is None


def test_it_is_what_the_mark_says_and_no_others(
    cloud: FakeOpenStack, able: Connections, image: Path, tmp_path: Path
) -> None:
    provision(able, image, WANTED)
    destroy(able)
    people.forget_credentials(tmp_path, [])
    assert list(cloud.keystone.application_credentials) == ["credential-demo"]
    assert not people.credential_file(tmp_path, "supervision").exists()


def test_with_other_roles_it_is_another(cloud: FakeOpenStack, able: Connections, image: Path) -> None:
    provision(able, image, WANTED)
    wanted = (*company(), replace(CREDENTIAL, roles=("member",)))
    (first, second) = plan(able, wanted).actions
    assert (first.id.partition("#")[0], second.id) == (
        f"delete {CREDENTIAL.address}",
        f"create {CREDENTIAL.address}",
    )
    provision(able, image, wanted)
    (made,) = [raw for raw in cloud.keystone.application_credentials.values() if raw["description"]]
    assert [role["name"] for role in made["roles"]] == ["member"]


@pytest.mark.parametrize("kind", [Kind.LOSE, Kind.DROP])
def test_an_answer_that_is_lost_makes_no_second_one(
    cloud: FakeOpenStack, able: Connections, image: Path, kind: Kind, tmp_path: Path
) -> None:
    cloud.order(Fault(kind, "POST", f"{PATH}$"))
    provision(able, image, WANTED)
    assert cloud.census()["application_credentials"] == 1
    file = people.credential_file(tmp_path, "supervision")
    connect(Target("fake", file, people.CLOUD), clock=still_clock()).close()


def test_one_credential_makes_no_other(
    cloud: FakeOpenStack, target: Target, image: Path, tmp_path: Path
) -> None:
    """What can't be made is named; all else is done."""
    by_credential = replace(target, cloud="demo-credential")
    with closing(connect(by_credential, clock=still_clock())) as connections:
        with pytest.raises(ConvergenceError, match="can't make or remove another one") as told:
            provision(people.with_secrets(connections, tmp_path), image, WANTED)
        assert "application_credential/supervision" in told.value.message
        assert "--cloud ENTRY" in (told.value.hint or "")
    assert cloud.census()["servers"] == 1


def test_without_a_place_for_its_secret_none_is_made(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    with pytest.raises(ConvergenceError, match="nowhere to hand its secret over"):
        provision(connections, image, WANTED)
    assert "application_credentials" not in cloud.census()


def test_a_cloud_that_hides_them_has_none(
    cloud: FakeOpenStack, connections: Connections, image: Path
) -> None:
    provision(connections, image)
    cloud.order(Fault(Kind.REFUSE, "GET", PATH, status=403))
    assert plan(connections).empty
