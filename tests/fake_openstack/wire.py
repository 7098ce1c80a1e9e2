"""HTTP: requests as the services see them, answers, and the server on loopback."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fake_openstack.faults import Faults, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Answer", "Caller", "HttpServer", "Refusal", "Request", "Router", "new_id"]


def new_id() -> str:
    """Return a new cloud id."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    user_id: str
    project_id: str
    roles: tuple[str, ...]

    @property
    def admin(self) -> bool:
        """Whether all is allowed."""
        return "admin" in self.roles


@dataclass
class Answer:
    """An HTTP answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Raised by a service to refuse a call."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.answer = Answer(status, body)


@dataclass
class Request:
    """An HTTP request; ``groups`` are those of the route's pattern."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    caller: Caller | None = None
    groups: tuple[str, ...] = ()

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The decoded body."""
        return json.loads(self.raw) if self.raw else {}

    @property
    def who(self) -> Caller:
        """The caller.

        Raises:
            Refusal: there is no valid token.
        """
        if self.caller is None:
            raise Refusal(
                401, {"error": {"code": 401, "message": "The request you have made requires authentication."}}
            )
        return self.caller


class Router:
    """Routes calls to functions by method and path."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Callable[[Request], Answer]]] = []

    def add(self, method: str, pattern: str, handler: Callable[[Request], Answer]) -> None:
        """Route a method and a path pattern."""
        self._routes.append((method, re.compile(pattern), handler))

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        for method, pattern, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                request.groups = tuple(unquote(group) for group in match.groups())
                try:
                    return handler(request)
                except Refusal as refusal:
                    return refusal.answer
        return Answer(404, {"message": f"no route for {request.method} {request.path}"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - http.server's own
        """Say nothing of connections that clients cut."""


class HttpServer:
    """Serves a router on a free port of 127.0.0.1."""

    def __init__(self, router: Router, faults: Faults, authenticate: Callable[[str], Caller | None]) -> None:
        lock = threading.RLock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16
            disable_nagle_algorithm = True

            def log_message(self, *_arguments: object) -> None:
                pass

            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = faults.strike(self.command, self.path)
                if fault is not None and fault.kind is Kind.DROP:
                    self._hang_up()
                    return
                answer = None if fault is not None and fault.kind is Kind.REFUSE else self._answer(raw)
                if fault is not None and fault.kind in {Kind.LOSE, Kind.STALL}:
                    if fault.kind is Kind.STALL:
                        self.rfile.read(1)  # until the client gives up
                    self._hang_up()
                    return
                if fault is not None or answer is None:
                    body = fault.body if fault is not None else {}
                    answer = Answer(fault.status if fault else 500, body, fault.headers if fault else {})
                self._send(answer, fault.raw if fault is not None else None)

            def _answer(self, raw: bytes) -> Answer:
                    parts = urlsplit(self.path)
                    request = Request(
                        method=self.command,
                        path=parts.path.rstrip("/"),
                        query=dict(parse_qsl(parts.query)),
                        headers={key.lower(): value for key, value in self.headers.items()},
                        raw=raw,
                        caller=authenticate(self.headers.get("X-Auth-Token") or ""),
                    )
                    with lock:
                        answer = router.answer(request)
                if fault is not None and fault.kind in {Kind.LOSE, Kind.STALL}:
                    if fault.kind is Kind.STALL:
                        self.rfile.read(1)  # until the client gives up
                    self._hang_up()
                    return
                if fault is not None or answer is None:
                    body = fault.body if fault is not None else {}
                    answer = Answer(fault.status if fault else 500, body, fault.headers if fault else {})
                self._send(answer, fault.raw if fault is not None else None)

            def _send(self, answer: Answer, raw: bytes | None = None) -> None:
                data = b"" if answer.body is None else json.dumps(answer.body).encode()
                data = data if raw is None else raw
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("x-openstack-request-id", f"req-{new_id()}")
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

            def _hang_up(self) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's own names

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
