"""What the directory is told of Keystone: an account that sees who has a role on the cloud, and no more."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        ["entry", "objectClass", "uid", "mail", "employeeNumber", "memberOf"],
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


def _script(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The script, with names instead of python3-ldap, which this machine needn't have."""
    ldap = types.ModuleType("ldap")
    dn, modlist = types.ModuleType("ldap.dn"), types.ModuleType("ldap.modlist")
    dn.escape_dn_chars = str  # type: ignore[attr-defined]  # a stand-in
    dn.str2dn = lambda text: [[part.split("=", 1)] for part in text.split(",")]  # type: ignore[attr-defined]
    ldap.dn, ldap.modlist = dn, modlist  # type: ignore[attr-defined]
    for name, module in (("ldap", ldap), ("ldap.dn", dn), ("ldap.modlist", modlist)):
        monkeypatch.setitem(sys.modules, name, module)
    script = types.ModuleType("directory_script")
    exec(compile(render(FOLDER, "directory.py.j2"), "directory.py", "exec"), script.__dict__)  # noqa: S102 - ours
    return script


def _wanted(*logins: str, cloud: bool = True) -> dict[str, Any]:
    people = [
        {"login": login, "first_name": login, "last_name": "X", "mail": f"{login}@x", "site": "A",
         "groups": ["dsi"], "password": f"password-{login}"}
        for login in logins
    ]  # fmt: skip
    found = {
        "base": "dc=x", "organization": "X", "sites": {"A": "a"}, "groups": {"dsi": "DSI"},
        "people": people, "services": [],
    }  # fmt: skip
    return {**found, "cloud": True} if cloud else found


def test_an_identity_on_the_cloud_is_given_once_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script(monkeypatch)
    there: dict[str, Any] = {"dc=x": {}}
    script.__dict__.update(read=lambda *_: there, connect=lambda: None)

    def provision(wanted: dict[str, Any]) -> list[str]:
        asked = script.Wanted(wanted)
        said: list[str] = script.differences(asked)
        for dn in script.going(there, asked):
            del there[dn]
        for dn, entry in {**asked.others, **asked.people, **asked.groups}.items():
            more = {"userPassword": [b"hash"], "memberOf": sorted(g.encode() for g in asked.of_group(dn))}
            there[dn] = {**entry, **(more if dn in asked.people else {})}
        return said

    def identity(login: str) -> bytes | None:
        found: list[bytes] = there[f"uid={login},ou=people,dc=x"].get("employeeNumber", [None])
        return found[0]

    provision(_wanted("alice", "bob", cloud=False))
    assert identity("alice") is None
    assert provision(_wanted("alice", "bob")) == [
        "alice: identity on the cloud is given",
        "bob: identity on the cloud is given",
    ]
    first = identity("alice")
    assert first is not None
    assert identity("bob") not in {None, first}
    assert provision(_wanted("alice", "bob")) == []
    assert identity("alice") == first
    # alice leaves, and another one comes
    provision(_wanted("bob"))
    provision(_wanted("alice", "bob"))
    assert identity("alice") not in {None, first}
    assert "bob: identity on the cloud is taken away" in provision(_wanted("alice", "bob", cloud=False))
    assert identity("bob") is None
