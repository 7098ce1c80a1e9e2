"""What travels with a test's report: the evidence that it attached, and what explains its failure.

Every report is masked before it leaves the test's process: no generated secret reaches the terminal, the
JUnit file or the acceptance report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from medicarche.pytest_plugin.fixtures import BUILT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from medicarche.converge import InstanceState
    from medicarche.report import Evidence
    from medicarche.testing.built import Built

#: the reports' attribute; pytest carries such attributes from xdist's workers, as long as they are plain data
ATTRIBUTE = "medicarche_evidence"
#: how the titles of what is put beside a failed test begin
SECTION = "medicarche: "
_ATTACHED = pytest.StashKey[list[dict[str, Any]]]()
#: all secrets that were ever valid during the run: some are renewed by a test
_SECRETS = pytest.StashKey[set[str]]()


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Attach evidence to the test: ``text``, ``table``, ``svg``, ``command``; shown in the report."""
    from medicarche.report import Evidence as Attachments  # noqa: PLC0415 - only where it is needed

    attached = request.node.stash.setdefault(_ATTACHED, [])
    return Attachments(lambda item: attached.append(item.as_data()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add evidence, and what explains a failure: journals, sockets, rules. Mask it all."""
    report = cast("pytest.TestReport", (yield))
    # each phase hands over what came since the last one
    attached = item.stash.get(_ATTACHED, [])
    if attached:
        setattr(report, ATTRIBUTE, [*attached])
        attached.clear()
    built = item.config.stash.get(BUILT, None)
    if built is None:
        return report  # type: ignore[return-value] # a wrapper hook returns the result (pluggy)
    if report.failed and report.when == "call":
        arguments: Mapping[str, object] = getattr(item, "funcargs", {})
        from medicarche.testing.evidence import gather  # noqa: PLC0415 - only where it is needed

        concerned = _concerned(arguments, built)
        report.sections += [(f"{SECTION}{title}", text) for title, text in gather(built, concerned)]
    return _masked(item.config, report, built)  # type: ignore[return-value] # as above


def _masked(config: pytest.Config, report: pytest.TestReport, built: Built) -> pytest.TestReport:
    """Return the report without any secret: as data, as xdist would send it, and back."""
    from medicarche.testing.masking import masked, secrets_of  # noqa: PLC0415 - only where it is needed

    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    secrets = config.stash.setdefault(_SECRETS, set())
    secrets |= secrets_of(built.selection)
    clean = masked(data, secrets)
    return cast("pytest.TestReport", config.hook.pytest_report_from_serializable(config=config, data=clean))


def _concerned(arguments: Mapping[str, object], built: Built) -> tuple[InstanceState, ...]:
    """Return the instances that a failed test was about; all of a small environment where it doesn't say."""
    names = {
        getattr(arguments.get("instance"), "name", None),
        getattr(arguments.get("application"), "instance", None),
    }
    return tuple(i for i in built.instances if i.name in names) or built.instances[:3]
