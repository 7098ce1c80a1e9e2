"""DIR-2: Odoo and the company's directory: what people may do in it, and whose their passwords are."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from medicarche.probe import Client
from medicarche.testing.people_log_in import Odoo, unthrottled

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.credentials import Credentials
    from medicarche.report import Evidence
    from medicarche.spec import Directory
    from medicarche.spec.environment import Application, Environment

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [
    pytest.mark.requirement("DIR-2"),
    pytest.mark.application_kind("odoo"),
    pytest.mark.asks_directory,
]

_AUTHORITY = "/etc/odoo/directory.pem"
_ODOO = Odoo()


@dataclass(frozen=True)
class People:
    """Who is what in Odoo, and how they log in."""

    url: str
    authority: Path
    roles: dict[str, tuple[str, ...]]
    password: Callable[[str], str]

    def with_role(self, role: str) -> str:
        """Return the login of somebody who has this role and no other one."""
        return next(login for login, theirs in self.roles.items() if theirs == (role,))

    def log_in(self, client: Client, login: str, password: str | None = None) -> str | None:
        """Log in as a person does."""
        return _ODOO(client, self.url, login, password or self.password(login))

    def enters(self, login: str, password: str | None = None) -> bool:
        """Tell whether somebody is let in."""
        with self.client() as client:
            return self.log_in(client, login, password) is not None

    def client(self) -> Client:
        """Return a person's browser."""
        return Client(self.authority, timeout=60)


@pytest.fixture
def people(  # noqa: PLR0917 - fixtures
    environment: Environment,
    application: Application,
    url: str,
    authority: Path,
    credentials: Credentials,
    administrator: tuple[str, str],
) -> Iterator[People]:
    """The people that the directory has for Odoo."""
    declared: Directory | None = environment.directory
    assert declared is not None

    def password(login: str) -> str:
        return str(credentials.get(f"{declared.application}/person/{login}"))

    roles = declared.with_all_roles(application.roles, application.traits.roles)
    found = People(url, authority, roles, password)
    with found.client() as client, unthrottled(client, application.kind, url, *administrator):
        yield found


@pytest.fixture
def local(people: People, outside: Client, administrator: tuple[str, str]) -> Client:
    """The local administrator's browser, logged in."""
    assert _ODOO(outside, people.url, *administrator, local=True) == "administrator"
    return outside


def test_people_may_do_what_their_roles_give_and_nothing_else(
    people: People, application: Application, evidence: Evidence
) -> None:
    several = next((login for login, theirs in people.roles.items() if len(theirs) > 1), None)
    assert several, "nobody has two roles: this proves less"
    checked = [people.with_role(role) for role in sorted(set(application.roles.values()))]
    rows = []
    for login in [*checked, several]:
        roles = people.roles[login]
        with people.client() as client:
            assert people.log_in(client, login) == roles[0]
            theirs = _ODOO.groups(client, people.url)
        rows.append((login, ", ".join(roles), ", ".join(sorted(theirs))))
        expected = frozenset({"base.group_user"}).union(*(_ODOO.ROLES[role] for role in roles))
        if roles[0] == "administrator":
            assert theirs >= expected | _ODOO.MANAGERS, login
            continue
        # who sees all of the accounts may make invoices
        implied = {"account.group_account_invoice"} if "accounting" in roles else frozenset()
        assert theirs == expected | implied, login
    evidence.table("Ce que chacun peut faire", ("personne", "rôles", "groupes d'Odoo"), rows)


def test_a_login_in_capitals_is_the_same_person(people: People) -> None:
    login = people.with_role("sales")
    assert people.enters(login.upper(), people.password(login))
    assert not people.enters(login.upper(), "wrong")


@pytest.mark.alone
def test_a_certificate_that_another_authority_has_made_isnt_believed(people: People, machine: Host) -> None:
    login = people.with_role("sales")
    assert people.enters(login)
    # Debian's own list of authorities, without ours
    machine.check_output("cp --preserve %s %s.kept", _AUTHORITY, _AUTHORITY)
    machine.check_output("cp /etc/ssl/certs/ca-certificates.crt %s", _AUTHORITY)
    try:
        assert not people.enters(login)
    finally:
        machine.check_output("mv %s.kept %s", _AUTHORITY, _AUTHORITY)
    assert people.enters(login)


