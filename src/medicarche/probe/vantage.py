"""Probing from several machines at once: `medicarche.probe.agent`, handed over to a Python at each."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Self

from medicarche.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BOOT", "Station", "Sweep", "sweep"]

#: for ``python3 -c``: takes the program's text from standard input, so that nothing is left on the machine
BOOT: Final = "import sys,json;exec(compile(json.loads(sys.stdin.readline()),'agent.py','exec'))"


@dataclass(frozen=True, slots=True)
class Station:
    """A machine that probes.

    Attributes:
        name: for messages, and to find its answers by.
        command: a command line that runs `BOOT` there as root; its standard streams are ours.
        scans: what it probes, as `medicarche.probe.agent` reads it.
        watch: whether it says what arrives at it.
    """

    name: str
    command: tuple[str, ...]
    scans: tuple[Mapping[str, Any], ...]
    watch: bool = False


@dataclass(frozen=True, slots=True)
class Sweep:
    """What all stations found.

    Attributes:
        answers: station → one answer for each of its scans, as `medicarche.probe.agent` writes it.
        received: station → source address, protocol and port of the probes that arrived there.
        seconds: of the station that took longest.
        failed: station → why it can't be used; the others' answers hold all the same.
    """

    answers: Mapping[str, tuple[Mapping[str, Any], ...]]
    received: Mapping[str, tuple[tuple[str, str, int], ...]]
    seconds: float
    failed: Mapping[str, str]


def sweep(
    stations: Sequence[Station], *, passes: int = 1, settle: float = 0.5, timeout: float = 300
) -> Sweep:
    """Let all stations probe at the same time, once all of them that shall watch do so.

    Args:
        stations: they have different names.
        passes: how often a silent port is asked; more than once for networks that lose packets.
        settle: seconds without an answer after which a pass is over.
        timeout: seconds for all of it.

    Raises:
        Unreachable: a station that had begun doesn't end in time; with what it said.
    """
    program = files("medicarche.probe").joinpath("agent.py").read_text(encoding="utf-8")
    with ExitStack() as stack:
        running = {s.name: stack.enter_context(_Running(s)) for s in stations}
        clock = threading.Timer(timeout, _kill, (tuple(running.values()),))
        clock.start()
        stack.callback(clock.cancel)
        failed = {}
        for station in stations:
            job = {
                "scans": list(station.scans),
                "watch": station.watch,
                "passes": passes,
                "settle": settle,
            }
            running[station.name].tell(json.dumps(program), json.dumps(job))
        for name, one in tuple(running.items()):
            try:
                one.hear()
            except Unreachable as error:
                failed[name] = error.message
                del running[name]
        for one in running.values():
            one.tell("go")
        found = {name: one.hear() for name, one in running.items()}
        for one in running.values():
            one.close()
        watched = {name: one.hear()["watched"] for name, one in running.items()}
    watching = {s.name for s in stations if s.watch}
    return Sweep(
        answers={name: tuple(answer["scans"]) for name, answer in found.items()},
        received={
            name: tuple((row[0], row[1], int(row[2])) for row in rows)
            for name, rows in watched.items()
            if name in watching
        },
        seconds=max((float(answer["seconds"]) for answer in found.values()), default=0.0),
        failed=failed,
    )


def _kill(stations: tuple[_Running, ...]) -> None:
    for one in stations:
        one.kill()


class _Running:
    """One station's process."""

    def __init__(self, station: Station) -> None:
        self._name = station.name
        self._process = subprocess.Popen(
            station.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *details: object) -> None:
        if kind is not None:
            self.kill()
        with self._process:
            self.close()
            if self._process.stdout is not None and not self._process.stdout.closed:
                self._process.stdout.read()

    def kill(self) -> None:
        """End it at once; an agent ends by itself when nobody speaks to it any more."""
        self._process.kill()

    def tell(self, *lines: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker: it was asked for
        with suppress(BrokenPipeError):  # it has ended: what is heard of it next tells why
            self._process.stdin.write("".join(f"{line}\n" for line in lines))
            self._process.stdin.flush()

    def close(self) -> None:
        """Say that there is nothing more to do."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):  # it has ended: what it said tells why
                self._process.stdin.close()

    def hear(self) -> dict[str, Any]:
        """Read its next line."""
        assert self._process.stdout is not None  # noqa: S101 - as above
        line = self._process.stdout.readline()
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            raise self._failure() from None
        return found

    def _failure(self) -> Unreachable:
        self._process.kill()
        _, errors = self._process.communicate()
        said = "\n".join((errors or "").splitlines()[-5:])
        return Unreachable(
            f"{self._name}: the prober ended before it had answered:\n{said}",
            hint="it needs a Python 3.9 or newer and the right to raw sockets (root) there",
        )
