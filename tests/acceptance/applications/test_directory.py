"""DIR-1, DIR-2: one account for each person, which lets in where the groups say and nowhere else."""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from medicarche.deploy.applications import KINDS
from medicarche.probe import Client, Endpoint, PortState, scan
from medicarche.spec import cloud_groups, ssh_accounts, supervision
from medicarche.testing.directory import LEVEL, SUBTREE, Directory, LDAPException, asked_from
from medicarche.testing.people_log_in import LOGINS, Visit, unthrottled

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.report import Evidence
    from medicarche.spec import Directory as Declared
    from medicarche.spec import Member
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.requirement("DIR-1"), pytest.mark.application_kind("directory")]

#: seconds after `provision` in which who has left is out of everything (issue 7)
OUT_SECONDS = 60.0
_PRIVATE = ("userPassword", "medicarcheHandedOver", "pwdHistory")


@pytest.fixture
def declared(environment: Environment) -> Declared:
    """The people, as their file has them."""
    assert environment.directory is not None
    return environment.directory


@pytest.fixture
def users(environment: Environment, application: Application) -> tuple[Application, ...]:
    """The applications that ask the directory."""
    found = tuple(a for a in environment.users_of(application.name) if a.deployed)
    if not found:
        pytest.skip("no application asks the directory")
    return found


@pytest.fixture
def asked(
    provisioned: Built,
    application: Application,
    users: tuple[Application, ...],
    instances: tuple[InstanceState, ...],
    authority: Path,
) -> Iterator[Directory]:
    """The directory as the first application that asks it reaches it."""
    by_name = {i.name: i for i in instances}
    asking, serving = by_name[users[0].instance], by_name[application.instance]
    with asked_from(provisioned, asking, serving, application, authority) as found:
        yield found


@dataclass(frozen=True)
class Company:
    """The people, the applications that ask for them, and how they log in there."""

    declared: Declared
    users: tuple[Application, ...]
    addresses: Mapping[str, str | None]
    authority: Path
    password: Callable[[str], str]

    def role(self, user: Application, member: Member) -> str | None:
        """Return what the file says that a person is in an application."""
        return self.declared.with_roles(user.roles, user.traits.roles).get(member.login)

    def inside(self, user: Application) -> Member:
        """Return somebody whom an application lets in."""
        return next(member for member in self.declared.members if self.role(user, member))

    def url(self, user: Application) -> str:
        """Return an application's address."""
        return f"https://{self.addresses[user.instance]}:{user.port}"

    def client(self) -> Client:
        """Return a person's browser."""
        return Client(self.authority, timeout=60)

    def visits(self, users: Iterable[Application], members: Iterable[Member]) -> list[Visit]:
        """Let each of these people try to log in to each of these applications."""

        def visit(pair: tuple[Application, Member]) -> Visit:
            user, member = pair
            with self.client() as client:
                log_in = LOGINS[user.kind]
                role = log_in(client, self.url(user), member.login, self.password(member.login))
            return Visit(user.name, member.login, role)

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(visit, [(user, member) for member in members for user in users]))


@pytest.fixture
def company(  # noqa: PLR0917 - fixtures
    declared: Declared,
    users: tuple[Application, ...],
    instances: tuple[InstanceState, ...],
    authority: Path,
    password: Callable[[str], str],
    credentials: Credentials,
) -> Iterator[Company]:
    """The company, as it is now; all of it tries to log in from one address."""
    addresses = {i.name: i.floating_address for i in instances}
    found = Company(declared, users, addresses, authority, password)
    with ExitStack() as stack:
        for user in users:
            client = stack.enter_context(found.client())
            local = user.settings["administrator"], str(credentials.get(f"{user.name}/administrator"))
            stack.enter_context(unthrottled(client, user.kind, found.url(user), *local))
        yield found


# --- the people in it --------------------------------------------------------------------------------------


