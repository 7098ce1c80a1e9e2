"""The SSH server, by ssh-audit (https://github.com/jtesta/ssh-audit), from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.testing.baselines.findings import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["audit", "command", "seen_in"]

#: its sections, and what they are of
_SECTIONS = {"kex": "key exchange", "key": "host key", "enc": "cipher", "mac": "MAC"}


def command(address: str) -> list[str]:
    """Return the command line; no rate test: the server's limits aren't to be used up."""
    program = str(Path(sys.executable).with_name("ssh-audit"))
    return [program, "--json", "--skip-rate-test", "--timeout=20", address]


def audit(address: str) -> dict[str, Any]:
    """Ask a server what it offers.

    Raises:
        AssertionError: it can't be audited.
    """
    done = subprocess.run(command(address), capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr  # noqa: S101 - a test's helper
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def seen_in(audited: dict[str, Any]) -> Iterator[tuple[str, str, Seen]]:
    """Say of each algorithm that is offered what ssh-audit says of it; and of each known vulnerability.

    What it calls ``fail`` or ``warn`` is a deviation.
    """
    for section, title in _SECTIONS.items():
        for offered in audited.get(section) or ():
            notes = offered.get("notes") or {}
            wrong = [*notes.get("fail", ()), *notes.get("warn", ())]
            words = "; ".join(wrong or notes.get("info", ()))
            yield offered["algorithm"], title, Seen(met=not wrong, words=words)
    for weakness in audited.get("cves") or ():
        yield weakness["name"], "vulnerability", Seen(met=False, words=str(weakness.get("description", "")))
