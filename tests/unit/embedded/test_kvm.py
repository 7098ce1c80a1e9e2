"""What the guest is given; whether it runs is the machine's business, and asked in the acceptance tests."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import kvm

if TYPE_CHECKING:
    from pathlib import Path


def test_no_device_means_no(tmp_path: Path) -> None:
    assert not kvm.kvm_works(device=tmp_path / "kvm")


def test_a_file_that_is_no_kvm_means_no(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    assert not kvm.kvm_works(device=device)


def test_a_device_that_never_answers_means_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "kvm"
    device.touch()
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n", encoding="ascii")
    sleeper.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(sleeper))
    assert not kvm.kvm_works(0.2, device=device)


def test_the_page_tables_map_the_guests_memory_to_itself() -> None:
    memory = mmap.mmap(-1, kvm._MEMORY)
    kvm._load(memory)

    def entry(table: int, index: int) -> int:
        found: int = struct.unpack_from("<Q", memory, table + 8 * index)[0]
        return found

    pointers = entry(kvm._TABLES, 0) & ~0xFFF
    directory = entry(pointers, 0) & ~0xFFF
    mapped = [entry(directory, number) & ~0x1FFFFF for number in range(kvm._MEMORY >> 21)]
    assert mapped == list(range(0, kvm._MEMORY, 2 << 20))


def test_the_programs_jump_returns_to_the_decrement() -> None:
    memory = mmap.mmap(-1, kvm._MEMORY)
    kvm._load(memory)
    jump = kvm._CODE + 13
    opcode, distance = struct.unpack_from("<Bb", memory, jump)
    assert opcode == 0x75
    assert memory[jump + 2 + distance : jump] == b"\x48\xff\xc9"


@pytest.mark.parametrize(("number", "name"), [(0, "cs"), (5, "ss")])
def test_segments_are_of_64_bit_mode(number: int, name: str) -> None:
    registers = kvm._long_mode(bytearray(312))
    fields = struct.unpack_from("<QIH10B", registers, 24 * number)
    present, level, big, long_mode = fields[4], fields[5], fields[6], fields[8]
    assert (present, level) == (1, 0)
    assert (big, long_mode) == ((0, 1) if name == "cs" else (1, 0))