def test_each_person_is_let_in_and_is_in_the_groups_of_the_file(
    asked: Directory, declared: Declared, password: Callable[[str], str], evidence: Evidence
) -> None:
    wrong = []
    began = time.monotonic()
    for member in declared.members:
        connection = asked.connect(asked.person(member.login), password(member.login))
        if not connection.bind():
            wrong.append(f"{member.login}: {connection.result['description']}")
            continue
        dn = asked.person(member.login)
        connection.search(dn, "(objectClass=*)", attributes=["memberOf", "mail", "ou"])
        (entry,) = connection.entries
        groups = {f"cn={group},ou=groups,{asked.base}" for group in member.groups}
        if (set(entry.memberOf.values), entry.mail.value, entry.ou.value) != (
            groups,
            member.mail,
            member.site,
        ):
            wrong.append(f"{member.login}: {entry}")
        connection.unbind()
    by_site = Counter(member.site for member in declared.members)
    by_group = Counter(group for member in declared.members for group in member.groups)
    evidence.table("Personnes par site", ("site", "personnes"), sorted(by_site.items()))
    evidence.table("Personnes par groupe", ("groupe", "personnes"), sorted(by_group.items()))
    evidence.text("Durée", f"{len(declared.members)} personnes en {time.monotonic() - began:.1f} s")
    assert wrong == []
    assert declared.members


def test_a_wrong_password_opens_nothing_in_the_directory(
    asked: Directory, declared: Declared, password: Callable[[str], str]
) -> None:
    member, other = declared.members[0], declared.members[1]
    for wrong in ("wrong", password(other.login), password(member.login)[:-1]):
        assert not asked.lets_in(asked.person(member.login), wrong)
    assert not asked.lets_in(asked.person("nobody.atall"), password(member.login))
    assert asked.lets_in(asked.person(member.login), password(member.login))


def test_who_is_unknown_reads_nothing(asked: Directory, declared: Declared) -> None:
    anonymous = asked.connect()
    assert not anonymous.bind()
    for base in (asked.base, "", f"ou=people,{asked.base}", "cn=Subschema", "cn=config"):
        stranger = asked.connect()
        stranger.open()
        scope = SUBTREE if base else "BASE"
        assert not stranger.search(base, "(objectClass=*)", scope, attributes=["*", "+"])
        assert stranger.entries == []
    # a name without a password is nobody (RFC 4513, section 5.1.2)
    with pytest.raises(LDAPException):
        asked.lets_in(asked.person(declared.members[0].login), "")


def test_passwords_are_kept_by_a_modern_scheme(machine: Host, declared: Declared) -> None:
    ldif = machine.check_output("slapcat -o ldif-wrap=no -f /etc/ldap/medicarche.conf -a '(userPassword=*)'")
    kept = re.findall(r"^userPassword:: (.*)$", ldif, re.MULTILINE)
    assert len(kept) >= len(declared.members)
    hashes = [base64.b64decode(value).decode() for value in kept]
    # the scheme, its version and its cost; then a salt of its own each
    assert {value.rpartition("$")[0].rpartition("$")[0] for value in hashes} == {
        "{ARGON2}$argon2id$v=19$m=19456,t=2,p=1"
    }
    assert len({value.split("$")[4] for value in hashes}) == len(hashes)


def test_people_see_themselves_and_nobody_else(
    asked: Directory, declared: Declared, password: Callable[[str], str]
) -> None:
    member = declared.members[0]
    connection = asked.connect(asked.person(member.login), password(member.login))
    assert connection.bind()
    connection.search(f"ou=people,{asked.base}", "(objectClass=*)", LEVEL, attributes=["*", *_PRIVATE])
    assert [entry.entry_dn for entry in connection.entries] == [asked.person(member.login)]
    assert not asked.seen(connection) & set(_PRIVATE)
    for login in (member.login, declared.members[1].login):
        assert not asked.changes(connection, asked.person(login), {"mail": "x@example.org"})


