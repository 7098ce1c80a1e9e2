"""CLOUD-9: the admin's password is in no file that an instance or a member can read."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.cloud import Connections
    from medicarche.converge import InstanceState
    from medicarche.embedded import EmbeddedCloud
    from medicarche.target import Selection

pytestmark = pytest.mark.requirement("CLOUD-9")

#: nobody's user and group on Debian, for looking at a machine as somebody who has no rights there
_AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
#: there is no curl in the image
_READ = "import sys,urllib.request as u;sys.stdout.write(u.urlopen(sys.argv[1],timeout=20).read().decode())"
_METADATA = "http://169.254.169.254"
#: what the metadata service offers; its own indexes name more, which is followed
_FIRST = ("/openstack/latest/", "/latest/meta-data/", "/openstack/latest/user_data", "/latest/user-data")


@pytest.fixture(scope="session")
def embedded(selection: Selection) -> EmbeddedCloud:
    """The embedded cloud."""
    if selection.embedded is None:
        pytest.skip("a configured cloud's nodes can't be looked into, nor is its admin's password known")
    return selection.embedded


@pytest.fixture(scope="session")
def admins_password(connections: Connections) -> str:
    """The password of the cloud's all-powerful user."""
    if connections.admin is None:
        pytest.skip("no admin's entry was given")
    password = connections.admin.sdk.config.config["auth"].get("password")
    if not password:
        pytest.skip("the admin's entry has no password")
    return str(password)


@pytest.fixture(scope="session")
def secrets(selection: Selection, admins_password: str) -> frozenset[str]:
    """What nobody of the project may know: the admin's password, and those of the cloud's own services."""
    known = selection.embedded.secret_values() if selection.embedded is not None else frozenset()
    return known | {admins_password}


def _holds(text: str, secrets: Iterable[str]) -> int:
    """Count the secrets in a text. They never show in a failure's message."""
    return sum(secret in text for secret in secrets)


def _grep(command: Sequence[str], secrets: Iterable[str], *, timeout: float = 300) -> list[str]:
    """Run grep(1), which reads the secrets from its standard input, and return the lines that it prints."""
    given = "".join(f"{secret}\n" for secret in secrets)
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=timeout, check=False, errors="replace"
    )
    # 1: found nothing; 2: some files couldn't be read, which is what is hoped for
    assert done.returncode in {0, 1, 2}, done.stderr[-500:]
    assert "No such file" not in done.stderr, done.stderr[-500:]
    return done.stdout.splitlines()


def test_it_is_on_no_instances_disk(
    instance: InstanceState, embedded: EmbeddedCloud, admins_password: str
) -> None:
    folder = f"/var/lib/nova/instances/{instance.id}"
    search = ("env", "LC_ALL=C", "grep", "--recursive", "--text", "--count", "--fixed-strings")
    # deleted files too: the disk is searched as it is, where it stands; nothing secret is sent to the instance
    counted = _grep(embedded.command([*search, "--file=-", folder]), [admins_password])
    assert any(line.endswith("/disk:0") for line in counted), counted
    assert [line for line in counted if not line.endswith(":0")] == []


def test_an_instance_is_told_nothing_of_it(machine: Host, secrets: frozenset[str]) -> None:
    waiting, seen = [*_FIRST], {}
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        done = machine.run("python3 -c %s %s", _READ, _METADATA + path)
        seen[path] = done.stdout if done.rc == 0 else ""
        if path.endswith("/") and done.rc == 0:
            waiting += [path + line.partition("=")[0].strip() for line in done.stdout.splitlines() if line]
    assert "/openstack/latest/meta_data.json" in seen
    assert len([text for text in seen.values() if text]) > 5
    assert {path: _holds(text, secrets) for path, text in seen.items() if _holds(text, secrets)} == {}


def test_a_member_is_told_nothing_of_it(connections: Connections, secrets: frozenset[str]) -> None:
    member = connections.member
    sdk = member.sdk
    kinds = ("networks", "subnets", "ports", "routers", "floatingips", "security-groups", "agents")
    told = {f"network {kind}": sdk.network.get(f"/{kind}").text for kind in kinds}
    told |= {
        f"compute {path}": sdk.compute.get(path, microversion="2.79").text
        for path in ("/servers/detail", "/os-keypairs", "/flavors/detail", "/limits", "/os-services")
    }
    for server in sdk.compute.servers(details=False):
        told[f"server {server.name}"] = sdk.compute.get(f"/servers/{server.id}", microversion="2.79").text
        output = sdk.compute.post(
            f"/servers/{server.id}/action", json={"os-getConsoleOutput": {}}, microversion="2.79"
        )
        told[f"console {server.name}"] = output.text
    told["images"] = sdk.image.get("/images").text
    for path in ("/auth/projects", "/auth/catalog", f"/users/{sdk.current_user_id}/application_credentials"):
        told[f"identity {path}"] = sdk.identity.get(path).text
    assert json.loads(told["compute /servers/detail"])["servers"]
    assert {where: _holds(text, secrets) for where, text in told.items() if _holds(text, secrets)} == {}


def test_nobody_without_rights_reads_it_on_the_node(embedded: EmbeddedCloud, secrets: frozenset[str]) -> None:
    folders = ("/etc", "/root", "/home", "/opt", "/srv", "/run", "/var")
    search = ("grep", "--recursive", "--files-with-matches", "--no-messages", "--fixed-strings", "--file=-")
    assert _grep(embedded.command([*_AS_NOBODY, *search, "--devices=skip", *folders]), secrets) == []
    # nor on a command line, which everybody on a machine may see
    lines = ("sh", "-c", "exec grep --text --files-with-matches --no-messages -F -f - /proc/[0-9]*/cmdline")
    assert _grep(embedded.command([*_AS_NOBODY, *lines]), secrets) == []


def test_nobody_without_rights_reads_it_on_this_machine(
    embedded: EmbeddedCloud, selection: Selection, secrets: frozenset[str]
) -> None:
    search = ("grep", "--recursive", "--files-with-matches", "--no-messages", "--fixed-strings", "--file=-")
    assert _readers(selection.paths.home, search, secrets) == []
    assert [str(p) for p in (embedded.clouds_yaml, selection.folder) if p.stat().st_mode & 0o077] == []


def _readers(folder: Path, search: Sequence[str], secrets: frozenset[str]) -> list[str]:
    assert folder.is_dir()
    return _grep([*_AS_NOBODY, *search, "--devices=skip", str(folder)], secrets)


def test_the_search_finds_what_is_there(
    embedded: EmbeddedCloud, secrets: frozenset[str], admins_password: str
) -> None:
    """With the rights of root the same search does find it: it isn't blind."""
    search = ("grep", "--recursive", "--files-with-matches", "--no-messages", "--fixed-strings", "--file=-")
    assert _grep(embedded.command([*search, "--devices=skip", "/etc"]), secrets) != []
    assert _grep([*search, str(embedded.clouds_yaml)], [admins_password]) != []
