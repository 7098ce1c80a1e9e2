"""The states of TCP ports."""

from __future__ import annotations

import errno
import socket

import pytest

from medicarche.probe import tcp
from medicarche.probe.tcp import Endpoint, PortState, scan


def test_open_and_refused_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, and nobody listens
        open_port, refused_port = listening.getsockname()[1], bound.getsockname()[1]
        states = scan([("127.0.0.1", open_port), ("127.0.0.1", refused_port)])
    assert states == {
        Endpoint("127.0.0.1", open_port): PortState.OPEN,
        Endpoint("127.0.0.1", refused_port): PortState.REFUSED,
    }


def test_a_silent_port_counts_as_filtered() -> None:
    # a listener whose queue is full drops further SYNs, as a packet filter does (listen(2))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        endpoint = Endpoint("127.0.0.1", listening.getsockname()[1])
        with socket.create_connection(endpoint, timeout=5):
            assert scan([endpoint], timeout=0.2) == {endpoint: PortState.FILTERED}


def test_no_route_says_nothing_of_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(tcp, "open_connection", unreachable)
    assert scan([("192.0.2.1", 80)]) == {Endpoint("192.0.2.1", 80): PortState.UNREACHABLE}


def test_an_error_of_this_machine_isnt_a_state_of_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_descriptor(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(tcp, "open_connection", no_descriptor)
    with pytest.raises(OSError, match="Too many open files"):
        scan([("192.0.2.1", 80)])


def test_names_arent_resolved() -> None:
    with pytest.raises(ValueError, match="localhost"):
        scan([("localhost", 80)])


def test_many_ports_are_tried_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        near = [Endpoint("127.0.0.1", p) for p in range(port - 150, port + 150) if 0 < p < 65536]
        states = scan(near, concurrency=20)
    assert set(states) == set(near)
    assert states[Endpoint("127.0.0.1", port)] is PortState.OPEN
