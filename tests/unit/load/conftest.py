"""What the load tests' unit tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from small_server import Running, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """The small server."""
    with running() as found:
        yield found
