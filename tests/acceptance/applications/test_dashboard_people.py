"""CLOUD-2, CLOUD-9, DIR-2: people of the directory in the dashboard, with their group's role; nobody else."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import namespace
from medicarche.probe import Client
from medicarche.spec import cloud_groups
from medicarche.testing.browser import browse_here, missing_packages
from medicarche.testing.dashboard import log_in, submit

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.report import Evidence
    from medicarche.spec import Member
    from medicarche.spec.environment import Environment
    from medicarche.testing.built import Built

pytestmark = [
    pytest.mark.requirement("CLOUD-2", "CLOUD-9", "DIR-2"),
    pytest.mark.application_kind("directory"),
]

#: seconds after `provision` in which who has left is out, as everywhere on the cloud
OUT_SECONDS = 60.0


@pytest.fixture
def roles(environment: Environment) -> dict[str, str]:
    """Login → role of all people of the directory who are to be on the cloud."""
    found = cloud_groups.people_of(environment)
    if not found:
        pytest.skip("the environment file gives no group of the directory a role on the cloud")
    return found


def _first(roles: dict[str, str], role: str) -> str:
    for login in sorted(roles):
        if roles[login] == role:
            return login
    pytest.skip(f"nobody of the directory is {role} on the cloud")


@pytest.mark.parametrize("role", cloud_groups.POWERS)
def test_a_person_of_the_directory_works_in_the_dashboard_with_the_role_and_no_other(  # noqa: PLR0917 - fixtures
    role: str,
    roles: dict[str, str],
    dashboard: str,
    password: Callable[[str], str],
    environment: Environment,
    instances: tuple[InstanceState, ...],
    connections: Connections,
) -> None:
    login = _first(roles, role)
    name = f"medicarche-acceptance-{secrets.token_hex(4)}"
    with namespace.outside(), Client(timeout=90) as client:
        assert log_in(client, dashboard, login, password(login), environment.name), "isn't let in"
        shown = client.get(f"{dashboard}/project/instances/").text
        assert [i.name for i in instances if i.id not in shown] == []
        submit(client, f"{dashboard}/project/security_groups/create/", name=name, description="")
        administration = client.get(f"{dashboard}/admin/", allow_redirects=True)
    made = list(connections.member.sdk.network.security_groups(name=name))
    for group in made:
        connections.member.sdk.network.delete_security_group(group)
    assert len(made) == (0 if role == "reader" else 1), "may more or less than the role"
    assert administration.status_code == (200 if role == "admin" else 403)


def test_the_dashboard_refuses_everybody_else(
    roles: dict[str, str],
    dashboard: str,
    password: Callable[[str], str],
    environment: Environment,
    provisioned: Built,
) -> None:
    directory, embedded = environment.directory, provisioned.selection.embedded
    assert directory is not None
    assert embedded is not None
    insider = min(roles)
    outsider = next(m.login for m in directory.members if m.login not in roles)
    local, secret = embedded.dashboard_login()
    tries = {
        "who is in no group": (outsider, password(outsider), environment.name),
        "a wrong password": (insider, "wrong", environment.name),
        "a person of the directory as one of the cloud's own": (insider, password(insider), "Default"),
        "one of the cloud's own as a person of the directory": (local, secret, environment.name),
        "nobody": ("nobody.atall", secret, environment.name),
    }
    let_in = []
    for who, (login, word, domain) in tries.items():
        with namespace.outside(), Client(timeout=90) as client:
            if log_in(client, dashboard, login, word, domain):
                let_in.append(who)
    assert let_in == []
    with namespace.outside(), Client(timeout=90) as client:
        assert log_in(client, dashboard, insider, password(insider), environment.name), "nobody gets in"


def test_a_person_logs_in_with_a_browser(  # noqa: PLR0917 - fixtures
    roles: dict[str, str],
    dashboard: str,
    password: Callable[[str], str],
    environment: Environment,
    instances: tuple[InstanceState, ...],
    provisioned: Built,
    host_has: Callable[[tuple[str, ...]], None],
    evidence: Evidence,
) -> None:
    """In French; the domain is chosen from a list in which the cloud's own accounts come first."""
    host_has(missing_packages())
    embedded, login = provisioned.selection.embedded, min(roles)
    assert embedded is not None
    local, secret = embedded.dashboard_login()
    with namespace.outside(), browse_here() as page:
        page.goto(f"{dashboard}/auth/login/")
        assert page.get_by_label("Domaine").locator("option:checked").inner_text() == "Comptes du cloud"
        page.get_by_label("Nom d'utilisateur").fill(login)
        page.locator("#id_password").fill(password(login))
        page.get_by_label("Domaine").select_option(label=f"Annuaire : {environment.name}")
        page.locator("#loginBtn").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
        page.goto(f"{dashboard}/project/instances/")
        for instance in instances:
            page.get_by_role("link", name=instance.name, exact=True).wait_for()
        assert login in page.locator("nav").first.inner_text()
        page.goto(f"{dashboard}/auth/logout/")
        page.goto(f"{dashboard}/auth/login/")
        # who was here last finds the choice as it was
        chosen = page.get_by_label("Domaine").locator("option:checked").inner_text()
        assert chosen == f"Annuaire : {environment.name}"
        page.get_by_label("Domaine").select_option(label="Comptes du cloud")
        page.get_by_label("Nom d'utilisateur").fill(local)
        page.locator("#id_password").fill(secret)
        page.locator("#loginBtn").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
    evidence.text("Tableau de bord", f"{login} (annuaire), puis {local} (compte du cloud), dans Chromium")


@pytest.mark.alone
def test_who_leaves_is_out_of_the_dashboard_within_a_minute(  # noqa: PLR0917 - fixtures
    roles: dict[str, str],
    dashboard: str,
    password: Callable[[str], str],
    environment: Environment,
    instances: tuple[InstanceState, ...],
    run_medicarche: Callable[..., subprocess.CompletedProcess[str]],
    with_people: Callable[[Sequence[Member]], Path],
    evidence: Evidence,
) -> None:
    assert environment.directory is not None
    leaver = _first(roles, "member")
    secret = password(leaver)
    members = [m for m in environment.directory.members if m.login != leaver]
    with Client(timeout=90) as client:

        def sees_something() -> bool:
            # the page itself stays: it is drawn from the session's cookie, and says that it can show nothing
            with namespace.outside():
                shown = client.get(f"{dashboard}/project/instances/").text
            return any(i.id in shown or str(i.private_address) in shown for i in instances)

        try:
            with namespace.outside():
                assert log_in(client, dashboard, leaver, secret, environment.name)
            assert sees_something()
            done = run_medicarche("--environment", str(with_people(members)), "provision", "--yes")
            began = time.monotonic()
            assert done.returncode == 0, done.stderr
            with namespace.outside(), Client(timeout=90) as again:
                assert not log_in(again, dashboard, leaver, secret, environment.name), "a new log-in"
            while sees_something():
                assert time.monotonic() - began < OUT_SECONDS, "the session goes on"
                time.sleep(1)
            seconds = time.monotonic() - began
        finally:
            assert run_medicarche("provision", "--yes").returncode == 0
    evidence.text(
        "Tableau de bord", f"session d'une personne partie : ne montre plus rien après {seconds:.1f} s"
    )
