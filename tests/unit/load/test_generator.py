"""The generator against a real server: what is right is counted as right, what is wrong as wrong."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from medicarche.errors import MedicarcheError
from medicarche.load.connection import Request
from medicarche.load.generator import Limits, closed, open_schedule
from medicarche.load.histogram import Histogram

if TYPE_CHECKING:
    from small_server import Running


def test_every_request_is_answered_and_counted_once(server: Running) -> None:
    seen = closed(server.request(), clients=7, requests=100)
    assert (seen.asked, seen.succeeded, seen.failed) == (100, 100, 0)
    assert seen.statuses == {200: 100}
    assert len(seen.connect) == len(seen.connection_first_byte) == 7
    assert all(0 < first <= whole for first, whole in zip(seen.first_byte, seen.service, strict=True))
    assert seen.received > 100 * len(b"<html>fine</html>")
    assert sum(bucket.answers for bucket in seen.buckets()) == 100


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("wrong", "another content"),
        ("unavailable", "status 503"),
        ("drop", "closed without an answer"),
        ("garbage", "not HTTP"),
    ],
)
def test_what_is_wrong_is_a_failure_with_its_reason(server: Running, page: str, why: str) -> None:
    seen = closed(server.request(page), clients=2, requests=6)
    assert seen.succeeded == 0
    assert seen.failures == {why: 6}
    assert seen.failure_rate == 1


@pytest.mark.parametrize("page", ["chunked", "once"])
def test_other_forms_of_answers_are_understood(server: Running, page: str) -> None:
    seen = closed(server.request(page), clients=2, requests=10)
    assert (seen.succeeded, seen.failed) == (10, 0)
    assert seen.replaced == (10 if page == "once" else 0)


def test_a_port_where_nobody_listens_fails_every_request(server: Running) -> None:
    del server
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        request = Request("127.0.0.1", taken.getsockname()[1])
        seen = closed(request, clients=10, requests=1000)
        assert (seen.asked, seen.succeeded, seen.failed) == (1000, 0, 1000)
        opened = open_schedule(request, rate=50, seconds=0.5)
    assert (opened.asked, opened.succeeded, opened.failed) == (25, 0, 25)


def test_an_answer_that_takes_too_long_is_a_failure(server: Running) -> None:
    seen = closed(server.request("slow"), clients=1, requests=1, limits=Limits(answer=0.1))
    assert seen.failures == {"time-out": 1}


@pytest.mark.parametrize(("clients", "requests"), [(0, 10), (11, 10), (1, 10_000_000)])
def test_numbers_out_of_bounds_are_refused(clients: int, requests: int) -> None:
    with pytest.raises(MedicarcheError, match="clients"):
        closed(Request("127.0.0.1", 1), clients=clients, requests=requests)


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (1, 0), (1, 10_000), (10_000, 1000)])
def test_schedules_out_of_bounds_are_refused(rate: float, seconds: float) -> None:
    with pytest.raises(MedicarcheError, match="at most"):
        open_schedule(Request("127.0.0.1", 1), rate=rate, seconds=seconds)


def test_a_schedule_asks_at_its_rate(server: Running) -> None:
    began = time.monotonic()
    seen = open_schedule(server.request(), rate=50, seconds=1)
    assert (seen.asked, seen.succeeded, seen.failed) == (50, 50, 0)
    assert time.monotonic() - began >= 0.98  # the last one is due after 49 intervals


def test_slow_answers_dont_slow_the_schedule_down(server: Running) -> None:
    """With one connection, answers of 0.3 s and 10 requests/s, the queue grows: the latency says so."""
    seen = open_schedule(server.request("slow"), rate=10, seconds=1, limits=Limits(connections=1))
    assert seen.succeeded == 10
    assert max(seen.service) < 1.0
    assert max(seen.latency) > 1.7  # the last one waits for nine others: 10 x 0.3 s - 0.9 s
    assert seen.missed >= 8


def test_a_stall_is_in_the_percentiles_as_theory_says(server: Running) -> None:
    """A server frozen for F of T seconds: the slots in it wait F..0, so p99 = F (1 - 0.01 T/F)."""
    total, rate = 6.0, 40.0
    frozen: list[float] = []

    def freeze() -> None:
        time.sleep(1.0)
        with server.frozen():
            began = time.monotonic()
            time.sleep(1.5)
            frozen.append(time.monotonic() - began)

    freezer = threading.Thread(target=freeze)
    freezer.start()
    seen = open_schedule(server.request(), rate=rate, seconds=total)
    freezer.join()
    assert (seen.succeeded, seen.failed) == (240, 0)
    theory = frozen[0] - 0.01 * total
    assert Histogram(seen.latency).percentile(99) == pytest.approx(theory, rel=0.1)
    # what a closed generator would have told
    assert Histogram(seen.service).percentile(50) < 0.1
