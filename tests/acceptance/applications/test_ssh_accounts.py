"""DIR-1, DIR-2, CLOUD-8: administrators' SSH accounts in the instances, from the directory, by group."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from medicarche.errors import Unreachable
from medicarche.ssh import Ssh, ensure_key_pair
from medicarche.testing.directory import LEVEL, SUBTREE, asked_from
from medicarche.testing.machines import ssh_to

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import paramiko
    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.pytest_plugin.fixtures import ModuleTurn
    from medicarche.report import Evidence
    from medicarche.spec import Directory, Member
    from medicarche.spec.environment import Application, Environment
    from medicarche.ssh import KeyPair
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [
    pytest.mark.requirement("DIR-1", "CLOUD-8"),
    pytest.mark.application_kind("directory"),
    pytest.mark.alone,
]

#: seconds after `provision` in which who has left is out of everything (issue 7)
OUT_SECONDS = 60.0
#: seconds after which what sssd knows isn't believed any more without asking
_KEPT = 31.0
#: lets sssd know nothing but what it is told from now on
_FORGET = "systemctl stop sssd && rm -f /var/lib/sss/db/*.ldb /var/lib/sss/mc/* && systemctl start sssd"
#: seconds in which sssd finds a directory that is there again
_BACK = 60.0
#: seconds in which an administrator gets in, however the directory is
_PATIENCE = 20.0


@dataclass
class People:
    """The company, with keys that were made for these tests; nothing of them is kept."""

    built: Built
    run: Run
    declared: Directory
    instances: tuple[InstanceState, ...]
    pairs: Mapping[str, KeyPair]
    write: Callable[..., Path]
    application: Application
    #: provisioned as the fixture does it, and nothing changed since
    as_declared: bool = False

    @property
    def serving(self) -> InstanceState:
        """The directory's instance."""
        return next(i for i in self.instances if i.name == self.application.instance)

    @property
    def administrators(self) -> tuple[Member, ...]:
        """Those whom the groups let in."""
        return self.declared.ssh_members

    @property
    def outsider(self) -> Member:
        """Somebody whom they don't, and who has a key all the same."""
        return next(
            m for m in self.declared.members if m not in self.administrators and m.login in self.pairs
        )

    def file(self, members: Sequence[Member] | None = None, *, accounts: bool = True) -> Path:
        """Write the environment file with these people and keys; ``accounts``: and with SSH groups."""
        known = self.declared.members if members is None else members
        keys = {login: pair.public for login, pair in self.pairs.items()}
        return self.write([replace(m, ssh_key=keys.get(m.login, "")) for m in known], accounts=accounts)

    def provision(self, members: Sequence[Member] | None = None, *, accounts: bool = True) -> Path:
        """Bring the environment to that."""
        self.as_declared = False
        file = self.file(members, accounts=accounts)
        done = self.run("--environment", str(file), "provision")
        assert done.returncode == 0, done.stdout + done.stderr
        self.as_declared = members is None and accounts
        return file

    def way(self, instance: InstanceState, login: str, pair: KeyPair | None = None) -> Ssh:
        """Return somebody's way into an instance, by the person's own key or another one."""
        ssh = ssh_to(self.built.selection, instance.name)
        ssh.user, ssh.key = login, pair or self.pairs[login]
        return ssh

    def gets_in(self, instance: InstanceState, login: str, pair: KeyPair | None = None) -> bool:
        """Try to log in; sshd makes an address wait that was refused a few times (PerSourcePenalties)."""
        until = time.monotonic() + 120
        while True:
            try:
                with closing(self.way(instance, login, pair).connect(instance, timeout=_PATIENCE)):
                    return True
            except Unreachable as refusal:
                if "it refuses" in refusal.message:
                    return False
                if time.monotonic() > until:
                    raise
                time.sleep(2)


@pytest.fixture
def people(  # noqa: PLR0917 - fixtures
    module_turn: ModuleTurn,
    provisioned: Built,
    environment: Environment,
    application: Application,
    instances: tuple[InstanceState, ...],
    machines: Callable[[InstanceState], Host],
    run_medicarche: Run,
    with_people: Callable[..., Path],
    tmp_path: Path,
) -> People:
    """The company with keys, provisioned once for these tests, and again where one has left it otherwise."""
    declared = environment.directory
    assert declared is not None
    if not declared.ssh_groups:
        pytest.skip("no group administers the instances over SSH")

    @contextmanager
    def with_keys() -> Iterator[People]:
        outside = next(m for m in declared.members if m not in declared.ssh_members)
        people = (*declared.ssh_members, outside)
        pairs = {m.login: ensure_key_pair(tmp_path / m.login, "own") for m in people}
        found = People(provisioned, run_medicarche, declared, instances, pairs, with_people, application)
        with ExitStack() as stack:
            # homes that were made for the test would be nobody's when their people are others (BP-028, R53)
            stack.callback(_clear, [machines(instance) for instance in instances], tuple(pairs))
            stack.callback(_provision, run_medicarche)
            found.provision()
            for instance in instances:
                # another key counts after half a minute at most: not for each test again
                machines(instance).check_output(_FORGET)
            yield found

    found = module_turn.once("people", with_keys)
    if not found.as_declared:
        found.provision()
    return found


