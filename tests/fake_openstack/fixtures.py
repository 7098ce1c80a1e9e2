"""pytest fixtures: a fake cloud, and connections to it that never wait."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from fake_openstack.cloud import FakeOpenStack
from medicarche.cloud import Clock, Connections, Target, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["StillClock", "cloud", "connections", "still_clock", "target"]


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


@pytest.fixture
def cloud() -> Iterator[FakeOpenStack]:
    """Return an empty fake cloud."""
    with FakeOpenStack() as fake:
        yield fake


@pytest.fixture
def target(cloud: FakeOpenStack, tmp_path: Path) -> Target:
    """Return the fake cloud's target, with an admin."""
    path = cloud.write_clouds_yaml(tmp_path / "clouds.yaml")
    return Target(name="fake", clouds_yaml=path, cloud="demo", admin_cloud="admin")


@pytest.fixture
def connections(target: Target) -> Iterator[Connections]:
    """Return connections to the fake cloud that never wait."""
    with closing(connect(target, clock=still_clock())) as connected:
        yield connected
