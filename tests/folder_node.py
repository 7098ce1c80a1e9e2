"""A folder in the place of the embedded cloud's node, for what runs commands there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FolderNode"]


@dataclass(frozen=True)
class FolderNode:
    """Its ``/etc/medicarche`` is the folder ``root``; its commands run here."""

    root: Path

    def command(self, arguments: list[str]) -> list[str]:
        """Return how a command is run in it."""
        return [part.replace("/etc/medicarche", str(self.root)) for part in arguments]