@pytest.mark.alone
def test_a_persons_password_is_the_directorys_alone(
    people: People, local: Client, run_medicarche: Run, url: str
) -> None:
    login = people.with_role("sales")
    old, new = people.password(login), secrets.token_urlsafe(18)
    # nobody else gives one
    with pytest.raises(AssertionError, match="annuaire"):
        _set(local, url, login, {"password": new})
    assert not people.enters(login, new)
    # over the API a key is asked for: Odoo would keep in memory that a password was right
    params = {"service": "common", "method": "authenticate", "args": ["odoo", login, old, {}]}
    answer = local.post(f"{url}/jsonrpc", json={"jsonrpc": "2.0", "method": "call", "params": params})
    assert not answer.json().get("result")
    try:
        # the person's own preferences change the directory's
        with people.client() as client:
            assert people.log_in(client, login)
            with pytest.raises(AssertionError, match="annuaire"):
                _ODOO.model(client, url, "res.users", "change_password", old, "short")
            assert _ODOO.model(client, url, "res.users", "change_password", old, new)
        assert people.enters(login, new)
        assert not people.enters(login, old)
        done = run_medicarche("plan", "--deploy")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        given = run_medicarche("directory", "password", login)
        assert given.returncode == 0, given.stderr
        assert run_medicarche("provision").returncode == 0
    assert people.enters(login)
    assert not people.enters(login, new)


@pytest.mark.alone
def test_what_is_changed_by_hand_is_told_and_put_back(
    people: People, local: Client, run_medicarche: Run, url: str, evidence: Evidence
) -> None:
    powerful, barred, older = [login for login, theirs in people.roles.items() if theirs == ("sales",)][:3]
    named = [("module", "=", "base"), ("name", "=", "group_system")]
    (group,) = _ODOO.model(local, url, "ir.model.data", "search_read", named, ["res_id"])
    _set(local, url, powerful, {"group_ids": [(4, group["res_id"])]})
    _set(local, url, barred, {"active": False})
    # as an account of before the directory: not marked, with a password of its own
    mark = _ODOO.model(local, url, "ir.model.data", "search", [("name", "=", f"person_{older}")])
    _ODOO.model(local, url, "ir.model.data", "unlink", mark)
    password = secrets.token_urlsafe(18)
    _set(local, url, older, {"password": password})
    assert people.enters(older, password)
    assert not people.enters(older), "the directory's password opens an account that isn't the directory's"
    server = {"company": 1, "ldap_server": "192.0.2.1", "ldap_filter": "(uid=%s)", "ldap_base": "dc=example"}
    _ODOO.model(local, url, "res.company.ldap", "create", {**server, "sequence": 99})
    made = _ODOO.model(local, url, "res.users", "create", {"login": "local.only", "name": "Local"})
    try:
        shown = run_medicarche("plan", "--deploy")
        assert shown.returncode == 2, shown.stdout + shown.stderr
        evidence.text("Ce que le plan annonce", shown.stdout)
        for line in (
            f"{powerful} becomes sales",
            f"{barred} is let in (sales)",
            f"{older} is let in (sales)",
            "it asks 192.0.2.1, which isn't the directory",
        ):
            assert line in shown.stdout, line
        assert "local.only" not in shown.stdout
        assert run_medicarche("provision").returncode == 0
        assert run_medicarche("plan", "--deploy").returncode == 0
        assert not people.enters(older, password)
        for login in (powerful, barred, older):
            with people.client() as client:
                assert people.log_in(client, login) == "sales"
        (kept,) = _ODOO.model(local, url, "res.users", "read", [made], ["active"])
        assert kept["active"], "a user who isn't the directory's was touched"
    finally:
        (partner,) = _ODOO.model(local, url, "res.users", "read", [made], ["partner_id"])
        _ODOO.model(local, url, "res.users", "unlink", [made])
        _ODOO.model(local, url, "res.partner", "unlink", [partner["partner_id"][0]])


def _set(client: Client, url: str, login: str, values: dict[str, object]) -> None:
    domain = [("login", "=", login), ("active", "in", [True, False])]
    (user,) = _ODOO.model(client, url, "res.users", "search", domain)
    _ODOO.model(client, url, "res.users", "write", [user], values)
