"""Which process is ours: a process number may be another's by now, so its start time is kept with it."""

from __future__ import annotations

import json
import os
import select
import signal
from contextlib import suppress
from pathlib import Path

__all__ = ["alive", "send", "terminate", "write"]


def write(path: Path, pid: int) -> None:
    """Record process ``pid`` in ``path``, atomically.

    Raises:
        ProcessLookupError: there is no such process.
    """
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(pid)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"pid": pid, "started": started, "boot": _boot()}), encoding="utf-8")
    temporary.replace(path)


def alive(path: Path) -> int | None:
    """Return the number of the process recorded in ``path`` if it still runs, else None."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        pid, started, boot = int(record["pid"]), record["started"], record["boot"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or half-written by a machine that lost its power
    return pid if boot == _boot() and started == _started(pid) else None


def send(path: Path, number: signal.Signals) -> bool:
    """Send a signal to the process recorded in ``path``, and to no other; False where it is gone."""
    descriptor = _open(path)
    if descriptor is None:
        return False
    try:
        return _signal(descriptor, number)
    finally:
        os.close(descriptor)


def terminate(path: Path, *, grace: float = 5.0) -> bool:
    """End the process recorded in ``path``: SIGTERM and, after ``grace`` seconds, SIGKILL. Removes the file.

    Returns:
        Whether there was one.
    """
    descriptor = _open(path)
    if descriptor is not None:
        try:
            _signal(descriptor, signal.SIGTERM)
            if not _ended(descriptor, grace):
                _signal(descriptor, signal.SIGKILL)
                _ended(descriptor, grace)
        finally:
            os.close(descriptor)
    path.unlink(missing_ok=True)
    return descriptor is not None


def _open(path: Path) -> int | None:
    """Open the recorded process. What is checked after opening can't be recycled any more."""
    pid = alive(path)
    if pid is None:
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if alive(path) == pid:
        return descriptor
    os.close(descriptor)
    return None


def _signal(descriptor: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)
        return True
    return False


def _ended(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def _started(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot, or None where it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # proc(5): fields 3 (state) and following
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
