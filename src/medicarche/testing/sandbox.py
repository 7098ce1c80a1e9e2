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

from medicarche.embedded import namespace
from medicarche.testing.hoststate import remains

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["PROGRAM", "Done", "Running", "Sandbox"]

PROGRAM = str(Path(sys.executable).with_name("medicarche"))


class Running:
    """A command under way, in a process group of its own; what it says is read as it comes."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self._process = subprocess.Popen(
            # a job in the background ignores SIGINT, and its children inherit that
            ["env", "--default-signal=INT", *arguments],
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        # not waited for at the end of all: what a killed command had started may hold the pipe open
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was asked for
        with self._process.stderr as stream:
            for line in stream:
                self._lines.append(line)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

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

    def stop(self) -> None:
        """Have the command itself stand still (SIGSTOP), with all that it holds; it can be killed then."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Kill the command itself (SIGKILL); programs that it started live on, as after any such kill."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)
        self._reader.join(5)

    def interrupt(self, timeout: float) -> int:
        """Send what Ctrl-C sends, to whom it sends it: the whole process group; return the exit code.

        Raises:
            AssertionError: it doesn't end in ``timeout`` seconds; it is killed then.
        """
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it doesn't end in {timeout:g} s after SIGINT:\n{self.said}") from None
        self._reader.join(5)
        return code


class Sandbox:
    """Runs ``medicarche`` with an embedded cloud of its own.

    Args:
        name: the cloud's name; unique on this machine.
        folder: for its home folder.
        project: the project's folder: commands run there.
        file: the environment file.
        cache: the cache's folder; this machine's where it isn't given.
    """

    def __init__(
        self, name: str, folder: Path, project: Path, *, file: Path, cache: Path | None = None
    ) -> None:
        self.name = name
        self.home = folder / "home"
        self.project = project
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "MEDICARCHE_"))}
        if cache is not None:
            self.environment["MEDICARCHE_CACHE"] = str(cache)
        elif "MEDICARCHE_CACHE" in os.environ:
            self.environment["MEDICARCHE_CACHE"] = os.environ["MEDICARCHE_CACHE"]
        self.environment["MEDICARCHE_ENVIRONMENT"] = str(file)
        self.environment["MEDICARCHE_HOME"] = str(self.home)
        self.environment["MEDICARCHE_EMBEDDED_NAME"] = name

    @property
    def cloud(self) -> Path:
        """The cloud's own folder."""
        return self.home / "clouds" / self.name

    @property
    def run_folder(self) -> Path:
        """Where it is written down what runs."""
        return Path("/run/medicarche") / self.name

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
            namespace.outside_command([*prefix, PROGRAM, *arguments]),
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
        command = namespace.outside_command([PROGRAM, *arguments])
        return Running(command, self.environment, self.project)

    def ask_cloud(self, code: str) -> Any:  # noqa: ANN401 - whatever the code prints as JSON
        """Run Python in the cloud's network, with ``member`` and ``admin`` connected; ``show(x)`` answers."""
        prelude = (
            "import json, openstack\n"
            "member = openstack.connect(cloud='medicarche')\n"
            "admin = openstack.connect(cloud='medicarche-admin')\n"
            "show = lambda value: print(json.dumps(value))\n"
        )
        output = self.expect("cloud", "enter", "--", sys.executable, "-c", prelude + code, timeout=180)
        return json.loads(output) if output.strip() else None

    def processes(self) -> tuple[int, ...]:
        """Return the numbers of all processes of this cloud, instances and helpers included."""
        network = self.network.stat().st_ino if self.network.exists() else None
        return tuple(remains(self.words, network).processes)

    def purge(self) -> None:
        """Remove the cloud and its home folder, whatever state it is in."""
        self.expect("cloud", "purge")
        shutil.rmtree(self.home, ignore_errors=True)


Done = subprocess.CompletedProcess[str]
