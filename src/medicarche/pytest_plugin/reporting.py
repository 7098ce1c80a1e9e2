"""What is told of a run with acceptance tests: the requirements, and what was proved of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.pytest_plugin.options import REQUIREMENT, left_out

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the requirements, and what was proved of each, after a run with acceptance tests."""
    outcomes = _outcomes(terminalreporter)
    if not outcomes:
        return
    from medicarche.report import Outcome, Verdict, load_requirements, summarise  # noqa: PLC0415 - as above

    if left_out():
        terminalreporter.section("not deployed, by --without: not proved")
        terminalreporter.line(", ".join(left_out()))
    terminalreporter.section("requirements")
    known = load_requirements()
    found = [Outcome(test, outcome, ids) for test, (outcome, ids) in outcomes.items()]
    for summary in summarise(known, found):
        counts = (("passed", summary.passed), ("failed", summary.failed), ("skipped", summary.skipped))
        detail = ", ".join(f"{len(tests)} {word}" for word, tests in counts if tests) or "no test ran"
        colour = {Verdict.PROVED: "green", Verdict.FAILED: "red", Verdict.NOT_PROVED: "yellow"}
        terminalreporter.write(f"{summary.verdict.value:<11}", **{colour[summary.verdict]: True})
        terminalreporter.line(f"{summary.id:<9} {detail}")


def _outcomes(reporter: pytest.TerminalReporter) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return test → its outcome and requirements. A test that fails in its set-up or tear-down failed."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for category, outcome in (
        ("passed", "passed"),
        ("skipped", "skipped"),
        ("failed", "failed"),
        ("error", "failed"),
    ):
        for report in reporter.stats.get(category, []):
            ids = tuple(
                value for name, value in getattr(report, "user_properties", ()) if name == REQUIREMENT
            )
            if ids:
                found[report.nodeid] = (outcome, ids)
    return found