@pytest.mark.alone
def test_a_person_sets_a_password_that_the_policy_takes_and_keeps_it(
    asked: Directory,
    declared: Declared,
    password: Callable[[str], str],
    run_medicarche: Run,
) -> None:
    member = declared.members[-1]
    dn, old, new = asked.person(member.login), password(member.login), secrets.token_urlsafe(18)
    connection = asked.connect(dn, old)
    assert connection.bind()
    assert not connection.extend.standard.modify_password(dn, old, "short")
    assert connection.extend.standard.modify_password(dn, old, new)
    try:
        assert asked.lets_in(dn, new)
        assert not asked.lets_in(dn, old)
        # it is no drift
        done = run_medicarche("plan", "--deploy")
        assert done.returncode == 0, done.stdout + done.stderr
        assert asked.lets_in(dn, new)
    finally:
        # back by the way that an administrator takes
        given = run_medicarche("directory", "password", member.login)
        assert given.returncode == 0, given.stderr
        assert run_medicarche("provision").returncode == 0
    assert asked.lets_in(dn, password(member.login))
    assert not asked.lets_in(dn, new)


# --- who asks it -------------------------------------------------------------------------------------------


def test_an_applications_account_sees_its_own_people_without_passwords(
    asked: Directory, company: Company, application: Application, credentials: Credentials, evidence: Evidence
) -> None:
    services = [u for u in company.users if f"{application.name}/service/{u.name}" in credentials.names()]
    assert services, "no application asks with an account of its own"
    for user in services:
        known = {m.login for m in company.declared.members if company.role(user, m)}
        connection = asked.connect(asked.service(user.name), company.password(f"service/{user.name}"))
        assert connection.bind()
        seen = set()
        for member in company.declared.members:
            wanted = ["*", "+", *_PRIVATE]
            connection.search(f"ou=people,{asked.base}", f"(uid={member.login})", LEVEL, attributes=wanted)
            seen |= {str(entry.uid.value) for entry in connection.entries}
            assert not asked.seen(connection) & set(_PRIVATE), "it reads what is secret"
        assert seen == known
        # nor can it list them all, unless its people look for each other; see or change anything else
        connection.search(f"ou=people,{asked.base}", "(objectClass=*)", LEVEL)
        if KINDS[user.kind].lists_people:
            assert {str(entry.entry_dn) for entry in connection.entries} == set(map(asked.person, known))
        else:
            assert connection.result["description"] == "sizeLimitExceeded"
            assert len(connection.entries) <= 2
        for base in (asked.base, f"ou=groups,{asked.base}", f"ou=services,{asked.base}"):
            connection.search(base, "(objectClass=*)", SUBTREE)
            assert connection.entries == []
        someone = min(known)
        for change in ({"mail": "x@example.org"}, {"userPassword": "a long password"}):
            assert not asked.changes(connection, asked.person(someone), change)
        assert not asked.compares(connection, asked.person(someone), company.password(someone))
        rows = [(user.name, len(known), len(company.declared.members) - len(known))]
        evidence.table("Ce que voit un compte de service", ("application", "vues", "cachées"), rows)


#: whether a connection can be made; for Python, as there is no nc
_REACHES = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    print("open")
except OSError:
    print("closed")
"""
#: what a port answers to an LDAP request in plain text (an anonymous bind, RFC 4511)
_PLAIN = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as s:
    s.settimeout(5)
    s.sendall(bytes.fromhex("300c020101600702010304008000"))
    try:
        print(s.recv(100)[:1].hex() or "nothing")
    except OSError:
        print("nothing")
"""


def test_it_is_reached_by_its_applications_only_and_over_tls_only(  # noqa: PLR0917 - fixtures
    provisioned: Built,
    environment: Environment,
    application: Application,
    instance: InstanceState,
    users: tuple[Application, ...],
    instances: tuple[InstanceState, ...],
    machines: Callable[[InstanceState], Host],
    machine: Host,
) -> None:
    ports = (389, application.port)
    outside = scan([Endpoint(str(instance.floating_address), port) for port in ports])
    # on the embedded cloud this process is where Keystone is, and has its address
    own = cloud_groups.serving(environment) is not None and provisioned.selection.embedded is not None
    assert {endpoint.port: state for endpoint, state in outside.items()} == {
        389: PortState.FILTERED,
        application.port: PortState.OPEN if own else PortState.FILTERED,
    }
    asking = {a.instance for a in users} | set(ssh_accounts.asking(environment))
    watcher = supervision.supervisor(environment)
    if watcher is not None:
        asking.add(watcher.instance)
    for other in instances:
        if other.name == instance.name:
            continue
        found = [
            machines(other).check_output(
                "python3 -c %s %s %s", _REACHES, str(instance.private_address), str(port)
            )
            for port in ports
        ]
        assert found == ["closed", "open" if other.name in asking else "closed"], other.name
    listening = machine.check_output("ss --no-header --listening --tcp --numeric --processes | grep slapd")
    assert [line.split()[3] for line in listening.splitlines()] == [f"0.0.0.0:{application.port}"]
    said = machine.check_output("python3 -c %s %s", _PLAIN, str(application.port))
    assert said in {"nothing", "15"}, "15 is an alert of TLS"


