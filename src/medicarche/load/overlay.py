"""A load test as a mark on the supervision's dashboards: Grafana keeps it, where one is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import urllib3

from medicarche.credentials import Credentials
from medicarche.deploy.applications.supervision.dashboards import LOAD_TAG
from medicarche.load.targets import host_and_port
from medicarche.spec.supervision import GRAFANA

if TYPE_CHECKING:
    from medicarche.load.bench import Bench
    from medicarche.load.run import Run
    from medicarche.load.targets import LoadTarget

__all__ = ["mark"]

_OK = 200
#: seconds to connect, and for an answer
_PATIENCE = 10.0


def mark(bench: Bench, run: Run) -> None:
    """Let Grafana show a run on its curves; where it can't, a note says why: the run itself is kept.

    Grafana's "Annotations HTTP API"; times are in milliseconds.
    """
    grafana = next((target for target in bench.targets if target.kind == GRAFANA), None)
    if grafana is None:
        return
    began = round(run.began.timestamp() * 1000)
    body = {
        "time": began,
        "timeEnd": began + round(run.seconds * 1000),
        "tags": [LOAD_TAG, run.kind, run.application],
        "text": f"{run.name} : {run.answer}",
    }
    try:
        refused = _refusal(bench, grafana, body)
    except urllib3.exceptions.HTTPError as error:
        refused = str(error)
    if refused:
        bench.reporter.note(f"{grafana.name} doesn't show {run.name}: {refused}")


def _refusal(bench: Bench, grafana: LoadTarget, body: dict[str, Any]) -> str:
    """Send a mark; say what kept it from being taken, nothing where it was."""
    application = next(a for a in bench.selection.environment.applications if a.name == grafana.name)
    password = Credentials(bench.selection.folder).get(f"{grafana.name}/administrator")
    if password is None:
        return "its administrator's password isn't known"
    grafana.guard()
    name = grafana.name_asked or None
    login = f"{application.settings['administrator']}:{password}"
    host, port = host_and_port(grafana.url)
    with urllib3.HTTPSConnectionPool(
        host,
        port,
        ca_certs=str(grafana.authority),
        server_hostname=name,
        assert_hostname=name,
        timeout=_PATIENCE,
        retries=False,
    ) as pool:
        headers = {
            **urllib3.make_headers(basic_auth=login),
            "Host": grafana.public_url.removeprefix("https://"),
        }
        answer = pool.request("POST", "/api/annotations", json=body, headers=headers)
    return "" if answer.status == _OK else f"HTTP status {answer.status}"
