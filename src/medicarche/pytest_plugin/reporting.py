"""What is told of a run with acceptance tests: on the terminal, and as the acceptance report."""

from __future__ import annotations

import hashlib
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.pytest_plugin.collection import is_about_nothing
from medicarche.pytest_plugin.fixtures import BUILT, SHARED
from medicarche.pytest_plugin.options import (
    LIFECYCLE,
    REQUIREMENT,
    environment_file,
    left_out,
    requirements_file,
)
from medicarche.pytest_plugin.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from medicarche.report.model import Report
    from medicarche.spec.environment import Environment

_RECORDER = pytest.StashKey[Recorder]()
_DESELECTED = pytest.StashKey[list[pytest.Item]]()
_BEGAN = pytest.StashKey[float]()
#: what a worker says to the process that writes the report
_TOLD = "medicarche"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin to record, in the process that writes the report; let pytest write its JUnit file beside it."""
    config.stash[_DESELECTED] = []
    config.stash[_BEGAN] = time.time()
    if hasattr(config, "workerinput"):
        return
    recorder = Recorder()
    config.stash[_RECORDER] = recorder
    config.pluginmanager.register(recorder, "medicarche-recorder")
    acceptance = config.getoption("--acceptance-report") or any("acceptance" in a for a in config.args)
    if acceptance and not getattr(config.option, "xmlpath", None):
        config.option.xmlpath = str(_folder(config) / "junit.xml")


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember the tests that a partial run leaves out."""
    for item in items:
        if not is_about_nothing(item):
            item.config.stash[_DESELECTED].append(item)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell what this process has collected, and the cloud that it was on."""
    config = session.config
    if getattr(config.option, "collectonly", False) or not hasattr(session, "items"):
        return
    told = _telling(session)
    if hasattr(config, "workerinput"):
        config.workeroutput[_TOLD] = told  # type: ignore[attr-defined] # xdist's
    elif told["collected"]:
        config.stash[_RECORDER].told.append(told)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - xdist ships no types
    """Take what a worker of xdist's tells at its end."""
    told = getattr(node, "workeroutput", {}).get(_TOLD)
    if told:
        node.config.stash[_RECORDER].told.append(told)


def _telling(session: pytest.Session) -> dict[str, Any]:
    config = session.config
    everything = [*session.items, *config.stash[_DESELECTED]]
    collected = {item.nodeid: _requirements(item) for item in everything if _requirements(item)}
    told: dict[str, Any] = {
        "collected": collected,
        "lifecycle": [item.nodeid for item in everything if item.get_closest_marker(LIFECYCLE)],
        "cloud": None,
        "undeployed": [],
    }
    built, folder = config.stash.get(BUILT, None), config.stash.get(SHARED, None)
    if built is not None and folder is not None:
        from medicarche.deploying import left_out as not_deployed  # noqa: PLC0415 - where it is needed
        from medicarche.report.model import as_data  # noqa: PLC0415 - likewise
        from medicarche.testing.facts import cloud_of  # noqa: PLC0415 - likewise
        from medicarche.testing.shared import once  # noqa: PLC0415 - likewise

        told["cloud"] = once(folder, "cloud", lambda: as_data(cloud_of(built)))
        told["undeployed"] = sorted(not_deployed(built.selection))
    return told


def _requirements(item: pytest.Item) -> list[str]:
    return list(dict.fromkeys(str(i) for marker in item.iter_markers(REQUIREMENT) for i in marker.args))


