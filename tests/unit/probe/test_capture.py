"""Reading packets' envelopes."""

from __future__ import annotations

import os
import socket

import pytest

from medicarche.probe.capture import Capture, Packet, parse

#: a TCP SYN of 192.168.222.17:40000 to 10.20.20.1:3142, header of 20 bytes
SYN = bytes.fromhex("4500003c1c4640004006 0000 c0a8de11 0a141401 9c40 0c46 00000000")


def test_a_tcp_packet() -> None:
    assert parse(SYN) == Packet("192.168.222.17", "10.20.20.1", 6, 40000, 3142)


def test_a_header_with_options() -> None:
    longer = bytes([0x46]) + SYN[1:20] + bytes(4) + SYN[20:]
    assert parse(longer) == parse(SYN)


def test_a_later_fragment_has_no_ports() -> None:
    fragment = SYN[:6] + bytes.fromhex("0001") + SYN[8:]
    assert parse(fragment) == Packet("192.168.222.17", "10.20.20.1", 6, 0, 0)


def test_icmp_has_no_ports() -> None:
    assert parse(SYN[:9] + bytes([1]) + SYN[10:]) == Packet("192.168.222.17", "10.20.20.1", 1, 0, 0)


@pytest.mark.parametrize("data", [b"", SYN[:19], bytes([0x60]) + SYN[1:]], ids=["empty", "short", "IPv6"])
def test_what_is_no_ipv4_packet(data: bytes) -> None:
    assert parse(data) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket needs root")
def test_a_real_packet_is_seen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        with (
            Capture(lambda packet: packet.destination_port == port) as capture,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            assert capture.packets == ()
            sender.sendto(b"x", ("127.0.0.1", port))
            (packet,) = capture.wait(5)
    assert (packet.source, packet.destination, packet.protocol) == (
        "127.0.0.1",
        "127.0.0.1",
        socket.IPPROTO_UDP,
    )