# --- who logs in where -------------------------------------------------------------------------------------


@pytest.mark.requirement("DIR-2")
def test_each_person_logs_in_where_the_groups_say_and_nowhere_else(
    company: Company, evidence: Evidence
) -> None:
    members = company.declared.members
    expected = {(u.name, m.login): company.role(u, m) for u in company.users for m in members}
    found = {(v.application, v.login): v.role for v in company.visits(company.users, members)}
    rows = [
        (user.name, len(logins), len(members) - len(logins), ", ".join(logins))
        for user in company.users
        for logins in [[m.login for m in members if found[user.name, m.login]]]
    ]
    evidence.table("Qui entre où", ("application", "entrées", "refusées", "qui entre"), rows)
    assert {key: role for key, role in found.items() if expected[key] != role} == {}
    # some application may be for everybody
    assert None in expected.values(), "nobody is refused anywhere: this proves nothing"
    for user in company.users:
        roles = {role for (name, _), role in expected.items() if name == user.name}
        assert roles != {None}, f"nobody gets into {user.name}: this proves nothing"


@pytest.mark.requirement("DIR-2")
@pytest.mark.alone
def test_without_the_directory_the_local_administrator_gets_in_and_nobody_else(
    company: Company, credentials: Credentials, machine: Host
) -> None:
    machine.check_output("systemctl stop slapd")
    try:
        for user in company.users:
            (visit,) = company.visits([user], [company.inside(user)])
            assert visit.role is None, f"{user.name} lets in whom nobody has checked"
            password = str(credentials.get(f"{user.name}/administrator"))
            login, log_in = user.settings["administrator"], LOGINS[user.kind]
            with company.client() as client:
                role = log_in(client, company.url(user), login, password, local=True)
            assert role == user.traits.roles[0], f"{user.name}: its local administrator is locked out"
    finally:
        machine.check_output("systemctl start slapd")
    for user in company.users:
        (visit,) = company.visits([user], [company.inside(user)])
        assert visit.role, f"{user.name} doesn't find back to the directory"


# --- who joins, moves, leaves ------------------------------------------------------------------------------


@contextmanager
def _made_by_hand(machine: Host, dn: str) -> Iterator[None]:
    """Let somebody have made an entry beside our tree."""
    connect = (
        "import ldap, sys; c = ldap.initialize('ldapi:///'); c.sasl_non_interactive_bind_s('EXTERNAL')\n"
    )
    entry = "[('objectClass', [b'organizationalUnit']), ('ou', [b'essai'])]"
    machine.check_output("python3 -c %s %s", f"{connect}c.add_s(sys.argv[1], {entry})", dn)
    try:
        yield
        kept = machine.check_output("slapcat -f /etc/ldap/medicarche.conf -s %s", dn)
        assert f"dn: {dn}\n" in kept, "what others have made is gone"
    finally:
        machine.check_output("python3 -c %s %s", f"{connect}c.delete_s(sys.argv[1])", dn)


@dataclass(frozen=True)
class Change:
    """Who leaves, who joins, who moves; and the file of the people after that."""

    leaver: Member
    joiner: Member
    moved: Member
    group: str
    promoted: Mapping[str, Member]
    members: tuple[Member, ...]


