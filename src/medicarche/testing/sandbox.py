"""A cloud of the tests' own: a home folder of its own, the cache shared; always purged at the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Running", "Sandbox"]

PROGRAM = str(Path(sys.executable).with_name("medicarche"))


class Running:
    """A command under way, in a process group of its own; what it says is read as it comes."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self._process = subprocess.Popen(
            arguments,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was asked for
        for line in self._process.stderr:
            self._lines.append(line)

    @property
    def said(self) -> str:
        """Standard error up to now."""
        return "".join(self._lines)

    def wait_until(self, reached: Callable[[], bool], timeout: float) -> None:
        """Wait for a moment of the command's work.

        Raises:
            AssertionError: the command ended before, or its time is over.
        """
        deadline = time.monotonic() + timeout
        while not reached():
            ended = self._process.poll()
            assert ended is None, f"it ended with {ended} before that moment:\n{self.said}"  # noqa: S101 - for tests
            assert time.monotonic() < deadline, f"not reached in {timeout:g} s:\n{self.said}"  # noqa: S101 - for tests
            time.sleep(0.05)

    def says(self, pattern: str) -> Callable[[], bool]:
        """Return a condition: a line of standard error matches a regular expression."""
        return lambda: re.search(pattern, self.said, re.MULTILINE) is not None

    def kill(self) -> None:
        """Kill the command itself (SIGKILL); programs that it started live on, as after any such kill."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)


class Sandbox:
    """Runs ``medicarche`` with an embedded cloud of its own.

    Args:
        name: the cloud's name; unique on this machine.
        folder: for its home folder.
        project: the project's folder: commands run there.
    """

    def __init__(self, name: str, folder: Path, project: Path) -> None:
        self.name = name
        self.home = folder / "home"
        self.project = project
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "MEDICARCHE_"))}
        if "MEDICARCHE_CACHE" in os.environ:
            self.environment["MEDICARCHE_CACHE"] = os.environ["MEDICARCHE_CACHE"]
        self.environment["MEDICARCHE_HOME"] = str(self.home)
        self.environment["MEDICARCHE_EMBEDDED_NAME"] = name

    @property
    def words(self) -> tuple[str, ...]:
        """What belongs to this cloud has one of these in its name."""
        return (str(self.home), f"medicarche-{self.name}")

    @property
    def network(self) -> Path:
        """Its network name space's file, there or not."""
        return Path("/run/netns") / f"medicarche-{self.name}"

    def run(self, *arguments: str, prefix: Sequence[str] = (), timeout: float = 900, **extra: str) -> Done:
        """Run ``medicarche ARGUMENTS`` to its end, with ``prefix`` before it and ``extra`` variables."""
        return subprocess.run(
            [*prefix, PROGRAM, *arguments],
            env={**self.environment, **extra},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def expect(self, *arguments: str, code: int = 0, timeout: float = 900) -> str:
        """Run a command that has to end with an exit code, and return its standard output.

        Raises:
            AssertionError: it ended otherwise; with what it said.
        """
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == code, (  # noqa: S101 - for tests
            f"medicarche {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def start(self, *arguments: str) -> Running:
        """Start ``medicarche ARGUMENTS``."""
        return Running([PROGRAM, *arguments], self.environment, self.project)

    def ask_cloud(self, code: str) -> Any:  # noqa: ANN401 - whatever the code prints as JSON
        """Run Python in the cloud's network, with ``member`` and ``admin`` connected; ``show(x)`` answers."""
        prelude = (
            "import json, openstack\n"
            "member = openstack.connect(cloud='medicarche')\n"
            "admin = openstack.connect(cloud='medicarche-admin')\n"
            "show = lambda value: print(json.dumps(value))\n"
        )
        output = self.expect("cloud", "enter", "--", sys.executable, "-c", prelude + code)
        return json.loads(output) if output.strip() else None

    def purge(self) -> None:
        """Remove the cloud and its home folder, whatever state it is in."""
        self.expect("cloud", "purge")
        shutil.rmtree(self.home, ignore_errors=True)


Done = subprocess.CompletedProcess[str]
