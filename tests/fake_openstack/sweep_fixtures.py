"""pytest's side of the sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_openstack.server_fates import RARELY, WANTED
from fake_openstack.sweep import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rig", "several"]


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Return a fake cloud with foreign objects in it."""
    with Rig(tmp_path_factory.mktemp("rig")) as made:
        yield made


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Return another one, for an environment of several servers."""
    with Rig(tmp_path_factory.mktemp("several"), WANTED, poll_interval=RARELY) as made:
        yield made
