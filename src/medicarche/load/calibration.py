"""What the generator can do on this machine, against a page that costs its server next to nothing.

A load test tells something of the application only as long as the generator isn't what is slow.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from medicarche.errors import MachineError
from medicarche.load import generator
from medicarche.load.static_server import find_nginx, serve

if TYPE_CHECKING:
    from pathlib import Path

    from medicarche.load.connection import Request
    from medicarche.load.samples import Samples

__all__ = ["Calibration", "calibrate", "measure"]

_CLIENTS = 50
_SECONDS = 2.0
_MOST = 60_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """The generator's own limits on this machine, over TLS.

    Attributes:
        rate: correct answers a second.
        per_core: correct answers for each second of processor that the generator used; unlike ``rate`` it
            hardly depends on what else the machine does.
        p99: of the answers' time, in seconds.
    """

    rate: float
    per_core: float
    p99: float

    def as_json(self) -> dict[str, float]:
        """Return it for a report."""
        return asdict(self)


def calibrate(cache: Path) -> Calibration:
    """Measure the generator against nginx on 127.0.0.1; takes some three seconds.

    Raises:
        MachineError: nginx can't be had.
    """
    with serve(find_nginx(cache)) as server:
        return measure(server.secure)


def measure(page: Request) -> Calibration:
    """Measure the generator against a page.

    Raises:
        MachineError: the page isn't answered correctly.
    """
    seen = generator.closed(page, clients=_CLIENTS, requests=_MOST, seconds=_SECONDS)
    if not seen.succeeded:
        raise MachineError(
            f"the calibration's own page isn't answered: {dict(seen.failures)}", hint="see nginx's log"
        )
    return Calibration(seen.rate, efficiency(seen), sorted(seen.latency)[int(len(seen.latency) * 0.99)])


def efficiency(seen: Samples) -> float:
    """Return the correct answers for each second of processor that the generator used."""
    return seen.succeeded / seen.processor_seconds if seen.processor_seconds else 0.0
