"""pyinfra operations of our own: what its stock ones do in several round trips, in one, and crash-safe.

Why not `files.put` and `systemd.service`: (1) each costs two to four round trips per file or unit even when
there is nothing to do; (2) `files.put` leaves a secret readable by everybody for a moment (in /tmp, and
between copying and chmod); (3) a restart that hangs on "has this run changed the file" is lost where the run
is killed in between. Here a file's content goes through standard input to a file that is private from its
first byte, and a service is restarted when its configuration is younger than what it has loaded.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from medicarche.deploy.asking import ask

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from medicarche.deploy.asking import Question

__all__ = [
    "DETAILS",
    "Differences",
    "File",
    "Unit",
    "applied",
    "files",
    "files_question",
    "note",
    "run",
    "services",
    "services_question",
    "shell",
]

#: (host name, operation hash) → what differs, for people
DETAILS: dict[tuple[str, str], list[str]] = defaultdict(list)
#: (host name, operation hash) → the operation's name (pyinfra merges the names of all hosts' n-th operations)
NAMES: dict[tuple[str, str], str] = {}
#: where a service's last reload is stamped; emptied by a reboot, which loads everything anew
_STAMPS = "/run/medicarche"


def run(name: str, function: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - pyinfra's own types
    """Add an operation for the current host under a name of its own."""
    function(*args, name=name, **kwargs)
    NAMES[host.name, host.op_hash_order[-1]] = name


def note(text: str) -> None:
    """Keep a line that says what the current operation changes."""
    lines = DETAILS[host.name, host.current_op_hash or ""]
    if text not in lines:
        lines.append(text)


def shell(script: str, stdin: str | None = None) -> StringCommand:
    """Make a command of a script, and of what it reads."""
    return StringCommand(script, _stdin=stdin) if stdin is not None else StringCommand(script)


# files


@dataclass(frozen=True, slots=True)
class File:
    """A file as it should be. ``content`` ends with a newline."""

    path: str
    content: str
    mode: str = "644"
    owner: str = "root:root"

    def __post_init__(self) -> None:
        if not self.content.endswith("\n"):
            raise ValueError(f"{self.path}: no newline at its end")


class FileStates(FactBase[dict[str, tuple[str, str, str]]]):
    """path → (mode, owner:group, SHA-256) of those that are there."""

    default = dict

    def command(self, paths: Sequence[str]) -> str:
        """Read them all in one command."""
        quoted = shlex.join(paths)
        return f"stat -c '%a %U:%G %n' -- {quoted} 2>/dev/null; sha256sum -- {quoted} 2>/dev/null; true"

    def process(self, output: Iterable[str]) -> dict[str, tuple[str, str, str]]:
        """Put both halves together."""
        modes: dict[str, tuple[str, str]] = {}
        sums: dict[str, str] = {}
        for line in output:
            first, _, rest = line.partition(" ")
            if len(first) == hashlib.sha256().digest_size * 2:
                sums[rest.lstrip(" *")] = first
            elif rest:
                owner, _, path = rest.partition(" ")
                modes[path] = (first, owner)
        return {path: (*modes[path], sums.get(path, "")) for path in modes}


@operation()
def files(wanted: Sequence[File], absent: Sequence[str] = ()) -> Generator[StringCommand, None, None]:
    """Bring files to their content, mode and owner; remove those that must not be there."""
    found = ask(FileStates, paths=_paths(wanted, absent))
    yield from list(
        _file_commands(found, wanted, absent)
    )  # all of them noted, also where only one is asked for


def _paths(wanted: Sequence[File], absent: Sequence[str]) -> list[str]:
    return [*(f.path for f in wanted), *absent]


def files_question(wanted: Sequence[File], absent: Sequence[str] = ()) -> Question:
    """Return what `files` asks."""
    return FileStates, {"paths": _paths(wanted, absent)}


def _file_commands(
    found: dict[str, tuple[str, str, str]], wanted: Sequence[File], absent: Sequence[str]
) -> Iterator[StringCommand]:
    for file in wanted:
        digest = hashlib.sha256(file.content.encode()).hexdigest()
        state = found.get(file.path)
        if state is not None and state[2] == digest:
            if state[:2] != (file.mode, file.owner):
                note(f"{file.path}: {' '.join(state[:2])} becomes {file.mode} {file.owner}")
                path = shlex.quote(file.path)
                yield shell(f"chown {file.owner} {path} && chmod {file.mode} {path}")
            continue
        note(f"{file.path}: {'differs' if state else 'is missing'}")
        path, new = shlex.quote(file.path), shlex.quote(file.path + ".medicarche-new")
        yield shell(
            f"mkdir -p {shlex.quote(file.path.rpartition('/')[0])} && umask 077 && cat > {new} "
            f"&& chown {file.owner} {new} && chmod {file.mode} {new} && mv -T {new} {path}",
            file.content,
        )
    for path in absent:
        if path in found:
            note(f"{path}: must not be there")
            yield shell(f"rm -f {shlex.quote(path)}")


# an application's own script


class Differences(FactBase[list[str] | None]):
    """What a script of ours in the instance finds different, in words; None where it can't say yet.

    The script is run with ``check`` as its argument, changes nothing, and prints a JSON list last.
    """

    def command(self, script: str, program: str, user: str = "root") -> str:
        """Run the script where it is, and where what it asks is installed (``program``)."""
        return (
            f"if [ -e {shlex.quote(script)} ] && [ -e {shlex.quote(program)} ]; then "
            f"runuser -u {shlex.quote(user)} -- python3 {shlex.quote(script)} check; else echo null; fi"
        )

    def process(self, output: Iterable[str]) -> list[str] | None:
        """Read the last line."""
        found = json.loads(list(output)[-1])
        return None if found is None else [str(line) for line in found]


@operation()
def applied(
    script: str, program: str, wanted: str, user: str = "root"
) -> Generator[StringCommand, None, None]:
    """Let a script of ours in the instance bring about what is wanted, where it finds differences.

    Args:
        script: it; ``check`` says what differs (`Differences`), ``apply`` changes it, as root.
        program: what it asks has to be installed.
        wanted: what it reads on its standard input.
        user: who it compares as.
    """
    differences = host.get_fact(Differences, script=script, program=program, user=user, _stdin=wanted)
    if differences == []:
        return
    for line in differences or ["isn't installed"]:
        note(line)
    yield StringCommand(f"python3 {script} apply", _stdin=wanted)


# services


def _named(units: Sequence[Unit]) -> dict[str, list[str]]:
    paths = [p for u in units for p in (*u.configuration, f"{_STAMPS}/{u.name}")]
    names = [u.name for u in units]
    # what a timer starts has a file of its own, that systemd may have to read again
    started = [f"{name.removesuffix('.timer')}.service" for name in names if name.endswith(".timer")]
    return {"units": [*names, *started], "paths": paths}


def services_question(units: Sequence[Unit]) -> Question:
    """Return what `services` asks."""
    return UnitStates, _named(units)


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit that is enabled and running with its present configuration.

    Attributes:
        name: the unit.
        configuration: what it has to load again when it is younger than its last start or reload.
        refresh: systemctl's verb for that: ``reload`` or ``restart``.
        check: a command that proves the configuration before it is loaded.
    """

    name: str
    configuration: tuple[str, ...] = ()
    refresh: str = "restart"
    check: str = ""


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit as it is; times in seconds since 1970."""

    enabled: bool
    active: bool
    stale: bool
    started: float


class UnitStates(FactBase[tuple[dict[str, UnitState], dict[str, float]]]):
    """The units' states, and path → time of last change of files; in one command."""

    def command(self, units: Sequence[str], paths: Sequence[str]) -> str:
        """Ask systemd for all units at once, and the files' times."""
        fields = "Id,UnitFileState,ActiveState,NeedDaemonReload,ActiveEnterTimestamp"
        return (
            f"systemctl show --timestamp=unix -p {fields} -- {shlex.join(units)}; echo ==; "
            f"stat -c '%.9Y %n' -- {shlex.join(paths)} 2>/dev/null; true"
        )

    def process(self, output: Iterable[str]) -> tuple[dict[str, UnitState], dict[str, float]]:
        """Read both parts; systemctl parts units by an empty line."""
        states: dict[str, UnitState] = {}
        times: dict[str, float] = {}
        fields: dict[str, str] = {}
        behind = False
        for line in [*output, ""]:
            if line.strip() == "==":
                behind = True
            elif behind:
                stamp, _, path = line.partition(" ")
                if path:
                    times[path] = float(stamp.replace(",", "."))
                continue
            elif line.strip():
                key, _, value = line.partition("=")
                fields[key] = value
                continue
            if fields:
                states[fields["Id"]] = UnitState(
                    enabled=fields.get("UnitFileState") in ("enabled", "static", "alias"),
                    active=fields.get("ActiveState") == "active",
                    stale=fields.get("NeedDaemonReload") == "yes",
                    started=float(fields.get("ActiveEnterTimestamp", "").lstrip("@") or 0),
                )
                fields = {}
        return states, times


