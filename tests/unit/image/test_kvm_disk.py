"""The disk's arithmetic: what GRUB finds where."""

from __future__ import annotations

import struct

import pytest

from medicarche.errors import CommandError
from medicarche.image import kvm_disk


def test_the_boot_sector_keeps_the_partition_table_and_points_at_the_core_image() -> None:
    boot = bytes([0xAA]) * 512
    table = bytes(range(256)) * 2
    sector = kvm_disk.boot_sector(boot, table)
    assert len(sector) == 512
    assert sector[440:] == table[440:]
    assert struct.unpack_from("<Q", sector, 0x5C) == (kvm_disk.BOOT_START,)
    assert sector[:0x5C] == boot[:0x5C]


def test_the_core_image_says_where_the_rest_of_it_is() -> None:
    core = kvm_disk.core_image(bytes(512 * 3 + 1))
    assert len(core) == 512 * 4
    start, length, segment = struct.unpack_from("<QHH", core, 0x1F4)
    assert (start, length, segment) == (kvm_disk.BOOT_START + 1, 3, 0x820)


def test_a_core_image_that_is_too_big_is_refused() -> None:
    with pytest.raises(CommandError, match="sectors"):
        kvm_disk.core_image(bytes(512 * 2049))


def test_the_root_partition_leaves_room_for_both_tables() -> None:
    size = 1024 * 2**20
    end = kvm_disk.ROOT_START * 512 + kvm_disk.root_size(size)
    assert end + 34 * 512 <= size
    assert kvm_disk.ROOT_START * 512 % 2**20 == 0
    assert kvm_disk.root_size(size) % 4096 == 0
