"""CLOUD-9, DIR-2: people of the directory are on the cloud, with the role of their group; nobody else is.

Each of them really asks Keystone for a token with the password that was handed over, and tries what it opens.
"""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import requests
from ldap3 import Connection as Ldap
from ldap3 import Server, Tls
from ruamel.yaml import YAML

from medicarche import cloud_directory, people
from medicarche.deploy.directory import keystone_secret
from medicarche.plan.resources import GroupRole, SecurityGroupRule
from medicarche.planning import plan
from medicarche.pytest_plugin.options import REQUIREMENT
from medicarche.spec import cloud_groups
from medicarche.spec.directory import base_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.report import Evidence
    from medicarche.spec import Member
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [
    pytest.mark.requirement("CLOUD-9", "DIR-2"),
    pytest.mark.application_kind("directory"),
]

ROLES = ("admin", "member", "reader")
#: what each role includes (Keystone's implied roles)
INCLUDED = {"admin": {"admin", "member", "reader"}, "member": {"member", "reader"}, "reader": {"reader"}}
#: seconds after `provision` in which who has left is out, with every token
OUT_SECONDS = 60.0
#: seconds in which Keystone says no, by what is wrong with the directory
NO_SECONDS = {"stopped": 15.0, "hanging": 20.0}
#: how many people of the directory try at once, again and again, while it hangs
AT_ONCE = 4
#: seconds in which an account of the cloud's own gets its token meanwhile; on a busy machine, where it takes
#: longer anyway, this often as long as without them
OWN_SECONDS, OWN_TIMES = 3.0, 3.0
CREATED, UNAUTHORIZED, FORBIDDEN = 201, 401, 403


@dataclass(frozen=True)
class Cloud:
    """The cloud as somebody of the directory finds it.

    Attributes:
        url: Keystone's address.
        domain: the name of the domain that asks the directory.
        project: the environment's project.
        other: a project of somebody else's.
        password: login → the password that was handed over.
    """

    url: str
    domain: str
    project: str
    other: str
    password: Callable[[str], str]

    def ask(self, login: str, password: str | None = None, **options: Any) -> requests.Response:  # noqa: ANN401 - JSON
        """Ask for a token; ``domain`` and ``project`` take the place of the usual ones."""
        user = {
            "name": login,
            "password": password or self.password(login),
            "domain": {"name": options.get("domain", self.domain)},
        }
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"id": options.get("project", self.project)}},
            }
        }
        return requests.post(f"{self.url}/auth/tokens", json=body, timeout=120)

    def token(self, login: str) -> str:
        """Return a token of somebody who is let in."""
        answer = self.ask(login)
        assert answer.status_code == CREATED, f"{login}: {answer.status_code} {answer.text}"
        return answer.headers["X-Subject-Token"]

    def endpoint(self, answer: requests.Response, kind: str) -> str:
        """Return a service's address in a token's catalogue."""
        for service in answer.json()["token"]["catalog"]:
            if service["type"] == kind:
                return next(str(e["url"]) for e in service["endpoints"] if e["interface"] == "public")
        raise LookupError(kind)


def roles_of(answer: requests.Response) -> set[str]:
    """Return the roles in a token, of those that matter."""
    return {role["name"] for role in answer.json()["token"]["roles"]} & set(ROLES)


@pytest.fixture
def expected(request: pytest.FixtureRequest, environment: Environment) -> dict[str, str]:
    """Login → role of all who are to be on the cloud."""
    found = cloud_groups.people_of(environment)
    if not found:
        # what isn't wanted is no doubt about what is required
        told = request.node.user_properties
        told[:] = [(key, value) for key, value in told if key != REQUIREMENT]
        pytest.skip("the environment file gives no group of the directory a role on the cloud")
    return found


