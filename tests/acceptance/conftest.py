"""What tests of several parts share, besides the plug-in's fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from medicarche import host_packages
from medicarche.embedded import namespace
from medicarche.progress import SilentReporter

if TYPE_CHECKING:
    from collections.abc import Callable


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
