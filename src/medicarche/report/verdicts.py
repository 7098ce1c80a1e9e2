"""From the tests' outcomes to a verdict on each requirement. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["Outcome", "Summary", "Verdict", "summarise"]


class Verdict(StrEnum):
    """What may be said of a requirement. A test that was skipped proves nothing."""

    PROVED = "proved"
    FAILED = "failed"
    NOT_PROVED = "not proved"
    NOT_DEPLOYED = "not deployed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test (``passed``, ``failed``, ``skipped``, ``not run``), and the ids that it names."""

    test: str
    outcome: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A requirement's tests, by what became of them; ``deployed``: what it is about is there."""

    id: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    not_run: tuple[str, ...] = ()
    deployed: bool = True

    @property
    def verdict(self) -> Verdict:
        """Failed where one test failed; proved where at least one passed and none was skipped or left out."""
        if self.failed:
            return Verdict.FAILED
        if not self.deployed:
            return Verdict.NOT_DEPLOYED
        doubtful = self.skipped or self.not_run
        return Verdict.PROVED if self.passed and not doubtful else Verdict.NOT_PROVED


_WORDS = ("passed", "failed", "skipped", "not run")


def summarise(
    known: Iterable[str], outcomes: Iterable[Outcome], not_deployed: Collection[str] = ()
) -> tuple[Summary, ...]:
    """Sort the tests' outcomes by requirement; every known id is there, tested or not.

    Args:
        known: the requirements' ids.
        outcomes: of the tests.
        not_deployed: ids of requirements about an application that isn't deployed.

    Raises:
        ValueError: a test names an id that isn't known, or an outcome isn't one of the four.
    """
    sorted_out: dict[str, dict[str, list[str]]] = {i: {word: [] for word in _WORDS} for i in known}
    for outcome in outcomes:
        for requirement in outcome.requirements:
            if requirement not in sorted_out or outcome.outcome not in sorted_out[requirement]:
                raise ValueError(
                    f"{outcome.test}: {requirement} {outcome.outcome}: not a known id or outcome"
                )
            sorted_out[requirement][outcome.outcome].append(outcome.test)
    return tuple(
        Summary(
            id=i,
            passed=tuple(tests["passed"]),
            failed=tuple(tests["failed"]),
            skipped=tuple(tests["skipped"]),
            not_run=tuple(tests["not run"]),
            deployed=i not in not_deployed,
        )
        for i, tests in sorted_out.items()
    )
