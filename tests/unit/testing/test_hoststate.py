"""Comparing the machine with itself, and finding what is left of something."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from medicarche.testing.hoststate import Remains, differences, remains, snapshot


def test_the_machine_is_steady_and_the_snapshot_isnt_empty() -> None:
    first, second = snapshot(), snapshot()
    assert differences(first, second) == {}
    assert "sysctl net/ipv4/ip_forward" in first
    assert len(first) > 300


def test_a_difference_is_named() -> None:
    found = differences({"a": "1", "b": "1"}, {"a": "2", "c": "1"})
    assert found == {"a": ("1", "2"), "b": ("1", None), "c": (None, "1")}


def test_nothing_is_left_of_what_never_was() -> None:
    assert not remains(("no-such-cloud-anywhere",))


def test_a_process_is_found_by_its_command_line_until_it_is_gone() -> None:
    word = "medicarche-unit-test-word"
    command = [sys.executable, "-c", "print(flush=True); input()", word]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        # a moment after its start the kernel has no command line of it yet
        assert child.stdout is not None
        assert child.stdout.readline()
        (found,) = remains((word,)).processes
        assert found == child.pid
    finally:
        child.communicate(b"\n", timeout=10)
    assert not remains((word,))


KINDS = [field.name for field in fields(Remains)]


@pytest.mark.parametrize("name", KINDS)
def test_anything_left_counts(name: str) -> None:
    nothing: dict[str, Any] = dict.fromkeys(KINDS, ())
    assert not Remains(**nothing)
    assert Remains(**{**nothing, name: ("x",)})


def test_whoever_sees_a_mount_isnt_the_clouds() -> None:
    """All processes of this machine see where the network name space is mounted: they aren't its own."""
    shown = next(
        line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        if len(line.split()[4]) > 4
    )  # fmt: skip
    found = remains((shown.removeprefix("/"),))
    assert found.mounts
    assert 1 not in found.processes
