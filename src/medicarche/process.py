"""Starting other programs: argument lists, logs, time limits and one clear error."""

from __future__ import annotations

import shlex
import subprocess
from collections import deque
from typing import TYPE_CHECKING

from medicarche.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["last_lines", "run"]


def run(
    arguments: Sequence[str | Path],
    *,
    log: Path | None = None,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    timeout: float | None = None,
    hint: str | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        arguments: the program and its arguments; never through a shell. They can be seen by everybody on
            the machine: secrets go through ``stdin`` or ``environment``.
        log: where standard error, and standard output, are appended to; the output isn't returned then.
        stdin: text for the program's standard input; without it the program reads end-of-file.
        environment: the program's whole environment; ours where it isn't given.
        directory: the program's working directory.
        timeout: seconds after which the program is killed.
        hint: what the user should do where it fails.

    Returns:
        Standard output, or an empty string where it went to ``log``.

    Raises:
        CommandError: the program isn't there, failed, or ran out of its time.
    """
    shown = shlex.join(str(a) for a in arguments)
    try:
        if log is None:
            done = subprocess.run(
                [str(a) for a in arguments],
                input=stdin if stdin is not None else "",
                env=environment,
                cwd=directory,
                timeout=timeout,
                capture_output=True,
                text=True,
                check=False,
            )
            tail = "\n".join(deque((done.stderr or done.stdout).splitlines(), maxlen=15))
            output = done.stdout
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as stream:
                stream.write(f"$ {shown}\n")
                stream.flush()
                done = subprocess.run(
                    [str(a) for a in arguments],
                    input=stdin if stdin is not None else "",
                    env=environment,
                    cwd=directory,
                    timeout=timeout,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
            tail = last_lines(log) + f"\nThe whole log: {log}"
            output = ""
    except FileNotFoundError as error:
        raise CommandError(f"{arguments[0]}: no such program ({error.strerror})", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        where = f"\nThe whole log: {log}" if log else ""
        raise CommandError(f"{shown}: not finished after {timeout:g} s{where}", hint=hint) from error
    if done.returncode != 0:
        raise CommandError(f"{shown}: exit code {done.returncode}\n{tail}", hint=hint)
    return output


def last_lines(path: Path, count: int = 15) -> str:
    """Return the last ``count`` lines of a text file, or an empty string where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return "".join(deque(stream, maxlen=count)).rstrip()
    except FileNotFoundError:
        return ""
