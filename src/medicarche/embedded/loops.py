"""The loop devices of a cloud's instances: Nova attaches each disk to one, and nobody detaches it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from medicarche.errors import CommandError
from medicarche.process import run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Loop", "attached", "detach", "of_instances"]

#: what the kernel puts behind the path of a file that is gone
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop device and the file behind it.

    Attributes:
        device: ``/dev/loop3``.
        inode: the file's inode number.
        file: its path, in its own mount name space; with ``(deleted)`` behind it where it is.
        filesystem: the device number of the file system that the file is on, ``0:60``.
    """

    device: str
    inode: int
    file: str
    filesystem: str = ""


def attached() -> tuple[Loop, ...]:
    """Return the loop devices of the machine that have a file behind them."""
    output = run(["losetup", "--list", "--json", "--output", "NAME,BACK-INO,BACK-FILE,BACK-MAJ:MIN"])
    if not output.strip():
        return ()
    entries = json.loads(output)["loopdevices"]
    return tuple(
        Loop(e["name"], int(e["back-ino"]), e["back-file"] or "", (e["back-maj:min"] or "").strip())
        for e in entries
    )


def of_instances(loops: Iterable[Loop], instances: Path, filesystem: str = "") -> tuple[Loop, ...]:
    """Choose the loop devices of the instances whose disks lie below a folder.

    A disk is the instance's when the instance's identifier is in its path and its inode is that of the file
    here: overlayfs shows the inode of the file that it took from below. Where the instance is deleted, the
    number of the file system says whose it was, as long as the device is attached: till then the kernel gives
    the number to no other one.

    Args:
        loops: all of the machine.
        instances: ``/var/lib/nova/instances`` in the cloud's own data.
        filesystem: the device number of the node's root file system, as in `Loop`; empty: unknown.
    """
    found = []
    for loop in loops:
        path = PurePosixPath(loop.file.removesuffix(_DELETED))
        if path.parent.parent.name != "instances":
            continue
        disk = instances / path.parent.name / path.name
        try:
            mine = disk.stat().st_ino == loop.inode
        except OSError:
            # lazily detached, so one that is still mounted would stay whole
            mine = loop.file.endswith(_DELETED) and loop.filesystem == filesystem != ""
        if mine:
            found.append(loop)
    return tuple(found)


def detach(loops: Iterable[Loop], *, seconds: float = 10.0) -> tuple[Loop, ...]:
    """Detach loop devices, and wait until they are.

    Returns:
        Those that are still attached after ``seconds``.
    """
    wanted = set(loops)
    deadline = time.monotonic() + seconds
    while wanted and (left := wanted.intersection(attached())):
        for loop in left:
            try:
                run(["losetup", "--detach", loop.device], timeout=5)
            except CommandError:
                continue  # gone meanwhile, or still mounted: the next look says which
        if time.monotonic() > deadline:
            return tuple(left)
        time.sleep(0.1)
    return ()
