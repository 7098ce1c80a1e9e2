"""The node: a systemd-nspawn container over the cached layers, in a network name space of its own.

It is started so that its end leaves little behind: its file system is mounted in a mount name space that dies
with it, its processes are in control groups of their own. What does stay (the network name space's file,
empty control groups, loop devices) has names that follow from the cloud's, so that `Node.stop` finds it
whoever was killed when.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medicarche.embedded import cgroups, loops, pidfile, place
from medicarche.errors import MachineError
from medicarche.process import last_lines, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Node"]

PROPAGATE_FOLDER: Final = Path("/run/systemd/nspawn/propagate")
# joins the control groups named before "--", then becomes the program named after it
_JOIN: Final = (
    'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 71; shift; done; shift; exec "$@"'
)
# mounts the layers, in a mount name space of its own, then becomes the node
_MOUNT: Final = 'mount -t overlay -o "$1" medicarche "$2" || exit 72; shift 2; exec "$@"'
# `ip netns add` mounts its folder over itself once, which hides what was mounted in it before. In a copy of
# all mounts the cover may go; and to remove a file that is a mount point elsewhere unmounts it there
_UNCOVER: Final = (
    'folder=$(dirname "$1"); '
    'while mountpoint -q "$folder"; do umount --lazy "$folder"; done; '
    'while mountpoint -q "$1"; do umount --lazy "$1"; done; rm "$1"'
)
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Node:
    """One cloud's node.

    Args:
        name: of its network name space, machine and control groups: ``medicarche-<cloud>``.
        folder: where the cloud's data is.
        run_folder: where it is written down what runs; on a machine's fresh start it is empty, or its content
            is known to be from before.
    """

    def __init__(self, name: str, folder: Path, run_folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.netns = place.NETNS_FOLDER / name
        self.upper = folder / "data"
        self.config = folder / "config"
        self.run_folder = run_folder
        self.console = folder / "console.log"

    @property
    def instances(self) -> Path:
        """Where Nova keeps the instances' disks, seen from outside."""
        return self.upper / "var/lib/nova/instances"

    def start(self, layers: Sequence[Path], settings: Mapping[str, str] | None = None) -> None:
        """Start the node over the given layers, topmost first; `stop` must have cleaned up before.

        Raises:
            MachineError: it ended at once; with the last lines of its console.
        """
        for folder in (self.upper, self.folder / "work", self.folder / "root", self.run_folder):
            folder.mkdir(parents=True, exist_ok=True)
        groups = cgroups.plan(self.name)
        groups.save(self._groups_file)
        groups.create()
        self._make_netns()
        environment = {
            "PATH": _PATH,
            "LC_ALL": "C.UTF-8",
            # only what belongs to the network name space may be set through /proc/sys
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if groups.unified else "0",
            **(settings or {}),
        }
        self.console.unlink(missing_ok=True)
        with self.console.open("wb") as console:
            process = subprocess.Popen(
                self._command(groups, layers),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        pidfile.write(self._pid_file, process.pid)
        deadline = time.monotonic() + 30
        while not self._note_filesystem():
            if process.poll() is not None or time.monotonic() > deadline:
                raise MachineError(
                    f"the node's container didn't start:\n{last_lines(self.console)}",
                    hint=f"the whole output: {self.console}",
                )
            time.sleep(0.05)

    def leader(self) -> int | None:
        """Return the number of the node's first process, or None where it doesn't run."""
        return self._leader_in(self._groups())

    def command(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
        """Return the command line that runs a program in the node, as root.

        Raises:
            MachineError: the node doesn't run.
        """
        leader = self.leader()
        if leader is None:
            raise MachineError("the embedded cloud isn't up", hint="start it: medicarche cloud up")
        values = {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **(environment or {})}
        return [
            *(
                "nsenter",
                f"--target={leader}",
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
                "--cgroup",
                "--root",
            ),
            *("--", "env", "--chdir=/", "-i", *(f"{k}={v}" for k, v in values.items()), *arguments),
        ]

    def stop(self) -> None:
        """End the node and all that belongs to it, instances included; its data stays.

        Works from any state: running, killed, half started, after a reboot, or where nothing is left.

        Raises:
            MachineError: something can't be removed; it is named.
        """
        left: list[str] = []
        groups = self._groups()
        noted = self._filesystem_file.read_text() if self._filesystem_file.exists() else ""
        disks = loops.of_instances(loops.attached(), self.instances, noted)
        leader = self._leader_in(groups)
        if leader is not None:
            # the process name space dies with its first process, whatever the others do
            with suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
        if not groups.kill():
            left += [f"process {p}" for p in groups.processes()]
        left += [f"loop device {loop.device}" for loop in loops.detach(disks)]
        if not groups.remove():
            left += [f"control group {folder}" for folder in groups.folders if folder.exists()]
        self._remove_netns()
        with suppress(OSError):
            (PROPAGATE_FOLDER / self.name).rmdir()  # nspawn leaves it where it was killed
        if left:
            raise MachineError(
                f"these of the cloud {self.name} can't be removed: {', '.join(left)}",
                hint="try again: medicarche cloud down",
            )
        for path in (self._groups_file, self._pid_file, self._filesystem_file):
            path.unlink(missing_ok=True)

    @property
    def _groups_file(self) -> Path:
        return self.run_folder / "cgroups.json"

    @property
    def _pid_file(self) -> Path:
        return self.run_folder / "node.pid"

    @property
    def _filesystem_file(self) -> Path:
        return self.run_folder / "node.filesystem"

    def _note_filesystem(self) -> bool:
        """Write down the number of the node's root file system, if the node has come as far as having one."""
        leader = self.leader()
        if leader is None:
            return False
        try:
            number = Path(f"/proc/{leader}/root").stat().st_dev
        except OSError:
            return False
        if number == Path("/").stat().st_dev:
            return False
        self._filesystem_file.write_text(f"{os.major(number)}:{os.minor(number)}")
        return True

    def _command(self, groups: cgroups.Groups, layers: Sequence[Path]) -> list[str]:
        root = self.folder / "root"
        options = ",".join(
            [
                "lowerdir=" + ":".join(_escape(layer) for layer in (self.config, *layers)),
                f"upperdir={_escape(self.upper)}",
                f"workdir={_escape(self.folder / 'work')}",
                # with these off, layers below may change while the file system isn't mounted: kernel's
                # Documentation/filesystems/overlayfs.rst, "Changes to underlying filesystems"
                "index=off,metacopy=off,redirect_dir=off,xino=off",
            ]
        )
        return [
            *("sh", "-c", _JOIN, "sh", *(str(f) for f in groups.folders), "--"),
            *("nsenter", f"--net={self.netns}", "--"),
            *("unshare", "--mount", "--propagation=slave", "--"),
            *("sh", "-c", _MOUNT, "sh", options, str(root)),
            *("systemd-nspawn", "--quiet", f"--directory={root}", "--boot", f"--machine={self.name}"),
            *("--hostname=node", "--register=no", "--keep-unit", "--capability=all", "--private-users=no"),
            # the clock and the kernel's modules are the host's
            "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE",
            *(
                "--system-call-filter=@keyring bpf",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
            ),
            "--console=read-only",
        ]

    def processor_seconds(self) -> float:
        """Return what the node, its instances included, has used of the processor so far, in seconds."""
        return self._groups().processor_seconds()

    def _groups(self) -> cgroups.Groups:
        """The node's control groups as written down, else where they would be: somebody emptied /run."""
        return cgroups.Groups.load(self._groups_file) or cgroups.plan(self.name)

    def _leader_in(self, groups: cgroups.Groups) -> int | None:
        for process in groups.processes():
            with suppress(OSError, ValueError):
                if self._is_leader(process):
                    return process
        return None

    def _is_leader(self, process: int) -> bool:
        """Whether a process is the first one of the node's process name space (not of an instance's)."""
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                numbers = [int(n) for n in line.split()[1:]]
                own = len(
                    Path("/proc/self/status").read_text().partition("NSpid:")[2].splitlines()[0].split()
                )
                return len(numbers) == own + 1 and numbers[-1] == 1
        return False

    def _make_netns(self) -> None:
        place.NETNS_FOLDER.mkdir(mode=0o755, exist_ok=True)
        self.netns.touch(mode=0o444)
        run(["unshare", f"--net={self.netns}", "--", "ip", "link", "set", "lo", "up"])

    def _remove_netns(self) -> None:
        if not self.netns.exists():
            return
        # as often as it is mounted: a killed start may have been repeated
        while os.path.ismount(self.netns):
            run(["umount", "--lazy", self.netns])
        try:
            self.netns.unlink()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            run(["unshare", "--mount", "--propagation=private", "--", "sh", "-c", _UNCOVER, "sh", self.netns])
        with suppress(OSError):
            place.NETNS_FOLDER.rmdir()  # where it is empty, and nobody else's mount


def _escape(path: Path) -> str:
    r"""Escape what separates layers and options in overlayfs's options."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