@pytest.fixture
def cloud(
    provisioned: Built,
    expected: dict[str, str],
    environment: Environment,
    password: Callable[[str], str],
    connections: Connections,
) -> Cloud:
    """The cloud, where its Keystone asks the directory."""
    del expected
    if connections.admin is None or cloud_directory.keystone_site(provisioned.selection) is None:
        pytest.skip("this cloud's Keystone doesn't ask the directory")

    url = str(connections.member.sdk.config.config["auth"]["auth_url"]).rstrip("/")
    return Cloud(
        url if url.endswith("/v3") else f"{url}/v3",
        environment.name,
        connections.member.project_id,
        connections.admin.project_id,
        password,
    )


def _first(expected: dict[str, str], role: str) -> str:
    for login in sorted(expected):
        if expected[login] == role:
            return login
    pytest.skip(f"nobody of the directory is {role} on the cloud")


# --- who gets in, and as what ----------------------------------------------------------------------------


def test_each_person_of_the_groups_is_on_the_cloud_with_the_role_and_nobody_else(
    cloud: Cloud, environment: Environment, expected: dict[str, str], evidence: Evidence
) -> None:
    assert environment.directory is not None
    logins = [member.login for member in environment.directory.members]
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(logins, pool.map(cloud.ask, logins), strict=True))
    took = time.monotonic() - began
    found = {login: roles_of(a) for login, a in answers.items() if a.status_code == CREATED}
    assert found == {login: INCLUDED[role] for login, role in expected.items()}
    refused = {a.status_code for login, a in answers.items() if login not in expected}
    assert refused == {UNAUTHORIZED}, "nobody is refused: this proves nothing"
    rows = [(role, ", ".join(sorted(m for m in expected if expected[m] == role))) for role in ROLES]
    evidence.table("Qui est sur le cloud", ("rôle", "personnes"), [row for row in rows if row[1]])
    text = f"{len(found)} personnes admises, {len(logins) - len(found)} refusées en {took:.1f} s"
    evidence.text("Tentatives", text)


def test_a_wrong_password_opens_nothing_on_the_cloud(cloud: Cloud, expected: dict[str, str]) -> None:
    login, *others = sorted(expected)
    for wrong in ("wrong", cloud.password(login)[:-1], *(cloud.password(o) for o in others[:1])):
        assert cloud.ask(login, wrong).status_code == UNAUTHORIZED
    # the cloud's own accounts are others
    assert cloud.ask(login, domain="Default").status_code == UNAUTHORIZED
    assert cloud.ask("nobody.atall", "wrong").status_code == UNAUTHORIZED
    assert cloud.ask(login).status_code == CREATED


def test_a_person_of_the_directory_has_no_business_in_another_project(
    cloud: Cloud, expected: dict[str, str]
) -> None:
    for role in sorted(set(expected.values()) - {"admin"}):
        login = _first(expected, role)
        assert cloud.ask(login, project=cloud.other).status_code == UNAUTHORIZED
        answer = cloud.ask(login)
        headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
        own = requests.get(f"{cloud.url}/auth/projects", headers=headers, timeout=60).json()["projects"]
        assert [project["id"] for project in own] == [cloud.project]
        for path in ("users", "domains", "projects"):
            seen = requests.get(f"{cloud.url}/{path}", headers=headers, timeout=60)
            assert seen.status_code == FORBIDDEN, path


@pytest.mark.parametrize("role", ["member", "reader"])
def test_what_a_role_opens_and_what_it_does_not(
    role: str, cloud: Cloud, expected: dict[str, str], connections: Connections
) -> None:
    answer = cloud.ask(_first(expected, role))
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    network, compute = (cloud.endpoint(answer, kind) for kind in ("network", "compute"))
    seen = requests.get(f"{compute}/servers", headers=headers, timeout=60).json()["servers"]
    assert {s["id"] for s in seen} == {s.id for s in connections.member.sdk.compute.servers()}
    groups = f"{network}/v2.0/security-groups"
    body = {"security_group": {"name": f"medicarche-acceptance-{secrets.token_hex(4)}"}}
    made = requests.post(groups, json=body, headers=headers, timeout=60)
    if made.status_code == CREATED:
        gone = requests.delete(f"{groups}/{made.json()['security_group']['id']}", headers=headers, timeout=60)
        assert gone.ok
    assert made.status_code == (CREATED if role == "member" else FORBIDDEN)
    flavor = {"flavor": {"name": "x", "vcpus": 1, "ram": 64, "disk": 1}}
    refused = requests.post(f"{compute}/flavors", json=flavor, headers=headers, timeout=60)
    assert refused.status_code == FORBIDDEN


