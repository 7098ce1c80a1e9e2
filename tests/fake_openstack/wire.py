"""HTTP: requests as the services see them, answers, and the server on loopback."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import uuid
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from fake_openstack.faults import Faults, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HTTP_ERRORS", "Answer", "Caller", "HttpServer", "Refusal", "Request", "Router", "new_id"]

OK, HTTP_ERRORS = 200, 400


def new_id() -> str:
    """Return a new cloud id."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    user_id: str
    project_id: str
    roles: tuple[str, ...]
    by_credential: bool = False

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
                request.groups = tuple(unquote(group or "") for group in match.groups())
                try:
                    return handler(request)
                except Refusal as refusal:
                    return refusal.answer
        return Answer(404, {"message": f"no route for {request.method} {request.path}"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    router: Router
    faults: Faults
    authenticate: Callable[[str], Caller | None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.mistakes: list[Exception] = []
        self.longest_page: int | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - http.server's own
        """Say nothing of connections that clients cut."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *_arguments: object) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if len(raw) < length:
            self.close_connection = (
                True  # the client was killed while it sent: nobody takes that for a request
            )
            return
        faults = self.server.faults
        fault = faults.strike(self.command, self.path)
        for work in faults.due():
            work()
        if fault is None:
            self._send(self._answer(raw))
            return
        if fault.before is not None:
            with self.server.lock:
                fault.before()
        if fault.kind is Kind.LATE:
            faults.put_off(fault.delay, partial(self._answer, raw))
        answer = None if fault.kind in {Kind.DROP, Kind.REFUSE, Kind.LATE} else self._answer(raw)
        if fault.kind is Kind.STALL:
            self.rfile.read(1)  # until the client gives up
        if fault.kind in {Kind.DROP, Kind.LOSE, Kind.STALL, Kind.LATE}:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        elif answer is not None and fault.kind is Kind.CHANGE:
            if fault.change is not None and answer.status < HTTP_ERRORS:
                # what goes out is a copy: what the services keep is theirs
                answer.body = fault.change(json.loads(json.dumps(answer.body)))
            self._send(answer, fault.raw)
        else:
            self._send(Answer(fault.status, fault.body, fault.headers), fault.raw)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's own names

    def _answer(self, raw: bytes) -> Answer:
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path.rstrip("/"),
            query=dict(parse_qsl(parts.query)),
            headers={key.lower(): value for key, value in self.headers.items()},
            raw=raw,
            caller=self.server.authenticate(self.headers.get("X-Auth-Token") or ""),
        )
        longest = self.server.longest_page if request.method == "GET" else None
        marker = request.query.pop("marker", None) if longest else None
        with self.server.lock:
            try:
                answer = self.server.router.answer(request)
                return _paged(request, answer, marker, longest) if longest else answer
            except Exception as error:  # noqa: BLE001 - a mistake in the fake: the test must hear of it
                self.server.mistakes.append(error)
                return Answer(500, {"message": repr(error)})

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


def _paged(request: Request, answer: Answer, marker: str | None, longest: int) -> Answer:
    """Return one page of a list: as Nova and Neutron link them, and as Glance does."""
    body = answer.body
    if answer.status != OK or not isinstance(body, dict):
        return answer
    key = next((key for key, value in body.items() if isinstance(value, list)), None)
    items = body[key] if key else []
    ids = [item.get("id") or item.get("keypair", {}).get("name") for item in items if isinstance(item, dict)]
    if key is None or not ids or None in ids:
        return answer
    if marker is not None:
        start = ids.index(marker) + 1 if marker in ids else len(ids)
        items, ids = items[start:], ids[start:]
    page: dict[str, Any] = {key: items[:longest]}
    if len(items) > longest:
        query = urlencode({**request.query, "limit": longest, "marker": ids[longest - 1]})
        target = f"http://{request.headers['host']}{request.path}?{query}"
        if request.path.startswith("/image/"):
            page["next"] = f"/v2/images?{query}"
        else:
            page[f"{key}_links"] = [{"rel": "next", "href": target}]
    return Answer(answer.status, page, answer.headers)


class HttpServer:
    """Serves a router on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._server = _Server()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def answer_for(
        self, router: Router, faults: Faults, authenticate: Callable[[str], Caller | None]
    ) -> None:
        """Serve this router from now on, in lists of one page."""
        server = self._server
        with server.lock:
            server.router, server.faults, server.authenticate = router, faults, authenticate
            server.longest_page = None

    @property
    def longest_page(self) -> int | None:
        """How many objects a list's page holds at most; None for as many as there are."""
        return self._server.longest_page

    @longest_page.setter
    def longest_page(self, length: int | None) -> None:
        self._server.longest_page = length

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def raise_mistakes(self) -> None:
        """Tell what went wrong in the fake itself, once.

        Raises:
            ExceptionGroup: the fake made mistakes, which were answered with 500.
        """
        mistakes, self._server.mistakes = self._server.mistakes, []
        if mistakes:
            raise ExceptionGroup("mistakes of the fake OpenStack", mistakes)
