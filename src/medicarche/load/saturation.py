"""What was exhausted first: from an instance's use, step by step. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medicarche.load.instance import InstanceUse

__all__ = ["FULL", "Pressure", "first_exhausted", "pressures"]

#: part of a resource in use from which on it counts as exhausted
FULL = 0.85
#: commands of databases, and of web servers with PHP inside
_DATABASES = ("mariadbd", "mysqld", "postgres")
_PHP = ("apache2", "php-fpm8.4", "php-fpm8.2")
#: bits a second of a virtual network card; nothing says it more exactly (virtio and veth have no speed)
_BANDWIDTH = 10e9 / 8


@dataclass(frozen=True, slots=True)
class Pressure:
    """How much of a resource is in use: 0 to 1, or a little more; ``detail`` in French, as the reports."""

    resource: str
    use: float
    detail: str


def pressures(
    uses: Sequence[InstanceUse], *, processors: float, machine_busy: float | None = None
) -> tuple[Pressure, ...]:
    """Return how much of each resource was in use on average, the fullest first.

    Args:
        uses: of a step, second by second.
        processors: that the instance has.
        machine_busy: part of this machine's processors that this load uses, generator and cloud together,
            where the instance shares them; None where it is elsewhere.
    """
    if not uses:
        return ()
    cpu = fmean(use.cpu for use in uses)
    memory = fmean(use.memory / use.memory_limit for use in uses)
    network = fmean(use.received + use.sent for use in uses)
    found = [
        Pressure("mémoire", memory, f"{memory:.0%} de {uses[-1].memory_limit / 2**20:.0f} Mio"),
        Pressure("réseau", network / _BANDWIDTH, f"{network / 1e6:.1f} Mo/s"),
        _processor(cpu, processors, machine_busy),
    ]
    commands = {name: fmean(use.commands.get(name, 0.0) for use in uses) for name in uses[-1].commands}
    database = sum(commands.get(name, 0.0) for name in _DATABASES)
    if database:
        found.append(
            Pressure("base de données", database / processors, f"{database:.2f} processeur pour elle seule")
        )
    workers = uses[-1].workers
    if workers:
        # its first process only watches over the others
        busy = [max(use.processes.get(name, 0) for name in _PHP) - 1 for use in uses]
        waiting = fmean(sum(use.queues.values()) for use in uses)
        part = fmean(busy) / workers
        # idle children are kept: all of them there means all of them busy only while others wait
        found.append(
            Pressure(
                "processus PHP",
                part if waiting >= 1 else min(part, FULL - 0.01),
                f"{fmean(busy):.0f} sur {workers}, {waiting:.0f} connexions en attente",
            )
        )
    return tuple(sorted(found, key=lambda p: -p.use))


def _processor(cpu: float, processors: float, machine_busy: float | None) -> Pressure:
    detail = f"{cpu:.2f} processeur sur {processors:g}"
    if machine_busy is not None and machine_busy > cpu / processors:
        return Pressure(
            "processeur", machine_busy, f"{detail} ; {machine_busy:.0%} de la machine, générateur compris"
        )
    return Pressure("processeur", cpu / processors, detail)


def first_exhausted(steps: Sequence[Sequence[Pressure]]) -> Pressure | None:
    """Return what was exhausted in the first step in which anything was; else the fullest at the end."""
    for step in steps:
        full = [pressure for pressure in step if pressure.use >= FULL]
        if full:
            return max(full, key=lambda p: p.use)
    return steps[-1][0] if steps and steps[-1] else None
