"""Does the flavor carry its application? Enough, too small, or more than needed; and which would do. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medicarche.spec.environment import FlavorSpec

__all__ = ["FlavorVerdict", "Need", "judge_flavor"]

#: what an application needs is what was measured and so much more, for days that weren't measured
_MEMORY_MARGIN = 1.3
_DISK_MARGIN = 1.5
_MIB, _GIB = 2**20, 2**30
_STEP_MIB = 128


@dataclass(frozen=True, slots=True)
class Need:
    """What was measured of an application.

    Attributes:
        memory: the most that it used under load, in bytes.
        disk: used on its disk, in bytes.
        survived: whether it stayed up, the kernel killed none of its processes, and it recovered.
        in_time: whether it stayed within the slowdown that is allowed.
        least_memory_mib: what its makers ask for.
        least_disk_gib: the same.
    """

    memory: int
    disk: int
    survived: bool
    in_time: bool
    least_memory_mib: int = 0
    least_disk_gib: int = 0

    @property
    def memory_mib(self) -> int:
        """Memory with its margin, in steps of 128 MiB."""
        needed = max(self.memory * _MEMORY_MARGIN / _MIB, self.least_memory_mib)
        return math.ceil(needed / _STEP_MIB) * _STEP_MIB

    @property
    def disk_gib(self) -> int:
        """Disk with its margin, in whole GiB."""
        return max(math.ceil(self.disk * _DISK_MARGIN / _GIB), self.least_disk_gib, 1)


@dataclass(frozen=True, slots=True)
class FlavorVerdict:
    """The verdict on a flavor.

    Attributes:
        flavor: its name.
        word: ``suffisant``, ``trop petit`` or ``plus que nécessaire``.
        smallest: the smallest flavor that would do, as it would be declared.
        declared: the name of the smallest declared flavor that would do, or None.
        text: all of it in a French sentence.
    """

    flavor: str
    word: str
    smallest: str
    declared: str | None
    text: str


def judge_flavor(flavor: FlavorSpec, need: Need, flavors: Sequence[FlavorSpec]) -> FlavorVerdict:
    """Judge a flavor by what its application needs.

    Args:
        flavor: the one that it has.
        need: what was measured.
        flavors: all that are declared.
    """
    smallest = f"{need.memory_mib} Mio de mémoire, {need.disk_gib} Gio de disque"
    fitting = [f for f in flavors if f.ram_mib >= need.memory_mib and f.disk_gib >= need.disk_gib]
    best = min(fitting, key=lambda f: (f.ram_mib, f.disk_gib, f.vcpus), default=None)
    fits = flavor.ram_mib >= need.memory_mib and flavor.disk_gib >= need.disk_gib
    if not (need.survived and need.in_time and fits):
        word = "trop petit"
    elif (flavor.ram_mib, flavor.disk_gib) > (need.memory_mib, need.disk_gib) and (
        flavor.ram_mib >= 2 * need.memory_mib or (best is not None and best.disk_gib < flavor.disk_gib)
    ):
        word = "plus que nécessaire"
    else:
        word = "suffisant"
    why = "" if need.survived else " L'application n'a pas survécu."
    if need.survived and not need.in_time:
        why = " Les réponses deviennent trop lentes."
    declared = best.name if best is not None else None
    text = (
        f"{flavor.name} ({flavor.ram_mib} Mio, {flavor.disk_gib} Gio) : {word}.{why}"
        f" Le plus petit gabarit qui conviendrait : {smallest}"
        + (f" ; parmi ceux déclarés : {declared}." if declared else " ; aucun de ceux déclarés ne convient.")
    )
    return FlavorVerdict(flavor.name, word, smallest, declared, text)
