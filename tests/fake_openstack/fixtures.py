"""pytest fixtures: a fake cloud, and connections to it that never wait."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fake_openstack.cloud import FakeOpenStack
from fake_openstack.company import provision
from medicarche.cloud.calls import Clock
from medicarche.cloud.connect import Connections, Target, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "StillClock",
    "already_there",
    "cloud",
    "companys",
    "connections",
    "first_cloud",
    "first_connections",
    "image",
    "still_clock",
    "target",
]

IMAGE = b"disk" * 1000


class StillClock:
    """Time that passes by sleeping only; remembers the sleeps. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = time.monotonic()
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Return the time."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += seconds
            self.sleeps.append(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let time pass, unless the event is set."""
        if not event.is_set():
            self.sleep(seconds)
        return event.is_set()


def still_clock(still: StillClock | None = None) -> Clock:
    """Return a clock that doesn't wait and doesn't jitter."""
    still = still or StillClock()
    return Clock(
        monotonic=still.monotonic, sleep=still.sleep, jitter=lambda _low, high: high, wait=still.wait
    )


@pytest.fixture(scope="session")
def first_cloud() -> Iterator[FakeOpenStack]:
    """Return the cloud whose port, and whose tokens, the clouds of all tests have: that saves connecting."""
    with FakeOpenStack() as fake:
        yield fake


@pytest.fixture(scope="session")
def first_connections(
    first_cloud: FakeOpenStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connections]:
    """Return connections to that port that never wait."""
    path = first_cloud.write_clouds_yaml(tmp_path_factory.mktemp("fake") / "clouds.yaml")
    target = Target(name="fake", clouds_yaml=path, cloud="demo", admin_cloud="admin")
    with closing(connect(target, clock=still_clock())) as connected:
        yield connected


@pytest.fixture
def cloud(first_cloud: FakeOpenStack, first_connections: Connections) -> Iterator[FakeOpenStack]:
    """Return an empty fake cloud."""
    del first_connections
    tokens = first_cloud.keystone.tokens
    with FakeOpenStack(first_cloud.server, tokens) as fake:
        yield fake
    tokens |= fake.keystone.tokens


@pytest.fixture
def target(cloud: FakeOpenStack, tmp_path: Path) -> Target:
    """Return the fake cloud's target, with an admin."""
    path = cloud.write_clouds_yaml(tmp_path / "clouds.yaml")
    return Target(name="fake", clouds_yaml=path, cloud="demo", admin_cloud="admin")


@pytest.fixture
def connections(target: Target, first_connections: Connections) -> Connections:
    """Return connections to the fake cloud that never wait."""
    return replace(first_connections, target=target)


@pytest.fixture(scope="session")
def companys(
    first_cloud: FakeOpenStack, first_connections: Connections, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Return all that a cloud holds after the company's environment was provisioned there, once."""
    image = tmp_path_factory.mktemp("fake") / "image.raw"
    image.write_bytes(IMAGE)
    with FakeOpenStack(first_cloud.server, first_cloud.keystone.tokens) as fake:
        provision(first_connections, image)
        return fake.snapshot()


@pytest.fixture
def already_there(companys: dict[str, dict[str, Any]], cloud: FakeOpenStack) -> None:
    """Let the test's cloud hold the company's environment, for tests that begin there."""
    cloud.restore(companys)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return the company's image, a small file."""
    path = tmp_path / "image.raw"
    path.write_bytes(IMAGE)
    return path
