"""What became of each test, collected from the reports that pytest hands over, whatever process ran them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from medicarche.pytest_plugin.attachments import ATTRIBUTE, SECTION
from medicarche.pytest_plugin.options import REQUIREMENT

if TYPE_CHECKING:
    import pytest

    from medicarche.report.model import Check

__all__ = ["Record", "Recorder"]


@dataclass(slots=True)
class Record:
    """One test as far as it is known."""

    requirements: tuple[str, ...]
    started: float
    seconds: float = 0.0
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    message: str = ""
    details: str = ""
    measured: list[tuple[str, str]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    diagnostics: list[tuple[str, str]] = field(default_factory=list)

    def as_test(self, nodeid: str, title: str) -> Check:
        """Return it as the report has it."""
        from medicarche.report import Item, shorten  # noqa: PLC0415 - only where a report is written
        from medicarche.report.model import Check, Part, utc  # noqa: PLC0415 - likewise

        return Check(
            id=nodeid,
            title=title,
            outcome=self.outcome,
            requirements=self.requirements,
            started_at=utc(self.started),
            seconds=round(self.seconds, 2),
            message=self.message,
            details=shorten(self.details),
            measured=tuple(Part(name, value) for name, value in self.measured),
            evidence=tuple(Item.from_data(data) for data in self.evidence),
            diagnostics=tuple(Item("text", title, text) for title, text in self.diagnostics),
        )


class Recorder:
    """Takes each test that names a requirement. A test that fails in its set-up or tear-down failed."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        #: what the processes that ran tests say at their end: collected, cloud
        self.told: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a phase of a test."""
        ids = tuple(str(value) for name, value in report.user_properties if name == REQUIREMENT)
        if not ids:
            return
        record = self.records.setdefault(report.nodeid, Record(ids, report.start))
        record.seconds += report.duration
        record.measured = [(n, str(value)) for n, value in report.user_properties if n != REQUIREMENT]
        record.evidence += getattr(report, ATTRIBUTE, [])
        if report.failed:
            record.outcome = "failed"
            record.message = record.message or _first_line(report)
            record.details = "\n".join(part for part in (record.details, report.longreprtext) if part)
            record.diagnostics += [
                (title.removeprefix(SECTION), text)
                for title, text in report.sections
                if title not in {known for known, _ in record.diagnostics}
            ]
        elif report.skipped and record.outcome != "failed":
            # expected to fail, and failed: that proves nothing either
            record.outcome = "skipped"
            record.message = getattr(report, "wasxfail", "") or _reason(report)


def _first_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(getattr(crash, "message", "") or report.longreprtext)
    return text.strip().partition("\n")[0]


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext.strip()
