"""Which IPv4 packets really pass, seen below every rule and guard of ours: a packet socket (packet(7)).

It shows from which address a connection leaves (NAT), and that nothing is sent where nothing may be.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Capture", "Packet", "parse"]

_ETH_P_ALL = 0x0003  # <linux/if_ether.h>: outgoing packets too
_ETH_P_IP = 0x0800
_HEADER = 20
_TCP, _UDP = 6, 17
_FRAGMENT = 0x1FFF


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 packet's envelope. Ports are 0 where the protocol has none."""

    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int


def parse(data: bytes) -> Packet | None:
    """Read an IPv4 header (RFC 791), and the ports of TCP and UDP behind it; None where it is no IPv4."""
    if len(data) < _HEADER or data[0] >> 4 != 4:  # noqa: PLR2004 - the version that the header states
        return None
    length = (data[0] & 0x0F) * 4
    (fragment,) = struct.unpack_from("!H", data, 6)
    protocol = data[9]
    ports = (0, 0)
    if protocol in {_TCP, _UDP} and not fragment & _FRAGMENT and len(data) >= length + 4:
        ports = struct.unpack_from("!HH", data, length)
    source, destination = (str(ipaddress.IPv4Address(data[i : i + 4])) for i in (12, 16))
    return Packet(source, destination, protocol, *ports)


class Capture:
    """Watches all interfaces of the calling thread's network name space while it is open.

    A context manager; needs root. It only looks: nothing is sent, no interface's mode is changed.

    Args:
        wanted: which packets are kept; each packet once, in order of their first appearance.
    """

    def __init__(self, wanted: Callable[[Packet], bool]) -> None:
        self._wanted = wanted
        self._found: dict[Packet, None] = {}
        self._arrived = threading.Condition()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._listen, name="capture")
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    @property
    def packets(self) -> tuple[Packet, ...]:
        """What was kept so far; all of it once the context is left."""
        with self._arrived:
            return tuple(self._found)

    def wait(self, timeout: float) -> tuple[Packet, ...]:
        """Wait until something was kept, at most ``timeout`` seconds, and return what was."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._found, timeout)
            return tuple(self._found)

    def _listen(self) -> None:
        # packets wait in the socket's queue: at the end read on until there is silence, 2 s at most
        last = float("inf")
        while time.monotonic() < last:
            if self._stop.is_set():
                last = min(last, time.monotonic() + 2)
            try:
                data, (_, kind, *_) = self._socket.recvfrom(128)
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            packet = parse(data) if kind == _ETH_P_IP else None
            if packet is not None and self._wanted(packet):
                with self._arrived:
                    self._found[packet] = None
                    self._arrived.notify_all()
