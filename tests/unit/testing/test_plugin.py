"""The pytest plug-in, by runs of pytest inside the test's own: a process each would import all again."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medicarche.report import load_requirements
from medicarche.spec import load_environment

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    pytester.makeconftest('pytest_plugins = ("medicarche.pytest_plugin",)')

    def write_and_run(*arguments: str, **files: str) -> pytest.RunResult:
        for name, content in files.items():
            path = pytester.path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content), encoding="utf-8")
        return pytester.runpytest_inprocess("--strict-markers", *arguments)

    return write_and_run


def test_a_run_without_acceptance_tests_imports_nothing_slow(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ("medicarche.pytest_plugin",)')
    pytester.makepyfile("""
        import sys
        def test_nothing():
            slow = {"openstack", "paramiko", "requests", "ruamel", "medicarche.target"}
            assert slow & set(sys.modules) == set()
        """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert "requirements" not in result.stdout.str()


def test_an_acceptance_test_must_name_a_requirement(run: Callable[..., pytest.RunResult]) -> None:
    result = run(tests__acceptance__test_x="def test_x(): pass", test_unit="def test_y(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*tests/acceptance/test_x.py::test_x: names no requirement*"])
    assert "test_y" not in result.stderr.str()


def test_whoever_builds_the_environment_must_name_a_requirement(
    run: Callable[..., pytest.RunResult],
) -> None:
    result = run(test_x="def test_x(outside): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_x: names no requirement*"])


def test_one_for_applications_of_a_kind_must_ask_for_one(run: Callable[..., pytest.RunResult]) -> None:
    # it has no parameter by which it could be told whether there is one: it was taken out without a word
    result = run(
        tests__acceptance__test_x="""
        import pytest
        pytestmark = pytest.mark.application_kind("odoo")
        @pytest.mark.requirement("CLOUD-1")
        def test_x(): pass
        """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_x: is for applications of a kind and asks for none*"])


def test_an_unknown_requirement_is_refused(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        tests__acceptance__test_x="""
        import pytest
        @pytest.mark.requirement("CLOUD-1", "CLOUD-99")
        def test_x(): pass
        """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*CLOUD-99: no such requirement*"])


ACCEPTANCE = """
    import pytest
    @pytest.mark.requirement("CLOUD-1", "CLOUD-2")
    def test_good(): pass
    @pytest.mark.requirement("CLOUD-2")
    def test_bad(): assert 1 == 2
    @pytest.mark.requirement("CLOUD-3")
    def test_skipped(): pytest.skip("nothing to see")
    @pytest.fixture
    def broken(): raise RuntimeError("no fixture")
    @pytest.mark.requirement("CLOUD-4")
    def test_error(broken): pass
"""


@pytest.mark.parametrize(("file", "tests"), [("example-supervision", 0), ("example-directory", 1)])
def test_a_test_of_who_asks_the_directory_isnt_there_where_nobody_does(
    run: Callable[..., pytest.RunResult], file: str, tests: int
) -> None:
    """A skipped one would leave the requirement of its application's kind unproved."""
    environment = Path(__file__).parents[3] / "environments" / f"{file}.yaml"
    result = run(
        f"--environment={environment}",
        test_x="""
        import pytest
        @pytest.mark.requirement("DIR-2")
        @pytest.mark.application_kind("syncthing")
        @pytest.mark.asks_directory
        def test_people(application_name): assert application_name == "syncthing"
        """,
    )
    result.assert_outcomes(passed=tests, deselected=1 - tests)


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["one process", "xdist"])
def test_each_requirement_is_listed_with_its_verdict(
    run: Callable[..., pytest.RunResult], workers: tuple[str, ...]
) -> None:
    result = run(*workers, tests__acceptance__test_x=ACCEPTANCE)
    result.stdout.fnmatch_lines(
        [
            "proved       CLOUD-1   1 passed",
            "failed       CLOUD-2   1 passed, 1 failed",
            "not proved   CLOUD-3   1 skipped",
            "failed       CLOUD-4   1 failed",
            "not proved   CLOUD-5   no test ran",
        ]
    )