def _clear(hosts: Sequence[Host], logins: Sequence[str]) -> None:
    for host in hosts:
        host.check_output(f"rm -rf {' '.join(f'/home/{login} /home/{login}.*' for login in logins)}")


def _provision(run_medicarche: Run) -> None:
    done = run_medicarche("provision")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def stranger(tmp_path: Path) -> KeyPair:
    """A key that nobody knows."""
    return ensure_key_pair(tmp_path / "stranger", "own")


def _command(client: paramiko.SSHClient, command: str) -> str:
    _, stdout, stderr = client.exec_command(command, timeout=_PATIENCE)
    output = stdout.read().decode()
    assert stdout.channel.recv_exit_status() == 0, output + stderr.read().decode()
    return output.strip()


# --- who logs in -------------------------------------------------------------------------------------------


@pytest.mark.requirement("DIR-2")
def test_administrators_log_in_to_every_instance_with_their_own_key_and_nobody_else_does(
    people: People, stranger: KeyPair, machines: Callable[[InstanceState], Host], evidence: Evidence
) -> None:
    rows = []
    for instance in people.instances:
        seconds = []
        for member in people.administrators:
            began = time.monotonic()
            with closing(people.way(instance, member.login).connect(instance)) as client:
                seconds.append(time.monotonic() - began)
                said = _command(client, "id -un; id -gn; stat -c '%U %a' ~; pwd; sudo -n id -un")
            home = f"/home/{member.login}"
            assert said.split("\n") == [member.login, "administrators", f"{member.login} 700", home, "root"]
        # for all the others there is no account at all
        names = " ".join(m.login for m in people.declared.members)
        known = machines(instance).run(f"getent passwd {names} | cut -d: -f1").stdout.split()
        assert sorted(known) == sorted(m.login for m in people.administrators)
        assert not people.gets_in(instance, people.outsider.login)
        someone, other = people.administrators[:2]
        assert not people.gets_in(instance, someone.login, stranger)
        assert not people.gets_in(instance, someone.login, people.pairs[other.login])
        others = len(people.declared.members) - len(known)
        rows.append((instance.name, len(known), others, f"{max(seconds):.2f} s"))
    evidence.table("Comptes SSH", ("instance", "entrent", "sans compte", "connexion la plus longue"), rows)


def test_no_password_is_taken_and_nothing_more_listens(
    people: People, machines: Callable[[InstanceState], Host]
) -> None:
    for instance in people.instances:
        machine = machines(instance)
        settings = machine.check_output("sshd -T")
        for line in ("passwordauthentication no", "authenticationmethods publickey", "permitrootlogin no"):
            assert line in settings.splitlines()
        listening = machine.check_output("ss --no-header --listening --tcp --udp --numeric --processes")
        assert "sss" not in listening
        assert "pam_sss" not in machine.check_output("cat /etc/pam.d/common-auth /etc/pam.d/common-password")
        assert machine.file("/etc/sssd/sssd.conf").mode == 0o600
        assert machine.check_output("systemctl --failed --plain --no-legend") == ""


def test_an_instances_account_sees_administrators_only_and_no_password(
    people: People,
    authority: Path,
    credentials: Credentials,
    machines: Callable[[InstanceState], Host],
) -> None:
    serving = people.serving
    asking = next(i for i in people.instances if i is not serving)
    password = str(credentials.get(f"{people.application.name}/instance/{asking.name}"))
    with asked_from(people.built, asking, serving, people.application, authority) as asked:
        connection = asked.connect(f"cn={asking.name},ou=instances,{asked.base}", password)
        assert connection.bind()
        seen: dict[str, set[str]] = {}
        for member in people.declared.members:
            wanted = ["*", "+", "userPassword", "pwdHistory"]
            connection.search(f"ou=people,{asked.base}", f"(uid={member.login})", LEVEL, attributes=wanted)
            if connection.entries:
                seen[member.login] = asked.seen(connection)
        assert seen.keys() == {m.login for m in people.administrators}
        may = {
            "objectClass",
            "uid",
            "cn",
            "uidNumber",
            "gidNumber",
            "homeDirectory",
            "loginShell",
            "memberOf",
        }
        assert {name for names in seen.values() for name in names} == {*may, "sshPublicKey"}
        for base in (asked.base, f"ou=groups,{asked.base}", f"ou=services,{asked.base}"):
            connection.search(base, "(objectClass=*)", SUBTREE)
            assert connection.entries == []
        connection.search(f"ou=posix,{asked.base}", "(objectClass=*)", LEVEL, attributes=["*"])
        assert [entry.entry_dn for entry in connection.entries] == [
            f"cn=administrators,ou=posix,{asked.base}"
        ]
        someone = people.administrators[0].login
        for change in ({"sshPublicKey": "x"}, {"uidNumber": "0"}, {"userPassword": "a long password"}):
            assert not asked.changes(connection, asked.person(someone), change)
    told = machines(asking).check_output(
        "(find /etc /usr/local /usr/share/pam-configs -type f -perm /o=r -exec cat {} +; ps -e -o args;"
        " journalctl --no-pager --output cat) | LC_ALL=C tr -cd '\\n[:print:]'"
    )
    log = (people.built.selection.folder / "deploy.log").read_text(encoding="utf-8", errors="replace")
    assert password not in told
    assert password not in log


