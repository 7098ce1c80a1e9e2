"""From the tests' outcomes to a verdict on each requirement. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Outcome", "Summary", "Verdict", "summarise"]


class Verdict(StrEnum):
    """What may be said of a requirement. A test that was skipped proves nothing."""

    PROVED = "proved"
    FAILED = "failed"
    NOT_PROVED = "not proved"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test: ``passed``, ``failed`` or ``skipped``; and the ids that it names."""

    test: str
    outcome: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A requirement's tests, by what became of them."""

    id: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Failed where one test failed; proved where at least one passed and none was skipped."""
        if self.failed:
            return Verdict.FAILED
        return Verdict.PROVED if self.passed and not self.skipped else Verdict.NOT_PROVED


def summarise(known: Iterable[str], outcomes: Iterable[Outcome]) -> tuple[Summary, ...]:
    """Sort the tests' outcomes by requirement; every known id is there, tested or not.

    Raises:
        ValueError: a test names an id that isn't known, or an outcome isn't one of the three.
    """
    sorted_out: dict[str, dict[str, list[str]]] = {
        i: {"passed": [], "failed": [], "skipped": []} for i in known
    }
    for outcome in outcomes:
        for requirement in outcome.requirements:
            if requirement not in sorted_out or outcome.outcome not in sorted_out[requirement]:
                raise ValueError(
                    f"{outcome.test}: {requirement} {outcome.outcome}: not a known id or outcome"
                )
            sorted_out[requirement][outcome.outcome].append(outcome.test)
    return tuple(
        Summary(i, tuple(tests["passed"]), tuple(tests["failed"]), tuple(tests["skipped"]))
        for i, tests in sorted_out.items()
    )
