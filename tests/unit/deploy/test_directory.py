"""The directory's kind: who reaches it, what each side is told, what its files say, how passwords go."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from deploy_job import job_of
from medicarche import deploy
from medicarche.credentials import Credentials
from medicarche.deploy.directory import base_of, hand_over
from medicarche.errors import DeploymentError
from medicarche.plan import derive
from medicarche.plan.reach import Expected, Placed, Policy, Target, VantagePoint, expectation
from medicarche.plan.resources import SecurityGroupRule
from medicarche.spec import Environment, Site, listeners, load_environment
from medicarche.ssh import ensure_key_pair

FILE = Path(__file__).parents[3] / "environments/example-directory.yaml"
SITE = Site("raw", "lxc", ("10.20.20.1", 3142), {"debian-13": "abc"}, "ssh-ed25519 AAAA", "physnet")
BASE = "dc=directory,dc=internal"
#: the applications that ask it
USERS = ("website", "syncthing", "odoo")


@dataclass(frozen=True)
class Machine:
    """What is known of an instance."""

    name: str
    private_address: str | None
    floating_address: str | None = None
    id: str = "1"


MACHINES = tuple(
    Machine(name, f"172.21.0.{number}", f"10.20.20.{number}")
    for number, name in enumerate(("directory", "website", "syncthing", "odoo"), 110)
)


@pytest.fixture(name="environment", scope="module")
def _environment() -> Environment:
    loaded = load_environment(
        FILE, check_settings=deploy.check_settings, private_listeners=deploy.listeners, traits=deploy.traits
    )
    assert loaded.directory is not None
    # with SSH accounts: test_ssh_accounts
    return replace(loaded, directory=replace(loaded.directory, ssh_groups=()))


def _job(environment: Environment, folder: Path, machines: tuple[Machine, ...] = MACHINES) -> Any:  # noqa: ANN401 - JSON
    ensure_key_pair(folder, environment.key_pair)
    job = job_of(environment, machines, folder)
    instances = json.loads(json.dumps(job))["instances"]
    return {part["name"]: (part, instance) for instance in instances for part in instance["applications"]}


# --- who reaches it ----------------------------------------------------------------------------------------


def test_it_is_opened_to_its_users_groups_and_to_no_prefix(environment: Environment) -> None:
    rules = [r for r in derive(environment, SITE) if isinstance(r, SecurityGroupRule) and r.port_min == 636]
    found = {(r.group, r.direction, r.remote_group, r.remote_prefix) for r in rules}
    own = "security_group/app-directory"
    assert found == {
        *((own, "ingress", f"security_group/app-{name}", None) for name in USERS),
        *((f"security_group/app-{name}", "egress", own, None) for name in USERS),
    }


def test_nobody_else_reaches_it_by_the_matrix(environment: Environment) -> None:
    others = {"directory", "website"}
    applications = (a if a.name in others else replace(a, roles={}) for a in environment.applications)
    environment = replace(environment, applications=tuple(applications))
    placed = [Placed(m.name, str(m.private_address), m.floating_address) for m in MACHINES]
    policy = Policy(environment, derive(environment, SITE), {p.name: p.private for p in placed})
    points = {p.name: VantagePoint(p.name, "instance", p.private, str(p.floating)) for p in placed}
    points["outside"] = VantagePoint("outside", "outside", "203.0.113.1")
    points["dsi"] = VantagePoint("dsi", "administrators", "10.20.20.254")
    found = {
        (name, kind)
        for name, point in points.items()
        for kind, address in (("private", placed[0].private), ("floating", str(placed[0].floating)))
        for span in expectation(policy, point, Target("directory", kind, address))  # type: ignore[arg-type]  # a word
        if span.first <= 636 <= span.last and span.expected is Expected.OPEN
    }
    assert found == {("website", "private")}


def test_slapd_listens_itself_and_nothing_redirects_there(environment: Environment) -> None:
    assert [(w.port, w.process) for w in listeners(environment, "directory")] == [
        (22, "sshd"),
        (636, "slapd"),
    ]
    assert [(w.port, w.process) for w in listeners(environment, "website")] == [
        (22, "sshd"),
        (80, "nginx"),
        (8443, "nginx"),
    ]


# --- what each side is told --------------------------------------------------------------------------------


def test_each_application_is_told_what_it_needs_and_no_more(environment: Environment, tmp_path: Path) -> None:
    parts = _job(environment, tmp_path)
    serving, website, syncthing, odoo = (parts[name][0] for name in ("directory", *USERS))
    assert website["directory"]["uri"] == "ldaps://172.21.0.110:636"
    assert website["directory"]["account"] == f"cn=website,ou=services,{BASE}"
    assert [r["role"] for r in website["directory"]["roles"]] == ["administrator", "editor", "subscriber"]
    groups = [r["group"] for r in website["directory"]["roles"]]
    inside = "".join(f"(memberOf={group})" for group in groups)
    assert website["directory"]["filter"] == f"(&(uid=%s)(|{inside}))"
    assert len(website["directory"]["members"]) == 19
    assert website["secrets"]["directory"] == serving["secrets"]["service/website"]
    # who asks as the person who logs in has no account of its own
    assert "directory" not in syncthing["secrets"]
    assert "service/syncthing" not in serving["secrets"]
    assert syncthing["directory"]["people"] == {}
    assert [s["name"] for s in serving["directory"]["services"]] == ["website", "odoo"]
    assert odoo["secrets"]["directory"] == serving["secrets"]["service/odoo"]
    people = [purpose for purpose in serving["secrets"] if purpose.startswith("person/")]
    assert len(people) == 100
    told = json.dumps([website, syncthing, odoo])
    assert not [1 for purpose in people if serving["secrets"][purpose] in told]


def test_who_is_in_several_groups_is_told_with_all_that_they_give(
    environment: Environment, tmp_path: Path
) -> None:
    odoo = _job(environment, tmp_path)["odoo"][0]["directory"]
    people = odoo["people"]
    several = {login: p["roles"] for login, p in people.items() if len(p["roles"]) > 1}
    assert ["accounting", "sales"] in several.values()
    assert {login: p["roles"][0] for login, p in people.items()} == odoo["members"]
    directory = environment.directory
    assert directory is not None
    member = next(m for m in directory.members if m.login in several)
    assert people[member.login]["name"] == member.name
    assert people[member.login]["mail"] == member.mail


def test_a_directory_without_address_is_told(environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="website: the directory's instance directory has no address"):
        _job(environment, tmp_path, MACHINES[1:])


def test_the_base_follows_from_the_domain() -> None:
    assert base_of("a.example.org") == "dc=a,dc=example,dc=org"


def test_passwords_are_handed_over_to_their_owner_and_forgotten_with_them(
    environment: Environment, tmp_path: Path
) -> None:
    directory = environment.directory
    assert directory is not None
    _job(environment, tmp_path)
    hand_over(environment, Credentials(tmp_path), tmp_path)
    login = directory.members[0].login
    path = tmp_path / "directory" / login
    password = Credentials(tmp_path).get(f"directory/person/{login}")
    assert path.read_text(encoding="utf-8") == f"{directory.members[0].name}\n{login}\n{password}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(list(path.parent.iterdir())) == 100
    left = replace(environment, directory=replace(directory, members=directory.members[1:]))
    hand_over(left, Credentials(tmp_path), tmp_path)
    assert not path.exists()
    assert Credentials(tmp_path).get(f"directory/person/{login}") is None
    assert Credentials(tmp_path).get("directory/service/website")
    assert len(list(path.parent.iterdir())) == 99


# --- its files ---------------------------------------------------------------------------------------------


@pytest.fixture(name="files")
def _files(environment: Environment, tmp_path: Path) -> dict[str, Any]:
    pytest.importorskip("pyinfra")
    from medicarche.deploy.applications.directory import operations  # noqa: PLC0415 - pyinfra

    part, instance = _job(environment, tmp_path)["directory"]
    found = {file.path: file for file in operations.files(part, instance)}
    secrets = [*part["secrets"].values(), *instance["private_key"].splitlines()[1:-1]]
    held = [p for p, f in found.items() if [1 for secret in secrets if secret in f.content]]
    assert held == ["/etc/ldap/medicarche.key"], "its key is the only secret that is written into a file"
    assert found["/etc/ldap/medicarche.key"].mode == "600"
    (unit,) = operations.units(part, list(found))
    assert {*unit.configuration} == {path for path in found if "directory.py" not in path}
    return found


def test_it_speaks_tls_and_to_nobody_unknown(files: dict[str, Any]) -> None:
    configuration = files["/etc/ldap/medicarche.conf"].content
    for line in (
        "disallow bind_anon",
        "require authc",
        "security ssf=128 simple_bind=128",
        "TLSProtocolMin 3.3",
        "password-hash {ARGON2}",
        "overlay memberof",
        "overlay refint",
        "overlay ppolicy",
    ):
        assert f"{line}\n" in configuration
    assert "rootpw" not in configuration
    unit = files["/etc/systemd/system/slapd.service.d/medicarche.conf"].content
    assert '\nExecStart=\nExecStart=/usr/sbin/slapd -d 0 -h "ldaps://0.0.0.0:636/ ldapi:///" ' in unit


def test_an_account_sees_its_own_groups_people_and_nobody_reads_hashes(files: dict[str, Any]) -> None:
    configuration = files["/etc/ldap/medicarche.conf"].content
    rules = ["access " + rule for rule in configuration.split("\noverlay")[0].split("\naccess ")[1:]]
    (website,) = [rule for rule in rules if "cn=website,ou=services" in rule]
    groups = "".join(f"(memberOf=cn={g},ou=groups,{BASE})" for g in ("communication", "direction", "dsi"))
    assert f'filter="(|{groups})"' in website
    assert "userPassword" not in website
    # the first rule that fits counts: those on passwords stand before all others
    assert all("attrs=userPassword" in rule for rule in rules[:2])
    assert not [rule for rule in rules[:2] if " read" in rule or "=r" in rule]
    assert rules[-1].split() == ["access", "to", "*", "by", "*", "none"]
