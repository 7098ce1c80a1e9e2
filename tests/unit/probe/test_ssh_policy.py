"""What an SSH server lets in."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medicarche.errors import Unreachable
from medicarche.probe.ssh_policy import accepts_key, offered_methods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def write_key(path: Path) -> paramiko.PKey:
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    path.write_bytes(content)
    return paramiko.PKey.from_path(path)


class Server(paramiko.ServerInterface):
    """Lets ``debian`` in with one key, and ``root`` not at all."""

    def __init__(self, key: paramiko.PKey, methods: str) -> None:
        self._key = key
        self._methods = methods

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - the signature of paramiko
        """Say what the server offers."""
        return self._methods

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Let one user in."""
        good = username == "debian" and key == self._key
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    host_key = write_key(tmp_path / "host")
    user_key = write_key(tmp_path / "user")
    ending: list[Callable[[], None]] = []

    def begin(methods: str) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]

        def accept() -> None:
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # the test is over
            transport = paramiko.Transport(connection)
            ending.append(transport.close)
            transport.add_server_key(host_key)
            try:
                transport.start_server(server=Server(user_key, methods))
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()  # the client went away

        thread = threading.Thread(target=accept)
        thread.start()

        def end() -> None:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            thread.join(timeout=10)

        ending.append(end)
        pinned = f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n"
        (tmp_path / "known_hosts").write_text(pinned)
        return port

    yield begin
    for end in ending:
        end()


@pytest.mark.parametrize(
    ("methods", "expected"),
    [("publickey", {"publickey"}), ("publickey,password", {"publickey", "password"})],
)
def test_the_methods_that_are_offered(
    start: Callable[[str], int], tmp_path: Path, methods: str, expected: set[str]
) -> None:
    port = start(methods)
    assert offered_methods("127.0.0.1", "debian", known_hosts=tmp_path / "known_hosts", port=port) == expected


@pytest.mark.parametrize(
    ("user", "key", "expected"),
    [("debian", "user", True), ("root", "user", False), ("debian", "other", False)],
)
def test_who_gets_in(
    start: Callable[[str], int], tmp_path: Path, user: str, key: str, *, expected: bool
) -> None:
    write_key(tmp_path / "other")
    port = start("publickey")
    known_hosts = tmp_path / "known_hosts"
    assert accepts_key("127.0.0.1", user, key=tmp_path / key, known_hosts=known_hosts, port=port) is expected


def test_another_host_key_is_refused(start: Callable[[str], int], tmp_path: Path) -> None:
    port = start("publickey")
    other = write_key(tmp_path / "other")
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {other.get_name()} {other.get_base64()}\n")
    with pytest.raises(Unreachable, match="isn't the one pinned"):
        offered_methods("127.0.0.1", "debian", known_hosts=known_hosts, port=port)


def test_an_unknown_host_isnt_even_connected_to(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    with pytest.raises(Unreachable, match="isn't pinned"):
        offered_methods("127.0.0.1", "debian", known_hosts=tmp_path / "known_hosts", port=1)
