"""CLOUD-9: the admin's password is in no file that an instance or a member can read."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.embedded.cloud import EmbeddedCloud
    from medicarche.target import Selection

pytestmark = pytest.mark.requirement("CLOUD-9")

#: nobody's user and group on Debian, for looking at a machine as somebody who has no rights there
_AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
#: reads all that the metadata service offers by following its own indexes; for Python, as there is no curl
_CRAWL = """
import json, sys, urllib.request
waiting = ["/openstack/latest/", "/latest/meta-data/", "/openstack/latest/user_data", "/latest/user-data"]
seen = {}
while waiting:
    path = waiting.pop()
    if path not in seen:
        try:
            with urllib.request.urlopen(sys.argv[1] + path, timeout=20) as answer:
                seen[path] = answer.read().decode()
        except urllib.error.HTTPError:
            continue
        if path.endswith("/"):
            waiting += [path + line.partition("=")[0] for line in seen[path].split()]
json.dump(seen, sys.stdout)
"""
#: disks and images are others' business, and large
_SEARCH = (
    *("grep", "--recursive", "--files-with-matches", "--no-messages", "--fixed-strings", "--file=-"),
    *("--devices=skip", "--exclude-dir=instances", "--exclude-dir=images", "--binary-files=without-match"),
)
_METADATA = "http://169.254.169.254"


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
    # deleted files too: the disk is searched where it stands; nothing secret is sent to the instance
    disk = embedded.folder / "data" / "var/lib/nova/instances" / instance.id / "disk"
    read, found = _search(disk, admins_password.encode())
    assert read > 100 << 20  # the operating system alone is more
    assert found == 0


def _search(path: Path, wanted: bytes, size: int = 8 << 20) -> tuple[int, int]:
    """Return how many bytes a file holds, its holes left out, and how many of its parts hold some bytes."""
    read = found = offset = 0
    with path.open("rb", buffering=0) as disk:
        while True:
            try:
                offset = os.lseek(disk.fileno(), offset, os.SEEK_DATA)
            except OSError:  # ENXIO: there is nothing but a hole any more
                return read, found
            end = os.lseek(disk.fileno(), offset, os.SEEK_HOLE)
            while offset < end:
                # what lies across two parts is in both
                part = os.pread(disk.fileno(), min(size, end - offset) + len(wanted), offset)
                found += wanted in part
                read += min(size, end - offset)
                offset += size
            offset = end


def test_an_instance_is_told_nothing_of_it(machine: Host, secrets: frozenset[str]) -> None:
    told = json.loads(machine.check_output("python3 -c %s %s", _CRAWL, _METADATA))
    assert "/openstack/latest/meta_data.json" in told
    assert len(told) > 5
    assert {path: _holds(text, secrets) for path, text in told.items() if _holds(text, secrets)} == {}


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
    assert _grep(embedded.command([*_AS_NOBODY, *_SEARCH, *folders]), secrets) == []
    # nor on a command line, which everybody on a machine may see
    lines = ("sh", "-c", "exec grep --text --files-with-matches --no-messages -F -f - /proc/[0-9]*/cmdline")
    assert _grep(embedded.command([*_AS_NOBODY, *lines]), secrets) == []


def test_nobody_without_rights_reads_it_on_this_machine(
    embedded: EmbeddedCloud, selection: Selection, secrets: frozenset[str]
) -> None:
    assert _grep([*_AS_NOBODY, *_SEARCH, str(selection.paths.home)], secrets) == []
    assert [str(p) for p in (embedded.clouds_yaml, selection.folder) if p.stat().st_mode & 0o077] == []


def test_the_search_finds_what_is_there(
    embedded: EmbeddedCloud, secrets: frozenset[str], admins_password: str
) -> None:
    """With the rights of root the same search does find it: it isn't blind."""
    assert _grep(embedded.command([*_SEARCH, "/etc"]), secrets) != []
    assert _grep([*_SEARCH, str(embedded.clouds_yaml)], [admins_password]) != []
    assert _search(embedded.clouds_yaml, admins_password.encode())[1] == 1
