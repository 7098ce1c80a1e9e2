"""What Nextcloud tells of itself, as Prometheus' text: printed once, whole, or not at all.

Written by Medicarche; changes are put back. It runs in Nextcloud's instance by the system's Python, once a
minute, and imports nothing of Medicarche's. Its account may read neither Nextcloud's files nor its data: it
asks what every visitor may ask (``status.php``), and a procedure of the database that counts (metrics.sql).
What doesn't answer is told by a figure of its own, and leaves the others alone.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    #: name, value of its label or nothing, value
    Sample = tuple[str, str, float]

#: where Apache listens, in Nextcloud's instance
SERVER = ("127.0.0.1", 8080)
#: on the disk that carries the people's files
DATA = "/var/lib/nextcloud"
QUESTION = "CALL medicarche.nextcloud();"
#: seconds that one answer may take
PATIENCE = 10.0
_OK = 200
_PREFIX = "medicarche_nextcloud_"

#: name → its label, what it is; all are gauges, in this order
FAMILIES: Final[Mapping[str, tuple[str, str]]] = {
    "up": ("", "Nextcloud answers, and says its state."),
    "database_up": ("", "Its database answers."),
    "measured_timestamp_seconds": ("", "When all of this was measured."),
    "installed": ("", "It is installed."),
    "maintenance": ("", "It is in maintenance mode: nobody gets in."),
    "upgrade_needed": ("", "Its code is newer than its database: nobody gets in until it is upgraded."),
    "version_info": ("version", "The version of its code."),
    "accounts": ("backend", "Accounts: its own, and those that it knows from the directory."),
    "active_accounts": ("within", "Accounts that were used within a time."),
    "tokens": ("kind", "Tokens: sessions, and passwords of applications."),
    "throttled_logins": ("", "Failed log-ins of the last 12 hours, for which it makes their networks wait."),
    "files": ("", "Files of people, deleted ones and older versions too."),
    "data_bytes": ("kind", "Bytes of people's files, of deleted ones, of older versions."),
    "disk_free_bytes": ("", "Bytes that are free on the disk of the people's files."),
    "disk_size_bytes": ("", "Bytes of that disk."),
    "database_bytes": ("", "Bytes of its tables and their indices."),
    "shares": ("kind", "Shares, by who may open them."),
    "background_jobs_timestamp_seconds": ("", "When its background jobs ran last."),
}


def status(server: tuple[str, int] = SERVER) -> list[Sample]:
    """Ask Nextcloud for its state, as a visitor."""
    try:
        connection = http.client.HTTPConnection(*server, timeout=PATIENCE)
        # a name that it believes, whatever the instance is called
        connection.request("GET", "/status.php", headers={"Host": "localhost", "Connection": "close"})
        answer = connection.getresponse()
        told: Any = json.loads(answer.read()) if answer.status == _OK else None
        return [
            ("up", "", 1),
            ("installed", "", bool(told["installed"])),
            ("maintenance", "", bool(told["maintenance"])),
            ("upgrade_needed", "", bool(told["needsDbUpgrade"])),
            ("version_info", str(told["version"]), 1),
        ]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        _complain(f"status.php: {error!r}")
        return [("up", "", 0)]


def database() -> list[Sample]:
    """Ask the database to count."""
    command = ["mariadb", "--batch", "--skip-column-names", "--connect-timeout=5"]
    try:
        done = subprocess.run(
            command, input=QUESTION, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        return [("database_up", "", 1), *((name, label, float(value)) for name, label, value in rows)]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", None)
        _complain(f"database: {str(said).strip() if said else repr(error)}")
        return [("database_up", "", 0)]


def disk(path: str = DATA) -> list[Sample]:
    """Look at the disk of the people's files."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        _complain(f"disk: {error}")
        return []
    return [
        ("disk_free_bytes", "", found.f_bavail * found.f_frsize),
        ("disk_size_bytes", "", found.f_blocks * found.f_frsize),
    ]


def _complain(what: str) -> None:
    """Say in the journal what didn't answer."""
    sys.stderr.write(f"{what}\n")


def text(samples: Iterable[Sample]) -> str:
    """Write figures in Prometheus' text format; one that isn't known is an error."""
    found: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for name, value, number in samples:
        label = FAMILIES[name][0]
        shown = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        labels = f'{{{label}="{shown}"}}' if label else ""
        # whole numbers, however large, in full
        written = f"{number:.0f}" if float(number).is_integer() else repr(float(number))
        found[name].append(f"{_PREFIX}{name}{labels} {written}\n")
    return "".join(
        f"# HELP {_PREFIX}{name} {FAMILIES[name][1]}\n# TYPE {_PREFIX}{name} gauge\n{''.join(lines)}"
        for name, lines in found.items()
        if lines
    )


def main() -> None:
    """Print what can be known now."""
    measured = ("measured_timestamp_seconds", "", round(time.time()))
    sys.stdout.write(text([measured, *status(), *database(), *disk()]))


if __name__ == "__main__":
    main()
