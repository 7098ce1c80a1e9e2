"""Files that only their owner may read: created with their mode, replaced atomically, locked across runs."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["locked", "make_private_folder", "turn", "write_private"]


def make_private_folder(folder: Path) -> Path:
    """Make ``folder`` (and what is above it) where it isn't there, and make it 0700 where it is wider."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a whole file or nothing: a reader sees the old content or the new one, also after a power cut.

    Args:
        path: the file, in a folder that is there.
        content: its new content.
        mode: its mode from its first byte on; the process's umask can only narrow it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Hold the folder's lock: reading, deciding and writing inside it are one step for two runs at once.

    The kernel gives the lock back when its holder dies, so that no stale lock is ever left. It is held for
    milliseconds; the next one waits.
    """
    make_private_folder(folder)
    with turn(folder / name):
        yield


@contextmanager
def turn(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Wait for our turn at a lock's file, which stays; the kernel gives the lock back when its holder dies.

    Args:
        path: the file, in a folder that is there.
        waiting: called where another run has the lock, before it is waited for.
    """
    # not inherited: what is started under the lock doesn't hold it
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
