"""From what was measured to a verdict: passed, objective broken, or invalid. Pure.

*Invalid* comes first: where the generator was the bottleneck or the machine too busy, nothing was learnt of
the application, good or bad.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from medicarche.load.machine import busy_reasons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medicarche.load.calibration import Calibration
    from medicarche.load.criteria import Judgement
    from medicarche.load.machine import MachineUse

__all__ = ["Verdict", "VerdictKind", "decide", "generator_reasons"]

#: part of its own processor above which the generator may be what is slow
_GENERATOR_BUSY = 0.85
#: part of what the calibration reached above which the same is so
_NEAR_CALIBRATION = 0.7
#: seconds in which a generator may look away from its sockets
_LAG = 1.0


class VerdictKind(StrEnum):
    """What can be said of a run."""

    PASSED = "passed"
    BROKEN = "broken"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict, and why, in French sentences."""

    kind: VerdictKind
    reasons: tuple[str, ...] = ()


def generator_reasons(
    *,
    rate: float,
    processor_seconds: float,
    seconds: float,
    lag: float,
    calibration: Calibration | None,
) -> tuple[str, ...]:
    """Say why the generator may have been the bottleneck, or nothing.

    Args:
        rate: answers a second.
        processor_seconds: that the generator used.
        seconds: how long the run took.
        lag: the longest time in which it didn't look after its sockets.
        calibration: what it can do; None where it speaks another way than the calibration did.
    """
    reasons = []
    used = processor_seconds / seconds if seconds else 0.0
    if used > _GENERATOR_BUSY:
        reasons.append(f"le générateur occupait {used:.0%} de son processeur : il a pu être le frein")
    if calibration is not None and rate > _NEAR_CALIBRATION * calibration.rate:
        reasons.append(
            f"{rate:.0f} requêtes/s sont proches de ce que le générateur sait faire ici"
            f" ({calibration.rate:.0f} requêtes/s)"
        )
    if lag > _LAG:
        reasons.append(f"le générateur n'a pas pu travailler pendant {lag:.1f} s")
    return tuple(reasons)


def decide(
    judgements: Sequence[Judgement],
    use: MachineUse | None,
    *,
    generator: Sequence[str] = (),
    measured: int,
) -> Verdict:
    """Return the verdict on a run.

    Args:
        judgements: of its objectives.
        use: of the machine meanwhile.
        generator: why the generator may have been the bottleneck.
        measured: requests that were made.
    """
    invalid = (*(busy_reasons(use) if use else ()), *generator)
    if not measured:
        invalid = (*invalid, "aucune requête n'a été faite : rien n'a été mesuré")
    if invalid:
        return Verdict(VerdictKind.INVALID, invalid)
    broken = tuple(judgement.text for judgement in judgements if judgement.passed is False)
    if broken:
        return Verdict(VerdictKind.BROKEN, broken)
    return Verdict(VerdictKind.PASSED)
