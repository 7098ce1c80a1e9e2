"""pytest's side of the sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_openstack.sweep import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rig"]


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Return a fake cloud with foreign objects in it."""
    with Rig(tmp_path_factory.mktemp("rig")) as made:
        yield made
