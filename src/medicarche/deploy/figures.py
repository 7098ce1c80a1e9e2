"""Figures that no agent of Debian's shows: a program of ours tells them to the instance's own agent.

A kind of application has an entry here. Its program runs by a timer, as the account of the agents, prints
Prometheus' text, and is given no other way to write: no further port, nothing that listens.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medicarche.deploy.database_accounts import Procedure
from medicarche.deploy.operations import File
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIGURES", "TEXT_FILES", "Figures"]

_APPLICATIONS = Path(__file__).parent / "applications"
_SYSTEMD = "/etc/systemd/system"
#: where the instance's agent reads text files
TEXT_FILES = "/var/lib/prometheus/node-exporter"


@dataclass(frozen=True, slots=True)
class Figures:
    """What tells the figures of a kind of application.

    The kind's folder holds it: ``metrics.py``, which imports nothing but Python's own; ``metrics.sql``, the
    body of a procedure of MariaDB that counts; its service and timer among the templates.

    Attributes:
        kind: the application's.
        reads: the application's database, in MariaDB.
    """

    kind: str
    reads: str

    @property
    def service(self) -> str:
        """The unit that runs the program once."""
        return f"medicarche-{self.kind}-metrics.service"

    @property
    def timer(self) -> str:
        """The unit that starts it."""
        return f"medicarche-{self.kind}-metrics.timer"

    @property
    def timer_file(self) -> str:
        """Where the timer stands."""
        return f"{_SYSTEMD}/{self.timer}"

    @property
    def paths(self) -> tuple[str, ...]:
        """All files: program, service, timer."""
        return (
            f"/usr/local/lib/medicarche/{self.kind}-metrics",
            f"{_SYSTEMD}/{self.service}",
            self.timer_file,
        )

    @property
    def procedure(self) -> Procedure:
        """The procedure that counts."""
        body = (_APPLICATIONS / self.kind / "metrics.sql").read_text(encoding="utf-8")
        return Procedure(self.kind, self.reads, body)

    def files(self) -> list[File]:
        """Return the files, the timer last: where it is right, so are the others."""
        program, service, timer = self.paths
        folder = _APPLICATIONS / self.kind
        templates = folder / "templates"
        written = f"{TEXT_FILES}/medicarche-{self.kind}.prom"
        unit = render(templates, "metrics.service.j2", program=program, written=written)
        digest = hashlib.sha256(unit.encode()).hexdigest()
        return [
            File(program, (folder / "metrics.py").read_text(encoding="utf-8")),
            File(service, unit),
            File(timer, render(templates, "metrics.timer.j2", service=digest)),
        ]


#: kind → what tells its figures
FIGURES: Final[Mapping[str, Figures]] = {
    figures.kind: figures for figures in (Figures("nextcloud", "nextcloud"),)
}
