"""What an acceptance report says, as data; its JSON form is this, and nothing is in the HTML that isn't here.

The JSON Schema in ``docs/acceptance-report.schema.json`` is made from these classes.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from medicarche.report.evidence import Item  # noqa: TC001 - pydantic reads the annotations
from medicarche.report.verdicts import Outcome, Verdict, summarise

__all__ = [
    "Check",
    "Cloud",
    "Exemption",
    "InstanceFact",
    "Part",
    "Report",
    "RequirementResult",
    "Run",
    "as_data",
    "cloud_from",
    "results",
    "schema",
    "utc",
]

#: changes that break a reader of the JSON form raise this number
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A fact of the cloud or of the machine: ``name`` (``Nova``) and ``value`` (``26.2.2, Zed``)."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class InstanceFact:
    """An instance, and what it serves: the applications' titles, and the ports that are declared open."""

    name: str
    id: str
    flavor: str
    image: str
    private_address: str
    floating_address: str | None
    applications: tuple[str, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cloud:
    """What was under test.

    Attributes:
        name: the cloud's.
        kind: ``embedded`` or ``configured``.
        release: OpenStack's (``Zed``), as told by Nova's newest microversion; or an empty string.
        parts: services, hypervisor and machine, with their versions.
        instances: of the environment.
        built: what building took, in words (seconds by part).
        topology: the environment as a picture (SVG).
    """

    name: str
    kind: str
    release: str
    parts: tuple[Part, ...]
    instances: tuple[InstanceFact, ...]
    built: tuple[Part, ...]
    topology: str


@dataclass(frozen=True, slots=True)
class Exemption:
    """A weakness that is known and accepted.

    Attributes:
        check: the baseline's check that it is about (``bp-028/R5``).
        scope: where it holds: names of instances, of applications, or ``all``.
        reason: why, in the report's language.
        owner: the role of who answers for it, in the report's language.
        review: the day of the next review (ISO 8601).
    """

    check: str
    scope: tuple[str, ...]
    reason: str
    owner: str
    review: str


@dataclass(frozen=True, slots=True)
class Check:
    """A test that ran.

    Attributes:
        id: pytest's.
        title: a sentence.
        outcome: ``passed``, ``failed`` or ``skipped``.
        requirements: the ids that it names.
        started_at: ISO 8601, UTC.
        seconds: with its set-up and tear-down.
        message: of a failure, or why it was skipped; one line.
        details: of a failure: what pytest shows of it.
        measured: what it measured: name and value.
        evidence: what it attached.
        diagnostics: what explains a failure: journals, console logs, rules, sockets.
    """

    id: str
    title: str
    outcome: Literal["passed", "failed", "skipped"]
    requirements: tuple[str, ...]
    started_at: str
    seconds: float
    message: str = ""
    details: str = ""
    measured: tuple[Part, ...] = ()
    evidence: tuple[Item, ...] = ()
    diagnostics: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """A requirement, and what may be said of it; tests by their ids.

    Tests of the life cycle that didn't run aren't in it.
    """

    id: str
    text: str
    verdict: Verdict
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    not_run: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """How the tests were run.

    Attributes:
        command: as it was typed.
        started_at: ISO 8601, UTC.
        seconds: the wall clock's, building included where something had to be built.
        workers: processes side by side; 1 without xdist.
        medicarche: this program's version, with the commit where it is known.
        not_run: tests that were there and left out (``-m``, ``-k``, a file named, cut short), lifecycle ones
            apart: ``./run lifecycle`` runs those on clouds of their own.
        lifecycle_not_run: how many of those.
        interrupted: the run was cut short.
        narrowed: only some of the files were asked for.
    """

    command: str
    started_at: str
    seconds: float
    workers: int
    medicarche: str
    not_run: tuple[str, ...] = ()
    lifecycle_not_run: int = 0
    interrupted: bool = False
    narrowed: bool = False

    @property
    def complete(self) -> bool:
        """Tell whether all tests ran, but for those of the life cycle."""
        return not (self.not_run or self.interrupted or self.narrowed)


@dataclass(frozen=True, slots=True)
class Report:
    """All of it.

    Attributes:
        version: of this form.
        language: ``fr`` or ``en``.
        organization: whose environment.
        environment: its name.
        environment_file: the file's name, and its SHA-256.
        run: how the tests were run.
        complete: all tests ran, but for those of the life cycle.
        cloud: what was under test; None where no test came as far as to reach it.
        requirements: all of them, in their order.
        tests: those that ran, in their order.
        exemptions: weaknesses that are known and accepted.
        undeployed: applications that are declared and weren't deployed.
    """

    language: Literal["fr", "en"]
    organization: str
    environment: str
    environment_file: Part
    run: Run
    complete: bool
    cloud: Cloud | None
    requirements: tuple[RequirementResult, ...]
    tests: tuple[Check, ...]
    exemptions: tuple[Exemption, ...] = ()
    undeployed: tuple[str, ...] = ()
    version: Literal[1] = VERSION

    @property
    def overall(self) -> Literal["failed", "incomplete", "accepted"]:
        """The verdict on all: ``accepted`` only where every requirement is proved, by a whole run."""
        verdicts = {result.verdict for result in self.requirements}
        if Verdict.FAILED in verdicts or any(test.outcome == "failed" for test in self.tests):
            return "failed"
        return "accepted" if self.complete and verdicts == {Verdict.PROVED} else "incomplete"

    def count(self, verdict: Verdict) -> int:
        """Return how many requirements have that verdict."""
        return sum(result.verdict == verdict for result in self.requirements)

    def as_json(self) -> str:
        """Return the documented form (docs/acceptance-report.md)."""
        return json.dumps(_adapter().dump_python(self, mode="json"), indent=1, ensure_ascii=False) + "\n"


@cache
def _adapter() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


def as_data(cloud: Cloud) -> dict[str, Any]:
    """Return a cloud's facts as plain data, which a process can hand to another one."""
    data: dict[str, Any] = TypeAdapter(Cloud).dump_python(cloud, mode="json")
    return data


def cloud_from(data: dict[str, Any]) -> Cloud:
    """Undo `as_data`."""
    return TypeAdapter(Cloud).validate_python(data)


def utc(seconds: float) -> str:
    """Return a time since the epoch as ISO 8601, UTC, to the second."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `Report.as_json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Acceptance report of Medicarche",
        **_adapter().json_schema(mode="serialization"),
    }


def results(
    texts: dict[str, str],
    tests: tuple[Check, ...],
    not_run: dict[str, tuple[str, ...]],
    not_deployed: frozenset[str],
) -> tuple[RequirementResult, ...]:
    """Return what may be said of each requirement.

    Args:
        texts: requirement → its text, in the order of the report.
        tests: those that ran.
        not_run: test that was left out → the requirements that it names; none of the life cycle.
        not_deployed: requirements about an application that isn't deployed.
    """
    outcomes = [Outcome(t.id, t.outcome, t.requirements) for t in tests]
    outcomes += [Outcome(test, "not run", ids) for test, ids in not_run.items()]
    seconds = {test.id: test.seconds for test in tests}
    return tuple(
        RequirementResult(
            id=s.id,
            text=texts[s.id],
            verdict=s.verdict,
            passed=s.passed,
            failed=s.failed,
            skipped=s.skipped,
            not_run=s.not_run,
            seconds=round(sum(seconds[test] for test in (*s.passed, *s.failed, *s.skipped)), 1),
        )
        for s in summarise(texts, outcomes, not_deployed)
    )
