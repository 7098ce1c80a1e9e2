"""A small HTTP server in a process of its own, which a test can make slow, wrong, or stop.

Run as a program it serves, and says its port on standard output.
"""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medicarche.load.connection import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Running", "running"]

BODY = b"<html>fine</html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the path asks for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        name = self.path.strip("/")
        if name == "drop":
            self.close_connection = True
            return
        if name == "garbage":
            self.wfile.write(b"this isn't HTTP at all\r\n\r\n")
            self.close_connection = True
            return
        if name == "slow":
            time.sleep(0.3)
        body = b"<html>Fatal error</html>" if name == "wrong" else BODY
        self.send_response(503 if name == "unavailable" else 200)
        if name == "once":
            self.send_header("Connection", "close")
        if name == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """With room for many clients at once."""

    request_queue_size = 256


class Running:
    """The server as a test sees it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._process = process

    def request(self, name: str = "") -> Request:
        """Return a request of one of its pages."""
        return Request("127.0.0.1", self.port, f"/{name}", contains=b"fine")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it for as long as the block runs."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def running() -> Iterator[Running]:
    """Serve for as long as the block runs."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Running(int(process.stdout.readline()), process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()
