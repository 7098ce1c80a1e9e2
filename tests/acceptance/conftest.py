"""What tests of several parts share, besides the plug-in's fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from medicarche import host_packages
from medicarche.embedded import namespace
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from medicarche.spec.environment import Environment
    from medicarche.testing.built import Built


@pytest.fixture(scope="session")
def host_has(
    shared: Callable[[str, Callable[[], Any]], Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, ...]], None]:
    """Install packages that this machine lacks and a test needs; one process does, the others wait."""

    def ensure(packages: tuple[str, ...]) -> None:
        if not packages:
            return
        log = tmp_path_factory.mktemp("apt") / "apt.log"

        def install() -> bool:
            with namespace.outside():  # packages come over this machine's own network
                host_packages.ensure(packages, SilentReporter(), log=log)
            return True

        shared(f"host has {' '.join(packages)}", install)

    return ensure


@pytest.fixture(scope="session")
def dashboard(provisioned: Built) -> str:
    """The dashboard's address on this machine, without the last slash."""
    embedded = provisioned.selection.embedded
    if embedded is None:
        pytest.skip("a configured cloud's dashboard isn't ours to find")
    address = embedded.status().dashboard
    assert address, "no port of this machine leads to the dashboard"
    return address.rstrip("/")


@pytest.fixture
def changed_file(environment: Environment, tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Write the environment file elsewhere, changed; the files that it names stay where they are."""
    source = environment.source

    def write(change: Callable[[Any], None]) -> Path:
        yaml = YAML()
        content = yaml.load(source.read_text(encoding="utf-8"))
        for part, key in _files_named(content):
            part[key] = str((source.parent / part[key]).resolve())
        change(content)
        changed = tmp_path / source.name
        with changed.open("w", encoding="utf-8") as stream:
            yaml.dump(content, stream)
        return changed

    return write


def _files_named(content: Any) -> list[tuple[Any, str]]:  # noqa: ANN401 - YAML
    """Return where an environment file names files, whose paths begin at its own folder."""
    settings = [a.get("settings", {}) for a in content["applications"].values()]
    found = [(s, "archive") for s in settings if "://" not in s.get("archive", "://")]
    certificates = [i.get("certificate", {}) for i in content["instances"].values()]
    found += [(c, key) for c in certificates for key in c]
    if "people" in content.get("directory", {}):
        found.append((content["directory"], "people"))
    return found
