"""The command line. Results go to standard output, all else to standard error.

Exit codes: see `medicarche.errors`.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console

from medicarche.errors import MachineError, MedicarcheError

__all__ = ["main"]

EX_USAGE = 64
EX_SOFTWARE = 70
INTERRUPTED = 130
#: a full disk, a used-up quota, a limit on files' sizes
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
MAKE_ROOM = "Make room, and run the same command again to go on from here."


def main() -> None:
    """Run the command line and exit."""
    code = _run(sys.argv[1:])
    if code == INTERRUPTED:
        # Python would wait for all threads: somebody who interrupts twice doesn't want to
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    console = Console(stderr=True, soft_wrap=True)
    try:
        from medicarche.cli.app import medicarche  # noqa: PLC0415 - an error at import is told like all others

        result = medicarche.main(arguments, prog_name="medicarche", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - this is where every error ends: told once, then an exit code
        return _tell(console, error)
    return result if isinstance(result, int) else 0


def _tell(console: Console, error: BaseException) -> int:
    """Tell the user of an error, and return the exit code that goes with it."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        error = MachineError(f"nothing more can be written: {error}", hint=MAKE_ROOM)
    match error:
        case MedicarcheError():
            console.print("Error: ", style="bold red", end="")
            console.print(error.message, markup=False, highlight=False)
            if error.hint:
                console.print(f"→ {error.hint}", markup=False, highlight=False)
            return error.exit_code
        case click.ClickException():
            error.show()
            return EX_USAGE if isinstance(error, click.UsageError) else 1
        case click.Abort() | KeyboardInterrupt():
            console.print("interrupted; run the same command again to go on from here", style="yellow")
            return INTERRUPTED
        case PermissionError():
            console.print("Error: ", style="bold red", end="")
            console.print(f"not allowed: {error.filename or error}", markup=False, highlight=False)
            console.print("→ run it as root (sudo), or let MEDICARCHE_HOME name a folder of yours")
            return MachineError.exit_code
        case BrokenPipeError():  # the reader of our output has gone; Python would complain at its exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case Exception():
            return _internal_error(console, error)
        case _:
            raise error


def _internal_error(console: Console, error: Exception) -> int:
    handle, name = tempfile.mkstemp(prefix="medicarche-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        traceback.print_exception(error, file=stream)
    console.print(f"Internal error: {type(error).__name__}: {error}", style="bold red", markup=False)
    console.print(
        f"→ a fault of Medicarche's; its details are in {Path(name)}: please report it", markup=False
    )
    return EX_SOFTWARE
