"""Syncthing nodes of the company's sites, on the machine that tests, in the name space of their caller."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Node", "node"]

_START_SECONDS = 30.0
_OPTIONS = {
    "globalAnnounceEnabled": False,
    "localAnnounceEnabled": False,
    "relaysEnabled": False,
    "natEnabled": False,
    "urAccepted": -1,
    "crashReportingEnabled": False,
    "reconnectionIntervalS": 1,
}


class Node:
    """One node, spoken to through its REST interface.

    Args:
        url: of its REST interface, without the last slash.
        key: its API key.
        verify: the authority's certificate, where the URL is an https one.
    """

    def __init__(self, url: str, key: str, verify: Path | None = None) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["X-API-Key"] = key
        if verify is not None:
            self._session.verify = str(verify)
        self._url = url

    def call(self, method: str, path: str, body: object = None, **query: str) -> Any:  # noqa: ANN401 - any JSON
        """Send a request to ``/rest/<path>``; the answer's JSON, or None where it has none."""
        answer = self._session.request(
            method, f"{self._url}/rest/{path}", json=body, params=query, timeout=60
        )
        answer.raise_for_status()
        return answer.json() if answer.content.strip() else None

    def id(self) -> str:
        """Its device identity."""
        return str(self.call("GET", "system/status")["myID"])

    def add_device(self, identity: str, name: str, address: str = "dynamic") -> None:
        """Know another node; ``address``: where it is called, ``dynamic`` where it calls."""
        self.call(
            "PUT", f"config/devices/{identity}", {"deviceID": identity, "name": name, "addresses": [address]}
        )

    def share(self, folder: str, path: str, identities: list[str]) -> None:
        """Share a folder with other nodes."""
        wanted = {
            "id": folder,
            "path": path,
            "devices": [{"deviceID": identity} for identity in identities],
            "fsWatcherDelayS": 1,
            "rescanIntervalS": 5,
        }
        self.call("PUT", f"config/folders/{folder}", wanted)

    def scan(self, folder: str) -> None:
        """Look at the folder's files now."""
        self.call("POST", "db/scan", folder=folder)

    def forget(self, folder: str, identities: list[str]) -> None:
        """Undo `share` and `add_device`."""
        for path in (f"config/folders/{folder}", *(f"config/devices/{identity}" for identity in identities)):
            with suppress(requests.HTTPError):
                self.call("DELETE", path)
        for identity in identities:
            with suppress(requests.HTTPError):
                self.call("DELETE", "cluster/pending/devices", device=identity)

    def connected(self, identity: str) -> bool:
        """Tell whether another node is connected."""
        known = self.call("GET", "system/connections")["connections"]
        return bool(known.get(identity, {}).get("connected"))


@contextmanager
def node(program: Path, home: Path, port: int) -> Iterator[Node]:
    """Run a node as long as the block does; it calls others, and listens on loopback only.

    Args:
        program: Syncthing itself.
        home: an empty folder.
        port: of its REST interface; the next one is for its peers.

    Raises:
        AssertionError: it doesn't answer in its time.
    """
    key = secrets.token_urlsafe(24)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "STNOUPGRADE": "1", "STGUIAPIKEY": key}
    arguments = [
        str(program),
        "serve",
        "--home",
        str(home),
        "--no-browser",
        "--no-restart",
        "--no-default-folder",
    ]
    log = home.with_suffix(".log")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*arguments, "--gui-address", f"http://127.0.0.1:{port}"],
            env=environment, stdout=output, stderr=output,
        ) as process,
    ):  # fmt: skip
        try:
            made = Node(f"http://127.0.0.1:{port}", key)
            _wait(made, log)
            made.call(
                "PATCH", "config/options", {**_OPTIONS, "listenAddresses": [f"tcp://127.0.0.1:{port + 1}"]}
            )
            yield made
        finally:
            process.terminate()


def _wait(made: Node, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            made.call("GET", "system/ping")
        except requests.RequestException as error:
            if time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise AssertionError(f"{error}\n{said}") from error
            time.sleep(0.2)
        else:
            return
