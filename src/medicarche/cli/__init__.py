"""The command line. Results go to standard output, all else to standard error.

Exit codes: see `medicarche.errors`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

import click
from rich.console import Console

from medicarche.errors import MedicarcheError

__all__ = ["main"]

EX_USAGE = 64
EX_SOFTWARE = 70
INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    console = Console(stderr=True, soft_wrap=True)
    try:
        from medicarche.cli.app import medicarche  # noqa: PLC0415 - an error at import is told like all others

        result = medicarche.main(arguments, prog_name="medicarche", standalone_mode=False)
    except MedicarcheError as error:
        console.print("Error: ", style="bold red", end="")
        console.print(error.message, markup=False, highlight=False)
        if error.hint:
            console.print(f"→ {error.hint}", markup=False, highlight=False)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EX_USAGE
    except click.UsageError as error:
        error.show()
        return EX_USAGE
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        console.print("interrupted; run the same command again to go on from here", style="yellow")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone; Python would complain at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, kept for its report
        return _internal_error(console, error)
    return result if isinstance(result, int) else 0


def _internal_error(console: Console, error: Exception) -> int:
    handle, name = tempfile.mkstemp(prefix="medicarche-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        traceback.print_exception(error, file=stream)
    console.print(f"Internal error: {type(error).__name__}: {error}", style="bold red", markup=False)
    console.print(
        f"→ a fault of Medicarche's; its details are in {Path(name)}: please report it", markup=False
    )
    return EX_SOFTWARE
