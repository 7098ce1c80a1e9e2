"""SSH accounts from the directory: who reaches it, what each side is told, files, numbers, and their end."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from deploy_job import job_of
from medicarche import deploy
from medicarche.deploy.templating import render
from medicarche.plan import derive
from medicarche.plan.resources import Port, SecurityGroup, SecurityGroupRule
from medicarche.spec import Environment, Site, listeners, load_environment
from medicarche.spec.ssh_accounts import FIRST_NUMBER, LAST_NUMBER
from medicarche.ssh import ensure_key_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).parents[3] / "environments/example-directory.yaml"
SITE = Site("raw", "lxc", ("10.20.20.1", 3142), {"debian-13": "abc"}, "ssh-ed25519 AAAA", "physnet")
BASE = "dc=directory,dc=internal"
TEMPLATES = Path(deploy.__file__).parent / "templates" / "ssh_accounts"
INSTANCES = ("directory", "website", "syncthing", "odoo")
MACHINES = tuple(
    SimpleNamespace(name=n, private_address=f"172.21.0.{i}", floating_address=f"10.20.20.{i}", id="1")
    for i, n in enumerate(INSTANCES, 110)
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
RANGE = {"first": FIRST_NUMBER, "last": LAST_NUMBER}


@pytest.fixture(name="environment", scope="module")
def _environment() -> Environment:
    return load_environment(
        FILE, check_settings=deploy.check_settings, private_listeners=deploy.listeners, traits=deploy.traits
    )


@pytest.fixture(name="without", scope="module")
def _without(environment: Environment) -> Environment:
    assert environment.directory is not None
    return replace(environment, directory=replace(environment.directory, ssh_groups=()))


def _job(environment: Environment, folder: Path) -> dict[str, Any]:
    ensure_key_pair(folder, environment.key_pair)
    job = job_of(environment, MACHINES, folder)
    return {instance["name"]: instance for instance in job["instances"]}


# --- who reaches the directory -----------------------------------------------------------------------------


def test_each_instance_reaches_the_directorys_port_and_nothing_more(
    environment: Environment, without: Environment
) -> None:
    more = set(derive(environment, SITE)) - set(derive(without, SITE))
    rules = {
        (r.group, r.direction, r.port_min, r.remote_group) for r in more if isinstance(r, SecurityGroupRule)
    }
    asks, own = "security_group/ssh-accounts", "security_group/app-directory"
    assert rules == {(own, "ingress", 636, asks), (asks, "egress", 636, own)}
    assert [r.name for r in more if isinstance(r, SecurityGroup)] == ["ssh-accounts"]
    # the directory's own instance asks itself, which no rule is about
    carrying = {
        r.name for r in derive(environment, SITE) if isinstance(r, Port) and asks in r.security_groups
    }
    assert carrying == set(INSTANCES) - {"directory"}


def test_an_instance_without_applications_fetches_the_packages(environment: Environment) -> None:
    applications = tuple(a for a in environment.applications if a.name != "website")
    resources = derive(replace(environment, applications=applications), SITE)
    group = "security_group/ssh-accounts"
    found = {
        (r.protocol, r.port_min, r.remote_prefix)
        for r in resources
        if isinstance(r, SecurityGroupRule) and r.group == group and r.remote_prefix
    }
    assert found == {("tcp", 3142, "10.20.20.1/32")}


def test_nothing_listens_for_it(environment: Environment, without: Environment) -> None:
    for name in INSTANCES:
        assert listeners(environment, name) == listeners(without, name)


# --- what each side is told --------------------------------------------------------------------------------


def test_an_instance_is_told_how_to_ask_and_whom_to_let_in(environment: Environment, tmp_path: Path) -> None:
    job = _job(environment, tmp_path)
    directory = environment.directory
    assert directory is not None
    told = {name: instance["ssh_accounts"] for name, instance in job.items()}
    assert {t["uri"] for t in told.values()} == {"ldaps://172.21.0.110:636"}
    assert told["website"]["account"] == f"cn=website,ou=instances,{BASE}"
    assert told["website"]["groups"] == [f"cn=dsi,ou=groups,{BASE}"]
    administrators = [m.login for m in directory.members if "dsi" in m.groups]
    assert len(administrators) == 4
    assert told["website"]["logins"] == administrators
    # each has a password of its own, which the directory knows
    (serving,) = (a for a in job["directory"]["applications"] if a["name"] == "directory")
    passwords = {name: t["password"] for name, t in told.items()}
    assert len(set(passwords.values())) == len(INSTANCES)
    assert {n: serving["secrets"][f"instance/{n}"] for n in INSTANCES} == passwords
    assert serving["directory"]["ssh"]["instances"] == list(INSTANCES)
    assert sorted(serving["directory"]["ssh"]["keys"]) == administrators


def test_nobody_is_told_anything_where_it_isnt_declared(without: Environment, tmp_path: Path) -> None:
    from medicarche.deploy import ssh_accounts  # noqa: PLC0415 - it imports pyinfra

    job = _job(without, tmp_path)
    for instance in job.values():
        assert instance["ssh_accounts"] is None
        assert ssh_accounts.packages(instance) == ()
        assert ssh_accounts.files(instance) == []
        assert ssh_accounts.units(instance) == []
        assert ssh_accounts.question(instance) == (ssh_accounts.Remains, {})
    (serving,) = (a for a in job["directory"]["applications"] if a["name"] == "directory")
    assert serving["directory"]["ssh"] is None
    assert not [purpose for purpose in serving["secrets"] if purpose.startswith("instance/")]
    sshd = render(TEMPLATES.parent, "sshd.conf.j2", accounts=None)
    assert "AuthorizedKeys" not in sshd
    assert sshd.endswith("LogLevel VERBOSE\n")


def test_a_directory_that_isnt_deployed_takes_no_accounts_away(
    environment: Environment, tmp_path: Path
) -> None:
    job = _job(environment.without({"directory"}), tmp_path)
    assert all(instance["ssh_accounts"] for instance in job.values())


# --- the instance's files ----------------------------------------------------------------------------------


@pytest.fixture(name="files")
def _files(environment: Environment, tmp_path: Path) -> dict[str, Any]:
    pytest.importorskip("pyinfra")
    from medicarche.deploy import ssh_accounts  # noqa: PLC0415 - it imports pyinfra

    instance = _job(environment, tmp_path)["website"]
    found = {file.path: file for file in ssh_accounts.files(instance)}
    held = [p for p, f in found.items() if instance["ssh_accounts"]["password"] in f.content]
    assert held == ["/etc/sssd/sssd.conf"]
    assert found["/etc/sssd/sssd.conf"].mode == "600"
    (unit,) = ssh_accounts.units(instance)
    assert set(unit.configuration) == {
        "/etc/sssd/sssd.conf",
        "/etc/sssd/medicarche-authority.pem",
        "/etc/systemd/system/sssd.service.d/medicarche.conf",
    }
    return found


def test_sssd_believes_one_authority_only_and_lets_in_who_is_named(files: dict[str, Any]) -> None:
    lines = files["/etc/sssd/sssd.conf"].content.splitlines()
    for line in (
        "ldap_uri = ldaps://172.21.0.110:636",
        "ldap_tls_reqcert = demand",
        "ldap_tls_cacert = /etc/sssd/medicarche-authority.pem",
        "auth_provider = none",
        "chpass_provider = none",
        "access_provider = simple",
        "enumerate = false",
        f"ldap_user_search_base = ou=people,{BASE}?onelevel?(|(memberOf=cn=dsi,ou=groups,{BASE}))",
        f"min_id = {FIRST_NUMBER}",
        f"max_id = {LAST_NUMBER}",
    ):
        assert line in lines
    (allowed,) = (line for line in lines if line.startswith("simple_allow_users = "))
    assert len(allowed.split(", ")) == 4


def test_without_anybody_nobody_gets_in(environment: Environment, tmp_path: Path) -> None:
    told = _job(environment, tmp_path)["website"]["ssh_accounts"] | {"logins": []}
    text = render(TEMPLATES, "sssd.conf.j2", accounts=told, **RANGE)
    # an empty list of sssd's would let everybody in
    assert "\naccess_provider = deny\n" in text
    assert "simple_allow" not in text


def test_sudo_is_the_groups_by_number(files: dict[str, Any]) -> None:
    file = files["/etc/sudoers.d/61-medicarche-ssh"]
    assert file.content == "%#20000 ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert file.mode == "440"


@pytest.mark.parametrize(
    ("number", "asks"), [("0", False), ("1000", False), ("20000", False), ("20001", True)]
)
def test_for_the_instances_own_accounts_nobody_is_asked(
    files: dict[str, Any], tmp_path: Path, number: str, *, asks: bool
) -> None:
    script = tmp_path / "ssh-keys"
    asked = "echo asked for"
    script.write_text(
        files["/usr/local/lib/medicarche/ssh-keys"].content.replace(
            "timeout 20 /usr/bin/sss_ssh_authorizedkeys --", asked
        )
    )
    done = subprocess.run(
        ["/bin/sh", str(script), number, "alice"], capture_output=True, text=True, check=False
    )
    assert done.stdout == ("asked for alice\n" if asks else "")


def test_who_is_not_local_must_be_let_in_by_sssd(files: dict[str, Any]) -> None:
    profile = files["/usr/share/pam-configs/medicarche-ssh"].content
    account = profile[profile.index("Account:") : profile.index("Session-Type")]
    assert account.split("\n\t")[1:3] == [
        "[success=1 default=ignore]\tpam_localuser.so",
        "[success=ok default=bad]\tpam_sss.so\n",
    ]
    assert "umask=0077" in profile
    assert "Auth" not in profile
    assert "Password" not in profile


# --- what runs, and homes ----------------------------------------------------------------------------------


def _script(**names: int) -> types.ModuleType:
    module = types.ModuleType("ssh_accounts_script")
    text = render(TEMPLATES, "ssh-accounts.py.j2", **(RANGE | names))
    exec(compile(text, "ssh-accounts.py", "exec"), module.__dict__)  # noqa: S102 - ours
    return module


@pytest.fixture(name="leaver")
def _leaver() -> Iterator[subprocess.Popen[bytes]]:
    """What somebody has started as root by sudo, and has a child."""
    words = ["/bin/sh", "-c", "sleep 300 & echo; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "SUDO_UID": "54321"}) as found:
        assert found.stdout is not None
        found.stdout.readline()
        yield found
        found.kill()


@pytest.fixture(name="script")
def _of_the_leaver_only(leaver: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The script, which sees nothing of this machine but what the test has started."""
    script = _script()
    processes = script.processes

    def ours() -> dict[int, Any]:
        found = processes()
        return {p: f for p, f in found.items() if leaver.pid in {p, f[1]}}

    monkeypatch.setattr(script, "processes", ours)
    return script


