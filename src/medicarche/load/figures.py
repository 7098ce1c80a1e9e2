"""What is judged: the figures of one transaction, wherever they were measured. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medicarche.load.histogram import Histogram

if TYPE_CHECKING:
    from medicarche.load.samples import Samples

__all__ = ["REFUSED", "Figures"]

#: reasons of failures that mean that nobody took the connection
REFUSED = ("refused", "no connection")


@dataclass(slots=True)
class Figures:
    """The figures of one transaction, or of all of them together.

    Attributes:
        latency: of the correct answers, in seconds.
        failures: why → how many.
        statuses: of all answers.
        seconds: how long it was measured.
    """

    latency: Histogram = field(default_factory=Histogram)
    failures: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def succeeded(self) -> int:
        """Requests with a correct answer."""
        return self.latency.count

    @property
    def failed(self) -> int:
        """Requests without one."""
        return sum(self.failures.values())

    @property
    def asked(self) -> int:
        """All requests."""
        return self.succeeded + self.failed

    @property
    def rate(self) -> float:
        """Correct answers a second."""
        return self.succeeded / self.seconds if self.seconds else 0.0

    @property
    def failure_rate(self) -> float:
        """The part that failed; all where none was made, as nothing was measured then."""
        return self.failed / self.asked if self.asked else 1.0

    @property
    def refused(self) -> int:
        """Requests whose connection nobody took."""
        return sum(count for why, count in self.failures.items() if why.startswith(REFUSED))

    def add(self, other: Figures) -> None:
        """Count what another has counted in the same time."""
        self.latency.add(other.latency)
        self.failures.update(other.failures)
        self.statuses.update(other.statuses)
        self.seconds = max(self.seconds, other.seconds)

    @classmethod
    def of(cls, seen: Samples) -> Figures:
        """Return the figures of what the generator saw; the latency is the corrected one."""
        return cls(
            Histogram(seen.latency),
            Counter(seen.failures),
            Counter({str(status): count for status, count in seen.statuses.items()}),
            seen.seconds,
        )

    def as_json(self) -> dict[str, Any]:
        """Return them for a report."""
        return {
            "asked": self.asked,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "failure_rate": self.failure_rate,
            "rate": self.rate,
            "seconds": self.seconds,
            "latency": self.latency.as_json(),
            "failures": dict(self.failures.most_common()),
            "statuses": dict(sorted(self.statuses.items())),
        }
