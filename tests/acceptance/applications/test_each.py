"""CLOUD-7, and the requirement of each deployed application's kind: what holds for each that people open."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import paramiko
import pytest
import requests

from medicarche import converge
from medicarche.errors import MedicarcheError
from medicarche.probe import Client, Endpoint, PortState, inspect, scan, versions_offered
from medicarche.testing.machines import ssh_to

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.spec.environment import Application, Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.requirement("CLOUD-7"), pytest.mark.for_people]

#: seconds from the order to reboot until the application answers again (issue 4)
REBOOT_SECONDS = 90.0
#: kind → its database's unit, and its own
_ORDER = {
    "odoo": ("postgresql@*.service", "odoo.service"),
    "nextcloud": ("mariadb.service", "apache2.service"),
    "wordpress": ("mariadb.service", "apache2.service"),
}
#: of databases, Odoo, its websocket, Apache, Syncthing's pages and peers, nginx behind a shared port
_INNER = (5432, 3306, 8069, 8072, 8080, 8384, 22000, 8443, 443)


def test_the_certificate_is_its_own_and_verified(
    application: Application, instance: InstanceState, environment: Environment, authority: Path
) -> None:
    address = str(instance.floating_address)
    for name in (None, f"{instance.name}.{environment.domain}"):
        seen = inspect(address, application.port, authority=authority, name=name)
        assert seen.trusted, seen.distrust
        assert address in seen.names
    assert not inspect(address, application.port, authority=authority, name="www.example.org").trusted
    assert versions_offered(address, application.port) == {"TLSv1_2", "TLSv1_3"}


def test_port_80_leads_to_it_and_foreign_hosts_are_refused(
    outside: Client, url: str, instance: InstanceState, environment: Environment
) -> None:
    answer = outside.get(f"http://{instance.floating_address}/une/page?x=1")
    assert answer.status_code == 301
    # where there are several it leads to the first
    first = next(a for a in environment.for_people if a.instance == instance.name)
    there = f"https://{instance.floating_address}:{first.port}"
    assert answer.headers["location"] == f"{there}/une/page?x=1"
    assert outside.get(f"{url}/", headers={"Host": "www.example.org"}).status_code == 421


def test_what_is_behind_it_cant_be_reached_from_outside(
    application: Application, instance: InstanceState, instances: tuple[InstanceState, ...]
) -> None:
    endpoints = [Endpoint(str(instance.floating_address), p) for p in _INNER if p != application.port]
    assert set(scan(endpoints).values()) == {PortState.FILTERED}
    assert len({i.id for i in instances}) == len(instances)


def test_its_credentials_are_shown_on_request(
    application: Application, run_medicarche: Run, administrator: tuple[str, str]
) -> None:
    done = run_medicarche("credentials", application.name)
    assert done.returncode == 0, done.stderr
    password = administrator[1]
    assert password in done.stdout
    assert password not in done.stderr


def test_the_authoritys_certificate_is_exported(run_medicarche: Run, authority: Path, tmp_path: Path) -> None:
    done = run_medicarche("ca", "--output", str(tmp_path / "ca.pem"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ca.pem").read_bytes() == authority.read_bytes()
    assert "PRIVATE" not in run_medicarche("ca").stdout


def test_no_secret_is_in_a_process_line_or_the_deployments_log(
    provisioned: Built, machine: Host, credentials: Credentials
) -> None:
    lines = machine.check_output("ps -e -o args")
    log = (provisioned.selection.folder / "deploy.log").read_text(encoding="utf-8", errors="replace")
    assert "nginx: master process" in lines
    assert "deployment ends" in log
    assert not [1 for secret in credentials.values() if secret in lines or secret in log]


@pytest.fixture
def reboots(
    provisioned: Built, authority: Path, shared: Callable[..., dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Reboot the instances of all applications at once; application → seconds until it answers, error.

    Once for all tests, and by the first one of them: a fixture of the session's would come before that
    test's turn, and reboot the instances under another one that is alone.
    """
    return shared("reboots", lambda: _reboot_all(provisioned, authority))


@pytest.mark.alone
def test_it_serves_again_soon_after_a_reboot(
    provisioned: Built,
    application: Application,
    instance: InstanceState,
    reboots: dict[str, dict[str, Any]],
    record_property: Callable[[str, object], None],
) -> None:
    came_back = reboots[application.name]
    record_property("seconds", came_back["seconds"])
    assert came_back["error"] is None
    assert came_back["seconds"] < REBOOT_SECONDS
    first, then = _ORDER.get(application.kind, ("", ""))
    if first:
        # who connects to a database that isn't there fails, or waits for a retry
        began, followed = (_started(provisioned, instance, unit) for unit in (first, then))
        assert began <= followed, f"{then} started before {first}"


def _started(built: Built, instance: InstanceState, unit: str) -> int:
    """Return when a unit's start was done, in microseconds since the boot."""
    question = ["systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", unit]
    _, shown, _ = ssh_to(built.selection, instance.name).run(instance, question)
    (when,) = shown.split()
    assert int(when) > 0, f"{unit} didn't start"
    return int(when)


def _reboot_all(provisioned: Built, authority: Path) -> dict[str, dict[str, Any]]:
    # as they are now: other tests take and give addresses
    found = converge.instances(provisioned.connections, provisioned.selection.environment.name)
    by_name = {i.name: i for i in found}
    deployed = provisioned.selection.environment.for_people
    before = {name: _boot(provisioned, by_name[name]) for name in {a.instance for a in deployed}}
    began = time.monotonic()
    for name in before:
        provisioned.connections.member.sdk.compute.reboot_server(by_name[name].id, "SOFT")

    def wait(application: Application) -> dict[str, Any]:
        instance = by_name[application.instance]
        url = f"https://{instance.floating_address}:{application.port}/"
        error: str | None = "it doesn't answer"
        with Client(authority) as client:
            while error is not None and time.monotonic() - began < REBOOT_SECONDS:
                time.sleep(0.5)
                try:
                    # asked first: an answer that came before may be the old one's, just before it went down
                    again = _boot(provisioned, instance) != before[instance.name]
                    if again and client.get(url, timeout=5).status_code < 500:
                        error = None
                except (requests.RequestException, MedicarcheError, OSError, paramiko.SSHException):
                    pass
        return {"seconds": round(time.monotonic() - began, 1), "error": error}

    # a thread is in the network name space of the one that starts it
    with ThreadPoolExecutor(len(deployed)) as pool:
        return dict(zip((a.name for a in deployed), pool.map(wait, deployed), strict=True))


def _boot(provisioned: Built, instance: InstanceState) -> bytes:
    """Return when the instance's systemd started; over SSH, by the same host key as before."""
    with ssh_to(provisioned.selection, instance.name).connect(instance) as client:
        _, output, _ = client.exec_command(
            "systemctl show --property=UserspaceTimestampMonotonic --value", timeout=10
        )
        return output.read()
