"""Reading what became of a run of the acceptance suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.testing.suite import run_suite

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
    import pytest
    def pytest_addoption(parser):
        parser.addoption("--as-is", action="store_true")
        parser.addoption("--acceptance-report")
    @pytest.fixture
    def broken(): raise RuntimeError("no way in")
"""
TESTS = """
    import pytest
    def test_good(): pass
    @pytest.mark.parametrize("n", [1, 2])
    def test_bad(n): assert n == 1, f"{n} isn't 1"
    def test_skipped(): pytest.skip("nothing to see")
    def test_error(broken): pass
"""


def test_what_became_of_each_test(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile(test_x=TESTS)
    found = run_suite(["test_x.py"], tmp_path, directory=pytester.path, timeout=60)
    assert found.passed == ("test_good", "test_bad[1]")
    assert set(found.failed) == {"test_bad[2]", "test_error"}
    assert "2 isn't 1" in found.failed["test_bad[2]"]
    assert "no way in" in found.failed["test_error"]
    assert found.skipped == {"test_skipped": "nothing to see"}
    assert "2 failed" in found.output or "1 failed" in found.output


def test_a_run_that_could_not_do_its_work(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makeconftest(PLUGIN)
    with pytest.raises(AssertionError, match="not found"):
        run_suite(["nothing_there.py"], tmp_path, directory=pytester.path, timeout=60)