# --- Keystone's own account ------------------------------------------------------------------------------


def test_keystone_sees_who_is_on_the_cloud_and_no_secret(  # noqa: PLR0917 - fixtures
    cloud: Cloud,
    environment: Environment,
    application: Application,
    instance: InstanceState,
    credentials: Credentials,
    authority: Path,
    expected: dict[str, str],
) -> None:
    del cloud
    directory = environment.directory
    assert directory is not None
    base, address = base_of(environment.domain), str(instance.floating_address)
    tls = Tls(validate=2, ca_certs_file=str(authority), valid_names=[address])
    # this process is where the embedded cloud's Keystone is
    server = Server(address, port=application.port, use_ssl=True, tls=tls, connect_timeout=20)
    dn = f"cn={cloud_groups.KEYSTONE},ou=services,{base}"
    with Ldap(server, dn, credentials.get(keystone_secret(directory)), receive_timeout=20) as asked:
        asked.search(f"ou=people,{base}", "(objectClass=*)", "LEVEL", attributes=["*", "+"])
        shown = [entry.entry_attributes_as_dict for entry in asked.entries]
        assert {entry["uid"][0] for entry in shown} == set(expected)
        names = {name for entry in shown for name, values in entry.items() if values}
        assert names == {"objectClass", "uid", "mail", "memberOf"}
        asked.search(f"ou=groups,{base}", "(objectClass=*)", "LEVEL", attributes=["cn"])
        assert {entry.cn.value for entry in asked.entries} == set(directory.cloud_groups)
        for branch in ("", "ou=services,", "ou=sites,", "ou=policies,"):
            asked.search(f"{branch}{base}", "(objectClass=*)", "SUBTREE")
            assert asked.entries == [], branch
        person = f"uid={min(expected)},ou=people,{base}"
        change = {"mail": [("MODIFY_REPLACE", ["x@example.org"])]}
        assert not asked.modify(person, change)  # type: ignore[no-untyped-call]  # so in its stubs


@pytest.mark.alone
def test_a_domain_and_roles_that_are_changed_by_hand_are_shown_and_put_back(
    cloud: Cloud, provisioned: Built, connections: Connections, run_medicarche: Run, expected: dict[str, str]
) -> None:
    assert connections.admin is not None
    api = connections.admin.identity
    (domain,) = api.collection("/domains", "domains", name=cloud.domain)
    shown = api.get(f"/domains/{domain['id']}/config")["config"]["ldap"]
    assert "password" not in shown
    assert shown["tls_req_cert"] == "demand"
    change = {"config": {"ldap": {"tls_req_cert": "never", "user_filter": "(uid=*)"}}}
    api.change(f"/domains/{domain['id']}/config", change)
    (given, *_) = [r for r in plan(provisioned.selection).observed if isinstance(r.resource, GroupRole)]
    api.delete(given.id)
    looked = run_medicarche("plan")
    assert looked.returncode == 2, looked.stderr
    for text in ("options.ldap.tls_req_cert", "options.ldap.user_filter", given.resource.address):
        assert text in looked.stdout
    done = run_medicarche("provision")
    assert done.returncode == 0, done.stderr
    assert run_medicarche("plan", "--deploy").returncode == 0
    with ThreadPoolExecutor(2) as pool:
        assert {answer.status_code for answer in pool.map(cloud.ask, sorted(expected))} == {CREATED}


