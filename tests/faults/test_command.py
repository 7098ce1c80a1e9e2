"""The command itself, as a process: killed, interrupted, beside another one, on a full disk."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from fake_openstack import FakeOpenStack, Fault, Kind
from fake_openstack.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Return the command on an empty fake cloud that has the image."""
    with FakeOpenStack() as cloud, closing(Command(cloud, tmp_path, monkeypatch)) as made:
        yield made


def test_provisions_and_says_where_the_time_went(command: Command) -> None:
    done = command.run()
    assert done.returncode == 0, done.stderr
    assert "critical path" in done.stdout
    assert len(list(command.folder.glob("runs/*.trace.json"))) == 1
    again = command.run()
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


@pytest.mark.parametrize("number", range(0, 21, 3))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_a_write(command: Command, number: int, *, after: bool) -> None:
    """SIGKILL in the moment when the cloud gets a request: before its effect, or after it."""
    process = command.start()
    kind = Kind.LOSE if after else Kind.DROP
    fault = Fault(kind, "POST", "/(network|compute|image)/", skip=number, before=process.kill)
    command.cloud.order(fault)
    assert process.wait(60) == -signal.SIGKILL
    assert not fault.times
    assert command.run().returncode == 0
    writes = len(command.cloud.faults.writes)
    assert command.run().returncode == 0
    assert len(command.cloud.faults.writes) == writes
    assert command.cloud.census() == command.whole


def test_interrupted_once_it_ends_what_is_under_way_and_tells_what_is_left(command: Command) -> None:
    command.cloud.nova.looks = 1_000_000
    process = command.start()
    command.until(lambda: bool(command.cloud.nova.servers))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "stopped on demand" in told
    assert "ordered, and not waited for: create server/" in told
    assert "Traceback" not in told
    command.cloud.nova.looks = 1
    for server in command.cloud.nova.servers.values():
        server["_looks"] = 1
    assert command.run().returncode == 0
    assert command.cloud.census() == command.whole


def test_interrupted_twice_it_stops_at_once(command: Command) -> None:
    fault = Fault(Kind.STALL, "POST", "/network/v2.0/ports")
    command.cloud.order(fault)
    process = command.start()
    command.until(lambda: not fault.times)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None, "a call under way wasn't waited for"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 130, told
    assert "stopped at once" in told
    assert re.search(r"with an unknown end: [^:]*create port/", told), told
    assert command.run().returncode == 0
    assert command.cloud.census() == command.whole


def test_two_at_once(command: Command) -> None:
    """The second is told who is at work; the lock goes with its holder, however that ends."""
    command.cloud.nova.looks = 1_000_000
    first = command.start()
    command.until(lambda: bool(command.cloud.nova.servers))
    second = command.run()
    assert second.returncode == 6
    assert f"process {first.pid}" in second.stderr
    first.kill()
    first.wait(30)
    for server in command.cloud.nova.servers.values():
        server["_looks"] = 1
    assert command.run().returncode == 0
    assert command.cloud.census() == command.whole


@pytest.mark.parametrize("room", [0, 600])
def test_a_full_disk(command: Command, room: int) -> None:
    """No file may grow beyond ``room`` bytes: the lock's, or the trace's only."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room})); "
    done = command.run(before=limit)
    assert "Traceback" not in done.stderr
    if room:
        assert done.returncode == 0, done.stderr
        assert "trace isn't kept" in done.stderr
    else:
        assert done.returncode == 4, done.stderr
        assert "nothing more can be written" in done.stderr
    assert command.run().returncode == 0
    assert command.cloud.census() == command.whole


def test_destroyed_and_gone(command: Command) -> None:
    assert command.run().returncode == 0
    assert command.run("destroy", "--yes").returncode == 0
    assert command.cloud.census() == {}


def test_a_child_that_outlives_us_is_none(command: Command) -> None:
    """After Ctrl-C no process of ours is left."""
    command.cloud.nova.looks = 1_000_000
    process = command.start()
    command.until(lambda: bool(command.cloud.nova.servers))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    listed = subprocess.run(["ps", "-eo", "pgid="], check=True, capture_output=True, text=True).stdout.split()
    assert str(process.pid) not in listed, (os.getpid(), sys.argv)
