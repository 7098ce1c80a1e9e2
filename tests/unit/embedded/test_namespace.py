"""Audit hooks can't be removed, so each case of `guard` runs in a Python of its own.

Nothing here may reach a private address: where the guard is on trial, guarded prefixes are loopback ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from medicarche.embedded import namespace
from medicarche.errors import CloudUnreachable

OWN = Path("/proc/self/ns/net")

PROLOGUE = """
import asyncio, socket, sys, threading
from pathlib import Path
from medicarche.embedded.namespace import guard
from medicarche.errors import OutsideNamespace
elsewhere, own = Path(sys.argv[1]), Path("/proc/self/ns/net")

def refused(operation):
    try:
        operation()
    except OutsideNamespace as error:
        assert "medicarche cloud enter" in error.hint
        return True
    except OSError as error:
        print("reached the kernel:", error)
    return False
"""


def run(tmp_path: Path, body: str) -> None:
    """Run ``body`` in a new Python; ``elsewhere`` is a path that isn't its network name space."""
    fake = tmp_path / "netns"
    fake.touch()
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + textwrap.dedent(body), str(fake)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


OPERATIONS = """
    socket.socket().connect(('127.77.0.1', 9))
    socket.socket().connect_ex(('127.77.0.1', 9))
    socket.create_connection(('127.77.0.1', 9), timeout=1)
    socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.77.0.1', 9))
    socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('127.77.0.1', 9))
    socket.socket().connect(('127.77.1', 9))  # the C library reads it as 127.77.0.1
    socket.socket().connect(('0x7f4d0001', 9))
    socket.socket().connect((b'127.77.0.1', 9))
    socket.socket(socket.AF_INET6).connect(('::ffff:127.77.0.1', 9))
"""


def test_refuses_every_way_to_send(tmp_path: Path) -> None:
    run(
        tmp_path,
        f"""
        guard(['127.77.0.0/16'], elsewhere)
        operations = {OPERATIONS.strip().splitlines()!r}
        assert len(operations) == 9
        sent = [operation for operation in operations if not refused(lambda: eval(operation))]
        assert not sent, sent
        """,
    )


@pytest.mark.parametrize("library", ["asyncio", "requests", "paramiko", "gevent"])
def test_libraries_pass_through_the_guard(tmp_path: Path, library: str) -> None:
    if library == "gevent":
        pytest.importorskip("gevent")
    calls = {
        "asyncio": "asyncio.run(asyncio.open_connection('127.77.0.1', 9))",
        "requests": "__import__('requests').get('http://127.77.0.1:9/', timeout=1)",
        "paramiko": "paramiko.SSHClient().connect('127.77.0.1', 9, timeout=1)",
        "gevent": "__import__('gevent.socket').socket.create_connection(('127.77.0.1', 9), timeout=1)",
    }
    run(
        tmp_path,
        f"""
        import warnings
        if {library!r} == "paramiko":
            warnings.simplefilter("ignore")
            import paramiko
        if {library!r} == "gevent":
            import gevent.monkey
            gevent.monkey.patch_all()
        guard(['127.77.0.0/16'], elsewhere)
        assert refused(lambda: {calls[library]})
        """,
    )


def test_refuses_before_a_packet_is_sent(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        listening = socket.create_server(('127.77.0.1', 0))
        listening.settimeout(0.2)
        receiver = socket.socket(type=socket.SOCK_DGRAM)
        receiver.bind(('127.77.0.1', 0))
        receiver.settimeout(0.2)
        guard(['127.77.0.0/16'], elsewhere)
        assert refused(lambda: socket.create_connection(listening.getsockname()))
        sender = socket.socket(type=socket.SOCK_DGRAM)
        assert refused(lambda: sender.sendto(b'x', receiver.getsockname()))
        for wait in (listening.accept, lambda: receiver.recv(1)):
            try:
                wait()
            except TimeoutError:
                continue
            raise AssertionError('something arrived')
        """,
    )


def test_lets_through_inside_and_to_others(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        inside, other = socket.create_server(('127.77.0.1', 0)), socket.create_server(('127.0.0.1', 0))
        guard(['127.77.0.0/16'], own)
        guard(['127.78.0.0/16'], elsewhere)
        socket.create_connection(inside.getsockname())
        socket.create_connection(other.getsockname())
        assert refused(lambda: socket.create_connection(('127.78.0.1', 9)))
        """,
    )


def test_refuses_private_addresses_in_threads_and_where_the_namespace_is_gone(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        # first guarded by a hook of our own, so that a broken guard can't reach a private address either
        def last_resort(event, arguments):
            if event == 'socket.connect' and arguments[1][0].startswith('10.'):
                print('the guard let it through')
                raise OSError
        guard(['10.20.20.0/24'], elsewhere)
        sys.addaudithook(last_resort)
        elsewhere.unlink()
        seen = []
        def attempt():
            seen.append(refused(lambda: socket.socket().connect(('10.20.20.224', 22))))
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        assert seen == [True]
        """,
    )


def test_unix_sockets_and_names_are_left_alone(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        guard(['127.77.0.0/16'], elsewhere)
        path = str(elsewhere) + '.sock'
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        socket.socket(socket.AF_UNIX).connect(path)
        other = socket.create_server(('127.0.0.1', 0))
        socket.socket().connect(('localhost', other.getsockname()[1]))
        """,
    )


def test_inside_is_true_for_our_own_namespace_only(tmp_path: Path) -> None:
    assert namespace.inside(OWN)
    assert not namespace.inside(tmp_path)
    assert not namespace.inside(tmp_path / "missing")


def test_entering_our_own_namespace_does_nothing() -> None:
    before = OWN.readlink()
    namespace.enter(OWN)
    namespace.enter(OWN)
    assert OWN.readlink() == before


def test_entering_a_missing_namespace_says_how_to_start_the_cloud(tmp_path: Path) -> None:
    with pytest.raises(CloudUnreachable) as raised:
        namespace.enter(tmp_path / "missing")
    assert "cloud up" in str(raised.value.hint)
    with pytest.raises(CloudUnreachable):
        namespace.inside_socket(tmp_path / "missing")


def test_commands_are_wrapped_only_where_needed(tmp_path: Path) -> None:
    assert namespace.inside_command(OWN, ["true", "a b"]) == ["true", "a b"]
    wrapped = namespace.inside_command(tmp_path / "n", ["true", "a b"])
    assert wrapped == ["nsenter", f"--net={tmp_path / 'n'}", "--", "true", "a b"]
    assert namespace.outside_command(["true"]) == ["true"]


def test_no_descriptor_leaks(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import os
        listening = socket.create_server(('127.77.0.1', 0))
        guard(['127.77.0.0/16'], elsewhere)
        sock = socket.socket()
        before = len(os.listdir('/proc/self/fd'))
        for _ in range(50):
            assert refused(lambda: sock.connect(listening.getsockname()))
        assert len(os.listdir('/proc/self/fd')) == before
        """,
    )


def test_the_original_namespace_is_kept_by_a_private_descriptor() -> None:
    namespace.enter(OWN)
    original = namespace._state.original
    if original is not None:
        assert not os.get_inheritable(original)