@operation()
def services(units: Sequence[Unit]) -> Generator[StringCommand, None, None]:
    """Enable and start units in their order; load again what is younger than what they have loaded."""
    found, times = ask(UnitStates, **_named(units))
    yield from list(_unit_commands(found, times, units))


def _unit_commands(
    found: dict[str, UnitState], times: dict[str, float], units: Sequence[Unit]
) -> Iterator[StringCommand]:
    if any(state.stale for state in found.values()):
        note("systemd reads its units again")
        yield shell("systemctl daemon-reload")
    for unit in units:
        state = found.get(unit.name, UnitState(enabled=False, active=False, stale=False, started=0.0))
        stamp = f"{_STAMPS}/{unit.name}"
        loaded = max(state.started, times.get(stamp, 0.0))
        young = [p for p in unit.configuration if times.get(p, 0.0) > loaded]
        if not state.enabled:
            note(f"{unit.name}: enabled")
            yield shell(f"systemctl enable -q {unit.name}")
        if state.active and not young:
            continue
        why = f"{', '.join(young)} changed" if state.active else "wasn't running"
        verb = unit.refresh if state.active else "start"
        note(f"{unit.name}: {verb} ({why})")
        checked = f"{unit.check} && " if unit.check else ""
        # the stamp is made before the configuration is loaded: a change in between is loaded next time
        yield shell(
            f"{checked}mkdir -p {_STAMPS} && touch {stamp}.new && systemctl {verb} {unit.name} "
            f"&& mv {stamp}.new {stamp}"
        )
