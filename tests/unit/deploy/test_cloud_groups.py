"""What the directory is told of Keystone: an account that sees who has a role on the cloud, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medicarche import deploy
from medicarche.credentials import Credentials
from medicarche.deploy import directory as told
from medicarche.deploy.templating import render
from medicarche.spec import Environment, load_environment
from medicarche.spec.cloud_groups import KEYSTONE

if TYPE_CHECKING:
    from medicarche.spec.environment import Application

ROOT = Path(__file__).parents[3]
FOLDER = Path(deploy.__file__).parent / "applications/directory/templates"
BASE = "dc=directory,dc=internal"


@pytest.fixture(name="environment", scope="module")
def _environment() -> Environment:
    return load_environment(ROOT / "environments/example-directory.yaml", traits=deploy.traits)


def _application(environment: Environment) -> Application:
    return next(a for a in environment.applications if a.name == "directory")


def _configuration(environment: Environment) -> str:
    directory = told.told(environment, _application(environment), (), "")
    return render(FOLDER, "slapd.conf.j2", application={"directory": directory, "port": 636})


def test_it_has_a_password_of_its_own_which_keystone_is_handed_too(
    environment: Environment, tmp_path: Path
) -> None:
    credentials = Credentials(tmp_path)
    secrets = told.secrets_of(environment, _application(environment), credentials)
    assert environment.directory is not None
    assert secrets[f"service/{KEYSTONE}"] == credentials.get(told.keystone_secret(environment.directory))
    without = environment.without_cloud_groups()
    assert f"service/{KEYSTONE}" not in told.secrets_of(without, _application(without), credentials)


def test_no_application_can_have_its_name() -> None:
    assert not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", KEYSTONE)


def test_it_sees_people_and_groups_of_the_cloud_only(environment: Environment) -> None:
    text = _configuration(environment)
    who = f'by dn.exact="cn={KEYSTONE},ou=services,{BASE}"'
    rules = [part for part in re.split(r"\n(?=access to )", text) if who in part]
    assert [re.findall(r"attrs=(\S+)", rule)[0].split(",") for rule in rules] == [
        ["entry", "objectClass", "uid", "mail", "memberOf"],
        ["entry"],
        ["entry", "objectClass", "cn", "description", "member"],
    ]
    people, _, groups = rules
    members = f"(memberOf=cn=direction,ou=groups,{BASE})(memberOf=cn=dsi,ou=groups,{BASE})"
    assert f'filter="(|{members})"' in people
    assert 'filter="(|(cn=direction)(cn=dsi))"' in groups
    # before the general limit, of which the first that fits counts
    assert text.index(f'limits dn.exact="cn={KEYSTONE}') < text.index("limits dn.onelevel")
    assert KEYSTONE not in _configuration(environment.without_cloud_groups())
