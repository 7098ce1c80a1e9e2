"""The generator proved: its efficiency beside h2load's, and its percentiles when a server freezes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.errors import CommandError
from medicarche.load import calibration, generator, h2load
from medicarche.load.histogram import Histogram
from medicarche.load.static_server import find_nginx, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medicarche.load.static_server import StaticServer
    from medicarche.progress import Reporter

__all__ = ["prove"]

_CLIENTS, _REQUESTS = 100, 20_000
#: the freeze: so many seconds of so many, at this rate
_FROZEN, _TOTAL, _BEFORE, _RATE = 6.0, 30.0, 8.0, 200.0
_P99 = 99.0
_LOCUSTFILE = """
from locust import FastHttpUser, constant_throughput, task

class Visitor(FastHttpUser):
    wait_time = constant_throughput(10)

    @task
    def page(self):
        self.client.get("/")
"""


def prove(
    cache: Path, reporter: Reporter, *, compare_h2load: bool = False, freeze: bool = False
) -> dict[str, float]:
    """Measure the generator against a static page on 127.0.0.1.

    Args:
        cache: where nginx is kept.
        reporter: told of the work.
        compare_h2load: let h2load ask for the same, over HTTP and TLS.
        freeze: stop the server for 6 of 30 seconds at 200 requests/s, and compare with theory; and with stock
            Locust, where it is installed.

    Returns:
        Figure → value; times in seconds.
    """
    found: dict[str, float] = {}
    with serve(find_nginx(cache)) as server:
        with reporter.stage("Calibrating the generator"):
            for name, value in calibration.measure(server.secure).as_json().items():
                found[f"calibration {name}"] = value
        if compare_h2load:
            h2load.ensure(reporter, cache / "apt.log")
            with reporter.stage("h2load and the generator, the same page"):
                found |= dict(_efficiency(server))
        if freeze:
            with reporter.stage(f"Freezing the server for {_FROZEN:g} of {_TOTAL:g} s"):
                found |= dict(_freeze(server))
    return found


def _efficiency(server: StaticServer) -> Iterator[tuple[str, float]]:
    for name, page in (("HTTP", server.plain), ("TLS", server.secure)):
        ours = generator.closed(page, clients=_CLIENTS, requests=_REQUESTS)
        theirs = h2load.measure(page, clients=_CLIENTS, requests=_REQUESTS)
        per_core = calibration.efficiency(ours)
        yield f"{name}: ours, requests/s per core", per_core
        yield f"{name}: h2load, requests/s per core", theirs.per_core
        yield f"{name}: ours / h2load", per_core / theirs.per_core
        yield f"{name}: ours, requests/s", ours.rate
        yield f"{name}: h2load, requests/s", theirs.rate


def _freeze(server: StaticServer) -> Iterator[tuple[str, float]]:
    with _frozen_later(server) as frozen:
        seen = generator.open_schedule(server.plain, rate=_RATE, seconds=_TOTAL)
    # the slots in the freeze wait from all of it down to nothing: a share of frozen / total of all slots
    theory = frozen[0] - (1 - _P99 / 100) * _TOTAL
    ours = Histogram(seen.latency).percentile(_P99)
    yield "freeze: p99 in theory", theory
    yield "freeze: p99, ours", ours
    yield "freeze: ours / theory", ours / theory
    yield "freeze: p99 timed from the sending (uncorrected)", Histogram(seen.service).percentile(_P99)
    yield "freeze: slots missed", float(seen.missed)
    yield "freeze: failed", float(seen.failed)
    if find_spec("locust") is not None:
        with _frozen_later(server):
            yield "freeze: p99, stock Locust", _stock_locust(server)


class _frozen_later:  # noqa: N801 - used as a function
    """Freeze the server after a while, in the background of the block; gives how long it was, in seconds."""

    def __init__(self, server: StaticServer) -> None:
        self._server = server
        self._seconds: list[float] = []
        self._thread = threading.Thread(target=self._freeze)

    def __enter__(self) -> list[float]:
        self._thread.start()
        return self._seconds

    def __exit__(self, *_details: object) -> None:
        self._thread.join()

    def _freeze(self) -> None:
        time.sleep(_BEFORE)
        with self._server.frozen():
            began = time.monotonic()
            time.sleep(_FROZEN)
            self._seconds.append(time.monotonic() - began)


def _stock_locust(server: StaticServer) -> float:
    """Return the p99 (s) that Locust as it comes shows of the same freeze, at the same nominal rate."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "locustfile.py"
        file.write_text(_LOCUSTFILE, encoding="utf-8")
        users = str(round(_RATE / 10))
        command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json", "--skip-log"]
        command += ["-u", users, "-r", users, "-t", f"{_TOTAL:.0f}s", "-H", server.plain.url.rstrip("/")]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TOTAL * 4, check=False, cwd=folder
        )
    try:
        times = json.loads(done.stdout)[0]["response_times"]
    except (ValueError, LookupError) as error:
        raise CommandError(f"Locust told nothing: {done.stderr[-400:]}") from error
    counts = sorted((float(milliseconds), number) for milliseconds, number in times.items())
    wanted = sum(number for _, number in counts) * _P99 / 100
    reached = 0
    for milliseconds, number in counts:
        reached += number
        if reached >= wanted:
            return milliseconds / 1000
    return 0.0
