"""Programs whose death is tied to ours: nothing of a build outlives the run that started it."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from medicarche.errors import CommandError
from medicarche.process import last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["confined", "run_logged"]


def confined(arguments: Sequence[str | Path]) -> list[str]:
    """Return the command that runs a program in a mount and a process name space of its own.

    When the calling thread dies, by SIGKILL even, the kernel kills ``unshare``, with it the first process
    of the name space, and with that one all others: no process and no mount is left over.
    """
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *(
            "unshare",
            "--mount",
            "--propagation=slave",
            "--pid",
            "--fork",
            "--kill-child=SIGKILL",
            "--mount-proc",
        ),
        *("--", *(str(a) for a in arguments)),
    ]


def run_logged(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    on_line: Callable[[str], None] = lambda _: None,
    environment: Mapping[str, str] | None = None,
    what: str | None = None,
    hint: str | None = None,
) -> None:
    """Run a program to its end, with all that it writes appended to a log, line by line.

    Args:
        arguments: the program and its arguments.
        log: the file; its folder is made.
        on_line: told each line, for showing progress.
        environment: the program's whole environment; ours where it isn't given.
        what: how the error names the work; the command line where it isn't given.
        hint: what the user should do where it fails.

    Raises:
        CommandError: the program isn't there, or failed; with the log's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(a) for a in arguments]
    name = what or shlex.join(command)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise CommandError(f"{command[0]}: no such program", hint=hint) from error
    with process, log.open("a", encoding="utf-8") as stream:
        assert process.stdout is not None  # noqa: S101 - for the type checker: it was asked for above
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                on_line(line.strip())
        except BaseException:
            process.kill()
            # ends when the last of those that it had started is gone, and nobody writes any more where the
            # caller now cleans up
            process.stdout.read()
            raise
    if process.returncode != 0:
        raise CommandError(
            f"{name}: exit code {process.returncode}\n{last_lines(log)}\nThe whole log: {log}", hint=hint
        )
