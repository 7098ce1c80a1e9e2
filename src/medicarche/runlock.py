"""A lock for a whole run: the kernel gives it back when its holder dies, and it says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medicarche.errors import Locked
from medicarche.private_files import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["hold"]


@contextmanager
def hold(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of ``folder`` while the block runs.

    Args:
        folder: what is worked on; made, private, where it isn't there.
        what: how to name it to whoever finds it locked ("this environment").

    Raises:
        Locked: another run holds it; says which process, since when.
    """
    descriptor = os.open(
        make_private_folder(folder) / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    with os.fdopen(descriptor, "r+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(
                f"another run works on {what}: {_holder(stream.read())}",
                hint="wait for its end, or end it: the lock goes with it",
            ) from error
        stream.truncate(0)
        stream.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        stream.flush()
        yield


def _holder(text: str) -> str:
    try:
        held = json.loads(text)
        return f"process {held['pid']}, since {held['since']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has just begun"
