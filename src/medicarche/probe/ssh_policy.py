"""What an SSH server lets in: the methods that it offers, and whether a key opens an account."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko

from medicarche.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["accepts_key", "offered_methods"]


def offered_methods(
    address: str, user: str, *, known_hosts: Path, port: int = 22, timeout: float = 20
) -> frozenset[str]:
    """Ask the server which authentication methods it offers to a user (RFC 4252, section 5.2: ``none``).

    Args:
        address: the server's address; its key must be in ``known_hosts``.
        user: the account.
        known_hosts: file of the pinned host keys.
        port: TCP port.
        timeout: seconds for each step.

    Returns:
        Names such as ``publickey``, ``password``, ``keyboard-interactive``. Holds ``none`` where the server
        lets the user in without any proof.

    Raises:
        Unreachable: no SSH server answers there, or its host key isn't the pinned one.
    """
    with _transport(address, port, known_hosts, timeout) as transport:
        try:
            transport.auth_none(user)
        except paramiko.BadAuthenticationType as refusal:
            return frozenset(refusal.allowed_types)
        except paramiko.AuthenticationException:
            return frozenset()
        return frozenset({"none"})


def accepts_key(
    address: str, user: str, *, key: Path, known_hosts: Path, port: int = 22, timeout: float = 20
) -> bool:
    """Try to log in with a private key, and say whether the server let the user in.

    Raises:
        Unreachable: no SSH server answers there, or its host key isn't the pinned one.
    """
    private = paramiko.PKey.from_path(key)
    with _transport(address, port, known_hosts, timeout) as transport:
        try:
            transport.auth_publickey(user, private)
        except paramiko.AuthenticationException:
            return False
        return transport.is_authenticated()


@contextmanager
def _transport(address: str, port: int, known_hosts: Path, timeout: float) -> Iterator[paramiko.Transport]:
    keys = paramiko.HostKeys(str(known_hosts))
    name = address if port == paramiko.config.SSH_PORT else f"[{address}]:{port}"
    pinned = keys.lookup(name)
    if pinned is None:
        raise Unreachable(f"{name}: its host key isn't pinned in {known_hosts}")
    try:
        connection = socket.create_connection((address, port), timeout=timeout)
    except OSError as error:
        raise Unreachable(f"{name}: no SSH server answers: {error}") from error
    with connection, paramiko.Transport(connection) as transport:
        transport.banner_timeout = transport.auth_timeout = timeout
        # the server shows one key only: ask for a kind that is pinned
        options = transport.get_security_options()
        options.key_types = tuple(t for t in options.key_types if _pinned_kind(t) in pinned.keys())  # noqa: SIM118 - not a plain dictionary
        try:
            transport.start_client(timeout=timeout)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{name}: the SSH handshake failed: {error}") from error
        if not keys.check(name, transport.get_remote_server_key()):
            raise Unreachable(f"{name}: its host key isn't the one pinned in {known_hosts}")
        yield transport


def _pinned_kind(algorithm: str) -> str:
    # RSA keys are written ssh-rsa whatever the signature's hash (RFC 8332, section 3)
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm
