"""The supervision, asked by tests as somebody who has its password."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from medicarche.probe import Client

__all__ = ["Watch", "until"]


class Watch:
    """The supervision, as somebody who has its password sees it."""

    def __init__(self, client: Client, url: str, login: tuple[str, str]) -> None:
        self._client = client
        self._url = url
        self._login = login

    def get(self, path: str, **parameters: str) -> requests.Response:
        """Ask for a page."""
        answer = self._client.get(f"{self._url}{path}", params=parameters, auth=self._login)
        assert answer.status_code == requests.codes.ok, (  # noqa: S101 - for tests
            f"{path}: {answer.status_code} {answer.text[:200]}"
        )
        return answer

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series."""
        found = self.get("/prometheus/api/v1/query", query=expression).json()["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def targets(self) -> list[dict[str, Any]]:
        """Return what Prometheus asks, and whether it got an answer."""
        active: list[dict[str, Any]] = self.get("/prometheus/api/v1/targets").json()["data"]["activeTargets"]
        return active

    def alerts(self, name: str | None = None, **labels: str) -> list[dict[str, Any]]:
        """Return the alerts (of a name, or all) that Alertmanager holds now, those that others hide too."""
        found = self.get("/alertmanager/api/v2/alerts", active="true").json()
        wanted = labels if name is None else {"alertname": name, **labels}
        return [a for a in found if wanted.items() <= a["labels"].items()]


def until(met: Callable[[], Any], what: str, seconds: float) -> float:
    """Wait for a condition; returns the seconds that it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if met():
            return round(time.monotonic() - began, 1)
        time.sleep(1)
    pytest.fail(f"not within {seconds:.0f} s: {what}")
