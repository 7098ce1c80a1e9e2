"""Evidence travels with a test's report, and no secret does; by runs of pytest inside the test's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONFTEST = """
    import json, os
    import pytest
    from types import SimpleNamespace
    pytest_plugins = ("medicarche.pytest_plugin",)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(report):
        found = getattr(report, "medicarche_evidence", None)
        if found is not None and "PYTEST_XDIST_WORKER" not in os.environ:
            with open("seen.jsonl", "a") as stream:
                stream.write(json.dumps([report.nodeid, report.when, found]) + "\\n")

    @pytest.fixture
    def provisioned(pytestconfig):
        from pathlib import Path
        from medicarche.credentials import Credentials
        from medicarche.pytest_plugin.fixtures import BUILT
        folder = pytestconfig.rootpath / "environment"
        secret = Credentials(folder).get_or_create("website/administrator")
        selection = SimpleNamespace(folder=folder, embedded=None)
        pytestconfig.stash[BUILT] = SimpleNamespace(
            selection=selection, instances=(),
            connections=SimpleNamespace(member=SimpleNamespace(sdk=None)))
        return secret
"""
TESTS = """
    import pytest
    pytestmark = pytest.mark.requirement("CLOUD-7")
    def test_shows(provisioned, evidence):
        evidence.table("ports", ["port", "state"], [[22, "open"]])
        evidence.command("login", f"login {provisioned}", f"welcome {provisioned}")
    def test_fails(provisioned, evidence, record_property):
        print(f"captured {provisioned}")
        record_property("seconds", 1.5)
        evidence.text("before", "it went" + " wrong")
        assert provisioned == ""
    @pytest.fixture
    def late(evidence):
        yield
        evidence.text("afterwards", "cleaned up")
    def test_tears_down(provisioned, late): pass
"""


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["one process", "xdist"])
def test_evidence_travels_and_secrets_dont(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # ours, not the one of the run in it
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\njunit_family = xunit1\n")  # as the project's: with room for properties
    pytester.makepyfile(test_x=TESTS)
    result = pytester.runpytest_inprocess("--strict-markers", "--junit-xml=junit.xml", "-rA", *workers)
    result.assert_outcomes(passed=2, failed=1)
    seen = _seen(pytester.path / "seen.jsonl")
    assert [(when, [item["title"] for item in items]) for when, items in seen["test_shows"]] == [
        ("call", ["ports", "login"])
    ]
    assert [(when, [item["title"] for item in items]) for when, items in seen["test_tears_down"]] == [
        ("teardown", ["afterwards"])
    ]
    assert seen["test_fails"][0][1][0]["text"] == "it went wrong"
    (secret,) = json.loads(
        (pytester.path / "environment/credentials.json").read_text(encoding="utf-8")
    ).values()
    junit = (pytester.path / "junit.xml").read_text(encoding="utf-8")
    told = result.stdout.str() + junit + (pytester.path / "seen.jsonl").read_text(encoding="utf-8")
    assert "captured ********" in told
    assert "welcome ********" in told
    assert "assert '********...********' == ''" in told
    assert not [1 for n in range(len(secret) - 8) if secret[n : n + 9] in told]
    # in the JUnit file are the properties that a test records, and no evidence
    assert '<property name="seconds" value="1.5"' in junit
    assert "it went wrong" not in junit
    # a failure says more than the test did
    assert "medicarche: security-group rules of the project" in result.stdout.str()


def _seen(path: Path) -> dict[str, list[tuple[str, list[dict[str, str]]]]]:
    found: dict[str, list[tuple[str, list[dict[str, str]]]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        test, when, items = json.loads(line)
        found.setdefault(test.rpartition("::")[2], []).append((when, items))
    return found
