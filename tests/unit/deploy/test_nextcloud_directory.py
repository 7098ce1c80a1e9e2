"""Nextcloud in a company with a directory: what it is told of it, and what the directory lets it see."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy_job import in_odoos_place, job_of_all
from medicarche import deploy
from medicarche.deploy.applications.nextcloud import operations
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from medicarche.spec import Environment

TEMPLATES = Path(deploy.__file__).parent / "applications/directory/templates"
BASE = "dc=directory,dc=internal"
#: who is what in Nextcloud
ROLES = {"communication": "user", "dsi": "administrator"}


@pytest.fixture(name="environment", scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The example's, with Nextcloud in Odoo's place."""
    nextcloud = {
        "kind": "nextcloud",
        "port": 8806,
        "title": "Fichiers",
        "settings": {"administrator": "secours", "archive": "nextcloud.tar.gz", "sha256": "0" * 64},
        "roles": ROLES,
        "egress": ["dns", "packages"],
    }
    return in_odoos_place(tmp_path_factory.mktemp("environment"), {"nextcloud": nextcloud})


@pytest.fixture(name="told")
def _told(environment: Environment, tmp_path: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Application's name → what is told of it, and of its instance."""
    job = json.loads(json.dumps(job_of_all(environment, tmp_path)))
    return {part["name"]: (part, inst) for inst in job["instances"] for part in inst["applications"]}


def _asks(application: dict[str, Any]) -> dict[str, Any]:
    found = operations._directory(application)
    assert found is not None
    return found


def test_it_asks_over_tls_with_an_account_of_its_own_for_its_own_people(told: Any) -> None:  # noqa: ANN401 - JSON
    application, _ = told["nextcloud"]
    settings = _asks(application)["settings"]
    assert (settings["ldap_host"], settings["ldap_port"]) == ("ldaps://172.21.0.110", "636")
    assert settings["ldap_turn_off_cert_check"] == "0"
    assert settings["ldap_dn"] == f"cn=nextcloud,ou=services,{BASE}"
    password = base64.b64decode(settings["ldap_agent_password"]).decode()
    assert (
        password
        == application["secrets"]["directory"]
        == told["directory"][0]["secrets"]["service/nextcloud"]
    )
    among = "".join(f"(memberOf=cn={group},ou=groups,{BASE})" for group in ("dsi", "communication"))
    assert settings["ldap_userlist_filter"] == f"(|{among})"
    assert settings["ldap_login_filter"] == f"(&(uid=%uid)(|{among}))"
    # a login's files are found again by the login
    assert settings["ldap_expert_username_attr"] == settings["ldap_expert_uuid_user_attr"] == "uid"
    assert all(isinstance(value, str) for value in settings.values()), "Nextcloud keeps words"


def test_it_is_told_the_people_of_its_groups_and_what_each_is(
    told: Any,  # noqa: ANN401 - JSON
    environment: Environment,
) -> None:
    directory = environment.directory
    assert directory is not None
    expected = {
        member.login: "administrator" if "dsi" in member.groups else "user"
        for member in directory.members
        if set(member.groups) & set(ROLES)
    }
    assert _asks(told["nextcloud"][0])["people"] == expected
    assert set(expected.values()) == {"administrator", "user"}


def test_it_is_told_the_groups_that_it_lets_in_by_ids_that_are_none_of_its_own(
    told: Any,  # noqa: ANN401 - JSON
    environment: Environment,
) -> None:
    directory = environment.directory
    assert directory is not None
    assert _asks(told["nextcloud"][0])["groups"] == {
        f"directory-{group}": {
            "title": directory.groups[group],
            "members": [member.login for member in directory.members if group in member.groups],
        }
        for group in sorted(ROLES)
    }


def test_a_groups_id_has_room_in_its_database(told: Any) -> None:  # noqa: ANN401 - JSON
    application = told["nextcloud"][0]
    group = {"title": "Groupe", "members": []}
    long = ("a" * 80, "a" * 81, "a" * 54)
    changed = application["directory"] | {"groups": dict.fromkeys(long, group)}
    ids = list(_asks(application | {"directory": changed})["groups"])
    assert len(set(ids)) == len(long)
    assert [len(name) for name in ids] == [64] * 3
    assert ids[2] == f"directory-{long[2]}"


def test_it_believes_the_environments_authority_and_reads_it_again(told: Any) -> None:  # noqa: ANN401 - JSON
    application, instance = told["nextcloud"]
    files = {file.path: file for file in operations.files(application, instance)}
    assert files["/etc/medicarche/authority.pem"].content == application["directory"]["authority"]
    assert (
        "TLS_CACERT /etc/medicarche/authority.pem\nTLS_REQCERT demand\n"
        in files["/etc/ldap/ldap.conf"].content
    )
    (apache,) = [u for u in operations.units(application, files) if u.name == "apache2.service"]
    assert {"/etc/ldap/ldap.conf", "/etc/medicarche/authority.pem"} <= set(apache.configuration)
    # the password goes by the standard input alone
    assert not [path for path, f in files.items() if application["secrets"]["directory"] in f.content]


def test_without_a_directory_it_has_nothing_of_it(told: Any) -> None:  # noqa: ANN401 - JSON
    application, instance = told["nextcloud"]
    alone = application | {"directory": None}
    assert operations._directory(alone) is None
    paths = {file.path for file in operations.files(alone, instance)}
    assert not {"/etc/ldap/ldap.conf", "/etc/medicarche/authority.pem"} & paths


def test_who_shares_with_others_may_list_them_and_nobody_else_may(told: Any) -> None:  # noqa: ANN401 - JSON
    application, instance = told["directory"]
    assert {s["name"]: s["lists"] for s in application["directory"]["services"]} == {
        "website": False,
        "nextcloud": True,
    }
    text = render(TEMPLATES, "slapd.conf.j2", application=application, **instance)
    limits = [line for line in text.splitlines() if line.startswith("limits ")]
    # the first that fits counts (slapd.conf(5))
    assert limits[0] == f'limits dn.exact="cn=nextcloud,ou=services,{BASE}" size=2000 time=10'
    assert f'limits dn.onelevel="ou=services,{BASE}" size=2 time=10' in limits[1:]
    assert not [line for line in limits if "website" in line]
