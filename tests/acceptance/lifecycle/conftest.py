"""Clouds of the tests' own: they are started, killed and purged. Slow; needs root."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from medicarche.testing.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Sandbox]:
    """A cloud of this module's own, not started yet; purged at the end."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cloud needs root")
    folder: Path = tmp_path_factory.mktemp("cloud")
    name = "l" + hashlib.sha256(f"{folder}{request.module.__name__}".encode()).hexdigest()[:7]
    made = Sandbox(name, folder, pytestconfig.rootpath)
    yield made
    made.purge()