def test_what_somebody_who_has_left_has_running_ends_with_its_children(
    script: types.ModuleType, leaver: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {"alice": 20001}
    monkeypatch.setattr(script, "number_of", numbers.get)
    monkeypatch.setattr(script, "name_of", {54321: "bob", 20001: "alice"}.get)
    pids = script.outsiders({"alice"})[54321]
    assert leaver.pid in pids
    assert len(pids) == 2
    assert script.outsiders({"alice", "bob"}) == {}
    # an account that somebody has made here is none of the directory's
    monkeypatch.setattr(script, "local_numbers", lambda: {54321})
    assert script.outsiders({"alice"}) == {}
    monkeypatch.setattr(script, "local_numbers", lambda: {0})
    script.end({"alice"})
    assert leaver.wait(5) < 0
    until = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids - {leaver.pid})


def test_nothing_ends_where_sssd_says_nothing(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "number_of", lambda _: None)
    monkeypatch.setattr(script, "name_of", lambda _: None)
    assert script.outsiders({"alice"}) == {}
    # but where nobody is let in any more
    assert set(script.outsiders(set())) == {54321}


def test_sssd_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script()
    monkeypatch.setattr(script, "ANSWER", 0.2)
    assert script.number_of("root") == 0
    assert script.name_of(0) == "root"
    assert script.number_of("nobody-knows-me") is None

    def hangs(*_: object, **options: Any) -> Any:  # noqa: ANN401 - of subprocess
        return subprocess.run(["sleep", "60"], **options)  # noqa: PLW1510 - passed on

    monkeypatch.setattr(
        script, "subprocess", SimpleNamespace(run=hangs, TimeoutExpired=subprocess.TimeoutExpired)
    )
    began = time.monotonic()
    assert script.number_of("alice") is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("owner", "number", "aside"),
    [
        (20001, "20007", True),
        (20007, "20007", False),
        (1000, "20007", False),
        (20001, "1000", False),
        (20001, "", False),
    ],
)
def test_a_home_of_somebody_else_of_that_login_is_put_aside(
    files: dict[str, Any], tmp_path: Path, owner: int, number: str, *, aside: bool
) -> None:
    script, home = tmp_path / "ssh-home", tmp_path / "alice"
    # who owns what, and who has which number, said by stand-ins: tests needn't be root
    programs = {"getent": f"echo alice:x:{number}:20000", "stat": f"echo {owner}"}
    for name, code in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    content = files["/usr/local/lib/medicarche/ssh-home"].content
    assert '"/home/' in content
    script.write_text(content.replace('"/home/', f'"{tmp_path}/'))
    home.mkdir()
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PAM_USER": "alice"}
    subprocess.run(["/bin/sh", str(script)], env=environment, check=True)
    assert home.exists() is not aside
    assert (tmp_path / f"alice.{owner}").exists() is aside


