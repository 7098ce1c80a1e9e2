"""What a load test loads: the applications of the built environment, as ``medicarche status`` tells them."""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from medicarche import process
from medicarche.embedded import namespace
from medicarche.errors import MedicarcheError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LoadTarget", "host_and_port", "program", "read_status", "targets"]

#: of the JSON form that is read here (docs/status.md)
VERSION = 1
#: seconds for ``medicarche status``
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """An application to load.

    Attributes:
        name: as in the environment file.
        kind: the module that deployed it; a scenario is written for one kind.
        url: without the last slash.
        authority: the file of the certificate authority that its certificate is verified with.
        name_asked: the host name that it is asked by, where its certificate isn't for its address but is the
            operator's own; no name server needs to know that name yet.
        network: the network name space that its address exists in, or None for a configured cloud.
        instance: where it runs.
    """

    name: str
    kind: str
    url: str
    authority: Path
    network: Path | None
    instance: str = ""
    name_asked: str = ""

    @property
    def address(self) -> str:
        """The IPv4 address that is connected to."""
        return host_and_port(self.url)[0]

    @property
    def public_url(self) -> str:
        """The URL as people write it: by the name of the certificate, where that isn't for the address."""
        _, port = host_and_port(self.url)
        return f"https://{self.name_asked}:{port}" if self.name_asked else self.url

    def enter(self) -> None:
        """Enter the network name space of the target. Call it before the first socket to it is made."""
        if self.network is not None:
            namespace.enter(self.network)

    def guard(self) -> None:
        """Refuse to send to the target from outside of its network name space.

        Raises:
            MedicarcheError: the URL has no IPv4 address, though the target is in a network name space.
        """
        if self.network is None:
            return
        host = urlsplit(self.url).hostname
        try:
            namespace.guard([f"{ipaddress.IPv4Address(host or '')}/32"], self.network)
        except ValueError as error:
            raise MedicarcheError(f"{self.url}: not an address in {self.network}") from error


def targets(status: Mapping[str, Any]) -> tuple[LoadTarget, ...]:
    """Return the applications of a status that answer.

    Raises:
        MedicarcheError: the status is of another version, the cloud is down, or an application that is
            deployed doesn't answer: a load test of that would measure nothing.
    """
    if status.get("version") != VERSION:
        raise MedicarcheError(f"a status of version {status.get('version')!r}; this reads version {VERSION}")
    if status["cloud"]["state"] != "up":
        raise MedicarcheError(f"the cloud {status['cloud']['name']} is down", hint="medicarche provision")
    silent = [a["name"] for a in status["applications"] if a["state"] == "not answering"]
    if silent:
        raise MedicarcheError(f"not answering: {', '.join(silent)}", hint="medicarche provision")
    network = status["cloud"]["namespace"]
    return tuple(
        LoadTarget(
            a["name"],
            a["kind"],
            a["url"].rstrip("/"),
            Path(a["authority"]),
            Path(network) if network else None,
            a.get("instance", ""),
            a.get("certificate_name") or "",
        )
        for a in status["applications"]
        # one without a URL is for other applications, not for people
        if a["state"] == "answering" and a["url"]
    )


def host_and_port(url: str) -> tuple[str, int]:
    """Return the address and the port of a URL that names both.

    Raises:
        MedicarcheError: it doesn't.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise MedicarcheError(f"{url}: without an address or a port")
    return parts.hostname, parts.port


def program() -> Path:
    """Return the command line of this virtual environment."""
    return Path(sys.executable).with_name("medicarche")


def read_status() -> dict[str, Any]:
    """Return the status: of the file that ``MEDICARCHE_STATUS`` names, else of ``medicarche status --json``.

    The environment and the cloud are those of ``MEDICARCHE_ENVIRONMENT``, ``OS_CLOUD`` and
    ``MEDICARCHE_EMBEDDED_NAME``, as for all commands.

    Raises:
        MedicarcheError: the command fails, or the answer isn't JSON.
    """
    file = os.environ.get("MEDICARCHE_STATUS")
    if file:
        text = Path(file).read_text(encoding="utf-8")
    else:
        text = process.run([program(), "status", "--json"], timeout=_PATIENCE)
    try:
        status = json.loads(text)
    except ValueError as error:
        raise MedicarcheError(f"the status isn't JSON: {error}") from error
    if not isinstance(status, dict):
        raise MedicarcheError("the status isn't a JSON object")
    return status
