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


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop device, and the inode number and path (in its own name space) of the file behind it."""

    device: str
    inode: int
    file: str


def attached() -> tuple[Loop, ...]:
    """Return the loop devices of the machine that have a file behind them."""
    output = run(["losetup", "--list", "--json", "--output", "NAME,BACK-INO,BACK-FILE"])
    if not output.strip():
        return ()
    entries = json.loads(output)["loopdevices"]
    return tuple(Loop(e["name"], int(e["back-ino"]), e["back-file"] or "") for e in entries)


def of_instances(loops: Iterable[Loop], instances: Path) -> tuple[Loop, ...]:
    """Choose the loop devices of the instances whose disks lie below a folder.

    A disk is the instance's when the instance's identifier is in its path and its inode is that of the file
    here: overlayfs shows the inode of the file that it took from below. Where the instance is deleted, the
    identifier alone can't say whose it was.

    Args:
        loops: all of the machine.
        instances: ``/var/lib/nova/instances`` in the cloud's own data.
    """
    found = []
    for loop in loops:
        path = PurePosixPath(loop.file.removesuffix(" (deleted)"))
        disk = instances / path.parent.name / path.name
        try:
            if path.parent.parent.name == "instances" and disk.stat().st_ino == loop.inode:
                found.append(loop)
        except OSError:
            continue
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
