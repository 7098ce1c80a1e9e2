"""What an instance uses while it is loaded: read once a second over one SSH connection."""

from __future__ import annotations

import json
import shlex
import threading
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from medicarche.errors import MedicarcheError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    import paramiko

    from medicarche.ssh import Ssh
    from medicarche.ssh.instance import Instance

__all__ = ["InstanceUse", "InstanceWatch", "uses"]

_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class InstanceUse:
    """What an instance used in one second.

    Attributes:
        at: the instance's clock, in seconds since 1970.
        cpu: processors in use (1.0 is one of them).
        memory: bytes in use that can't be given back at once.
        memory_limit: bytes that it may use.
        oom_kills: processes that the kernel has killed for want of memory, since its boot.
        swapped: bytes that were moved to the host's swap.
        commands: command → processors in use.
        processes: command → how many there are.
        queues: port → connections that wait until they are taken.
        received: bytes a second.
        sent: bytes a second.
        disk_used: bytes of its root disk.
        disk_size: of its root disk.
        workers: requests that its web server answers at the same time at most, or None.
    """

    at: float
    cpu: float
    memory: int
    memory_limit: int
    oom_kills: int | None
    commands: Mapping[str, float] = field(default_factory=dict)
    processes: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[int, int] = field(default_factory=dict)
    received: float = 0.0
    sent: float = 0.0
    disk_used: int = 0
    disk_size: int = 0
    workers: int | None = None
    swapped: int = 0


def uses(samples: Sequence[Mapping[str, Any]]) -> list[InstanceUse]:
    """Return what was used between each two samples of `medicarche.load.sampler`."""
    found = []
    for before, now in pairwise(samples):
        seconds = max(now["at"] - before["at"], 1e-3)
        memory = now["memory"]
        commands = {
            name: max(entry["cpu"] - before["commands"][name]["cpu"], 0.0) / seconds
            for name, entry in now["commands"].items()
            if name in before["commands"]
        }
        found.append(
            InstanceUse(
                at=now["at"],
                cpu=max(now["cpu"] - before["cpu"], 0.0) / seconds,
                memory=max(memory["used"] - memory["cache"], 0),
                memory_limit=memory["limit"],
                oom_kills=memory["oom_kills"],
                commands=commands,
                processes={name: entry["count"] for name, entry in now["commands"].items()},
                queues={int(port): count for port, count in now["queues"].items()},
                received=(now["network"]["received"] - before["network"]["received"]) / seconds,
                sent=(now["network"]["sent"] - before["network"]["sent"]) / seconds,
                disk_used=now["disk"]["used"],
                disk_size=now["disk"]["size"],
                workers=now["workers"],
                swapped=memory.get("swapped") or 0,
            )
        )
    return found


class InstanceWatch:
    """Watches an instance for as long as its block runs.

    Args:
        ssh: the way into it.
        instance: which one.
    """

    def __init__(self, ssh: Ssh, instance: Instance) -> None:
        self.samples: list[dict[str, Any]] = []
        self._ssh = ssh
        self._instance = instance
        self._client: paramiko.SSHClient | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Connect and start reading.

        Raises:
            Unreachable: the instance doesn't answer, or has no Python.
        """
        program = files("medicarche.load").joinpath("sampler.py").read_text(encoding="utf-8")
        self._client = self._ssh.connect(self._instance)
        # ended by us or by the loss of the connection: a sampler must never be left behind
        command = shlex.join(["sudo", "--non-interactive", "python3", "-u", "-c", program])
        _, output, _ = self._client.exec_command(command, timeout=_PATIENCE)
        try:
            self._take(next(iter(output)))
        except (StopIteration, OSError, ValueError) as error:
            self._client.close()
            raise Unreachable(
                f"{self._instance.name}: what it uses can't be read (python3 in it doesn't answer)",
                hint=f"medicarche ssh {self._instance.name} -- sudo python3 --version",
            ) from error
        self._thread = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection; the sampler ends with it."""
        if self._client is not None:
            self._client.close()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    @property
    def uses(self) -> list[InstanceUse]:
        """What was used so far, second by second."""
        return uses(list(self.samples))

    def between(self, began: float, ended: float) -> list[InstanceUse]:
        """Return what was used between two times of our clock (`time.time`)."""
        return [use for use in self.uses if began <= use.at <= ended]

    def _take(self, line: str) -> None:
        self.samples.append(json.loads(line))

    def _read(self, lines: Iterable[str]) -> None:
        try:
            for line in lines:
                self._take(line)
        except (OSError, ValueError, EOFError, MedicarcheError):
            return  # closed, or broken off: what is missing is seen in the number of samples
