"""Comparing the machine with itself, and finding what is left of something."""

from __future__ import annotations

import subprocess
import sys

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
    child = subprocess.Popen([sys.executable, "-c", "input()", word], stdin=subprocess.PIPE)
    try:
        (found,) = remains((word,)).processes
        assert found.startswith(f"{child.pid}: ")
    finally:
        child.communicate(b"\n", timeout=10)
    assert not remains((word,))


@pytest.mark.parametrize("name", ["processes", "mounts", "loop_devices", "name_spaces", "control_groups"])
def test_anything_left_counts(name: str) -> None:
    nothing: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("processes", "mounts", "loop_devices", "name_spaces", "control_groups"), ()
    )
    assert not Remains(**nothing)
    assert Remains(**{**nothing, name: ("x",)})
