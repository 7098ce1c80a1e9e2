"""Files in the node that each environment adds a part of its own to, while the cloud runs.

A service has its processes begin anew when its file changes (`medicarche.embedded.services`,
``touch-reload``): what is the same already isn't written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from medicarche.process import run

if TYPE_CHECKING:
    from medicarche.embedded.node import Node

__all__ = ["Gathered"]

#: "$1": the file; "$2": the folder of its parts; "$3": the environment; standard input: its part, nothing for
#: none. A file that becomes empty stays: uwsgi doesn't see one go
_SCRIPT: Final = """
set -e
umask 022
mkdir -p "$2"
cat > "$2/$3.new"
if [ -s "$2/$3.new" ]; then mv "$2/$3.new" "$2/$3"; else rm -f "$2/$3.new" "$2/$3"; fi
[ -e "$1" ] || [ -e "$2/$3" ] || exit 0
find "$2" -type f ! -name '*.new' | sort | xargs -r cat > "$1.new"
if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
"""
_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """A file of the node.

    Attributes:
        path: the whole of it, for the service that reads it.
        parts: the folder in which each environment's part is kept.
    """

    path: str
    parts: str

    def put(self, node: Node, environment: str, part: str) -> None:
        """Take an environment's part in, instead of the one that it had before; an empty one takes it out.

        Args:
            node: it, running.
            environment: the environment's name.
            part: what is the environment's own; all may read it.

        Raises:
            MachineError: the node doesn't run.
            CommandError: the file can't be written.
        """
        command = node.command(["sh", "-c", _SCRIPT, "put", self.path, self.parts, environment])
        run(command, stdin=part, timeout=_SECONDS)