# --- at the end --------------------------------------------------------------------------------------------


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """List the requirements, and what was proved of each; write the report, and say where it is."""
    recorder = config.stash.get(_RECORDER, None)
    if recorder is None or not recorder.records:
        return
    from medicarche.report import Verdict, write  # noqa: PLC0415 - only where it is needed

    report = _report(config, recorder, interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
    if report.undeployed:
        terminalreporter.section("not deployed: not proved")
        terminalreporter.line(", ".join(report.undeployed))
    terminalreporter.section("requirements")
    colours = {
        Verdict.PROVED: "green",
        Verdict.FAILED: "red",
        Verdict.NOT_PROVED: "yellow",
        Verdict.NOT_DEPLOYED: "yellow",
    }
    for result in report.requirements:
        counts = (
            ("passed", result.passed),
            ("failed", result.failed),
            ("skipped", result.skipped),
            ("not run", result.not_run),
        )
        detail = ", ".join(f"{len(tests)} {word}" for word, tests in counts if tests) or "no test ran"
        terminalreporter.write(f"{result.verdict.value:<13}", **{colours[result.verdict]: True})
        terminalreporter.line(f"{result.id:<9} {detail}")
    written = write(report, _folder(config))
    terminalreporter.line(f"acceptance report: {written}")


def _report(config: pytest.Config, recorder: Recorder, *, interrupted: bool) -> Report:
    from medicarche import report as room  # noqa: PLC0415 - only where a report is written
    from medicarche.report import model  # noqa: PLC0415 - likewise
    from medicarche.testing.facts import own_version  # noqa: PLC0415 - likewise

    language = config.getoption("--report-language")
    requirements = room.load_requirements(requirements_file(config))
    titles = room.Titles(config.rootpath, language)
    tests = tuple(r.as_test(nodeid, titles.of(nodeid)) for nodeid, r in recorder.records.items())
    collected: dict[str, Sequence[str]] = {}
    lifecycle: set[str] = set()
    for told in recorder.told:
        collected |= told["collected"]
        lifecycle |= set(told["lifecycle"])
    absent = {t: tuple(ids) for t, ids in collected.items() if t not in recorder.records}
    # tests of the life cycle run apart, on clouds of their own: they are counted, and leave nothing in doubt
    not_run = {test: ids for test, ids in absent.items() if test not in lifecycle}
    clouds = [told["cloud"] for told in recorder.told if told["cloud"]]
    undeployed = sorted({name for told in recorder.told for name in told["undeployed"]} | {*left_out()})
    file = environment_file(config)
    environment = _environment(file)
    deployed = environment.applications if environment is not None else ()
    kinds = {a.kind for a in deployed if a.deployed and a.name not in undeployed}
    run = model.Run(
        command=shlex.join(["pytest", *map(str, config.invocation_params.args)]),
        started_at=model.utc(config.stash[_BEGAN]),
        seconds=round(time.time() - config.stash[_BEGAN], 1),
        workers=max(len(recorder.told), 1),
        medicarche=own_version(config.rootpath),
        not_run=tuple(not_run),
        lifecycle_not_run=len(absent) - len(not_run),
        interrupted=interrupted,
        narrowed=_narrowed(config.args),
    )
    return model.Report(
        language=language,
        organization=environment.organization if environment is not None else "",
        environment=environment.name if environment is not None else "",
        environment_file=model.Part(file.name, _digest(file)),
        run=run,
        complete=run.complete,
        cloud=model.cloud_from(clouds[0]) if clouds else None,
        requirements=model.results(
            {r.id: r.text(language) for r in requirements.values()},
            tests,
            not_run,
            frozenset(
                r.id
                for r in requirements.values()
                if environment is not None and r.needs not in {None, *kinds}
            ),
        ),
        tests=tests,
        exemptions=tuple(
            model.Exemption(
                check=accepted.check,
                scope=accepted.scope,
                reason=accepted.reason[language],
                owner=accepted.owner[language],
                review=accepted.review.isoformat(),
            )
            for accepted in room.load_exemptions(room.exemptions_of(file))
        ),
        undeployed=tuple(undeployed),
    )


def _environment(file: Path) -> Environment | None:
    """Return what is declared; a report is written of a run that ended because the file is wrong, too."""
    from medicarche.deploy import traits  # noqa: PLC0415 - only where a report is written
    from medicarche.errors import SpecificationError  # noqa: PLC0415 - likewise
    from medicarche.spec import load_environment  # noqa: PLC0415 - likewise

    try:
        return load_environment(file, traits=traits)
    except SpecificationError:
        return None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _narrowed(arguments: Iterable[str]) -> bool:
    """Tell whether single files or tests were asked for, and not a folder of them."""
    return any("::" in argument or Path(argument).suffix == ".py" for argument in arguments)


def _folder(config: pytest.Config) -> Path:
    given = config.getoption("--acceptance-report") or os.environ.get("MEDICARCHE_REPORT")
    return Path(given).absolute() if given else config.rootpath / "reports" / "acceptance"
