"""The fixed scenario's results as a table, in the order in which h2load shows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROWS", "duration", "fixed_table", "size"]

#: figures of `medicarche.load.samples.Samples.as_json` → their names in the table
ROWS = {
    "latency": "time for request",
    "connect": "time for connect",
    "connection_first_byte": "time to 1st byte",
}
_COLUMNS = ("min", "max", "mean", "deviation", "p50", "p90", "p95", "p99", "p99.9")
_MILLI, _SECOND = 1e-3, 1.0
_STEP = 1024


def duration(seconds: float) -> str:
    """Write a duration with three significant digits: 27us, 1.51ms, 2.30s."""
    for limit, factor, unit in ((_MILLI, 1e6, "us"), (_SECOND, 1e3, "ms")):
        if seconds < limit:
            return f"{_three(seconds * factor)}{unit}"
    return f"{_three(seconds)}s"


def size(count: float) -> str:
    """Write a number of bytes: 413.51 MB, in steps of 1024 as h2load does."""
    for unit in ("B", "KB", "MB"):
        if count < _STEP:
            return f"{count:.2f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= _STEP
    return f"{count:.2f} GB"


def fixed_table(figures: Mapping[str, Any]) -> str:
    """Return the table of a run's figures (`medicarche.load.samples.Samples.as_json`)."""
    statuses: dict[str, int] = {f"{hundreds}xx": 0 for hundreds in (2, 3, 4, 5)}
    for status, count in figures["statuses"].items():
        statuses[f"{status[0]}xx"] = statuses.get(f"{status[0]}xx", 0) + count
    seconds = figures["seconds"] or 1.0
    first = (
        f"finished in {figures['seconds']:.2f}s, {figures['rate']:.2f} req/s,"
        f" {size(figures['received'] / seconds)}/s"
    )
    lines = [
        first,
        f"requests: {figures['asked']} total, {figures['succeeded']} succeeded, {figures['failed']} failed",
        "status codes: " + ", ".join(f"{count} {name}" for name, count in statuses.items()),
        f"traffic: {size(figures['received'])} received, {size(figures['sent'])} sent",
        f"{'':<17}" + "".join(f"{column:>11}" for column in _COLUMNS),
    ]
    lines += [
        f"{name + ':':<17}" + "".join(f"{duration(figures[key][column]):>11}" for column in _COLUMNS)
        for key, name in ROWS.items()
    ]
    lines += [f"failed: {count} x {why}" for why, count in figures["failures"].items()]
    return "\n".join(lines)


def _three(value: float) -> str:
    digits = max(2 - (len(str(int(value))) - 1), 0)
    return f"{value:.{digits}f}"