# --- without the directory ---------------------------------------------------------------------------------


@contextmanager
def _stopped(machine: Host) -> Iterator[None]:
    machine.check_output("systemctl stop slapd")
    try:
        yield
    finally:
        machine.check_output("systemctl start slapd")


@contextmanager
def _hanging(machine: Host) -> Iterator[None]:
    """Let everything of sssd stand still, so that it neither answers nor refuses."""
    machine.check_output("getent passwd nobody-knows-me; systemctl kill --signal=STOP 'sssd*.service'")
    try:
        yield
    finally:
        machine.check_output("systemctl kill --signal=CONT 'sssd*.service'")


@pytest.mark.requirement("DIR-2")
def test_without_the_directory_administrators_get_in_who_are_known_and_the_local_one_always(
    people: People,
    machines: Callable[[InstanceState], Host],
    evidence: Evidence,
) -> None:
    serving = people.serving
    known, unknown = (i for i in (*[j for j in people.instances if j is not serving], serving)[:2])
    somebody = people.administrators[0].login
    local = {i.name: ssh_to(people.built.selection, i.name) for i in people.instances}
    assert people.gets_in(known, somebody)
    rows = []
    with _stopped(machines(serving)):
        machines(unknown).check_output(_FORGET)
        time.sleep(_KEPT)
        for instance, expected in ((known, True), (unknown, False)):
            began = time.monotonic()
            assert people.gets_in(instance, somebody) is expected, instance.name
            rows.append((instance.name, somebody, expected, f"{time.monotonic() - began:.1f} s"))
            began = time.monotonic()
            code, said, _ = local[instance.name].run(instance, ["sudo", "-n", "id", "-un"])
            assert (code, said.strip()) == (0, "root")
            seconds = time.monotonic() - began
            assert seconds < _PATIENCE, f"the local administrator waited {seconds:.0f} s"
            rows.append((instance.name, local[instance.name].user, True, f"{seconds:.1f} s"))
    until = time.monotonic() + _BACK
    while not people.gets_in(unknown, somebody):
        assert time.monotonic() < until, "sssd doesn't find back to the directory"
        time.sleep(2)
    with _hanging(machines(known)):
        began = time.monotonic()
        code, said, _ = local[known.name].run(known, ["sudo", "-n", "id", "-un"])
        assert (code, said.strip()) == (0, "root")
        rows.append(
            (known.name, f"{local[known.name].user}, sssd figé", True, f"{time.monotonic() - began:.1f} s")
        )
        assert time.monotonic() - began < _PATIENCE
    evidence.table("Annuaire arrêté", ("instance", "compte", "entre", "durée"), rows)


# --- who joins, moves, leaves ------------------------------------------------------------------------------


