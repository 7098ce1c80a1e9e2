"""An application with the operator's own certificate is asked by that certificate's name, at its address."""

from __future__ import annotations

import http.server
import shutil
import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medicarche.load import LoadTarget
from medicarche.load.connection import Request
from medicarche.load.generator import closed
from medicarche.load.h2load import measure
from medicarche.pki import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "www.example.org"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers who asks by the name, as nginx does before the applications."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        asked = self.headers["Host"].partition(":")[0]
        self.send_response(200 if asked == NAME else 421)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def request_by_name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Request]:
    """The request to a server whose certificate is for a name and for no address."""
    folder = tmp_path_factory.mktemp("authority")
    authority = Authority(folder, organization="Example", domain="example.org")
    authority.ensure()
    issued = authority.issue("www", [NAME], [])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    with _serving(context) as port:
        yield Request("127.0.0.1", port, authority=authority.ca_certificate, name=NAME)


@contextmanager
def _serving(context: ssl.SSLContext) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_is_asked_by_its_name(request_by_name: Request) -> None:
    assert request_by_name.url == f"https://{NAME}:{request_by_name.port}/"
    seen = closed(request_by_name, clients=2, requests=10)
    assert (seen.succeeded, seen.failed) == (10, 0), seen.failures


def test_its_certificate_isnt_believed_for_another_name_or_its_address(request_by_name: Request) -> None:
    for name in ("", "www.example.com"):
        seen = closed(replace(request_by_name, name=name), clients=1, requests=2)
        assert seen.succeeded == 0
        assert all("certificate: " in reason for reason in seen.failures), seen.failures


@pytest.mark.skipif(shutil.which("h2load") is None, reason="only who compares with h2load has it")
def test_h2load_asks_by_the_name_too(request_by_name: Request) -> None:
    seen = measure(request_by_name, clients=1, requests=4, seconds=30)
    assert (seen.succeeded, seen.failed) == (4, 0), seen.text


def test_a_targets_address_and_the_url_that_people_write() -> None:
    target = LoadTarget("site", "wordpress", "https://192.0.2.7:8088", Path("ca.pem"), None, name_asked=NAME)
    assert target.address == "192.0.2.7"
    assert target.public_url == f"https://{NAME}:8088"
    assert replace(target, name_asked="").public_url == "https://192.0.2.7:8088"
