"""The options that say which environment on which cloud, and the markers."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.options import Options

if TYPE_CHECKING:
    import pytest


__all__ = [
    "DIRECTORY",
    "KIND",
    "LIFECYCLE",
    "PEOPLE",
    "REQUIREMENT",
    "environment_file",
    "left_out",
    "options",
    "requirements_file",
]

#: names of markers
REQUIREMENT = "requirement"
KIND = "application_kind"
PEOPLE = "for_people"
DIRECTORY = "asks_directory"
LIFECYCLE = "lifecycle"
_LAST_PORT = 65_535


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that say which environment on which cloud."""
    group = parser.getgroup("medicarche", "Medicarche: the environment under test")
    group.addoption("--environment", metavar="FILE", type=Path, help="the environment file")
    group.addoption(
        "--cloud", metavar="NAME", help="an entry of clouds.yaml; default: OS_CLOUD, else embedded"
    )
    group.addoption("--admin-cloud", metavar="NAME", help="an entry with administrator's rights")
    group.addoption("--embedded-name", metavar="NAME", help="the embedded cloud's name")
    group.addoption(
        "--without",
        metavar="NAME",
        action="append",
        help="an application that isn't deployed, nor tested; default: MEDICARCHE_WITHOUT",
    )
    group.addoption(
        "--acceptance-report",
        metavar="FOLDER",
        type=Path,
        help="where the acceptance report is written (HTML, JSON, JUnit); default: reports/acceptance",
    )
    group.addoption(
        "--report-language", choices=("fr", "en"), default="fr", help="the report's language; default: fr"
    )
    group.addoption(
        "--requirements",
        metavar="FILE",
        type=Path,
        help="another company's list of requirements; default: MEDICARCHE_REQUIREMENTS, else Medicarche's",
    )
    group.addoption(
        "--as-is", action="store_true", help="test the environment as it is: build nothing, mend nothing"
    )
    group.addoption(
        "--tcp-ports",
        metavar="1-1024,8080",
        type=_port_ranges,
        default=((1, _LAST_PORT),),
        help="the TCP ports of the reachability matrix; default: all, and only that is the whole proof",
    )


def _port_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Read ``1-1024,8080``."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= _LAST_PORT:
            raise argparse.ArgumentTypeError(f"{part!r}: ports are 1 to {_LAST_PORT}, the lower one first")
        found.append((low, high))
    return tuple(sorted(found))


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", f"{REQUIREMENT}(*ids): the requirements that the test proves")
    config.addinivalue_line("markers", f"{LIFECYCLE}: starts, kills and purges clouds of its own; slow")
    # openstacksdk warns its own developers of its own code when a list of servers or rules is read
    config.addinivalue_line("filterwarnings", "ignore:The _compute_attributes method is deprecated")
    config.addinivalue_line("markers", "slow: not in CI, which has others of its kind")
    config.addinivalue_line("markers", "alone: changes the environment; no other test may run beside it")
    config.addinivalue_line(
        "markers",
        f"{KIND}(kind): runs once for each application of that kind; isn't there for none",
    )
    config.addinivalue_line(
        "markers", f"{PEOPLE}: runs for those applications only that people open in a browser"
    )
    config.addinivalue_line(
        "markers",
        f"{DIRECTORY}: with {KIND}: for those only that ask the directory; isn't there for none",
    )
    if config.getoption("--without"):
        # for `medicarche provision` too, which tests run as a user does
        os.environ["MEDICARCHE_WITHOUT"] = " ".join(config.getoption("--without"))


def environment_file(config: pytest.Config) -> Path:
    """Return the file of the environment under test."""
    given = config.getoption("--environment") or os.environ.get("MEDICARCHE_ENVIRONMENT")
    # the default belongs to the project, wherever pytest was started
    return Path(given) if given else config.rootpath / "environments" / "medicarche.yaml"


def requirements_file(config: pytest.Config) -> Path | None:
    """Return the file of the requirements; None for Medicarche's own."""
    given = config.getoption("--requirements") or os.environ.get("MEDICARCHE_REQUIREMENTS")
    return Path(given).absolute() if given else None


def options(config: pytest.Config) -> Options:
    """Return what the run's options and the process's environment say."""
    return Options(
        environment_file=environment_file(config),
        cloud=config.getoption("--cloud"),
        admin_cloud=config.getoption("--admin-cloud") or os.environ.get("MEDICARCHE_ADMIN_CLOUD"),
        embedded_name=config.getoption("--embedded-name"),
        without=left_out(),
    )


def left_out() -> tuple[str, ...]:
    """Return the names of the applications that aren't to be deployed."""
    return tuple(os.environ.get("MEDICARCHE_WITHOUT", "").split())
