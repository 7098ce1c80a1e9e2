"""What people saw and what the instance used, second by second on one axis. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.load.crowd import whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medicarche.load.crowd import Second
    from medicarche.load.instance import InstanceUse

__all__ = ["timeline"]

_MOST_COMMANDS = 4


def timeline(
    crowd: Sequence[Second], uses: Sequence[InstanceUse], began: float
) -> dict[str, list[float | None]]:
    """Return column → a value for each second since ``began`` (of `time.time`)."""
    length = int(max([s.at for s in crowd] + [u.at for u in uses], default=began) - began) + 1
    people: list[Second | None] = [None] * length
    for second in crowd:
        if 0 <= int(second.at - began) < length:
            people[int(second.at - began)] = second
    seen = [whole(second.transactions) if second else None for second in people]
    used: list[InstanceUse | None] = [None] * length
    for use in uses:
        if 0 <= int(use.at - began) < length:
            used[int(use.at - began)] = use
    users = [float(second.users) if second else None for second in people]
    middle, high, highest = zip(
        *(f.latency.percentiles(50, 95, 99) if f and f.succeeded else (None,) * 3 for f in seen), strict=True
    )
    columns: dict[str, list[float | None]] = {
        "utilisateurs": users,
        "nouveaux utilisateurs": _new(users),
        "réponses/s": [float(f.succeeded) if f else None for f in seen],
        "échecs/s": [float(f.failed) if f else None for f in seen],
        "p50 (s)": list(middle),
        "p95 (s)": list(high),
        "p99 (s)": list(highest),
        "processeurs": [u.cpu if u else None for u in used],
        "mémoire (Mio)": [u.memory / 2**20 if u else None for u in used],
        "connexions en attente": [float(sum(u.queues.values())) if u else None for u in used],
        "reçu (ko/s)": [u.received / 1000 if u else None for u in used],
        "envoyé (ko/s)": [u.sent / 1000 if u else None for u in used],
    }
    for command in _largest(uses):
        columns[f"processeurs : {command}"] = [u.commands.get(command, 0.0) if u else None for u in used]
    return columns


def _largest(uses: Sequence[InstanceUse]) -> list[str]:
    """Return the commands that used most."""
    totals: dict[str, float] = {}
    for use in uses:
        for command, cpu in use.commands.items():
            totals[command] = totals.get(command, 0.0) + cpu
    return sorted(totals, key=lambda command: -totals[command])[:_MOST_COMMANDS]


def _new(users: Sequence[float | None]) -> list[float | None]:
    """Return who came in each second."""
    found: list[float | None] = []
    before = 0.0
    for now in users:
        found.append(None if now is None else max(now - before, 0.0))
        before = before if now is None else now
    return found
