"""The ramp-up: ever more users until an objective breaks, then the search for the edge. Pure: it decides."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Phase", "Ramp", "RampPlan", "Step", "catching_up", "steady"]

#: people a second, where only few come
_SLOWEST = 2.0


class Phase(StrEnum):
    """What a step is for."""

    CLIMB = "climb"
    SEARCH = "search"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class RampPlan:
    """How the ramp goes.

    Attributes:
        first: users of the first step.
        factor: each step has so many times the users of the one before.
        most: users that it never exceeds.
        arrival: seconds within which a step's people come where they are few.
        arrivals: people who come in a second at most: each begins with a log-in, and many at once are a load
            of another kind.
        settle: seconds that a step waits at most, once nobody more arrives, until its figures are steady.
        hold: seconds that a step is measured after that.
        precision: the edge is found when the steps beside it differ by this part, or by one user.
    """

    first: int = 5
    factor: float = 1.6
    most: int = 1000
    arrival: float = 8.0
    arrivals: float = 5.0
    settle: float = 30.0
    hold: float = 10.0
    precision: float = 0.08

    def rate(self, people: int) -> float:
        """Return how many of so many people come, or go, in a second."""
        return min(max(people / self.arrival, _SLOWEST), self.arrivals)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was measured.

    Attributes:
        phase: what it was for.
        users: who were there.
        passed: whether all objectives held.
        reasons: which ones broke, and how.
        rate: answers a second.
        steady: whether the figures were steady before it was measured.
    """

    phase: Phase
    users: int
    passed: bool
    reasons: tuple[str, ...] = ()
    rate: float = 0.0
    steady: bool = True


@dataclass(slots=True)
class Ramp:
    """Decides how many users the next step has."""

    plan: RampPlan
    steps: list[Step] = field(default_factory=list)

    def next(self) -> tuple[Phase, int] | None:
        """Return the next step, or None where the edge is known.

        The climb ends with the first step that breaks. The search halves the interval between the largest
        number of users that passed and the smallest that didn't. The recovery goes back to what passed.
        """
        if any(step.phase is Phase.RECOVERY for step in self.steps):
            return None
        broken = self.broken
        if broken is None:
            users = self._climb()
            return None if users is None else (Phase.CLIMB, users)
        passed = self.capacity
        if passed == 0 and broken == 1:
            return None
        if broken - passed <= max(1.0, self.plan.precision * passed):
            return Phase.RECOVERY, max(passed // 2, 1)
        return Phase.SEARCH, max((passed + broken) // 2, 1)

    def _climb(self) -> int | None:
        if not self.steps:
            return min(self.plan.first, self.plan.most)
        last = self.steps[-1].users
        if last >= self.plan.most:
            return None
        return min(max(math.ceil(last * self.plan.factor), last + 1), self.plan.most)

    @property
    def capacity(self) -> int:
        """The largest number of users that passed below the first that didn't; 0 where none passed."""
        broken = self.broken
        return max(
            (s.users for s in self._found if s.passed and (broken is None or s.users < broken)), default=0
        )

    @property
    def broken(self) -> int | None:
        """The smallest number of users that didn't pass, or None."""
        return min((s.users for s in self._found if not s.passed), default=None)

    @property
    def bounded(self) -> bool:
        """Whether the edge was found; else it carries the most that was asked, and maybe more."""
        return self.broken is not None

    @property
    def _found(self) -> list[Step]:
        return [step for step in self.steps if step.phase is not Phase.RECOVERY]


def steady(rates: Sequence[float], *, half: int = 3, band: float = 0.2) -> bool:
    """Tell whether a rate has stopped changing.

    Args:
        rates: answers in each second, the latest last.
        half: seconds that are compared with as many before them.
        band: part by which they may differ; twice the noise of counting (Poisson) is always allowed.
    """
    if len(rates) < 2 * half:
        return False
    before, now = fmean(rates[-2 * half : -half]), fmean(rates[-half:])
    if not now:
        return False
    noise = 2 * math.sqrt((before + now) / half)
    return abs(now - before) <= max(band * now, noise)


def catching_up(delays: Sequence[float], limit: float, *, half: int = 3) -> bool:
    """Tell whether answers are too late still, but less so than before: a queue that is being worked off.

    People who have just come ask for more than people who are there; what has piled up meanwhile says
    nothing of how many can work. Where answers get no earlier, it isn't their arrival.

    Args:
        delays: seconds that answers took in each second, the latest last.
        limit: seconds that are in time.
        half: seconds that are compared with as many before them.
    """
    if len(delays) < 2 * half:
        return False
    before, now = fmean(delays[-2 * half : -half]), fmean(delays[-half:])
    return limit < now < before
