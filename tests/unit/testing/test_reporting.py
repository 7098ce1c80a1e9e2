"""The acceptance report that a run writes, by runs of pytest inside the test's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
    import pytest
    @pytest.mark.requirement("CLOUD-1", "CLOUD-2")
    def test_good(): pass
    @pytest.mark.requirement("CLOUD-2")
    def test_bad(evidence, record_property):
        evidence.text("seen", "something")
        record_property("tries", 3)
        assert 1 == 2, "not the same"
    @pytest.mark.requirement("CLOUD-3")
    def test_skipped(): pytest.skip("nothing to see")
    @pytest.mark.requirement("CLOUD-4")
    @pytest.mark.xfail(reason="known")
    def test_expected_to_fail(): assert 0
    @pytest.mark.requirement("CLOUD-1")
    @pytest.mark.lifecycle
    def test_kill(): pass
"""
REQUIREMENTS = "".join(f"CLOUD-{n}: {{en: 'Wish {n}.', fr: 'Souhait {n}.'}}\n" for n in range(1, 5))


def _run(pytester: pytest.Pytester, *arguments: str) -> tuple[pytest.RunResult, Path]:
    pytester.makeconftest('pytest_plugins = ("medicarche.pytest_plugin",)')
    pytester.makeini("[pytest]\njunit_family = xunit1\n")  # as the project's: with room for properties
    folder = pytester.path / "tests" / "acceptance"
    folder.mkdir(parents=True, exist_ok=True)
    pytester.makepyfile(**{"tests/acceptance/test_x": TESTS})
    (pytester.path / "wishes.yaml").write_text(REQUIREMENTS, encoding="utf-8")
    result = pytester.runpytest_inprocess("--requirements=wishes.yaml", *arguments, "tests/acceptance")
    return result, pytester.path / "reports" / "acceptance"


def _read(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["one process", "xdist"])
def test_a_run_writes_its_report(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result, folder = _run(pytester, "-m", "not lifecycle", *workers)
    result.stdout.fnmatch_lines([f"acceptance report: {folder}/report.html"])
    report = _read(folder)
    assert {r["id"]: r["verdict"] for r in report["requirements"]} == {
        "CLOUD-1": "proved",
        "CLOUD-2": "failed",
        "CLOUD-3": "not proved",
        "CLOUD-4": "not proved",
    }
    assert [r["text"] for r in report["requirements"]] == [f"Souhait {n}." for n in range(1, 5)]
    tests = {test["id"].rpartition("::")[2]: test for test in report["tests"]}
    assert tests["test_bad"]["message"] == "AssertionError: not the same"
    assert tests["test_bad"]["evidence"][0]["text"] == "something"
    assert tests["test_bad"]["measured"] == [{"name": "tries", "value": "3"}]
    assert tests["test_skipped"]["message"] == "nothing to see"
    assert tests["test_expected_to_fail"]["outcome"] == "skipped"
    # the life cycle's own run apart, and make no run a partial one
    assert (report["complete"], report["run"]["lifecycle_not_run"]) == (True, 1)
    assert report["cloud"] is None
    assert '<property name="requirement" value="CLOUD-3"' in (folder / "junit.xml").read_text(
        encoding="utf-8"
    )
    assert "Procès-verbal de recette" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["one process", "xdist"])
def test_a_partial_run_is_told(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    chosen = ("-k", "good", "--acceptance-report=elsewhere", "--report-language=en")
    _run(pytester, *chosen, *workers)
    report = _read(pytester.path / "elsewhere")
    assert (report["complete"], report["language"]) == (False, "en")
    assert len(report["run"]["not_run"]) == 3
    assert report["run"]["lifecycle_not_run"] == 1
    # CLOUD-1's only other test is of the life cycle; CLOUD-2's other one would have failed
    assert [len(r["not_run"]) for r in report["requirements"]] == [0, 1, 1, 1]
    assert [r["verdict"] for r in report["requirements"]] == [
        "proved",
        "not proved",
        "not proved",
        "not proved",
    ]
    assert not (pytester.path / "reports").exists()
    page = (pytester.path / "elsewhere" / "report.html").read_text(encoding="utf-8")
    assert "Partial run" in page
    assert (pytester.path / "elsewhere" / "junit.xml").exists()


def test_single_files_and_a_run_that_was_cut_short_are_partial(pytester: pytest.Pytester) -> None:
    _, folder = _run(pytester, "-m", "not lifecycle", "tests/acceptance/test_x.py")
    assert _read(folder)["run"]["narrowed"] is True
    _, folder = _run(pytester, "-m", "not lifecycle", "--maxfail=1")
    report = _read(folder)
    assert report["complete"] is False
    assert {test.rpartition("::")[2] for test in report["run"]["not_run"]} == {
        "test_skipped",
        "test_expected_to_fail",
    }


def test_a_list_of_requirements_that_is_wrong_is_one_message(pytester: pytest.Pytester) -> None:
    result, _ = _run(pytester, "--requirements=missing.yaml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*missing.yaml*No such file*"])
    assert "Traceback" not in result.stderr.str()
