"""A disk that a BIOS boots: partition table, GRUB and root file system put together without a loop device.

Layout (GPT): sector 0 GRUB's boot.img; a "BIOS boot" partition with GRUB's core image; the root partition up
to the end, so that it can grow with the disk. Which bytes of GRUB's images hold sector numbers:
``grub-core/boot/i386/pc/{boot,diskboot}.S`` and ``include/grub/i386/pc/boot.h`` of GRUB 2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from medicarche.errors import CommandError
from medicarche.process import run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["assemble", "boot_sector", "core_image", "root_size"]

SECTOR = 512
#: first sectors of the two partitions
BOOT_START = 2048
ROOT_START = 4096
#: the table's copy at the end of the disk, rounded up to a MiB
_END = 2**20

_TABLE_SPACE = slice(
    440, 512
)  # disk signature, partition table and its magic number: the table's, not GRUB's
_KERNEL_SECTOR = 0x5C  # GRUB_BOOT_MACHINE_KERNEL_SECTOR, 8 bytes
_DRIVE_CHECK = slice(0x66, 0x68)  # GRUB_BOOT_MACHINE_DRIVE_CHECK: a jump that grub-bios-setup takes out
_BLOCK_LIST = 0x1F4  # in the core image's first sector: start (8 bytes), length (2), segment (2)
_LOAD_SEGMENT = 0x820  # GRUB_BOOT_MACHINE_KERNEL_SEG + one sector
_NO_OPERATION = b"\x90\x90"


def root_size(disk_size: int) -> int:
    """Return the bytes that a disk of ``disk_size`` bytes has for its root file system."""
    return disk_size - ROOT_START * SECTOR - _END


def boot_sector(boot_image: bytes, table: bytes) -> bytes:
    """Return sector 0: GRUB's code, told where its core image is, around the partition table's bytes.

    Args:
        boot_image: GRUB's ``boot.img``, one sector.
        table: sector 0 as the partitioning program wrote it.
    """
    sector = bytearray(boot_image[:SECTOR])
    struct.pack_into("<Q", sector, _KERNEL_SECTOR, BOOT_START)
    sector[_DRIVE_CHECK] = _NO_OPERATION
    sector[_TABLE_SPACE] = table[_TABLE_SPACE]
    return bytes(sector)


def core_image(core: bytes) -> bytes:
    """Return GRUB's core image, whole sectors, told where the rest of itself is: behind its first sector.

    Raises:
        CommandError: it doesn't fit into its partition.
    """
    sectors = -(-len(core) // SECTOR)
    if sectors > ROOT_START - BOOT_START:
        raise CommandError(
            f"GRUB's core image has {sectors} sectors, its partition {ROOT_START - BOOT_START}"
        )
    image = bytearray(core.ljust(sectors * SECTOR, b"\0"))
    struct.pack_into("<QHH", image, _BLOCK_LIST, BOOT_START + 1, sectors - 1, _LOAD_SEGMENT)
    return bytes(image)


def assemble(target: Path, root: Path, tree: Path, size: int, log: Path) -> None:
    """Write the raw disk ``target`` of ``size`` bytes.

    Args:
        target: the file to write.
        root: the root file system, of `root_size` bytes.
        tree: the same as a folder, with GRUB's images in it.
        size: of the disk, in bytes.
        log: of the programs.
    """
    with target.open("wb") as stream:
        stream.truncate(size)
    sectors = root_size(size) // SECTOR
    table = (
        "label: gpt\n"
        f"start={BOOT_START}, size={ROOT_START - BOOT_START}, type=21686148-6449-6E6F-744E-656564454649\n"
        f"start={ROOT_START}, size={sectors}, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=root\n"
    )
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", target], stdin=table, log=log)
    boot = (tree / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    core = core_image((tree / "boot/grub/core.img").read_bytes())
    with target.open("r+b") as disk:
        sector = boot_sector(boot, disk.read(SECTOR))
        disk.seek(0)
        disk.write(sector)
        disk.seek(BOOT_START * SECTOR)
        disk.write(core)
    # cp and its like keep holes; Python's copies don't
    run(
        [
            "dd",
            f"if={root}",
            f"of={target}",
            "bs=1M",
            f"seek={ROOT_START * SECTOR // 2**20}",
            "conv=notrunc,sparse",
        ],
        log=log,
    )
