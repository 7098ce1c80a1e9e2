"""The embedded cloud's network name space: entering it, leaving it, and never missing it.

The cloud's addresses exist only inside of one network name space. A thread that wants to talk to them enters
it (`enter`) before it opens a socket; a program is started in it (`inside_command`). Downloads go the other
way, through the network name space that the process came from (`outside`, `outside_command`).

A socket stays for ever in the name space that its thread was in when it was made (network_namespaces(7)).
`guard` therefore asks the socket, not the thread, and refuses before anything is sent.
"""

from __future__ import annotations

import _socket  # the C class: gevent replaces the public names
import ctypes
import fcntl
import ipaddress
import os
import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.errors import CloudUnreachable, MachineError, OutsideNamespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


__all__ = [
    "enter",
    "guard",
    "inside",
    "inside_command",
    "inside_socket",
    "outside",
    "outside_command",
]

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_SIOCGSKNS = 0x894C  # <linux/sockios.h>: a descriptor of the socket's network name space
_OWN = Path("/proc/thread-self/ns/net")
_AUDITED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})

_libc = ctypes.CDLL(None, use_errno=True)


class _State:
    """What this process knows of name spaces. One per process: that is what name spaces belong to."""

    original: int | None = None
    guarded: list[tuple[ipaddress.IPv4Network, Path]]
    hooked = False

    def __init__(self) -> None:
        self.guarded = []


_state = _State()


def inside(netns: Path) -> bool:
    """Say whether the calling thread is in the network name space ``netns`` (a path as of ip-netns(8))."""
    return _same(_OWN.stat(), netns)


def enter(netns: Path) -> None:
    """Enter ``netns``: the calling thread, and all threads and programs that it starts from now on.

    Call it on the main thread before others are started: those that run already stay where they are (and
    `guard` stops what they would send). Calling it again does nothing. The name space that the process came
    from stays open for `outside`.

    Raises:
        CloudUnreachable: there is no such name space: the embedded cloud isn't up.
        MachineError: we aren't allowed to enter it.
    """
    if _state.original is None:
        _state.original = _find_original(netns)
    if not inside(netns):
        target = _open(netns)
        try:
            _setns(target)
        finally:
            os.close(target)


@contextmanager
def outside() -> Iterator[None]:
    """Run a block in the network name space that the process came from, where it has entered another.

    Only the calling thread moves, and sockets that were made in the block stay outside after it.
    """
    if _state.original is None:
        yield
        return
    current = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(_state.original)
        try:
            yield
        finally:
            _setns(current)
    finally:
        os.close(current)


def inside_command(netns: Path, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs ``argv`` in ``netns``."""
    return list(argv) if inside(netns) else ["nsenter", f"--net={netns}", "--", *argv]


def outside_command(argv: Sequence[str]) -> list[str]:
    """Return the command line that runs ``argv`` in the network name space that the process came from.

    It is valid as long as this process lives.
    """
    if _state.original is None or os.path.samestat(os.fstat(_state.original), _OWN.stat()):
        return list(argv)
    return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{_state.original}", "--", *argv]


def inside_socket(netns: Path, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Make a socket that belongs to ``netns``; the calling thread stays in its own name space.

    Raises:
        CloudUnreachable: there is no such name space.
        MachineError: we aren't allowed to enter it.
    """
    if inside(netns):
        return socket.socket(family, kind)
    back = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = _open(netns)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            return socket.socket(family, kind)
        finally:
            _setns(back)
    finally:
        os.close(back)


def guard(prefixes: Sequence[str], netns: Path) -> None:
    """Refuse, from now on, to send to ``prefixes`` over a Python socket that doesn't belong to ``netns``.

    It is an audit hook (PEP 578) on ``socket.connect``, ``socket.sendto`` and ``socket.sendmsg``, which
    CPython raises before the system call; paramiko, requests, asyncio and gevent all end there. Hooks can't
    be removed; more calls add more prefixes. Other programs aren't covered: start them by `inside_command`.

    Args:
        prefixes: IPv4 prefixes (``10.20.20.0/24``).
        netns: the name space that they exist in. Where it is gone, everything to them is refused.

    Raises:
        OutsideNamespace: from then on, by the operation on the socket.
    """
    for prefix in prefixes:
        entry = (ipaddress.IPv4Network(prefix), netns)
        if entry not in _state.guarded:
            _state.guarded.append(entry)
    if not _state.hooked:
        sys.addaudithook(_check)
        _state.hooked = True


def _check(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _AUDITED:
        return
    sock, address = arguments[0], arguments[1]
    if not isinstance(address, tuple) or not address or not isinstance(sock, _socket.socket):
        return  # unix, netlink and packet sockets; sendmsg on a connected socket
    for target in _addresses(sock, address[0]):
        for prefix, netns in _state.guarded:
            if target in prefix and not _same(_stat_of_socket(sock), netns):
                raise OutsideNamespace(
                    f"{target} belongs to the embedded cloud: refused to send to it from outside of its"
                    f" network name space ({netns})",
                    hint="run it inside: medicarche cloud enter -- COMMAND",
                )


def _addresses(sock: _socket.socket, host: object) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that the kernel would be given for ``host``."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return []
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    try:
        literal = ipaddress.ip_address(text)
    except ValueError:
        # a name, or a short form ("10.1", "0xa010101"): as the C library reads it
        try:
            found = socket.getaddrinfo(text or None, 0, sock.family, socket.SOCK_STREAM)
        except OSError:
            return []
        return [a for entry in found if (a := _ipv4(ipaddress.ip_address(str(entry[4][0]).split("%")[0])))]
    address = _ipv4(literal)
    return [address] if address else []


def _ipv4(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else address


def _stat_of_socket(sock: _socket.socket) -> os.stat_result:
    """Return the identity of the name space that a socket belongs to; of the thread where we may not ask."""
    try:
        descriptor = fcntl.ioctl(sock.fileno(), _SIOCGSKNS)
    except OSError:  # needs CAP_NET_ADMIN
        return _OWN.stat()
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _same(mine: os.stat_result, netns: Path) -> bool:
    try:
        theirs = netns.stat()
    except OSError:
        return False
    return (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)


def _find_original(netns: Path) -> int | None:
    """Open the name space to come back to: our own or, started inside already, our nearest ancestor's."""
    process = os.getpid()
    while process:
        try:
            found = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        if not _same(os.fstat(found), netns):
            return found
        os.close(found)
        process = int(status.rpartition(")")[2].split()[1])
    return None


def _open(netns: Path) -> int:
    try:
        return os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise CloudUnreachable(
            f"the embedded cloud isn't up: there is no network name space {netns}",
            hint="start it: medicarche cloud up",
        ) from error
    except PermissionError as error:
        raise _not_allowed(netns) from error


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        error = OSError(number, os.strerror(number), "setns")
        if isinstance(error, PermissionError):
            raise _not_allowed(descriptor) from error
        raise MachineError(
            f"can't enter the embedded cloud's network name space: {error.strerror}",
            hint="it may be half torn down: medicarche cloud down, then up",
        ) from error


def _not_allowed(what: object) -> MachineError:
    return MachineError(f"not allowed to enter the network name space {what}", hint="run it as root (sudo)")