@pytest.mark.requirement("DIR-2")
def test_who_leaves_the_group_is_out_of_every_instance_at_once_with_what_was_open(
    people: People, machines: Callable[[InstanceState], Host], evidence: Evidence
) -> None:
    leaver, mover = people.administrators[:2]
    elsewhere = next(g for g in people.declared.groups if g not in people.declared.ssh_groups)
    numbers = {m.login: _number(people, machines, m.login) for m in people.administrators}
    with ExitStack() as stack:
        for instance in people.instances:
            for member in (leaver, mover):
                client = stack.enter_context(closing(people.way(instance, member.login).connect(instance)))
                client.exec_command("echo mine > ~/mine; sudo -n sleep 4321 & sleep 4321")
        for instance in people.instances:
            assert _sleeping(machines(instance)) == 4, "sessions don't run what they should"
        rest = [m for m in people.declared.members if m not in {leaver, mover}]
        began = time.monotonic()
        file = people.provision([*rest, replace(mover, groups=(elsewhere,))])
        provisioned = time.monotonic()
        for instance in people.instances:
            assert _sleeping(machines(instance)) == 0, f"something goes on in {instance.name}"
            for member in (leaver, mover):
                assert not people.gets_in(instance, member.login), f"{member.login} still in {instance.name}"
            assert people.gets_in(instance, people.administrators[2].login)
        seconds = time.monotonic() - provisioned
        evidence.text(
            "Durée", f"provision {provisioned - began:.1f} s, vérifié en {seconds:.1f} s après sa fin"
        )
        assert seconds < OUT_SECONDS
        idle = people.run("--environment", str(file), "plan", "--deploy")
        assert idle.returncode == 0, idle.stdout
    # who moves back is the same; somebody else of the leaver's login isn't
    people.provision()
    assert _number(people, machines, mover.login) == numbers[mover.login]
    new = _number(people, machines, leaver.login)
    assert new > max(numbers.values()), "a number was given again"
    for instance in people.instances:
        for login, said in ((mover.login, "mine"), (leaver.login, "")):
            with closing(people.way(instance, login).connect(instance)) as client:
                assert _command(client, "cat ~/mine 2>/dev/null || true") == said
        kept = f"/home/{leaver.login}.{numbers[leaver.login]}"
        assert machines(instance).check_output("cat %s/mine", kept) == "mine"
        machines(instance).check_output("rm -r %s", kept)


def _sleeping(machine: Host) -> int:
    return int(machine.check_output("pgrep --count --exact --full 'sleep 4321' || true"))


def _number(people: People, machines: Callable[[InstanceState], Host], login: str) -> int:
    """Return the number of an account; who joins is known when sssd has asked again."""
    until = time.monotonic() + _KEPT
    while True:
        done = machines(people.instances[0]).run("id -u %s", login)
        if done.rc == 0 or time.monotonic() > until:
            return int(done.stdout)
        time.sleep(1)


_BY_HAND = """
import ldap, sys
c = ldap.initialize("ldapi:///")
c.sasl_non_interactive_bind_s("EXTERNAL")
c.modify_s(sys.argv[1], [(ldap.MOD_REPLACE, name, [value.encode()]) for name, value in
                         (pair.split("=", 1) for pair in sys.argv[2:])])
"""


def test_an_account_that_is_changed_by_hand_is_told_without_the_key_and_put_back(
    people: People,
    stranger: KeyPair,
    machines: Callable[[InstanceState], Host],
) -> None:
    serving = people.serving
    somebody = people.administrators[0].login
    number = _number(people, machines, somebody)
    base = ",".join(f"dc={label}" for label in people.built.selection.environment.domain.split("."))
    dn = f"uid={somebody},ou=people,{base}"
    changes = [f"sshPublicKey={stranger.public}", "uidNumber=0", "loginShell=/bin/sh"]
    people.as_declared = False
    machines(serving).check_output("python3 -c %s " + "%s " * 4, _BY_HAND, dn, *changes)
    shown = people.run("--environment", str(people.file()), "plan", "--deploy")
    assert shown.returncode == 2, shown.stdout + shown.stderr
    for said in ("SSH key changes", f"uidNumber '0' becomes '{number}'", "loginShell '/bin/sh' becomes"):
        assert f"{somebody}: {said}" in shown.stdout
    assert stranger.public.split()[1] not in shown.stdout
    assert people.pairs[somebody].public.split()[1] not in shown.stdout
    people.provision()
    time.sleep(_KEPT)
    for instance in people.instances:
        assert people.gets_in(instance, somebody)
        assert not people.gets_in(instance, somebody, stranger)
    assert _number(people, machines, somebody) == number


def test_without_ssh_groups_nothing_of_it_stays(
    people: People, machines: Callable[[InstanceState], Host]
) -> None:
    somebody = people.administrators[0].login
    number = _number(people, machines, somebody)
    file = people.provision(accounts=False)
    for instance in people.instances:
        assert not people.gets_in(instance, somebody)
        machine = machines(instance)
        assert machine.run("dpkg-query -W sssd-common libnss-sss libpam-sss").stdout == ""
        left = "ls -d /etc/sssd /var/lib/sss /etc/sudoers.d/61-medicarche-ssh /usr/local/lib/medicarche/ssh-*"
        assert machine.run(left).stdout == ""
        assert "sss" not in machine.check_output("cat /etc/nsswitch.conf /etc/pam.d/common-*")
        assert "administrators" not in machine.check_output("cat /etc/group")
        assert "authorizedkeyscommand none" in machine.check_output("sshd -T").splitlines()
        assert machine.check_output("systemctl --failed --plain --no-legend") == ""
    idle = people.run("--environment", str(file), "plan", "--deploy")
    assert idle.returncode == 0, idle.stdout
    people.provision()
    assert people.gets_in(people.instances[0], somebody)
    assert _number(people, machines, somebody) == number
