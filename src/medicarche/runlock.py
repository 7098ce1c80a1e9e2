"""A lock for a whole run: the kernel gives it back when its holder dies, and it says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from medicarche.errors import Locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["held"]


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock for the length of a block.

    Args:
        path: the lock's file; it stays, the lock on it doesn't.
        what: what is locked, for the message.

    Raises:
        Locked: another process holds it; the message says which, since when.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # not inherited: what is started under the lock doesn't hold it
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"another run works on {what}: {_holder(stream.read())}",
                hint="wait for its end, or end it: the lock goes with it",
            ) from None
        stream.truncate(0)
        json.dump(
            {
                "process": os.getpid(),
                "command": shlex.join(sys.argv),
                "since": datetime.now().astimezone().isoformat(timespec="seconds"),
            },
            stream,
        )
        stream.flush()
        yield


def _holder(text: str) -> str:
    try:
        data = json.loads(text)
        return f"process {data['process']} ({data['command']}), since {data['since']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has only just begun"
