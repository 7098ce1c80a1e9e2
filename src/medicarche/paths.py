"""Where Medicarche keeps what outlives a run. Nothing is kept in the checkout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Paths"]


@dataclass(frozen=True, slots=True)
class Paths:
    """The two folders that outlive a run.

    Attributes:
        home: clouds, environments' credentials, keys and authorities; mode 0700. From ``MEDICARCHE_HOME``,
            else ``/var/lib/medicarche``.
        cache: root file systems, images and packages, keyed by the hash of what they are built from; may be
            removed at any time. From ``MEDICARCHE_CACHE``, else ``/var/cache/medicarche``.
    """

    home: Path
    cache: Path

    @classmethod
    def from_environment(cls) -> Paths:
        """Read the folders from the process's environment variables."""
        return cls(
            home=Path(os.environ.get("MEDICARCHE_HOME") or "/var/lib/medicarche"),
            cache=Path(os.environ.get("MEDICARCHE_CACHE") or "/var/cache/medicarche"),
        )

    def cloud(self, name: str) -> Path:
        """Return the folder of the embedded cloud ``name``."""
        return self.home / "clouds" / name

    def environment(self, cloud: str, name: str) -> Path:
        """Return the folder of the secrets of environment ``name`` on the cloud called ``cloud``."""
        return self.home / "environments" / cloud / name
