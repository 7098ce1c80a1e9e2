"""What came of running a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medicarche.errors import ConvergenceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from medicarche.converge.trace import Summary, Timing

__all__ = ["Failure", "Result"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that failed: its id, and what the cloud said (request id and fault included)."""

    action: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of running a plan.

    Attributes:
        ids: logical address → cloud id, of all that is there now.
        done: ids of the actions done.
        failed: those that failed.
        skipped: ids of those not begun: they depend on a failed one, or the run was cancelled.
        cancelled: the run was cut short on demand.
        timings: in order of the ends.
        summary: where the time went.
        trace: the file of the run's trace, where one was written.
    """

    ids: Mapping[str, str]
    done: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    skipped: tuple[str, ...] = ()
    cancelled: bool = False
    timings: tuple[Timing, ...] = field(default=(), repr=False)
    summary: Summary | None = None
    trace: Path | None = None

    def raise_failures(self) -> None:
        """Raise where an action failed.

        Raises:
            ConvergenceError: names each failed action, and how many were done and skipped.
        """
        if not self.failed:
            return
        told = "\n".join(f"  {failure.action}: {failure.message}" for failure in self.failed)
        hints = dict.fromkeys(failure.hint for failure in self.failed if failure.hint)
        raise ConvergenceError(
            f"{len(self.failed)} of {len(self.done) + len(self.failed) + len(self.skipped)} actions failed; "
            f"{len(self.done)} done, {len(self.skipped)} skipped:\n{told}",
            hint=" ".join([*hints, "Running `medicarche provision` again goes on from here."]),
        )
