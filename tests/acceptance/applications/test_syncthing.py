"""APP-3: Syncthing, as people and as the sites' own nodes use it."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from medicarche.testing.syncthing_nodes import Node, node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page
    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.probe import Client
    from medicarche.spec.environment import Application, Environment

pytestmark = [pytest.mark.requirement("APP-3"), pytest.mark.application_kind("syncthing")]

#: seconds that two nodes may take to connect and to agree, on a busy machine
SOON = 90.0


@pytest.fixture
def login(
    application: Application,
    environment: Environment,
    administrator: tuple[str, str],
    credentials: Credentials,
) -> dict[str, str]:
    """What the login page sends: of somebody whom the directory lets in, where it is asked."""
    directory = environment.directory
    if directory is None or not application.roles:
        return {"username": administrator[0], "password": administrator[1]}
    person = min(directory.with_roles(application.roles, application.traits.roles))
    password = credentials.get(f"{directory.application}/person/{person}")
    return {"username": person, "password": str(password)}


# --- people ------------------------------------------------------------------------------------------------


def test_the_generated_password_opens_its_pages(outside: Client, url: str, login: dict[str, str]) -> None:
    assert outside.get(f"{url}/").status_code == 200
    assert outside.get(f"{url}/rest/system/status").status_code == 403
    answer = outside.post(f"{url}/rest/noauth/auth/password", json=login)
    assert answer.status_code == 204
    (session,) = [c for c in outside.cookies if c.name.startswith("sessionid")]
    assert session.secure
    assert session.has_nonstandard_attr("HttpOnly") or session.has_nonstandard_attr("httponly")
    outside.get(f"{url}/")
    (token,) = [c for c in outside.cookies if c.name.startswith("CSRF-Token")]
    known = outside.get(f"{url}/rest/system/status", headers={f"X-{token.name}": str(token.value)})
    assert known.status_code == 200
    assert known.json()["myID"]


def test_a_person_logs_in_and_sees_its_pages_in_french(page: Page, url: str, login: dict[str, str]) -> None:
    page.goto(f"{url}/")
    page.fill("#user", login["username"])
    page.fill("#password", login["password"])
    page.press("#password", "Enter")
    page.wait_for_selector("text=Cet appareil")
    assert "Partages" in page.inner_text("body")


@pytest.mark.parametrize(
    "wrong", [{"password": "wrong"}, {"username": "admin", "password": "admin"}, {"password": ""}]
)
def test_no_other_login_does(outside: Client, url: str, login: dict[str, str], wrong: dict[str, str]) -> None:
    assert outside.post(f"{url}/rest/noauth/auth/password", json={**login, **wrong}).status_code == 403
    assert not [c for c in outside.cookies if c.name.startswith("sessionid")]


def test_rest_wants_its_key(
    outside: Client, url: str, application: Application, credentials: Credentials
) -> None:
    key = credentials.get(f"{application.name}/api_key")
    for header, status in (({}, 403), ({"X-API-Key": "wrong"}, 403), ({"X-API-Key": str(key)}, 200)):
        assert outside.get(f"{url}/rest/system/version", headers=header).status_code == status


def test_a_foreign_host_is_refused(outside: Client, url: str) -> None:
    assert outside.get(f"{url}/", headers={"Host": "www.example.org"}).status_code == 421


def test_it_speaks_to_nobody_but_its_peers(
    application: Application, url: str, authority: Path, credentials: Credentials
) -> None:
    here = Node(url, str(credentials.get(f"{application.name}/api_key")), authority)
    options = here.call("GET", "config/options")
    for name in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled"):
        assert options[name] is False, name
    assert options["crashReportingEnabled"] is False
    assert options["urAccepted"] == -1
    assert options["autoUpgradeIntervalH"] == 0
    assert options["listenAddresses"] == ["tcp://127.0.0.1:22000"]


def test_its_service_runs_as_its_own_user_and_starts_at_boot(machine: Host) -> None:
    for name in ("syncthing@syncthing", "nginx", "ssh"):
        assert machine.service(name).is_running
        assert machine.service(name).is_enabled
    assert machine.check_output("ps -o user= -C syncthing | sort -u") == "syncthing"
    assert machine.check_output("systemctl --failed --plain --no-legend") == ""
    configuration = machine.file("/var/lib/syncthing/state/config.xml")
    assert configuration.mode == 0o600
    assert configuration.user == "syncthing"


# --- the sites' nodes --------------------------------------------------------------------------------------


@pytest.fixture
def central(application: Application, url: str, authority: Path, credentials: Credentials) -> Node:
    """The company's node."""
    return Node(url, str(credentials.get(f"{application.name}/api_key")), authority)