# --- who moves and leaves --------------------------------------------------------------------------------


#: what lets in without a password: path and body, of a user and a project
WAYS_IN: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "/users/{user}/application_credentials": lambda _user, _project: {
        "application_credential": {"name": f"acceptance-{secrets.token_hex(4)}"}
    },
    "/users/{user}/credentials/OS-EC2": lambda _user, project: {"tenant_id": project},
    "/credentials": lambda user, project: {
        "credential": {
            "type": "ec2",
            "blob": '{"access": "acceptance", "secret": "acceptance"}',
            "user_id": user,
            "project_id": project,
        }
    },
    "/OS-TRUST/trusts": lambda user, project: {
        "trust": {
            "trustor_user_id": user,
            "trustee_user_id": user,
            "project_id": project,
            "impersonation": True,
            "roles": [{"name": "reader"}],
        }
    },
}


@pytest.mark.parametrize("path", WAYS_IN)
def test_nobody_of_the_directory_leaves_a_way_in_behind(
    path: str, cloud: Cloud, expected: dict[str, str]
) -> None:
    for role in sorted(set(expected.values())):
        answer = cloud.ask(_first(expected, role))
        user = answer.json()["token"]["user"]["id"]
        made = requests.post(
            cloud.url + path.format(user=user),
            json=WAYS_IN[path](user, cloud.project),
            headers={"X-Auth-Token": answer.headers["X-Subject-Token"]},
            timeout=60,
        )
        assert made.status_code == FORBIDDEN, made.text


def _dead_after(cloud: Cloud, token: str, urls: Iterable[str], began: float) -> dict[str, float]:
    """Return after how many seconds each service refuses a token; those that don't in time are missing."""
    waiting, found = set(urls), {}
    while waiting and time.monotonic() - began < OUT_SECONDS:
        for url in sorted(waiting):
            headers = {"X-Auth-Token": token, "X-Subject-Token": token}
            if requests.get(url, headers=headers, timeout=60).status_code in {UNAUTHORIZED, 404}:
                found[url] = time.monotonic() - began
                waiting.remove(url)
        time.sleep(0.5)
    del cloud
    return found


def _becomes(cloud: Cloud, login: str, role: str, began: float) -> float:
    """Return after how many seconds somebody has a role and no other: Keystone keeps those for a while."""
    while (found := roles_of(cloud.ask(login))) != INCLUDED[role]:
        assert time.monotonic() - began < OUT_SECONDS, f"{login}: {found}"
        time.sleep(1)
    return time.monotonic() - began


@pytest.mark.alone
def test_who_leaves_or_moves_is_out_within_a_minute_with_every_token(  # noqa: PLR0917 - fixtures
    cloud: Cloud,
    environment: Environment,
    expected: dict[str, str],
    run_medicarche: Run,
    with_people: Callable[[Sequence[Member]], Path],
    evidence: Evidence,
) -> None:
    directory = environment.directory
    assert directory is not None
    leaver, mover = _first(expected, "member"), _first(expected, "reader")
    promoted = next(group for group, role in directory.cloud_groups.items() if role == "member")
    outsider = next(m.login for m in directory.members if m.login not in expected)
    members = [
        replace(m, groups=(promoted,)) if m.login in {mover, outsider} else m
        for m in directory.members
        if m.login != leaver
    ]
    # it is forgotten with the account
    password = cloud.password(leaver)
    answer = cloud.ask(leaver)
    token = answer.headers["X-Subject-Token"]
    network, compute = (cloud.endpoint(answer, kind) for kind in ("network", "compute"))
    urls = (f"{cloud.url}/auth/tokens", f"{network}/v2.0/networks", f"{compute}/servers")
    for url in urls:
        # each service has seen it, and would believe in it for a while
        assert requests.get(url, headers={"X-Auth-Token": token, "X-Subject-Token": token}, timeout=60).ok
    try:
        done = run_medicarche("--environment", str(with_people(members)), "provision", "--yes")
        began = time.monotonic()
        assert done.returncode == 0, done.stderr
        assert cloud.ask(leaver, password).status_code == UNAUTHORIZED, "a new log-in is refused at once"
        moved = {login: _becomes(cloud, login, "member", began) for login in (mover, outsider)}
        dead = _dead_after(cloud, token, urls, began)
        assert set(dead) == set(urls), f"the old token is good longer than {OUT_SECONDS:.0f} s: {dead}"
        rows = [(who, f"{seconds:.1f} s") for who, seconds in moved.items()]
        evidence.table("Le nouveau rôle vaut après", ("qui", "délai"), rows)
        rows = [(url, f"{seconds:.1f} s") for url, seconds in dead.items()]
        evidence.table("L'ancien jeton est refusé après", ("service", "délai"), rows)
    finally:
        assert run_medicarche("provision", "--yes").returncode == 0
    # who comes back has a new password
    assert cloud.ask(leaver, password).status_code == UNAUTHORIZED
    assert roles_of(cloud.ask(leaver)) == INCLUDED["member"]
    assert cloud.ask(outsider).status_code == UNAUTHORIZED
    _becomes(cloud, mover, "reader", time.monotonic())