def test_an_application_proves_the_requirement_of_its_kind_and_of_no_other(
    run: Callable[..., pytest.RunResult],
) -> None:
    environment = Path(__file__).parents[3] / "environments" / "medicarche.yaml"
    result = run(
        f"--environment={environment}",
        tests__acceptance__test_x="""
        import pytest
        pytestmark = pytest.mark.requirement("CLOUD-7")
        def test_each(application_name): pass
        """,
    )
    declared = {a.kind for a in load_environment(environment).applications if a.deployed}
    assert "wordpress" in declared
    lines = result.stdout.lines
    for requirement in load_requirements().values():
        if requirement.application_kind is not None:
            verdict = "1 passed" if requirement.application_kind in declared else "no test ran"
            assert any(requirement.id in line and line.endswith(verdict) for line in lines), requirement.id


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["one process", "xdist"])
def test_what_isnt_deployed_is_shown_and_doubts_no_other_requirement(
    run: Callable[..., pytest.RunResult], workers: tuple[str, ...]
) -> None:
    environment = Path(__file__).parents[3] / "environments" / "medicarche.yaml"
    people = load_environment(environment).for_people
    assert "nextcloud" in {application.name for application in people}
    result = run(
        f"--environment={environment}",
        "--without=nextcloud",
        *workers,
        test_x="""
        import pytest
        pytestmark = pytest.mark.requirement("CLOUD-7")
        def test_each(application_name): assert application_name != "nextcloud"
        """,
    )
    result.stdout.fnmatch_lines(
        [
            "*not deployed: not proved*",
            "nextcloud",
            f"proved       CLOUD-7   {len(people) - 1} passed",
            "proved       APP-1     1 passed",
            "not deployed APP-2     1 skipped",
        ]
    )


def test_the_requirements_are_in_the_junit_file(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run("--junit-xml=report.xml", tests__acceptance__test_x=ACCEPTANCE)
    report = (pytester.path / "report.xml").read_text(encoding="utf-8")
    assert '<property name="requirement" value="CLOUD-3"' in report


def test_a_wrong_environment_file_is_one_message(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        "--environment=missing.yaml",
        test_x="""
        import pytest
        @pytest.mark.requirement("CLOUD-6")
        def test_x(instance): pass
        """,
    )
    assert result.ret != 0
    output = result.stdout.str() + result.stderr.str()
    assert "missing.yaml" in output
    assert "Traceback" not in output


TURNS = """
    import os, time
    import pytest
    pytestmark = pytest.mark.requirement("CLOUD-1")
    @pytest.fixture(scope="session")
    def provisioned(): return None
    @pytest.fixture
    def noted(request):
        began = time.monotonic()
        time.sleep(0.1)
        yield
        kind = "alone" if request.node.get_closest_marker("alone") else "beside"
        with open("turns", "a") as stream:
            stream.write(f"{kind} {began} {time.monotonic()} {os.getpid()}\\n")
    @pytest.mark.alone
    @pytest.mark.parametrize("n", range(3))
    def test_alone(provisioned, noted, n): pass
    @pytest.mark.parametrize("n", range(9))
    def test_beside(provisioned, noted, n): pass
"""


def test_who_changes_the_environment_is_alone_and_last(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run("-p", "xdist.plugin", "-n", "3", test_x=TURNS).assert_outcomes(passed=12)
    lines = [line.split() for line in (pytester.path / "turns").read_text(encoding="utf-8").splitlines()]
    turns = [(kind, float(began), float(ended)) for kind, began, ended, _ in lines]
    assert len({worker for *_, worker in lines}) > 1, "one worker did it all: this proves nothing"

    def overlaps(kind: str) -> bool:
        return any(
            one is not other and one[1] < other[2] and other[1] < one[2]
            for one in turns
            for other in turns
            if one[0] == kind
        )

    assert overlaps("beside")
    assert not overlaps("alone")
    # in one process, where the order is the order of the collection
    (pytester.path / "turns").unlink()
    run(test_x=TURNS).assert_outcomes(passed=12)
    kinds = [line.split()[0] for line in (pytester.path / "turns").read_text(encoding="utf-8").splitlines()]
    assert kinds == ["beside"] * 9 + ["alone"] * 3


@pytest.mark.parametrize(
    ("given", "ranges"),
    [("22", ((22, 22),)), ("8000-9000,80", ((80, 80), (8000, 9000)))],
)
def test_ranges_of_ports(
    given: str, ranges: tuple[tuple[int, int], ...], run: Callable[..., pytest.RunResult]
) -> None:
    test = f"""
        def test_x(tcp_ports): assert tcp_ports == {ranges!r}
        """
    run(f"--tcp-ports={given}", test_x=test).assert_outcomes(passed=1)


@pytest.mark.parametrize("given", ["0", "70000", "9-8", "ssh"])
def test_ranges_that_are_none(given: str, run: Callable[..., pytest.RunResult]) -> None:
    result = run(f"--tcp-ports={given}", test_x="def test_x(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--tcp-ports*"])
