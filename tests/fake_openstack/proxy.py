"""A reverse proxy that hurts: between our code and a real cloud's services, one port for each of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from fake_openstack.faults import Faults, Kind
from fake_openstack.wire import HTTP_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["HurtingProxy"]

#: headers that belong to one connection (RFC 9110, section 7.6.1)
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length"}
#: seconds that the real service may take
PATIENCE = 120.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, service: str, upstream: str, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self.upstream = urlsplit(upstream).netloc
        self.faults = faults

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that clients cut."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *_arguments: object) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.faults.strike(self.command, f"/{self.server.service}{self.path}")
        kind = fault.kind if fault else Kind.CHANGE
        answer = None
        if kind not in {Kind.DROP, Kind.REFUSE}:
            answer = self._forward(raw)
        if fault is not None and fault.before is not None:
            fault.before()
        if kind in {Kind.DROP, Kind.LOSE}:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        elif fault is not None and (answer is None or kind is Kind.REFUSE_AFTER):
            self._send(fault.status, fault.headers, fault.raw or b"{}")
        elif answer is not None:
            status, headers, body = answer
            if fault is not None and fault.change is not None and body and status < HTTP_ERRORS:
                body = json.dumps(fault.change(json.loads(body))).encode()
            self._send(status, headers, body if fault is None or fault.raw is None else fault.raw)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's own names

    def _forward(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        # Host stays ours: the services build their links from it, and these must lead here again
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
        connection = http.client.HTTPConnection(self.server.upstream, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body=raw or None, headers=headers)
            answer = connection.getresponse()
            kept = {key: value for key, value in answer.getheaders() if key.lower() not in HOP_BY_HOP}
            return answer.status, kept, answer.read()

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class HurtingProxy:
    """Stands before the services of a real cloud. A context manager.

    Args:
        upstreams: service type → URL of its end point.

    Attributes:
        faults: what is ordered, and the calls seen; paths begin with the service's type.
    """

    def __init__(self, upstreams: Mapping[str, str]) -> None:
        self.faults = Faults()
        self._upstreams = dict(upstreams)
        self._servers = {service: _Server(service, url, self.faults) for service, url in upstreams.items()}
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            for server in self._servers.values()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def clouds_yaml(self, original: Path, target: Path) -> Path:
        """Write a copy of a clouds.yaml that leads through here; 0600, as it holds the same secrets."""
        overrides = "".join(
            f"    {service}_endpoint_override: "
            f"http://127.0.0.1:{server.server_address[1]}{urlsplit(self._upstreams[service]).path}\n"
            for service, server in self._servers.items()
        )
        text = original.read_text(encoding="utf-8")
        target.touch(mode=0o600)
        target.write_text(re.sub(r"(?m)^(  [\w-]+:\n)", rf"\g<1>{overrides}", text), encoding="utf-8")
        return target
