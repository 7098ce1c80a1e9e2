"""The node's control groups: a subtree of our own in each hierarchy, written down before it is made.

Everything that runs in the subtree is the node's by construction: its processes join before they are
started, and their children are born there. So stopping the node needs no list of processes, and no process
number that may be another's by now.

Hosts with version 1 (a hierarchy for each controller) and with version 2 only (one hierarchy, as Debian 12
and Ubuntu 24.04 come) are both supported: https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medicarche.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Groups", "is_unified", "plan"]

ROOT: Final = Path("/sys/fs/cgroup")
#: What systemd and libvirt in the node want to hand on.
_CONTROLLERS: Final = ("cpuset", "cpu", "io", "memory", "pids")


def is_unified(root: Path = ROOT) -> bool:
    """Say whether the host has control groups version 2 only."""
    return (root / "cgroup.controllers").is_file()


def plan(name: str, *, root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Groups:
    """Return the groups that a node of that name gets; nothing is made yet.

    Version 1: a child of the group that this process is in, in each hierarchy, so that limits that were put
    on us hold for the node too. Version 2: a child of the root, since a group with processes in it (as ours)
    can't hand controllers on to its children.
    """
    if is_unified(root):
        return Groups((root / name,), unified=True)
    folders = []
    for line in own.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        mount = root / (controllers.removeprefix("name=") or "unified")
        if mount.is_dir():
            folders.append(mount / path.strip("/") / name)
    return Groups(tuple(folders), unified=False)


@dataclass(frozen=True, slots=True)
class Groups:
    """The folders of one node's control groups.

    Attributes:
        folders: one for each hierarchy.
        unified: whether the only hierarchy is that of version 2.
    """

    folders: tuple[Path, ...]
    unified: bool

    @classmethod
    def load(cls, path: Path) -> Groups | None:
        """Read what `save` wrote; None where there is nothing, or nothing whole."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(Path(f) for f in data["folders"]), bool(data["unified"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write down which groups there will be; before `create`, so that nothing is ever forgotten."""
        write_private(
            path, json.dumps({"folders": [str(f) for f in self.folders], "unified": self.unified}).encode()
        )

    def create(self) -> None:
        """Make the groups, with what a group needs before a process can join it."""
        for folder in self.folders:
            if self.unified:
                self._hand_on(folder.parent)
            folder.mkdir(exist_ok=True)
            if (folder / "cpuset.cpus").is_file() and not self.unified:
                # version 1: empty at first, and a group without processors takes no process
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    (folder / setting).write_text((folder.parent / setting).read_text())
                (folder / "cgroup.clone_children").write_text("1")

    def processes(self) -> tuple[int, ...]:
        """Return the numbers of all processes in the groups and below them."""
        found: set[int] = set()
        for folder in self.folders:
            for group in _below(folder):
                with suppress(OSError):
                    found.update(int(line) for line in (group / "cgroup.procs").read_text().split())
        return tuple(sorted(found - {0}))

    def processor_seconds(self) -> float:
        """Return what all processes that are or were in the groups have used of the processor, in seconds.

        Version 1 counts in cpuacct.usage (nanoseconds), version 2 in cpu.stat (usage_usec).
        """
        for folder in self.folders:
            with suppress(OSError, ValueError):
                return int((folder / "cpuacct.usage").read_text()) / 1e9
            with suppress(OSError, ValueError, StopIteration):
                lines = (folder / "cpu.stat").read_text().splitlines()
                return int(next(line.split()[1] for line in lines if line.startswith("usage_usec "))) / 1e6
        return 0.0

    def kill(self, *, seconds: float = 20.0) -> bool:
        """Kill all processes of the groups.

        Args:
            seconds: how long to wait for their end.

        Returns:
            Whether none is left.
        """
        deadline = time.monotonic() + seconds
        while processes := self.processes():
            if self.unified:
                for folder in self.folders:
                    with suppress(OSError):
                        (folder / "cgroup.kill").write_text("1")
            else:
                for process in processes:
                    self._kill_one(process)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def remove(self, *, seconds: float = 10.0) -> bool:
        """Remove the groups, which must be without processes.

        Returns:
            Whether none is left.
        """
        deadline = time.monotonic() + seconds
        while True:
            for folder in self.folders:
                for group in [*_below(folder)][::-1]:
                    with suppress(OSError):
                        group.rmdir()
            if not any(folder.exists() for folder in self.folders):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)

    def _kill_one(self, process: int) -> None:
        """Kill a process that is in our groups, and never another that got its number meanwhile."""
        try:
            handle = os.pidfd_open(process)
        except OSError:
            return
        try:
            # the handle is of whoever has the number now: look again whether it is one of ours
            if process in self.processes():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)

    def _hand_on(self, parent: Path) -> None:
        """Let the children of a group use controllers; those that they can use already aren't touched."""
        control = parent / "cgroup.subtree_control"
        has = set((parent / "cgroup.controllers").read_text().split())
        handed = set(control.read_text().split())
        for controller in _CONTROLLERS:
            if controller in has and controller not in handed:
                try:
                    control.write_text(f"+{controller}")
                except OSError as error:
                    # busy: we are in a container whose root group has processes; the node runs without it
                    if error.errno not in {
                        errno.EBUSY,
                        errno.ENOTSUP,
                        errno.EINVAL,
                        errno.EACCES,
                        errno.EPERM,
                    }:
                        raise


def _below(folder: Path) -> Iterator[Path]:
    """Return a group and all below it, parents first."""
    for path, _, _ in os.walk(folder):
        yield Path(path)