# --- without the directory -------------------------------------------------------------------------------


@contextmanager
def _without(machine: Host, how: str) -> Iterator[None]:
    stop, start = {
        "stopped": ("systemctl stop slapd", "systemctl start slapd"),
        "hanging": ("systemctl kill --signal=STOP slapd", "systemctl kill --signal=CONT slapd"),
    }[how]
    machine.check_output(stop)
    try:
        yield
    finally:
        machine.check_output(start)


def _own_entry(built: Built, login: str) -> dict[str, Any]:
    """Return how somebody with an account of the cloud's own logs in, as it was handed over."""
    file = people.file_of(built.selection.folder, login)
    entry: dict[str, Any] = YAML(typ="safe").load(file)["clouds"][people.CLOUD]["auth"]
    return entry


@pytest.mark.alone
@pytest.mark.parametrize("how", ["stopped", "hanging"])
def test_without_the_directory_the_clouds_own_accounts_go_on_and_nobody_else(  # noqa: PLR0917 - fixtures
    how: str,
    cloud: Cloud,
    machine: Host,
    provisioned: Built,
    environment: Environment,
    expected: dict[str, str],
    connections: Connections,
    run_medicarche: Run,
    evidence: Evidence,
) -> None:
    took = {}

    def timed(what: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the call gives
        began = time.monotonic()
        found = call()
        took[what] = time.monotonic() - began
        return found

    def let_in() -> bool:
        try:
            return cloud.ask(min(expected)).status_code == CREATED
        except requests.ConnectionError:  # what waited for the directory was ended
            return False

    with _without(machine, how), ThreadPoolExecutor(2) as pool:
        # Keystone keeps a connection for a second; without one it waits for another
        time.sleep(2)
        waiting = [pool.submit(timed, f"quelqu'un de l'annuaire, refusé ({n})", let_in) for n in (1, 2)]
        time.sleep(0.5)
        # each of Keystone's processes may be at that now
        for person in [p for p in environment.people if p.cloud_role is not None][:3]:
            entry = _own_entry(provisioned, person.login)
            own = timed(
                f"compte local {person.login}",
                partial(cloud.ask, entry["username"], entry["password"], domain="Default"),
            )
            assert own.status_code == CREATED, f"{person.login} is locked out"
        assert connections.admin is not None
        for who, connection in (("administrateur", connections.admin), ("projet", connections.member)):
            connection.sdk.session.invalidate()
            assert timed(f"identifiants: {who}", connection.sdk.session.get_token)
        assert [found.result() for found in waiting] == [False, False]
        looked = timed("medicarche plan", lambda: run_medicarche("plan"))
        assert looked.returncode == 0, looked.stdout + looked.stderr
        done = timed("medicarche provision --no-deploy", lambda: run_medicarche("provision", "--no-deploy"))
        assert done.returncode == 0, done.stdout + done.stderr
    assert max(s for what, s in took.items() if "medicarche" not in what) < NO_SECONDS[how], took
    rows = [(what, f"{seconds:.1f} s") for what, seconds in took.items()]
    evidence.table(f"Annuaire {how}", ("quoi", "durée"), rows)
    assert cloud.ask(min(expected)).status_code == CREATED, "Keystone doesn't find back to the directory"


@contextmanager
def _unreachable(built: Built, connections: Connections, run_medicarche: Run) -> Iterator[None]:
    """Have Keystone's packets to the directory vanish: the rule that lets them in is away."""
    site = cloud_directory.keystone_site(built.selection)
    assert site is not None
    asked = [
        found
        for found in plan(built.selection).observed
        if isinstance(found.resource, SecurityGroupRule) and found.resource.remote_prefix in site.prefixes
    ]
    assert asked, "no rule lets Keystone in"
    for rule in asked:
        connections.member.network.delete(f"/security-group-rules/{rule.id}")
    try:
        yield
    finally:
        assert run_medicarche("provision", "--no-deploy").returncode == 0


@pytest.mark.alone
@pytest.mark.parametrize("how", ["hanging", "unreachable"])
def test_a_directory_that_hangs_holds_up_none_of_the_clouds_own_accounts(  # noqa: PLR0917 - fixtures
    how: str,
    cloud: Cloud,
    machine: Host,
    provisioned: Built,
    environment: Environment,
    expected: dict[str, str],
    connections: Connections,
    run_medicarche: Run,
    evidence: Evidence,
) -> None:
    """People of the directory try all the time, and each of them waits for it."""
    own = next((p.login for p in environment.people if p.cloud_role is not None), None)
    if own is None:
        pytest.skip("the environment file has no account of the cloud's own")
    entry = _own_entry(provisioned, own)

    def own_token() -> float:
        began = time.monotonic()
        answer = cloud.ask(entry["username"], entry["password"], domain="Default")
        assert answer.status_code == CREATED, f"{own} is locked out"
        return time.monotonic() - began

    over = threading.Event()

    def try_all_the_time() -> list[tuple[int, float]]:
        tries = []
        while not over.is_set():
            began = time.monotonic()
            try:
                status = cloud.ask(min(expected)).status_code
            except requests.ConnectionError:
                status = 0  # Keystone's server gives up a request after a minute
            tries.append((status, time.monotonic() - began))
        return tries

    usual = max(own_token() for _ in range(3))
    without = (
        _without(machine, how) if how == "hanging" else _unreachable(provisioned, connections, run_medicarche)
    )
    with without, ThreadPoolExecutor(AT_ONCE) as pool:
        time.sleep(2)  # Keystone keeps a connection for a second
        waiting = [pool.submit(try_all_the_time) for _ in range(AT_ONCE)]
        try:
            time.sleep(1)
            took = [own_token() for _ in range(10)]
        finally:
            over.set()
        tries = [one for each in waiting for one in each.result()]
    rows = [
        ("compte du cloud, sans attente de l'annuaire", f"{usual:.1f} s au plus"),
        ("compte du cloud, pendant l'attente", f"{max(took):.1f} s au plus ({len(took)} essais)"),
        (
            "personnes de l'annuaire, refusées",
            f"{max(s for _, s in tries):.1f} s au plus ({len(tries)} essais)",
        ),
    ]
    evidence.table(f"Annuaire {how} : {AT_ONCE} personnes à la fois", ("qui", "durée"), rows)
    assert CREATED not in {status for status, _ in tries}, "the directory doesn't hang"
    assert min(seconds for _, seconds in tries) > 1, "nobody waits: this proves nothing"
    assert max(took) < max(OWN_SECONDS, OWN_TIMES * usual), f"{took}, usually {usual:.1f} s"
