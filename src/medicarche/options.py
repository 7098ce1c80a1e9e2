"""What a user says on the command line, and which cloud follows from it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from medicarche.embedded.place import Place
from medicarche.errors import MedicarcheError
from medicarche.paths import Paths

__all__ = ["EMBEDDED_NAME", "Options"]

EMBEDDED_NAME = "medicarche"
_CLOUD_NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")


@dataclass(frozen=True, slots=True)
class Options:
    """What a user says on the command line.

    Attributes:
        environment_file: the environment to build.
        cloud: an entry of ``clouds.yaml``; None for ``OS_CLOUD``, and the embedded cloud without that.
        admin_cloud: an entry with administrator's rights there, for what only an admin may create.
        embedded_name: the embedded cloud's name; several can run side by side.
        paths: where clouds, secrets and caches are kept.
        without: names of applications that aren't deployed this time.
    """

    environment_file: Path = Path("environments/medicarche.yaml")
    cloud: str | None = None
    admin_cloud: str | None = None
    embedded_name: str | None = None
    paths: Paths = field(default_factory=Paths.from_environment)
    without: tuple[str, ...] = ()

    @property
    def entry(self) -> str | None:
        """The entry of ``clouds.yaml`` that is meant, or None where it is the embedded cloud."""
        return self.cloud or os.environ.get("OS_CLOUD") or None

    def place(self) -> Place:
        """Return where the embedded cloud is, up or not.

        Raises:
            MedicarcheError: its name can't be one.
        """
        name = self.embedded_name or os.environ.get("MEDICARCHE_EMBEDDED_NAME") or EMBEDDED_NAME
        if not _CLOUD_NAME.fullmatch(name):
            raise MedicarcheError(
                f"{name!r} can't be an embedded cloud's name",
                hint="a lower-case letter, then at most 15 lower-case letters, digits and dashes",
            )
        return Place(name, self.paths)
