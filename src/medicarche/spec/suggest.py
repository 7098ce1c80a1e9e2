"""Did you mean ...?"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "one_of"]

_LISTED = 12


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` where something known is close to what was written, else nothing."""
    by_lower = {name.lower(): name for name in sorted(known)}
    close = get_close_matches(written.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def one_of(written: str, known: Iterable[str]) -> str:
    """Say what could be written instead: the nearest name, or a list of those that there are."""
    names = sorted(known)
    if meant := did_you_mean(written, names):
        return f"write one that exists{meant}"
    if not names:
        return "declare it first: there is none"
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f"write one of: {listed}"
