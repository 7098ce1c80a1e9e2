"""Testinfra's view of an instance, over our own connection: its host key pinned, our key only."""

from __future__ import annotations

import functools
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from testinfra.backend.paramiko import ParamikoBackend
from testinfra.host import Host

from medicarche.ssh import Ssh
from medicarche.ssh.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paramiko

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Application
    from medicarche.target import Selection

__all__ = ["endpoint", "machine", "ssh_to", "user_of"]

#: seconds without a byte after which a command counts as hanging; testinfra has no limit of its own
_SILENCE = 120.0


class _PinnedBackend(ParamikoBackend):  # type: ignore[misc] # testinfra ships no types
    """Testinfra's paramiko backend accepts unknown host keys; this one takes our own connection."""

    def __init__(self, ssh: Ssh, instance: InstanceState) -> None:
        super().__init__(f"{ssh.user}@{instance.name}", sudo=True)
        self._ssh = ssh
        self._instance = instance

    @functools.cached_property
    def client(self) -> paramiko.SSHClient:
        return self._ssh.connect(self._instance)

    def _exec_command(self, command: bytes) -> tuple[int, bytes, bytes]:
        transport = self.client.get_transport()
        if transport is None:  # closed under our hands: connect again
            del self.client
            transport = self.client.get_transport()
            assert transport is not None  # noqa: S101 - a fresh connection has one
        with transport.open_session(timeout=_SILENCE) as channel:
            channel.settimeout(_SILENCE)
            channel.exec_command(command)
            output, errors = b"".join(channel.makefile("rb")), b"".join(channel.makefile_stderr("rb"))
            return channel.recv_exit_status(), output, errors


def user_of(selection: Selection, name: str) -> str:
    """Return the default user of the image that an instance was made from."""
    image = selection.environment.instance(name).image
    return next(i.user for i in selection.environment.images if i.name == image)


def ssh_to(selection: Selection, name: str) -> Ssh:
    """Return our way into an instance: the environment's key and pinned host keys, the image's user."""
    return Ssh(selection.folder, user=user_of(selection, name), key_name=selection.environment.key_pair)


@contextmanager
def endpoint(
    selection: Selection, application: Application, instance: InstanceState
) -> Iterator[tuple[str, int]]:
    """Give an address and a port at which an application's port is reached.

    Its floating address where it is for people; where it is for other applications only, one here that leads
    into its instance, to its loopback address.
    """
    if application.traits.serves == "people":
        yield str(instance.floating_address), application.port
        return
    with (
        closing(ssh_to(selection, instance.name).connect(instance)) as client,
        tunnel(client, "127.0.0.1", application.port) as here,
    ):
        yield here


def machine(selection: Selection, instance: InstanceState) -> Host:
    """Return testinfra's host for an instance; commands run as root, through sudo."""
    backend = _PinnedBackend(ssh_to(selection, instance.name), instance)
    host = Host(backend)
    backend.set_host(host)
    return host