@pytest.fixture
def sites(machine: Host, tmp_path: Path) -> Iterator[dict[str, tuple[Node, Path]]]:
    """A node for each site, with the same Syncthing as the company's; site → node, its folder."""
    program = tmp_path / "syncthing"
    program.write_bytes(machine.file("/usr/bin/syncthing").content)
    program.chmod(0o755)
    made: dict[str, tuple[Node, Path]] = {}
    for name in ("ARCHE", "ARCADE"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}-files").mkdir()
    # below the range from which the kernel takes ports for connections (32768 to 60999)
    first = 20_000 + secrets.randbelow(3_000) * 4
    with (
        node(program, tmp_path / "ARCHE", first) as arche,
        node(program, tmp_path / "ARCADE", first + 2) as arcade,
    ):
        made["ARCHE"] = arche, tmp_path / "ARCHE-files"
        made["ARCADE"] = arcade, tmp_path / "ARCADE-files"
        yield made


@pytest.fixture
def shared_folder(
    central: Node,
    sites: dict[str, tuple[Node, Path]],
    application: Application,
    instance: InstanceState,
) -> Iterator[str]:
    """A folder that the company's node shares with both sites; they meet through it only."""
    folder = f"essai-{secrets.token_hex(4)}"
    identity = central.id()
    identities = [site.id() for site, _ in sites.values()]
    try:
        for (name, (site, path)), theirs in zip(sites.items(), identities, strict=True):
            central.add_device(theirs, name)
            # the one declared port carries peers too
            site.add_device(identity, "central", f"tcp://{instance.floating_address}:{application.port}")
            site.share(folder, str(path), [identity])
        central.share(folder, f"/var/lib/syncthing/folders/{folder}", identities)
        until(lambda: all(central.connected(theirs) for theirs in identities), "the sites connect")
        yield folder
    finally:
        for site, _ in sites.values():
            site.forget(folder, [identity])  # the first to let go, so that they don't knock again
        central.forget(folder, identities)


def until(met: Callable[[], bool], what: str) -> None:
    """Wait for a condition; a node that is being configured may refuse a question."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        try:
            if met():
                return
        except requests.RequestException:
            pass
        time.sleep(0.3)
    pytest.fail(f"not within {SOON:.0f} s: {what}")


def test_both_sites_synchronise_both_ways(
    sites: dict[str, tuple[Node, Path]], shared_folder: str, record_property: Callable[[str, Any], None]
) -> None:
    arche, arche_files = sites["ARCHE"]
    arcade, arcade_files = sites["ARCADE"]
    content = secrets.token_bytes(5_000_000)
    began = time.monotonic()
    (arche_files / "séquence.fasta").write_bytes(content)
    arche.scan(shared_folder)
    until(lambda: _read(arcade_files / "séquence.fasta") == content, "5 MB from ARCHE to ARCADE")
    record_property("seconds for 5 MB", round(time.monotonic() - began, 1))
    (arcade_files / "notes").mkdir()
    (arcade_files / "notes/réponse.txt").write_text("reçu", encoding="utf-8")
    arcade.scan(shared_folder)
    until(
        lambda: _read(arche_files / "notes/réponse.txt") == "reçu".encode(),
        "the answer, from ARCADE to ARCHE",
    )


def test_a_file_changed_on_both_sides_loses_nothing(
    central: Node, sites: dict[str, tuple[Node, Path]], shared_folder: str
) -> None:
    identity = central.id()
    for _, path in sites.values():
        path.mkdir(exist_ok=True)
    arche, arche_files = sites["ARCHE"]
    (arche_files / "protocole.txt").write_text("version commune", encoding="utf-8")
    arche.scan(shared_folder)
    arcade_files = sites["ARCADE"][1]
    until((arcade_files / "protocole.txt").exists, "the file's first version")
    for site, _ in sites.values():
        site.call("POST", "system/pause", device=identity)
    for name, (site, path) in sites.items():
        (path / "protocole.txt").write_text(f"changé à {name}", encoding="utf-8")
        site.scan(shared_folder)
        time.sleep(1.1)  # the later one wins: their times must differ
    for site, _ in sites.values():
        site.call("POST", "system/resume", device=identity)

    def both_are_there() -> bool:
        return all(
            {_read(found) for found in path.glob("protocole*.txt")}
            == {"changé à ARCHE".encode(), "changé à ARCADE".encode()}
            for _, path in sites.values()
        )

    until(both_are_there, "both versions at both sites")
    conflicts = [p.name for p in arche_files.glob("protocole.sync-conflict-*.txt")]
    assert conflicts, "one version has taken the place of the other"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
