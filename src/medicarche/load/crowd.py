"""The crowd from outside: starts its process, tells it how many people, and reads what they see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from medicarche.errors import CommandError, MachineError
from medicarche.load.figures import Figures
from medicarche.load.histogram import Histogram
from medicarche.process import last_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["MOST_USERS", "Crowd", "Second", "figures", "whole"]

#: whatever is asked for
MOST_USERS = 2000
_PATIENCE = 60.0
_SPAWN_RATE = 10.0


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a crowd.

    Attributes:
        at: its end, in seconds since 1970.
        users: people there, logged in where they have to be.
        wanted: people asked for.
        transactions: what they did → its figures.
        processor_seconds: that the crowd's process has used so far.
        lag: seconds that it was late.
    """

    at: float
    users: int
    wanted: int
    transactions: Mapping[str, Figures] = field(default_factory=dict)
    processor_seconds: float = 0.0
    lag: float = 0.0

    @property
    def rate(self) -> float:
        """Correct answers in it."""
        return float(sum(f.succeeded for f in self.transactions.values()))

    @classmethod
    def read(cls, line: str) -> Second:
        """Read a line of `medicarche.load.people`."""
        data: dict[str, Any] = json.loads(line)
        return cls(
            data["at"],
            data["users"],
            data["wanted"],
            {
                name: Figures(
                    Histogram.decode(seen["latency"]),
                    Counter(seen["failures"]),
                    Counter(seen["statuses"]),
                    1.0,
                )
                for name, seen in data["transactions"].items()
            },
            data["processor_seconds"],
            data["lag"],
        )


def figures(seconds: Iterable[Second]) -> dict[str, Figures]:
    """Return the figures of several seconds, by transaction."""
    found: dict[str, Figures] = {}
    count = 0
    for second in seconds:
        count += 1
        for name, seen in second.transactions.items():
            found.setdefault(name, Figures()).add(seen)
    for seen in found.values():
        seen.seconds = float(count)
    return found


def whole(transactions: Mapping[str, Figures]) -> Figures:
    """Return the figures of all transactions together."""
    found = Figures()
    for seen in transactions.values():
        found.add(seen)
    return found


class Crowd:
    """People of one application, for as long as the block runs.

    Args:
        scenario: the file that says what they do.
        environment: variables that say which environment and cloud, besides ours.
        log: where what Locust says goes.
    """

    def __init__(self, scenario: Path, environment: Mapping[str, str], log: Path) -> None:
        self.seconds: list[Second] = []
        self._command = [sys.executable, "-m", "medicarche.load.people", str(scenario)]
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the process, and wait for its first word.

        Raises:
            MachineError: Locust isn't installed.
            CommandError: it doesn't start.
        """
        if find_spec("locust") is None:
            raise MachineError(
                "Locust isn't installed here: it makes the people of a load test",
                hint="./run load (or: pip install 'medicarche[load]', in a virtual environment of its own)",
            )
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                text=True,
            )
        self._thread = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._thread.start()
        self.wait(1, _PATIENCE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send everybody home, and wait for the process's end."""
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.close()
            process.wait(_PATIENCE)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def people(self, users: int, *, rate: float = _SPAWN_RATE) -> None:
        """Let there be so many people from now on, ``rate`` more or fewer of them each second."""
        if not 0 <= users <= MOST_USERS:
            raise ValueError(f"{users} people: 0 to {MOST_USERS}")
        process = self._process
        assert process is not None  # noqa: S101 - inside of the block there is one
        assert process.stdin is not None  # noqa: S101 - as it was started
        try:
            process.stdin.write(json.dumps({"users": users, "rate": rate}) + "\n")
            process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def wait(self, count: int, timeout: float) -> Sequence[Second]:
        """Wait until ``count`` seconds more were told, and return them.

        Raises:
            CommandError: the process has ended, or says nothing any more.
        """
        wanted = len(self.seconds) + count
        deadline = time.monotonic() + timeout
        while len(self.seconds) < wanted:
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise self._ended()
            time.sleep(0.05)
        return self.seconds[wanted - count : wanted]

    def _ended(self) -> CommandError:
        return CommandError(f"the crowd's process ended or is silent\n{last_lines(self._log)}\n{self._log}")

    def _read(self, lines: Iterable[str] | None) -> None:
        for line in lines or ():
            if line.startswith("{"):
                self.seconds.append(Second.read(line))
