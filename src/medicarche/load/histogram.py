"""Response times in an HDR histogram: every percentile to three significant digits, whatever the range.

Source: Gil Tene's HdrHistogram (http://hdrhistogram.org), by its Python port ``hdrhistogram``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PERCENTILES", "Histogram"]

#: what every table shows, in per cent
PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
_MICROSECOND = 1e-6
_LONGEST = 3_600_000_000  # microseconds: an hour
_DIGITS = 3


class Histogram:
    """Counts of durations. Seconds outside, whole microseconds inside; 0.1 % or better everywhere."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._counts = HdrHistogram(1, _LONGEST, _DIGITS)
        self._sum = 0.0
        self._squares = 0.0
        for value in seconds:
            self.record(value)

    def record(self, seconds: float) -> None:
        """Count one duration; longer than an hour counts as an hour."""
        self._counts.record_value(min(max(round(seconds / _MICROSECOND), 1), _LONGEST))
        self._sum += seconds
        self._squares += seconds * seconds

    def add(self, other: Histogram) -> None:
        """Count all that another has counted."""
        if other.count:
            self._counts.add(other._counts)
            self._sum += other._sum
            self._squares += other._squares

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return int(self._counts.get_total_count())

    def percentile(self, percent: float) -> float:
        """Return the duration (s) that so many per cent didn't exceed; 0 where nothing was counted."""
        return self.percentiles(percent)[0]

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Return several of them at the cost of one, in the order in which they were asked for."""
        if not self.count:
            return (0.0,) * len(percents)
        found = self._counts.get_percentile_to_value_dict(percents)
        return tuple(float(found[percent]) * _MICROSECOND for percent in percents)

    @property
    def smallest(self) -> float:
        """The shortest duration in seconds, 0 where nothing was counted."""
        return float(self._counts.get_min_value()) * _MICROSECOND if self.count else 0.0

    @property
    def largest(self) -> float:
        """The longest duration in seconds, 0 where nothing was counted."""
        return float(self._counts.get_max_value()) * _MICROSECOND if self.count else 0.0

    @property
    def mean(self) -> float:
        """The arithmetic mean in seconds, of the durations as they were given."""
        return self._sum / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation in seconds (of the whole, not of a sample)."""
        if not self.count:
            return 0.0
        return math.sqrt(max(self._squares / self.count - self.mean**2, 0.0))

    def encode(self) -> str:
        """Return it as text (HdrHistogram's own V2 encoding, with the sums before it)."""
        text = self._counts.encode()
        return f"{self._sum!r} {self._squares!r} {text.decode() if isinstance(text, bytes) else text}"

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Return what `encode` wrote."""
        total, squares, counts = text.split(" ", 2)
        made = cls()
        made._counts.decode_and_add(counts)
        made._sum, made._squares = float(total), float(squares)
        return made

    def as_json(self) -> dict[str, float]:
        """Return the figures that reports show, in seconds; ``p99.9`` and so on are percentiles."""
        return {
            "count": self.count,
            "min": self.smallest,
            "max": self.largest,
            "mean": self.mean,
            "deviation": self.deviation,
            **{
                f"p{percent:g}": seconds
                for percent, seconds in zip(PERCENTILES, self.percentiles(*PERCENTILES), strict=True)
            },
        }