def _promoted(company: Company, busy: set[Member]) -> dict[str, Member]:
    """Return application → somebody with one of its roles, who is given another one."""
    found: dict[str, Member] = {}
    for user in company.users:
        if len(set(user.roles.values())) > 1:
            somebody = next(
                m
                for m in company.declared.members
                if m not in busy and len(m.groups) == 1 and company.role(user, m)
            )
            busy.add(somebody)
            other = next(g for g, role in user.roles.items() if role != company.role(user, somebody))
            found[user.name] = replace(somebody, groups=(other,))
    return found


def _change(company: Company) -> Change:
    first = company.users[0]
    everywhere = (m for m in company.declared.members if all(company.role(u, m) for u in company.users))
    leaver = next(everywhere)
    mover = next(m for m in company.declared.members if not company.role(first, m))
    site = next(s for s in company.declared.sites if s != mover.site)
    group = next(iter(first.roles))
    joiner = replace(leaver, login="nouvelle.venue", mail="nouvelle.venue@example.org", first_name="Nouvelle")
    moved = replace(mover, groups=(group,), site=site)
    promoted = _promoted(company, {leaver, mover})
    changed = {m.login for m in (leaver, mover, *promoted.values())}
    rest = (m for m in company.declared.members if m.login not in changed)
    members = (*rest, moved, joiner, *promoted.values())
    return Change(leaver, joiner, moved, group, promoted, members)


@pytest.mark.requirement("DIR-2")
@pytest.mark.alone
def test_who_leaves_is_out_of_everything_and_who_joins_or_moves_is_there(  # noqa: PLR0917 - fixtures
    asked: Directory,
    company: Company,
    run_medicarche: Run,
    machine: Host,
    evidence: Evidence,
    with_people: Callable[[Sequence[Member]], Path],
) -> None:
    change = _change(company)
    leaver, left = change.leaver, company.password(change.leaver.login)
    with ExitStack() as stack:
        stack.enter_context(_made_by_hand(machine, f"ou=essai,{asked.base}"))
        sessions = [(user, stack.enter_context(company.client())) for user in company.users]
        for user, client in sessions:
            role = LOGINS[user.kind](client, company.url(user), leaver.login, left)
            assert role, f"{leaver.login} isn't in {user.name}"
        stack.callback(_provision, run_medicarche)
        file = ("--environment", str(with_people(change.members)))
        shown = run_medicarche(*file, "plan", "--deploy")
        assert shown.returncode == 2, shown.stdout + shown.stderr
        evidence.text("Ce que le plan annonce", shown.stdout)
        for line in ("nouvelle.venue joins", f"{change.moved.login} joins {change.group}"):
            assert line in shown.stdout, line
        assert f"{leaver.login} leaves" in shown.stdout
        assert "ou=essai" in shown.stdout, "what isn't ours isn't told"
        # it has only been shown
        assert asked.lets_in(asked.person(leaver.login), left)
        provisioned = run_medicarche(*file, "provision")
        began = time.monotonic()
        assert provisioned.returncode == 0, provisioned.stderr
        assert not asked.lets_in(asked.person(leaver.login), left)
        for user, client in sessions:
            # what was open is closed, and doesn't open again
            assert not LOGINS[user.kind].still(client, company.url(user)), f"still in {user.name}"
            with company.client() as again:
                assert LOGINS[user.kind](again, company.url(user), leaver.login, left) is None
        seconds = time.monotonic() - began
        evidence.text("Durée", f"vérifié en {seconds:.1f} s après la fin de provision")
        assert seconds < OUT_SECONDS
        for user in company.users:
            found = {v.login: v.role for v in company.visits([user], [change.joiner, change.moved])}
            assert found == {
                change.joiner.login: company.role(user, leaver),
                change.moved.login: user.roles.get(change.group),
            }
        for name, somebody in change.promoted.items():
            (user,) = (u for u in company.users if u.name == name)
            (visit,) = company.visits([user], [somebody])
            assert visit.role == user.roles[somebody.groups[0]], f"{somebody.login} in {name}"
        idle = run_medicarche(*file, "plan", "--deploy")
        assert idle.returncode == 0, idle.stdout
    assert asked.lets_in(asked.person(leaver.login), company.password(leaver.login))
    assert not asked.lets_in(asked.person(leaver.login), left), "an account of old came to life again"
    # who comes back is in again everywhere
    back = {v.application: v.role for v in company.visits(company.users, [leaver])}
    assert back == {user.name: company.role(user, leaver) for user in company.users}


