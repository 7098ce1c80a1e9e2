"""The prober: sends to ports and says what became of it, from wherever it is started.

It is a program of its own, of nothing but Python's standard library, so that it runs in an instance that has
Python and nothing else: `medicarche.probe.vantage` hands its text over to a Python there. It reads and writes
lines of JSON::

    <- {"watch": true, "passes": 1, "settle": 0.5,
        "scans": [{"source": null, "target": "192.0.2.7", "tcp": [[1, 65535]], "udp": [53]}]}
    -> {"ready": true}                 # it watches from here on
    <- go
    -> {"scans": [...], "seconds": 1.2}
    <- (end of file)                   # when nobody sends any more
    -> {"watched": [["203.0.113.1", "tcp", 22], ...]}

TCP is probed by SYN segments (RFC 9293, section 3.5) that it writes itself: no connection of the machine is
used up, a silent port costs no waiting, and 65,535 ports take seconds. The system answers a SYN-ACK that
belongs to no connection by a reset, so that nothing is left half open. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

#: above Linux's own ports for outgoing connections (32768 to 60999): no other traffic comes from there
FIRST_SOURCE_PORT = 61_000
_BATCH = 64
_SYN, _SYN_ACK, _RST = 0x02, 0x12, 0x04
_UNREACHABLE = 3  # RFC 792: ICMP destination unreachable
_PORT_UNREACHABLE = 3
_SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>
_SO_RCVBUFFORCE = 33  # likewise
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # <linux/if_packet.h>
_ETH_P_IP = 0x0800
_RECEIVE_BUFFER = 32 << 20
_SHORTEST = 28  # the headers of IPv4 and UDP

#: a question that a server answers, where silence would say nothing: RFC 1035 (". NS"), RFC 5905 (client)
_QUESTIONS = {
    53: bytes.fromhex("4d4301000001000000000000") + b"\0" + struct.pack("!HH", 2, 1),
    123: b"\x23" + bytes(47),
}
_ANYTHING = b"medicarche-probe"


def main() -> None:
    """Read the job, do it, and say what was found."""
    job = json.loads(sys.stdin.readline())
    watch = _Watch() if job.get("watch") else None
    _say({"ready": True})
    sys.stdin.readline()
    began = time.monotonic()
    found = scan(job["scans"], job.get("passes", 1), job.get("settle", 0.5))
    _say({"scans": found, "seconds": time.monotonic() - began})
    sys.stdin.read()
    _say({"watched": watch.stop() if watch else []})


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def scan(scans: list[dict[str, Any]], passes: int, settle: float) -> list[dict[str, Any]]:
    """Probe all ports of all scans; one answer for each scan, in their order.

    A port that isn't among an answer's states stayed silent. A number of passes above one asks silent ports
    again: for networks that lose packets.
    """
    probes = [_Probe(number, one) for number, one in enumerate(scans)]
    with _Receiver(probes) as receiver:
        for _ in range(passes):
            for probe in probes:
                probe.send(receiver)
            receiver.drain(settle)
        lost = receiver.lost()
    return [probe.answer(lost) for probe in probes]


class _Probe:
    """One target, from one source address."""

    def __init__(self, number: int, job: dict[str, Any]) -> None:
        self.target = job["target"]
        self.source_port = FIRST_SOURCE_PORT + number
        self.tcp = [p for first, last in job.get("tcp", ()) for p in range(first, last + 1)]
        self.udp = list(job.get("udp", ()))
        self.states: dict[str, dict[int, str]] = {"tcp": {}, "udp": {}}
        self.sent = 0
        self.error: str | None = None
        self.cookie = int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF
        try:
            self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.datagrams.bind((job.get("source") or "", self.source_port))
            self.datagrams.settimeout(0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
                route.bind((job.get("source") or "", 0))
                route.connect((self.target, 9))
                self.source = route.getsockname()[0]
        except OSError as error:
            self.error = _name(error)

    def send(self, receiver: _Receiver) -> None:
        """Send to all ports that haven't answered yet."""
        if self.error is not None:
            return
        known = self.states["tcp"]
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.bind((self.source, 0))
            make = self._segments()
            where = (self.target, 0)
            for number, port in enumerate(self.tcp):
                if port not in known:
                    self._send(raw, make(port), where)
                if number % _BATCH == 0:
                    receiver.drain(0)
        for port in self.udp:
            if port not in self.states["udp"]:
                self._send(self.datagrams, _QUESTIONS.get(port, _ANYTHING), (self.target, port))
                receiver.drain(0.002)  # ICMP's errors are few in a second (icmp(7), icmp_ratelimit)

    def _send(self, sender: socket.socket, data: bytes, where: tuple[str, int]) -> None:
        while True:
            try:
                sender.sendto(data, where)
            except OSError as error:
                if error.errno in (errno.ENOBUFS, errno.EAGAIN):  # its queue is full: wait for room
                    time.sleep(0.001)
                    continue
                if error.errno == errno.EPERM:  # this machine's own packet filter dropped it: silence
                    break
                if error.errno == errno.ECONNREFUSED:  # an earlier datagram's: this one wasn't sent
                    continue
                self.error = _name(error)
            break
        self.sent += 1

    def _segments(self) -> Callable[[int], bytes]:
        """Return a function port -> IPv4 packet with a SYN for it. The kernel fills in the IP checksum."""
        source, target = socket.inet_aton(self.source), socket.inet_aton(self.target)
        size = 24
        ip = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + size, 0, 0x4000, 64, socket.IPPROTO_TCP, 0, source, target
        )
        start = ip + struct.pack("!H", self.source_port)
        # a maximum segment size, as every system sends it: some filters drop a bare SYN
        middle = struct.pack("!IIBBH", self.cookie, 0, (size // 4) << 4, _SYN, 1024)
        end = struct.pack("!HBBH", 0, 2, 4, 1460)
        pseudo = source + target + struct.pack("!HH", socket.IPPROTO_TCP, size)
        whole = pseudo + struct.pack("!HH", self.source_port, 0) + middle + b"\0\0" + end
        base = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
        pack = struct.Struct("!H").pack

        def make(port: int) -> bytes:
            total = base + port
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            return start + pack(port) + middle + pack(~total & 0xFFFF) + end

        return make

    def note(self, protocol: str, port: int, state: str) -> None:
        """Take an answer down; the first one counts."""
        self.states[protocol].setdefault(port, state)

    def answer(self, lost: int) -> dict[str, Any]:
        """Return what is told of this target."""
        by_state: dict[str, dict[str, list[int]]] = {}
        for protocol, states in self.states.items():
            for port, state in states.items():
                by_state.setdefault(protocol, {}).setdefault(state, []).append(port)
        ranges = {p: {s: _ranges(ports) for s, ports in states.items()} for p, states in by_state.items()}
        return {"states": ranges, "sent": self.sent, "lost": lost, "error": self.error}


class _Receiver:
    """All that comes back: TCP segments and ICMP errors over raw sockets, datagrams over the probes' own."""

    def __init__(self, probes: list[_Probe]) -> None:
        self._probes = {probe.source_port: probe for probe in probes}
        last = FIRST_SOURCE_PORT + max(1, len(probes)) - 1
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self._icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        _only_ports(self._tcp, FIRST_SOURCE_PORT, last)
        for raw in (self._tcp, self._icmp):
            raw.settimeout(0)
            try:
                raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
            except OSError:  # needs CAP_NET_ADMIN
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._readers: dict[socket.socket, Callable[[socket.socket], None]] = {
            self._tcp: self._read_tcp,
            self._icmp: self._read_icmp,
        }
        for probe in probes:
            if probe.error is None:
                self._readers[probe.datagrams] = self._reader_of(probe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        for one in self._readers:
            one.close()

    def lost(self) -> int:
        """Return how many packets didn't fit into the raw sockets' queues (/proc/net/raw, last column)."""
        inodes = {str(os.fstat(raw.fileno()).st_ino) for raw in (self._tcp, self._icmp)}
        table = [line.split() for line in Path("/proc/net/raw").read_text(encoding="ascii").splitlines()]
        return sum(int(fields[-1]) for fields in table[1:] if fields[9] in inodes)

    def drain(self, patience: float) -> None:
        """Read all that is there; go on until nothing came for ``patience`` seconds."""
        last = time.monotonic() + patience
        while True:
            ready = select.select(list(self._readers), (), (), max(0.0, last - time.monotonic()))[0]
            if not ready:
                return
            for one in ready:
                try:
                    self._readers[one](one)
                except BlockingIOError:
                    continue
                except OSError:
                    continue  # an ICMP error that belongs to a datagram: the raw socket tells it
            if patience:
                last = max(last, time.monotonic() + min(patience, 0.2))

    def _read_tcp(self, raw: socket.socket) -> None:
        while True:
            data = raw.recv(64)
            offset = (data[0] & 15) * 4
            port, mine, _, acknowledged, _, flags = struct.unpack_from("!HHIIBB", data, offset)
            probe = self._probes.get(mine)
            if probe is None or socket.inet_ntoa(data[12:16]) != probe.target:
                continue
            if acknowledged != (probe.cookie + 1) & 0xFFFFFFFF:
                continue
            if flags & _RST:
                probe.note("tcp", port, "refused")
            elif flags & _SYN_ACK == _SYN_ACK:
                probe.note("tcp", port, "open")

    def _read_icmp(self, raw: socket.socket) -> None:
        while True:
            data = raw.recv(256)
            offset = (data[0] & 15) * 4
            kind, code = data[offset], data[offset + 1]
            inner = offset + 8
            if kind != _UNREACHABLE or len(data) < inner + 28:
                continue
            start = inner + (data[inner] & 15) * 4
            mine, port = struct.unpack_from("!HH", data, start)
            probe = self._probes.get(mine)
            if probe is None or socket.inet_ntoa(data[inner + 16 : inner + 20]) != probe.target:
                continue
            protocol = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}.get(data[inner + 9])
            if protocol is not None:
                state = "refused" if protocol == "udp" and code == _PORT_UNREACHABLE else "unreachable"
                probe.note(protocol, port, state)

    @staticmethod
    def _reader_of(probe: _Probe) -> Callable[[socket.socket], None]:
        def read(datagrams: socket.socket) -> None:
            _, (address, port) = datagrams.recvfrom(2048)
            if address == probe.target:
                probe.note("udp", port, "open")

        return read


class _Watch:
    """What arrives of anybody's probes, below every packet filter of this machine's own (packet(7))."""

    def __init__(self) -> None:
        self._found: set[tuple[str, str, int]] = set()
        self._stop = threading.Event()
        # bound to IPv4 alone, such a socket is given incoming packets only
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def stop(self) -> list[tuple[str, str, int]]:
        """Watch no longer, and return source address, protocol and port of what arrived."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
        return sorted(self._found)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                data = self._socket.recv(64)
            except TimeoutError:
                continue
            protocol = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}.get(
                data[9] if len(data) >= _SHORTEST else 0
            )
            if protocol is None:
                continue
            offset = (data[0] & 15) * 4
            theirs, port = struct.unpack_from("!HH", data, offset)
            if theirs < FIRST_SOURCE_PORT or port >= FIRST_SOURCE_PORT:
                continue
            if protocol == "tcp" and data[offset + 13] != _SYN:
                continue
            self._found.add((socket.inet_ntoa(data[12:16]), protocol, port))


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


def _only_ports(raw: socket.socket, first: int, last: int) -> None:
    """Let the kernel hand over segments to these ports only (BPF, socket(7) SO_ATTACH_FILTER)."""
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0xB1, 0, 0, 0),  # x = length of the IP header
            (0x48, 0, 0, 2),  # a = destination port
            (0x35, 0, 2, first),  # below the first: no
            (0x25, 1, 0, last),  # above the last: no
            (0x06, 0, 0, 0xFFFF),
            (0x06, 0, 0, 0),
        )
    )
    buffer = ctypes.create_string_buffer(program)
    raw.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    )


def _ranges(ports: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for port in sorted(ports):
        if found and found[-1][1] == port - 1:
            found[-1][1] = port
        else:
            found.append([port, port])
    return found


if __name__ == "__main__":
    main()
