"""A run beside the runs before it: better, worse, or within what such runs differ by anyway. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Change", "compare"]

#: runs that are needed to say how much they differ by chance
FEWEST = 3
#: what is noise in any case
_LEAST_BAND = 0.1
#: a normal distribution's standard deviation in median absolute deviations
_MAD = 1.4826
_WIDTH = 3.0


@dataclass(frozen=True, slots=True)
class Change:
    """One figure beside the same one of earlier runs.

    Attributes:
        figure: its name.
        value: now.
        before: the median of the earlier runs.
        band: part by which it may differ and still be noise; three standard deviations, estimated from the
            median absolute deviation, and 10 % at least.
        runs: how many earlier ones there are.
        word: ``plus``, ``moins``, ``stable``, or ``trop peu de mesures``.
    """

    figure: str
    value: float
    before: float
    band: float
    runs: int
    word: str


def compare(key_figures: Mapping[str, float], earlier: Sequence[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Compare a run's key figures with those of earlier runs that asked for the same."""
    found = []
    for figure, value in key_figures.items():
        values = [run["key_figures"][figure] for run in earlier if figure in run["key_figures"]]
        if not values:
            continue
        middle = median(values)
        spread = median(abs(v - middle) for v in values) * _MAD * _WIDTH
        band = max(spread / middle if middle else 0.0, _LEAST_BAND)
        if len(values) < FEWEST:
            word = "trop peu de mesures"
        elif abs(value - middle) <= band * abs(middle):
            word = "stable"
        else:
            word = "plus" if value > middle else "moins"
        found.append(Change(figure, value, middle, band, len(values), word))
    return tuple(found)