def test_sssd_is_asked_for_accounts_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script()
    file, groups = tmp_path / "nsswitch.conf", tmp_path / "group"
    file.write_text(
        "# sss\npasswd:  files sss\ngroup:   files sss\nservices: db files sss\nhosts: files dns\n"
    )
    monkeypatch.setattr(script, "NSSWITCH", file)
    script.write_nsswitch(script.nsswitch())
    assert file.read_text() == (
        "# sss\npasswd:  files sss\ngroup:          files\nservices:       db files\nhosts: files dns\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert script.nsswitch() == file.read_text()
    monkeypatch.setattr(script, "GROUPS", groups)
    groups.write_text("root:x:0:\nadministrators:x:1001:\n")
    assert script.group_differs()
    groups.write_text("root:x:0:\nadministrators:x:20000:\n")
    assert not script.group_differs()


# --- the end of it -----------------------------------------------------------------------------------------


def test_all_that_it_brings_is_looked_for_and_removed(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyinfra")
    from medicarche.deploy import ssh_accounts  # noqa: PLC0415 - it imports pyinfra

    instance = _job(environment, tmp_path)["website"]
    brought = [*(f.path for f in ssh_accounts.files(instance)), *ssh_accounts.packages(instance)]
    assert [name for name in brought if f" {name} " not in ssh_accounts.Remains().command()] == []
    noted: list[str] = []
    monkeypatch.setattr(ssh_accounts, "note", noted.append)
    monkeypatch.setattr(ssh_accounts, "ask", lambda _: brought)
    commands = [c.get_raw_value() for c in ssh_accounts.withdraw._inner()]
    assert len(commands) == 3
    assert commands[0].endswith(
        "ssh-accounts.py end && python3 /usr/local/lib/medicarche/ssh-accounts.py forget"
    )
    assert "purge libnss-sss libpam-sss" in commands[1] or "purge sssd-ldap" in commands[1]
    # the script last: what is cut off before is begun anew
    assert commands[2].endswith(
        "&& rm -f -- /usr/local/lib/medicarche/ssh-accounts.py && systemctl daemon-reload"
    )
    assert noted == [f"{name}: must not be there" for name in brought]
    # somebody else's sssd isn't ours to remove
    monkeypatch.setattr(ssh_accounts, "ask", lambda _: ["/etc/sssd/sssd.conf", "sssd-ldap"])
    assert list(ssh_accounts.withdraw._inner()) == []


# --- the directory's side ----------------------------------------------------------------------------------


def _directory_script(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The script, with names instead of python3-ldap, which this machine needn't have."""
    ldap = types.ModuleType("ldap")
    dn, modlist = types.ModuleType("ldap.dn"), types.ModuleType("ldap.modlist")
    dn.escape_dn_chars = str  # type: ignore[attr-defined]  # a stand-in
    dn.str2dn = lambda text: [[part.split("=", 1)] for part in text.split(",")]  # type: ignore[attr-defined]
    ldap.dn, ldap.modlist = dn, modlist  # type: ignore[attr-defined]
    for name, module in (("ldap", ldap), ("ldap.dn", dn), ("ldap.modlist", modlist)):
        monkeypatch.setitem(sys.modules, name, module)
    script = types.ModuleType("directory_script")
    folder = Path(deploy.__file__).parent / "applications/directory/templates"
    exec(compile(render(folder, "directory.py.j2"), "directory.py", "exec"), script.__dict__)  # noqa: S102 - ours
    return script


def _wanted(**groups: str) -> dict[str, Any]:
    """Return what is wanted with these people: login → groups; those of ``dsi`` have a key."""
    people = [
        {"login": login, "first_name": login, "last_name": "X", "mail": f"{login}@x", "site": "A",
         "groups": theirs.split(), "password": f"password-{login}"}
        for login, theirs in groups.items()
    ]  # fmt: skip
    return {
        "base": "dc=x", "organization": "X", "sites": {"A": "a"}, "groups": {"dsi": "DSI", "hr": "HR"},
        "people": people, "services": [],
        "ssh": {
            "keys": {login: KEY for login, theirs in groups.items() if "dsi" in theirs.split()},
            "instances": [{"name": "website", "password": "password-of-website"}],
            **RANGE,
        },
    }  # fmt: skip


class _Server:
    """Keeps what the script would write: all entries that it wants, one provision after the other."""

    def __init__(self, script: types.ModuleType) -> None:
        self.script = script
        self.there: dict[str, Any] = {"dc=x": {"objectClass": [b"dcObject"]}}

    def provision(self, wanted: dict[str, Any]) -> list[str]:
        asked = self.script.Wanted(wanted)
        self.script.__dict__.update(read=lambda *_: self.there, connect=lambda: None)
        told: list[str] = self.script.differences(asked)
        asked.number(self.there)
        for dn in self.script.going(self.there, asked):
            del self.there[dn]
        for dn, entry in {**asked.others, **asked.people, **asked.groups}.items():
            kept = dict(entry)
            if dn in asked.passwords:
                kept["userPassword"] = [b"hash"]
            if dn in asked.people:
                kept["memberOf"] = sorted(group.encode() for group in asked.of_group(dn))
            self.there[dn] = kept
        return told

    def number(self, login: str) -> int | None:
        values = self.there[f"uid={login},ou=people,dc=x"].get("uidNumber")
        return int(values[0]) if values else None


@pytest.fixture(name="server")
def _server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    server = _Server(_directory_script(monkeypatch))
    server.provision(_wanted(alice="dsi", bob="dsi", carl="hr"))
    return server


def test_administrators_get_a_number_a_home_a_shell_and_their_key(server: _Server) -> None:
    entry = server.there["uid=alice,ou=people,dc=x"]
    assert entry["uidNumber"] == [b"20001"]
    assert entry["gidNumber"] == [b"20000"]
    assert entry["homeDirectory"] == [b"/home/alice"]
    assert entry["loginShell"] == [b"/bin/bash"]
    assert entry["sshPublicKey"] == [KEY.encode()]
    assert server.number("bob") == 20002
    assert "uidNumber" not in server.there["uid=carl,ou=people,dc=x"]
    assert server.provision(_wanted(alice="dsi", bob="dsi", carl="hr")) == []


def test_a_number_is_for_life_and_never_somebody_elses(server: _Server) -> None:
    # alice moves out of the group and back, bob leaves for good, anna comes
    assert "alice: SSH account is taken away" in server.provision(_wanted(alice="hr", bob="dsi", carl="hr"))
    assert server.number("alice") is None
    assert "bob leaves" in server.provision(_wanted(alice="hr", anna="dsi", carl="hr"))
    assert server.number("anna") == 20003
    assert "alice: SSH account is made" in server.provision(_wanted(alice="dsi", anna="dsi", carl="hr"))
    assert server.number("alice") == 20001
    # another bob
    server.provision(_wanted(alice="dsi", anna="dsi", bob="dsi"))
    assert server.number("bob") == 20004


def test_what_is_changed_by_hand_is_told_and_a_key_isnt_shown(server: _Server) -> None:
    entry = server.there["uid=alice,ou=people,dc=x"]
    entry |= {"uidNumber": [b"0"], "loginShell": [b"/bin/sh"], "sshPublicKey": [b"ssh-ed25519 AAAA"]}
    told = server.provision(_wanted(alice="dsi", bob="dsi", carl="hr"))
    assert told == [
        "alice: loginShell '/bin/sh' becomes '/bin/bash'",
        "alice: SSH key changes",
        "alice: uidNumber '0' becomes '20001'",
    ]
    assert server.provision(_wanted(alice="dsi", bob="dsi", carl="hr")) == []


def test_without_ssh_groups_the_accounts_go_and_the_numbers_stay(server: _Server) -> None:
    wanted = _wanted(alice="dsi", bob="dsi", carl="hr")
    del wanted["ssh"]
    told = server.provision(wanted)
    assert "alice: SSH account is taken away" in told
    assert (
        "website isn't of the file" in " ".join(told)
        or "cn=website,ou=instances,dc=x isn't of the file" in told
    )
    assert not [dn for dn in server.there if "ou=instances" in dn]
    assert "cn=administrators,ou=posix,dc=x" not in server.there
    assert server.provision(wanted) == []
    server.provision(_wanted(anna="dsi", alice="dsi", bob="dsi", carl="hr"))
    assert [server.number(login) for login in ("alice", "bob", "anna")] == [20001, 20002, 20003]


def test_where_it_was_never_declared_nothing_is_added_nor_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    server = _Server(_directory_script(monkeypatch))
    wanted = _wanted(alice="dsi")
    del wanted["ssh"]
    # somebody's own, of the same name
    server.there["ou=instances,dc=x"] = {"objectClass": [b"organizationalUnit"]}
    server.provision(wanted)
    assert "ou=instances,dc=x" in server.there
    assert not [dn for dn in server.there if "posix" in dn]
    assert "posixAccount" not in str(server.there["uid=alice,ou=people,dc=x"])


def test_instances_see_their_administrators_only_and_never_a_hash(
    environment: Environment, without: Environment, tmp_path: Path
) -> None:
    pytest.importorskip("pyinfra")
    from medicarche.deploy.applications.directory import operations  # noqa: PLC0415 - pyinfra

    def configuration(of: Environment) -> str:
        instance = _job(of, tmp_path)["directory"]
        (part,) = (a for a in instance["applications"] if a["name"] == "directory")
        found = {file.path: file.content for file in operations.files(part, instance)}
        return str(found["/etc/ldap/medicarche.conf"])

    text = configuration(environment)
    rules = ["access " + rule for rule in text.split("\noverlay")[0].split("\naccess ")[1:]]
    (people,) = [rule for rule in rules if "posixAccount" in rule]
    assert f'filter="(&(objectClass=posixAccount)(|(memberOf=cn=dsi,ou=groups,{BASE})))"' in people
    assert "userPassword" not in people
    assert people.split("\n    ")[1:3] == [f'by dn.onelevel="ou=instances,{BASE}" read', "by * break"]
    passwords = [rule for rule in rules if "attrs=userPassword" in rule]
    assert passwords == rules[:3]
    assert not [rule for rule in passwords if " read" in rule or "=r" in rule]
    assert "instances" not in configuration(without)
    assert "posix" not in configuration(without)


def test_secrets_are_masked(environment: Environment, tmp_path: Path) -> None:
    pytest.importorskip("pyinfra")
    # it patches the standard library: in a process of its own
    job = _job(environment, tmp_path)
    instances = [{k: i[k] for k in ("private_key", "applications", "ssh_accounts")} for i in job.values()]
    code = (
        "import json, sys; from medicarche.deploy.runner import _secrets;"
        "print(json.dumps(sorted(_secrets(json.load(sys.stdin)))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps({"instances": instances}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert {i["ssh_accounts"]["password"] for i in instances} <= set(json.loads(done.stdout))
