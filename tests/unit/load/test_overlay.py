"""A load test's mark on the dashboards: sent over verified TLS, and never a reason for a run to fail."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from medicarche.credentials import Credentials
from medicarche.deploy.applications.supervision.dashboards import LOAD_TAG, as_json
from medicarche.load.overlay import mark
from medicarche.load.run import Run
from medicarche.load.targets import LoadTarget
from medicarche.load.verdict import Verdict, VerdictKind
from medicarche.pki import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "grafana.example.org"
RUN = Run(
    kind="ramp",
    application="website",
    application_kind="wordpress",
    environment="company",
    cloud="embedded",
    began=datetime(2026, 11, 29, 12, tzinfo=UTC),
    seconds=90.25,
    parameters={},
    verdict=Verdict(VerdictKind.PASSED),
    answer="Le site tient 40 personnes.",
)


class Grafana:
    """What was sent, and with which status it is answered."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[dict[str, Any]] = []


@contextmanager
def _serving(grafana: Grafana, context: ssl.SSLContext) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            grafana.seen.append({**self.headers, "path": self.path, "body": body})
            self.send_response(grafana.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def grafana() -> Grafana:
    """What plays Grafana's interface."""
    return Grafana()


@pytest.fixture
def bench(grafana: Grafana, tmp_path: Path) -> Iterator[Any]:
    """What `mark` needs of a bench, with a Grafana whose certificate is for an address and a name."""
    authority = Authority(tmp_path, organization="Example", domain="example.org")
    authority.ensure()
    issued = authority.issue("grafana", [NAME], ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    Credentials(tmp_path).get_or_create("boards/administrator")
    application = SimpleNamespace(name="boards", settings={"administrator": "dsi"})
    notes: list[str] = []
    with _serving(grafana, context) as port:
        target = LoadTarget("boards", "grafana", f"https://127.0.0.1:{port}", authority.ca_certificate, None)
        yield SimpleNamespace(
            targets=(target,),
            selection=SimpleNamespace(
                environment=SimpleNamespace(applications=[application]), folder=tmp_path
            ),
            reporter=SimpleNamespace(note=notes.append),
            notes=notes,
        )


def test_a_run_is_marked_from_its_begin_to_its_end_where_the_dashboard_looks(
    bench: Any,  # noqa: ANN401 - a stand-in
    grafana: Grafana,
    tmp_path: Path,
) -> None:
    mark(bench, RUN)
    assert bench.notes == []
    (sent,) = grafana.seen
    assert sent["path"] == "/api/annotations"
    password = Credentials(tmp_path).get("boards/administrator")
    login = base64.b64decode(sent["authorization"].removeprefix("Basic ")).decode()
    assert login == f"dsi:{password}"
    body = sent["body"]
    assert body["timeEnd"] - body["time"] == 90_250
    assert body["time"] == 1_795_953_600_000
    assert RUN.answer in body["text"]
    (shown,) = [
        entry
        for entry in json.loads(as_json("company")["charge.json"])["annotations"]["list"]
        if entry["datasource"]["uid"] == "-- Grafana --"
    ]
    assert shown["target"]["tags"] == [LOAD_TAG]
    assert LOAD_TAG in body["tags"]


def test_one_whose_certificate_is_for_a_name_is_asked_by_that(
    bench: Any,  # noqa: ANN401 - a stand-in
    grafana: Grafana,
) -> None:
    (target,) = bench.targets
    bench.targets = (replace(target, name_asked=NAME),)
    mark(bench, RUN)
    assert bench.notes == []
    assert grafana.seen[0]["Host"] == f"{NAME}:{target.url.rpartition(':')[2]}"
    bench.targets = (replace(target, name_asked="www.example.org"),)
    mark(bench, RUN)
    assert len(grafana.seen) == 1
    assert "boards doesn't show 20261129T120000-ramp-website" in bench.notes[0]


def test_a_grafana_that_refuses_or_isnt_there_is_told_and_nothing_else(
    bench: Any,  # noqa: ANN401 - a stand-in
    grafana: Grafana,
) -> None:
    grafana.status = 403
    mark(bench, RUN)
    assert bench.notes[0].endswith("HTTP status 403")
    (target,) = bench.targets
    bench.targets = (replace(target, url="https://127.0.0.1:9"),)
    mark(bench, RUN)
    assert len(bench.notes) == 2
    bench.targets = ()
    mark(bench, RUN)
    assert len(bench.notes) == 2
