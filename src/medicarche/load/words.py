"""Numbers and verdicts in French words, for the reports' sentences. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medicarche.load.verdict import Verdict

__all__ = ["count", "decimal", "milliseconds", "not_judged"]

_NARROW = "\N{NARROW NO-BREAK SPACE}"
_SECOND = 1.0


def count(number: float) -> str:
    """Write a whole number with its thousands apart: 10 000."""
    return f"{number:,.0f}".replace(",", _NARROW)


def decimal(number: float, digits: int = 1) -> str:
    """Write a number with a decimal comma."""
    return f"{number:.{digits}f}".replace(".", ",")


def milliseconds(seconds: float) -> str:
    """Write a duration: 160 ms, 2,3 s."""
    if seconds < _SECOND:
        return f"{seconds * 1000:.0f} ms"
    return f"{decimal(seconds)} s"


def not_judged(verdict: Verdict) -> str:
    """Say that a run can't be judged, and why."""
    return f"Cette mesure ne permet pas de juger : {' ; '.join(verdict.reasons)}."
