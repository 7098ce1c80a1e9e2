"""What a generator saw, request by request, in flat arrays: cheap to write, judged afterwards. Pure."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medicarche.load.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Bucket", "Samples"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One second of a run: its beginning, answers, failures, and percentiles of the corrected latency (s)."""

    second: int
    answers: int
    failures: int
    p50: float
    p95: float
    p99: float


@dataclass(slots=True)
class Samples:
    """All that was seen. Times are seconds of one clock; durations seconds; sizes bytes.

    Attributes:
        ended: of each correct answer, when it was complete.
        latency: from when the request should have started until its answer was complete.
        service: from when it was really sent until then.
        first_byte: from when it was sent until the answer's first byte.
        connect: of each connection, until it could carry a request (TCP and TLS).
        connection_first_byte: of each connection, from its beginning to its first answer's first byte.
        statuses: of all answers, correct or not.
        failures: of all requests that had no correct answer, why.
        failed_at: when each of those failed.
        asked: requests that were due.
        missed: requests that couldn't start when they were due.
        replaced: connections that the server closed between two requests, as it may.
        sent: bytes of requests, without TLS.
        received: bytes of answers, without TLS.
        began: the clock when the first request was due.
        seconds: from then to the last answer.
        processor_seconds: what the generator itself used of the processor.
        lag: the longest time in which the generator didn't look after its sockets.
    """

    ended: array[float] = field(default_factory=lambda: array("d"))
    latency: array[float] = field(default_factory=lambda: array("d"))
    service: array[float] = field(default_factory=lambda: array("d"))
    first_byte: array[float] = field(default_factory=lambda: array("d"))
    connect: array[float] = field(default_factory=lambda: array("d"))
    connection_first_byte: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    failed_at: array[float] = field(default_factory=lambda: array("d"))
    asked: int = 0
    missed: int = 0
    replaced: int = 0
    sent: int = 0
    received: int = 0
    began: float = 0.0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    lag: float = 0.0

    @property
    def succeeded(self) -> int:
        """Requests that were answered correctly."""
        return len(self.ended)

    @property
    def failed(self) -> int:
        """Requests that weren't."""
        return sum(self.failures.values())

    @property
    def failure_rate(self) -> float:
        """The part of the requests that failed; all of them where none was made: nothing was measured."""
        return self.failed / self.asked if self.asked else 1.0

    @property
    def rate(self) -> float:
        """Correct answers a second."""
        return self.succeeded / self.seconds if self.seconds else 0.0

    def buckets(self) -> Iterator[Bucket]:
        """Return the run second by second."""
        seconds: dict[int, list[float]] = {}
        for at, latency in zip(self.ended, self.latency, strict=True):
            seconds.setdefault(int(at - self.began), []).append(latency)
        failed = Counter(int(at - self.began) for at in self.failed_at)
        for second in range(max([*seconds, *failed], default=-1) + 1):
            found = Histogram(seconds.get(second, ()))
            yield Bucket(
                second,
                found.count,
                failed[second],
                *found.percentiles(50, 95, 99),
            )

    def as_json(self) -> dict[str, Any]:
        """Return the figures of the run, without the single requests."""
        return {
            "asked": self.asked,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "missed": self.missed,
            "replaced": self.replaced,
            "failure_rate": self.failure_rate,
            "rate": self.rate,
            "seconds": self.seconds,
            "sent": self.sent,
            "received": self.received,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "failures": dict(self.failures.most_common()),
            "latency": Histogram(self.latency).as_json(),
            "service": Histogram(self.service).as_json(),
            "first_byte": Histogram(self.first_byte).as_json(),
            "connect": Histogram(self.connect).as_json(),
            "connection_first_byte": Histogram(self.connection_first_byte).as_json(),
            "generator": {"processor_seconds": self.processor_seconds, "lag": self.lag},
        }
