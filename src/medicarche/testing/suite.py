"""The acceptance suite run by a test, as its user runs it: what it is worth is what it goes red for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from medicarche.embedded import namespace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Verdicts", "run_suite"]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of the tests of a run.

    Attributes:
        passed: names of tests, with their parameters, without their file.
        failed: name → what was said; tests that failed in their set-up too.
        skipped: name → why.
        output: all that pytest said.
    """

    passed: tuple[str, ...]
    failed: Mapping[str, str]
    skipped: Mapping[str, str]
    output: str


def run_suite(arguments: Sequence[str], folder: Path, *, directory: Path, timeout: float = 900) -> Verdicts:
    """Run tests of the environment as it is, in a process of its own, and read what became of them.

    Args:
        arguments: of pytest: tests and options.
        folder: for its report.
        directory: the project's.
        timeout: seconds.

    Raises:
        AssertionError: pytest itself failed; with what it said.
    """
    report = folder / "junit.xml"
    report.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "pytest", "--as-is", "-q", "--no-header", "-p", "no:cacheprovider"),
        *(f"--junit-xml={report}", f"--acceptance-report={folder / 'report'}", *arguments),
    ]
    done = subprocess.run(
        namespace.outside_command(command),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    # 0: all passed, 1: some failed; others: it couldn't do its work
    assert done.returncode in {0, 1}, done.stdout + done.stderr  # noqa: S101 - for tests
    return _read(report, done.stdout)


def _read(report: Path, output: str) -> Verdicts:
    passed, failed, skipped = [], {}, {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        name = str(case.get("name"))
        said = [child for kind in ("failure", "error") for child in case.findall(kind)]
        skip = case.find("skipped")
        if said:
            failed[name] = "\n".join(f"{child.get('message')}\n{child.text}" for child in said)
        elif skip is not None:
            skipped[name] = str(skip.get("message"))
        else:
            passed.append(name)
    return Verdicts(tuple(passed), failed, skipped, output)
