"""A build that is killed leaves no process and no mount, and what it half wrote is never taken for whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import build, kvm
from medicarche.paths import Paths
from medicarche.testing.hoststate import remains
from medicarche.testing.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from medicarche.embedded.rootfs import Layer

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the test's own, empty."""
    return tmp_path / "cache"


@pytest.fixture
def other(nothing: Sandbox, tmp_path: Path, cache: Path, environment_file: Path) -> Iterator[Sandbox]:
    """A cloud with that cache; that of this run isn't there: two would need their memory twice."""
    made = Sandbox(f"{nothing.name}x", tmp_path, nothing.project, file=environment_file, cache=cache)
    yield made
    made.purge()


def _layers(cache: Path) -> tuple[Layer, Layer]:
    return build.layers(cache, "kvm" if kvm.kvm_works() else "lxc")


@pytest.fixture
def whole(nothing: Sandbox) -> Layer:
    """The layer of packages, in this machine's cache."""
    packages, _ = _layers(Paths.from_environment().cache)
    if not packages.is_complete():
        nothing.expect("cloud", "up")
        nothing.purge()
    return packages


def _newer(path: Path, time_ns: int) -> bool:
    try:
        return path.stat().st_mtime_ns > time_ns
    except FileNotFoundError:
        return False


def _nothing_left(sandbox: Sandbox, cache: Path) -> None:
    """The kernel ends what a killed process had started: at once, but not before it has died itself."""
    deadline = time.monotonic() + 60
    while left := remains((*sandbox.words, str(cache))):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def test_a_build_of_the_packages_is_killed(other: Sandbox, cache: Path) -> None:
    layer, _ = _layers(cache)
    unfinished = layer.folder / f"{layer.name}.building"
    running = other.start("cloud", "up")
    running.wait_until((unfinished / "tree/var").is_dir, timeout=300)
    assert remains((str(cache),)).processes
    running.kill()
    _nothing_left(other, cache)
    assert not layer.is_complete()
    garbage = unfinished / "garbage"
    garbage.touch()

    begun = (unfinished / "customize").stat().st_mtime_ns
    again = other.start("cloud", "up")
    # while the old folder is being removed it isn't the new one yet
    again.wait_until(lambda: _newer(unfinished / "customize", begun), timeout=300)
    again.wait_until((unfinished / "tree/var").is_dir, timeout=300)
    assert not garbage.exists()
    assert again.interrupt(timeout=120) == 130, again.said
    assert "interrupted" in again.said
    _nothing_left(other, cache)
    assert not unfinished.exists()
    assert not layer.is_complete()


def test_a_build_of_the_databases_is_killed(other: Sandbox, cache: Path, whole: Layer) -> None:
    packages, schema = _layers(cache)
    packages.folder.mkdir(parents=True)
    (packages.folder / packages.name).symlink_to(whole.folder / whole.name)
    # as a machine without power leaves it: the folder is there, its marker isn't
    garbage = schema.tree / "garbage"
    garbage.mkdir(parents=True)
    unfinished = schema.folder / f"{schema.name}.building"

    running = other.start("cloud", "up")
    running.wait_until((unfinished / "tree/var").is_dir, timeout=300)
    running.kill()
    _nothing_left(other, cache)
    assert not schema.is_complete()

    again = other.start("cloud", "up")
    again.wait_until(again.says(r"^… Waiting for OpenStack"), timeout=600)
    assert schema.is_complete()
    assert not garbage.exists()
    assert not unfinished.exists()
    assert again.interrupt(timeout=120) == 130, again.said
    other.expect("cloud", "status", code=5)
    other.purge()
    _nothing_left(other, cache)
