"""The node's logs, read from the cloud's data: they are there when the node isn't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from medicarche.embedded.services import SERVICES
from medicarche.errors import CommandError, MedicarcheError
from medicarche.process import last_lines, run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["UNITS", "read"]

_FILES: Final = {service.name: service.log for service in SERVICES}
#: every unit whose log can be asked for by name
UNITS: Final = (
    *_FILES,
    *("mariadb", "rabbitmq-server", "memcached", "libvirtd"),
    *("medicarche-node", "medicarche-database", "medicarche-identity"),
)


def read(data: Path, service: str | None, lines: int) -> str:
    """Return the last lines of a service's log and journal, or of the whole journal.

    Args:
        data: the cloud's own files, as the node sees them under ``/``.
        service: one of `UNITS`; None for all.
        lines: how many at most, of each source.

    Raises:
        MedicarcheError: there is no such service.
    """
    if service is None:
        return _journal(data, None, lines)
    if service not in UNITS:
        raise MedicarcheError(f"no service {service!r} in the node", hint=f"one of: {', '.join(UNITS)}")
    parts = [_journal(data, service, lines)]
    if service in _FILES:
        parts.append(last_lines(data / _FILES[service].lstrip("/"), lines))
    return "\n".join(part for part in parts if part)


def _journal(data: Path, unit: str | None, lines: int) -> str:
    folder = data / "var/log/journal"
    if not folder.is_dir():
        return ""
    chosen = [f"--unit={unit}.service"] if unit else []
    try:
        output = run(
            ["journalctl", f"--directory={folder}", "--no-pager", "--quiet", f"--lines={lines}", *chosen],
            timeout=20,
        )
    except CommandError:
        return ""  # a journal that is cut short: what is in the log file stands alone
    return output.rstrip()
