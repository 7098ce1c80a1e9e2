"""Programs of the host that we start: the Debian or Ubuntu package of each, and its installation."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING

from medicarche.errors import CommandError, MachineError
from medicarche.process import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from medicarche.progress import Reporter

__all__ = ["ensure", "missing"]

#: apt is asked by one thread of ours at a time; for other processes' apt it waits this many seconds
_APT = threading.Lock()
_LOCK_SECONDS = 300


def missing(programs: Mapping[str, str]) -> tuple[str, ...]:
    """Return the packages of those programs that aren't there.

    Args:
        programs: program → the package that it comes from.
    """
    return tuple(sorted({package for program, package in programs.items() if shutil.which(program) is None}))


def ensure(packages: Iterable[str], reporter: Reporter, *, log: Path) -> None:
    """Install packages with the host's own apt.

    Args:
        packages: their names; nothing is done where there are none.
        reporter: told of the work.
        log: what apt says goes there.

    Raises:
        MachineError: not root, there is no apt-get, or it failed.
    """
    wanted = tuple(packages)
    if not wanted:
        return
    names = " ".join(wanted)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MachineError(
            f"programs of these packages are missing: {names}", hint=f"sudo apt-get install {names}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ("apt-get", "-o", f"DPkg::Lock::Timeout={_LOCK_SECONDS}", "--quiet")
    with _APT, reporter.stage(f"Installing {names}"):
        try:
            run([*apt, "update"], log=log, environment=environment)
            run(
                [*apt, "install", "--yes", "--no-install-recommends", *wanted],
                log=log,
                environment=environment,
            )
        except CommandError as error:
            raise MachineError(
                f"these packages are missing and can't be installed: {names}\n{error.message}",
                hint=f"install them yourself: apt-get install {names}",
            ) from error
