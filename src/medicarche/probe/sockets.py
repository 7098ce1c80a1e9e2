"""Which sockets really listen in an instance, compared with those declared, both ways.

Testinfra's ``socket().is_listening`` is wrong for addresses (with only ``::`` listening ``tcp://127.0.0.1:80``
counts as listening, and with ``0.0.0.0`` listening it doesn't), so the list of ``ss`` is read here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from medicarche.spec.environment import Listener

__all__ = [
    "ACCOUNTS_COMMAND",
    "SS_COMMAND",
    "Difference",
    "Listening",
    "account_names",
    "compare",
    "parse_ss",
]

#: as root, so that the processes are shown: no header, listening, TCP and UDP, numeric, process, user id
SS_COMMAND = "ss --no-header --listening --tcp --udp --numeric --processes --extended"
#: all accounts of the machine, whoever keeps them (getent(1)); for `account_names`
ACCOUNTS_COMMAND = "getent passwd"

#: all addresses of the machine, as ``ss`` writes them: ``*`` is an IPv6 socket that takes IPv4 too
_ALL = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared with, not bound to

_FIELDS = 6


@dataclass(frozen=True, slots=True, order=True)
class Listening:
    """A socket that listens.

    Attributes:
        protocol: ``tcp`` or ``udp``.
        address: IP address without brackets and interface; ``*`` for all of IPv6 and IPv4.
        port: port number.
        process: command name of the (first) process that holds it; empty where ``ss`` may not see it.
        user: account that opened it; its number where that has no name. A program that opens its port as root
            and gives its rights up afterwards (sshd, nginx, Apache) leaves it root's.
    """

    protocol: str
    address: str
    port: int
    process: str = ""
    user: str = "root"

    @property
    def loopback(self) -> bool:
        """Nobody outside of the machine can reach it."""
        return self.address not in _ALL and ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        process = self.process or "unknown process"
        return f"{self.protocol} {self.address}:{self.port} ({process}, {self.user})"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where declaration and sockets disagree.

    Attributes:
        what: ``undeclared``, ``missing``, ``wrong process`` or ``wrong account``.
        detail: which socket, and what was declared.
    """

    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}"


def account_names(output: str) -> dict[int, str]:
    """Read the output of `ACCOUNTS_COMMAND` (passwd(5)): number of an account → its name.

    Raises:
        ValueError: a line isn't of that form.
    """
    names: dict[int, str] = {}
    for line in output.splitlines():
        name, _, number, *_ = line.split(":")
        names.setdefault(int(number), name)
    return names


def parse_ss(
    output: str, accounts: Mapping[int, str] = MappingProxyType({0: "root"})
) -> tuple[Listening, ...]:
    """Read the output of `SS_COMMAND` (ss(8) of iproute2).

    Args:
        output: of the command.
        accounts: the machine's, by their numbers (`account_names`).

    Raises:
        ValueError: a line isn't of that form; it is in the message.
    """
    found = set()
    for line in output.splitlines():
        if not line.strip():
            continue
        fields = line.split(maxsplit=_FIELDS)
        if len(fields) < _FIELDS or fields[0] not in {"tcp", "udp"}:
            raise ValueError(f"not a line of ss: {line!r}")
        address, _, port = fields[4].rpartition(":")
        rest = fields[_FIELDS] if len(fields) > _FIELDS else ""
        process = re.search(r'users:\(\("([^"]*)"', rest)
        # ss leaves root's number out
        owner = re.search(r"\buid:(\d+)", rest)
        number = int(owner.group(1)) if owner else 0
        if not port.isdecimal():
            raise ValueError(f"not a line of ss: {line!r}")
        found.add(
            Listening(
                protocol=fields[0],
                address=address.partition("%")[0].strip("[]"),
                port=int(port),
                process=process.group(1) if process else "",
                user=accounts.get(number, str(number)),
            )
        )
    return tuple(sorted(found))


def compare(declared: Iterable[Listener], found: Sequence[Listening]) -> tuple[Difference, ...]:
    """Compare both ways: what listens and wasn't declared, what was declared and doesn't listen.

    A declared ``0.0.0.0`` or ``::`` stands for all addresses of the machine, in either family; any other
    address stands for itself alone. A declared process is compared where ``ss`` shows one; the account that
    opened the socket always.
    """
    wanted = list(declared)
    differences = []
    matched: set[int] = set()
    for socket in found:
        fitting = [i for i, listener in enumerate(wanted) if _fits(listener, socket)]
        if not fitting:
            differences.append(Difference("undeclared", str(socket)))
        elif socket.process and not any(_same_process(wanted[i].process, socket.process) for i in fitting):
            differences.append(
                Difference("wrong process", f"{socket}; declared {wanted[fitting[0]].process}")
            )
        elif not any(wanted[i].user == socket.user for i in fitting):
            differences.append(Difference("wrong account", f"{socket}; declared {wanted[fitting[0]].user}"))
        matched.update(fitting)
    differences.extend(
        Difference("missing", f"{w.protocol} {w.address}:{w.port} ({w.process}): {w.why}")
        for i, w in enumerate(wanted)
        if i not in matched
    )
    return tuple(differences)


def _fits(listener: Listener, socket: Listening) -> bool:
    if (listener.protocol, listener.port) != (socket.protocol, socket.port):
        return False
    return listener.address == socket.address or (listener.address in _ALL and socket.address in _ALL)


def _same_process(declared: str, seen: str) -> bool:
    # the kernel keeps 15 characters of a command's name (TASK_COMM_LEN of linux/sched.h)
    return not declared or declared[:15] == seen
