"""The yardstick: h2load (Debian's ``nghttp2-client``) asked for the same request, and what it says."""

from __future__ import annotations

import re
import resource
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from medicarche import host_packages
from medicarche.embedded import namespace
from medicarche.errors import CommandError
from medicarche.process import run

if TYPE_CHECKING:
    from pathlib import Path

    from medicarche.load.connection import Request
    from medicarche.progress import Reporter

__all__ = ["H2load", "ensure", "measure", "read"]

_PROGRAMS = {"h2load": "nghttp2-client"}
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_ROWS = {"time for request": "request", "time for connect": "connect", "time to 1st byte": "first_byte"}


@dataclass(frozen=True, slots=True)
class H2load:
    """What h2load found. Times in seconds: min, max, mean, deviation.

    Attributes:
        rate: requests a second.
        succeeded: requests that were answered with 2xx or 3xx.
        failed: those that weren't.
        processor_seconds: what it used.
        times: request, connect, first_byte → min, max, mean, deviation.
        text: its own words.
    """

    rate: float
    succeeded: int
    failed: int
    processor_seconds: float
    times: dict[str, dict[str, float]]
    text: str

    @property
    def per_core(self) -> float:
        """Answers for each second of processor that it used."""
        return self.succeeded / self.processor_seconds if self.processor_seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it for a report."""
        return {**asdict(self), "per_core": self.per_core}


def ensure(reporter: Reporter, log: Path) -> None:
    """Install h2load where it isn't there: only who asks for the comparison needs it."""
    with namespace.outside():
        host_packages.ensure(host_packages.missing(_PROGRAMS), reporter, log=log)


def measure(request: Request, *, clients: int, requests: int, seconds: float = 900.0) -> H2load:
    """Let h2load send the same request, over HTTP/1.1 as ours, from the network that we are in.

    Raises:
        CommandError: it isn't there, or not done in time.
    """
    options = [word for name, value in request.headers.items() for word in ("-H", f"{name}: {value}")]
    if request.name:
        options += ["--connect-to", f"{request.host}:{request.port}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = run(
        ["h2load", "--h1", "-c", str(clients), "-n", str(requests), *options, request.url], timeout=seconds
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return read(text, used)


def read(text: str, processor_seconds: float) -> H2load:
    """Read h2load's table.

    Raises:
        CommandError: it isn't one.
    """
    finished = re.search(r"^finished in \S+, ([\d.]+) req/s", text, re.MULTILINE)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if finished is None or counts is None:
        raise CommandError(f"h2load says something else than expected:\n{text[-400:]}")
    times = {}
    for row, name in _ROWS.items():
        cells = re.search(rf"^{row}:((?:\s+[\d.]+(?:us|ms|s)){{4}})", text, re.MULTILINE)
        if cells is not None:
            values = [
                float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(us|ms|s)", cells[1])
            ]
            times[name] = dict(zip(("min", "max", "mean", "deviation"), values, strict=True))
    # h2load counts what errored among what failed
    return H2load(float(finished[1]), int(counts[1]), int(counts[2]), processor_seconds, times, text)
