"""Whether an embedded cloud's services are ready: the readiness program, run inside of its name space.

The program itself is `medicarche.embedded.readiness`; this starts it, follows what it says, and keeps the
note that a cloud was seen ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from medicarche.embedded import logs, namespace, readiness
from medicarche.errors import CommandError
from medicarche.private_files import write_private
from medicarche.process import last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from medicarche.embedded.node import Node
    from medicarche.progress import Stage

__all__ = ["ServiceWatch"]

#: measured: 35 s on two idle cores, 300 s with five clouds starting on them at once
_READY_SECONDS: Final = 600.0
#: for asking every service once
_LOOK_SECONDS: Final = 120


class ServiceWatch:
    """The readiness of one cloud's services.

    Args:
        node: the cloud's node.
        secrets_file: the cloud's passwords, which the probes need.
    """

    def __init__(self, node: Node, secrets_file: Path) -> None:
        self._node = node
        self._secrets_file = secrets_file
        self._ready_file = node.run_folder / "ready"

    def marked_ready(self) -> bool:
        """Tell whether the running node was seen ready since its start."""
        return self._ready_file.exists() and self._node.leader() is not None

    def mark_ready(self, started: float) -> None:
        """Note that the node, started at ``started`` (seconds since 1970), is ready."""
        write_private(self._ready_file, json.dumps({"since": started}).encode())

    def forget(self) -> None:
        """Take the note away: the node is about to stop."""
        self._ready_file.unlink(missing_ok=True)

    def wait(self, started: float, stage: Stage) -> None:
        """Wait until all services are ready; ``stage`` is told which ones aren't yet.

        Args:
            started: the node's start, in seconds since 1970: older heartbeats don't count.
            stage: where progress is told.

        Raises:
            CommandError: the node ended, or a service isn't ready in its time; with its log's last lines.
        """
        leader = self._node.leader()
        waiting: dict[str, str] = {}
        with subprocess.Popen(
            self._program(leader, started, _READY_SECONDS),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is for us alone
        ) as p:
            assert p.stdout is not None  # noqa: S101 - for the type checker: it was asked for
            try:
                for line in p.stdout:
                    waiting = json.loads(line)
                    stage.update(", ".join(waiting))
                    if self._node.leader() != leader:
                        p.kill()
            except BaseException:
                p.kill()
                raise
        if p.returncode != 0:
            raise self._failure(waiting)

    def look(self) -> dict[str, str]:
        """Ask all services once; return service → why it isn't ready, of those that aren't."""
        leader = self._node.leader()
        if leader is None:
            return {"node": "it doesn't run"}
        done = subprocess.run(
            self._program(leader, self._since(), 0),
            start_new_session=True,  # as in `wait`
            capture_output=True,
            text=True,
            check=False,
            timeout=_LOOK_SECONDS,
        )
        try:
            found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            return {"readiness": done.stderr.strip()[-200:] or "no answer"}
        return found

    def _since(self) -> float:
        try:
            return float(json.loads(self._ready_file.read_text(encoding="utf-8"))["since"])
        except (OSError, ValueError, KeyError):
            return 0.0

    def _program(self, leader: int | None, since: float, seconds: float) -> list[str]:
        return namespace.inside_command(
            self._node.netns,
            [
                # it dies with us: left over, it would keep the name space
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *(
                    sys.executable,
                    "-c",
                    "import sys; from medicarche.embedded.readiness import main; sys.exit(main())",
                ),
                *("--secrets", str(self._secrets_file), "--since", str(since), "--seconds", str(seconds)),
                *("--metadata-socket", f"/proc/{leader}/root/var/lib/neutron/metadata_proxy"),
            ],
        )

    def _failure(self, waiting: Mapping[str, str]) -> CommandError:
        if self._node.leader() is None:
            said = last_lines(self._node.console)
            return CommandError(
                f"the node ended while OpenStack's services were starting; its last words:\n{said}",
                hint="try again: medicarche cloud up",
            )
        probe = next(iter(waiting), "identity")
        service = readiness.LOGS[probe]
        reasons = "\n".join(f"- {name}: {why}" for name, why in waiting.items())
        return CommandError(
            f"OpenStack's services aren't ready after {_READY_SECONDS:g} s:\n{reasons}\n"
            f"The last lines of {service}:\n{logs.read(self._node.upper, service, 12)}",
            hint=f"medicarche cloud logs {service}",
        )
