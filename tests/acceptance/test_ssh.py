"""CLOUD-8: the key pair, and who gets in over SSH."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from medicarche.probe import accepts_key, offered_methods
from medicarche.ssh import KnownHosts, ensure_key_pair
from medicarche.testing.machines import ssh_to, user_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openstack.connection import Connection
    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Environment
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.requirement("CLOUD-8")


@pytest.fixture(scope="module")
def key(provisioned: Built) -> Path:
    """The environment's private key."""
    return ensure_key_pair(provisioned.selection.folder, provisioned.selection.environment.key_pair).private


@pytest.fixture(scope="module")
def known_hosts(provisioned: Built) -> Path:
    """The pinned host keys."""
    return KnownHosts(provisioned.selection.folder).path


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key that nobody knows."""
    return ensure_key_pair(tmp_path_factory.mktemp("stranger"), "stranger").private


def test_the_private_key_is_its_owners_and_read_only(key: Path) -> None:
    found = key.stat()
    assert oct(found.st_mode & 0o7777) == oct(0o400), key.name
    assert found.st_uid == os.geteuid()
    assert oct(key.parent.stat().st_mode & 0o077) == oct(0)


def test_nova_has_its_public_half(provisioned: Built, member: Connection, environment: Environment) -> None:
    pair = ensure_key_pair(provisioned.selection.folder, environment.key_pair)
    keys = {
        k.public_key.split()[1]: k
        for k in (member.compute.get_keypair(k.name) for k in member.compute.keypairs())
    }
    blob = pair.public.split()[1]
    assert blob in keys
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")
    if keys[blob].fingerprint.startswith("SHA256:"):
        assert keys[blob].fingerprint == f"SHA256:{digest}"


@pytest.mark.parametrize("somebody", ["default user", "root", "nobody-knows-me"])
def test_no_password_is_taken(
    provisioned: Built, instance: InstanceState, known_hosts: Path, somebody: str
) -> None:
    user = user_of(provisioned.selection, instance.name) if somebody == "default user" else somebody
    methods = offered_methods(str(instance.floating_address), user, known_hosts=known_hosts)
    assert methods == {"publickey"}


def test_the_administrators_key_lets_in(
    provisioned: Built, instance: InstanceState, key: Path, known_hosts: Path
) -> None:
    user = user_of(provisioned.selection, instance.name)
    assert accepts_key(str(instance.floating_address), user, key=key, known_hosts=known_hosts)


def test_a_strangers_key_doesnt(
    provisioned: Built, instance: InstanceState, stranger: Path, known_hosts: Path
) -> None:
    user = user_of(provisioned.selection, instance.name)
    assert not accepts_key(str(instance.floating_address), user, key=stranger, known_hosts=known_hosts)


def test_root_isnt_let_in_by_any_key(instance: InstanceState, key: Path, known_hosts: Path) -> None:
    assert not accepts_key(str(instance.floating_address), "root", key=key, known_hosts=known_hosts)


def test_the_server_says_so_itself(machine: Host) -> None:
    settings = dict(
        line.split(maxsplit=1) for line in machine.check_output("sshd -T").splitlines() if " " in line
    )
    assert settings["passwordauthentication"] == "no"
    assert settings["kbdinteractiveauthentication"] == "no"
    assert settings["permitemptypasswords"] == "no"
    assert settings["permitrootlogin"] in {"no", "prohibit-password", "without-password"}


def test_only_the_administrators_accounts_have_a_shell_and_a_key(
    provisioned: Built, instance: InstanceState, machine: Host
) -> None:
    user = user_of(provisioned.selection, instance.name)
    with_keys = machine.check_output(
        "for h in $(getent passwd | cut -d: -f6 | sort -u); do"
        " [ ! -s $h/.ssh/authorized_keys ] || stat --format=%U $h/.ssh/authorized_keys; done"
    ).split()
    assert set(with_keys) <= {user, "root"}
    # cloud-init gives root the key with a forced command that only says whom to log in as
    if "root" in with_keys:
        for line in machine.file("/root/.ssh/authorized_keys").content_string.splitlines():
            assert line.startswith(("no-port-forwarding,", "#")), "root's key isn't restricted"


def test_another_host_key_is_refused(
    provisioned: Built, instance: InstanceState, known_hosts: Path, stranger: Path, tmp_path: Path
) -> None:
    """The program that users run must refuse a machine in the middle: its known host key is another one."""
    command = ssh_to(provisioned.selection, instance.name).command(instance, ["true"])
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    other = tmp_path / "known_hosts"
    shutil.copy(known_hosts, other)
    blob = ensure_key_pair(stranger.parent, "stranger").public.split()[1]
    lines = [line.rsplit(" ", 2) for line in other.read_text(encoding="utf-8").splitlines()]
    other.write_text(
        "".join(f"{addresses} ssh-ed25519 {blob}\n" for addresses, *_ in lines), encoding="utf-8"
    )
    forged = [word.replace(str(known_hosts), str(other)) for word in command]
    assert forged != command
    refused = subprocess.run(forged, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 255
    assert "host key" in refused.stderr.lower()


def test_the_command_runs_a_program_there(
    run_medicarche: Run, provisioned: Built, instances: tuple[InstanceState, ...]
) -> None:
    instance = instances[0]  # the others' SSH is tried above; the command is the same for all
    done = run_medicarche("ssh", instance.name, "--", "id", "--user", "--name")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == user_of(provisioned.selection, instance.name)
    assert run_medicarche("ssh", instance.name, "--", "exit", "23").returncode == 23
