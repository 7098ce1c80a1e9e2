"""What is left in an instance of something that isn't wanted there any more: files and packages.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, ClassVar

from pyinfra.api.facts import FactBase

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Leftovers"]


class Leftovers(FactBase[list[str]]):
    """Those of some files and packages that are there, in one command; each kind is a fact of its own.

    Attributes:
        paths: of files.
        programs: names of Debian's packages; there may be none.
    """

    default = list
    paths: ClassVar[tuple[str, ...]]
    programs: ClassVar[tuple[str, ...]]

    def command(self) -> str:
        """Ask for both."""
        files = f"ls -d -- {shlex.join(self.paths)} 2>/dev/null; "
        # without a name it would list all packages
        asked = (
            f"dpkg-query -W -f '${{db:Status-Abbrev}}|${{Package}}\n' {shlex.join(self.programs)} 2>/dev/null"
            " | sed -n 's/^.[^n].|//p'; "
        )
        return f"{files}{asked if self.programs else ''}true"

    def process(self, output: Iterable[str]) -> list[str]:
        """Read the lines."""
        return [line.strip() for line in output if line.strip()]