def _provision(run_medicarche: Run) -> None:
    done = run_medicarche("provision")
    assert done.returncode == 0, done.stderr


@pytest.mark.alone
def test_a_backup_puts_back_what_the_file_doesnt_hold(
    asked: Directory,
    declared: Declared,
    password: Callable[[str], str],
    run_medicarche: Run,
    tmp_path: Path,
) -> None:
    member = declared.members[2]
    dn, old, new = asked.person(member.login), password(member.login), secrets.token_urlsafe(18)
    connection = asked.connect(dn, old)
    assert connection.bind()
    assert connection.extend.standard.modify_password(dn, old, new)
    file = tmp_path / "directory.ldif.gz"
    try:
        done = run_medicarche("directory", "backup", str(file))
        assert done.returncode == 0, done.stderr
        assert file.stat().st_mode & 0o077 == 0
        given = run_medicarche("directory", "password", member.login)
        assert given.returncode == 0, given.stderr
        assert run_medicarche("provision").returncode == 0
        assert not asked.lets_in(dn, new)
        (tmp_path / "wrong.gz").write_bytes(b"essai")
        refused = run_medicarche("directory", "restore", str(tmp_path / "wrong.gz"))
        assert refused.returncode == 1
        assert "not a backup of a directory" in refused.stderr
        done = run_medicarche("directory", "restore", str(file))
        assert done.returncode == 0, done.stderr
        assert asked.lets_in(dn, new)
        everybody = [m for m in declared.members if m is not member]
        assert all(asked.lets_in(asked.person(m.login), password(m.login)) for m in everybody)
    finally:
        # the password that was handed over meanwhile is the one that `provision` gives again
        back = run_medicarche("provision")
    assert back.returncode == 0, back.stderr
    assert asked.lets_in(dn, password(member.login))


# --- in the instance ---------------------------------------------------------------------------------------


def test_its_service_runs_as_its_own_user_and_starts_at_boot(machine: Host) -> None:
    for name in ("slapd", "ssh"):
        assert machine.service(name).is_running
        assert machine.service(name).is_enabled
    assert machine.check_output("ps -o user= -C slapd | sort -u") == "openldap"
    assert machine.check_output("systemctl --failed --plain --no-legend") == ""
    for path, mode in (("/etc/ldap/medicarche.key", 0o600), ("/var/lib/ldap/medicarche", 0o700)):
        assert machine.file(path).mode == mode, path


#: what is seen by whoever has an account in an instance, and what its services have said
_EVERYBODY_READS = (
    "(find /etc /usr/local/lib/medicarche -type f -perm /o=r -exec cat {} +; "
    "ps -e -o args; journalctl --no-pager --output cat) | LC_ALL=C tr -cd '\\n[:print:]'"
)


def test_no_password_is_in_a_process_line_a_log_or_a_file_that_others_read(  # noqa: PLR0917 - fixtures
    provisioned: Built,
    machine: Host,
    credentials: Credentials,
    application: Application,
    users: tuple[Application, ...],
    instances: tuple[InstanceState, ...],
    machines: Callable[[InstanceState], Host],
) -> None:
    log = (provisioned.selection.folder / "deploy.log").read_text(encoding="utf-8", errors="replace")
    told = machine.check_output("ps -e -o args; journalctl --unit slapd --no-pager --output cat")
    assert "slapd" in told
    prefix = f"{application.name}/"
    own = [credentials.get(name) for name in credentials.names() if name.startswith(prefix)]
    assert own
    assert not [1 for value in own if value and (value in log or value in told)]
    # what an application asks with, in the instance where it asks
    services = {user.instance: credentials.get(f"{prefix}service/{user.name}") for user in users}
    assert [password for password in services.values() if password]
    for other in instances:
        password = services.get(other.name)
        if password:
            told = machines(other).check_output(_EVERYBODY_READS)
            assert "Written by Medicarche" in told
            assert password not in told, other.name
    folder = provisioned.selection.folder / "directory"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()} == {0o600}
