"""Was this machine free enough to judge by what was measured on it?

Time that a hypervisor took away (*steal*) and what other programs used make answers late that the application
gave in time. Linux counts both (proc_stat(5)).
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_OTHERS", "MOST_STEAL", "MachineUse", "Watch", "busy_reasons"]

#: parts of the whole machine above which a run can't be judged
MOST_STEAL = 0.05
MOST_OTHERS = 0.15
_TICKS = os.sysconf("SC_CLK_TCK")
#: fields of /proc/stat's first line: user, nice, system, idle, iowait, irq, softirq, steal
_IDLE = (3, 4)
_STEAL = 7


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What became of the machine's processor time, each as a part of the whole (0 to 1).

    Attributes:
        busy: used by anybody.
        generator: used by this run's generator.
        cloud: used by the embedded cloud, its instances included; 0 where the cloud is elsewhere.
        others: used by programs that have nothing to do with the run.
        steal: taken by the hypervisor.
        processors: how many there are.
        seconds: how long it was watched.
    """

    busy: float
    generator: float
    cloud: float
    others: float
    steal: float
    processors: int
    seconds: float

    def as_json(self) -> dict[str, float]:
        """Return it for a report."""
        return asdict(self)


class Watch:
    """Watches the machine from its making on.

    Args:
        cloud: gives the seconds of processor that the embedded cloud has used so far.
        stat: the kernel's counts.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        cloud: Callable[[], float] = lambda: 0.0,
        *,
        stat: Path = Path("/proc/stat"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cloud = cloud
        self._stat = stat
        self._clock = clock
        self._before = self._look()

    def use(self, generator_seconds: float) -> MachineUse:
        """Return what became of the time since.

        Args:
            generator_seconds: of processor that the generator used meanwhile.
        """
        (at, ticks, cloud), (began, before, cloud_before) = self._look(), self._before
        spent = [(now - then) / _TICKS for now, then in zip(ticks, before, strict=True)]
        whole = sum(spent) or 1.0
        steal = spent[_STEAL]
        busy = whole - sum(spent[i] for i in _IDLE) - steal
        used = cloud - cloud_before
        return MachineUse(
            busy=busy / whole,
            generator=generator_seconds / whole,
            cloud=used / whole,
            others=max(busy - generator_seconds - used, 0.0) / whole,
            steal=steal / whole,
            processors=os.cpu_count() or 1,
            seconds=at - began,
        )

    def _look(self) -> tuple[float, list[int], float]:
        first = self._stat.read_text(encoding="ascii").splitlines()[0]
        # guest time is in user time already (proc_stat(5))
        return self._clock(), [int(word) for word in first.split()[1:9]], self._cloud()


def busy_reasons(use: MachineUse) -> tuple[str, ...]:
    """Say, in French as the reports are, why nothing can be judged by what was measured; or nothing."""
    reasons = []
    if use.steal > MOST_STEAL:
        reasons.append(
            f"l'hyperviseur a pris {use.steal:.0%} du processeur de cette machine (limite : {MOST_STEAL:.0%})"
        )
    if use.others > MOST_OTHERS:
        reasons.append(
            f"d'autres programmes ont pris {use.others:.0%} du processeur de cette machine"
            f" (limite : {MOST_OTHERS:.0%})"
        )
    return tuple(reasons)
