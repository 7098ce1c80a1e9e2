"""Tests that change the environment take turns with those beside them: one by one, or a module at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONFTEST = """
    import os, pytest
    pytest_plugins = ("medicarche.pytest_plugin",)

    @pytest.fixture(scope="session")
    def provisioned(): pass

    @pytest.fixture
    def say(pytestconfig):
        def write(what):
            with (pytestconfig.rootpath / "said").open("a") as stream:
                stream.write(f"{os.getpid()} {what}\\n")
        return write
"""
TOGETHER = """
    import contextlib, pytest
    pytestmark = [pytest.mark.requirement("CLOUD-1"), pytest.mark.alone]

    @pytest.fixture
    def change(module_turn, provisioned, say):
        @contextlib.contextmanager
        def changed():
            say("changed")
            yield object()
            say("put back")
        return module_turn.once("change", changed)

    SEEN = set()

    @pytest.mark.parametrize("number", range(4))
    def test_changes(change, say, number):
        SEEN.add(change)
        assert len(SEEN) == 1
        say("in it")
        assert number != 1

    def test_needs_no_change(provisioned, say): say("alone")
"""
OTHERS = """
    import pytest
    pytestmark = pytest.mark.requirement("CLOUD-1")

    @pytest.mark.parametrize("number", range(6))
    def test_looks(provisioned, say, number): say("looked")

    @pytest.mark.alone
    @pytest.mark.parametrize("number", range(4))
    def test_alone(provisioned, say, number): say("alone")
"""


@pytest.mark.parametrize(
    "workers",
    [(), ("-p", "xdist.plugin", "-n", "2", "--maxschedchunk=1")],
    ids=["one process", "xdist"],
)
def test_a_modules_change_is_made_once_and_no_other_test_sees_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # ours, not the one of the run in it
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a_together=TOGETHER, test_b_others=OTHERS)
    result = pytester.runpytest_inprocess("--strict-markers", *workers)
    # one that fails doesn't have the others make it again
    result.assert_outcomes(passed=14, failed=1)
    turns = _turns(pytester.path / "said")
    assert 1 <= len(turns) <= (2 if workers else 1)
    assert sum(turn.count("in it") for turn in turns) == 4


def _turns(file: Path) -> list[list[str]]:
    """Return what was said from each change to its end; by its process alone, and all of that is in one."""
    found: list[list[str]] = []
    holder = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        process, _, what = line.partition(" ")
        if what == "changed":
            assert not holder
            holder = process
            found.append([])
        elif holder:
            assert process == holder, f"{what} beside the change"
            found[-1].append(what)
            holder = "" if what == "put back" else holder
        else:
            assert what in {"looked", "alone"}
    assert not holder
    return found
