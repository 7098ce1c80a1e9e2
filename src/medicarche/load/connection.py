"""One HTTP/1.1 connection of the generator: a non-blocking socket, TLS on it, and llhttp's parser."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Connection", "Phase", "Request", "WrongAnswer"]

_ONE_READ = 262_144
_IN_PROGRESS = {0, errno.EINPROGRESS, errno.EALREADY}


class WrongAnswer(Exception):
    """The connection broke, or what came isn't HTTP; the message is short, as failures are counted by it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, again and again, and what a correct answer is.

    Attributes:
        host: an IPv4 address, which is connected to.
        port: of TCP.
        path: with its query.
        authority: the file of the authority that the certificate is verified with; None for plain HTTP.
        status: the only status that is correct.
        contains: bytes that the body must hold; empty for any body.
        headers: sent besides Host.
        name: the host name that is asked for and that the certificate is verified for; empty for ``host``.
    """

    host: str
    port: int
    path: str = "/"
    authority: Path | None = None
    status: int = 200
    contains: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    @property
    def url(self) -> str:
        """The address as people write it."""
        return f"{'https' if self.authority else 'http'}://{self.name or self.host}:{self.port}{self.path}"

    def as_bytes(self) -> bytes:
        """Return the request as it is sent (RFC 9112, section 3)."""
        lines = [f"GET {self.path} HTTP/1.1", f"Host: {self.name or self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in {"User-Agent": "medicarche", **self.headers}.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings: the authority's certificates only, HTTP/1.1 only."""
        if self.authority is None:
            return None
        context = ssl.create_default_context(cafile=str(self.authority))
        context.set_alpn_protocols(["http/1.1"])
        return context


class Phase(Enum):
    """How far a connection is."""

    CONNECTING = auto()
    HANDSHAKE = auto()
    IDLE = auto()
    WAITING = auto()
    CLOSED = auto()


class Connection:
    """A connection that is driven by `advance` whenever its socket can be read or written.

    Args:
        request: what is asked.
        context: TLS settings, or None for plain HTTP.
        began: the clock at its beginning, in seconds.

    Raises:
        WrongAnswer: the connection is refused at once.
    """

    def __init__(self, request: Request, context: ssl.SSLContext | None, began: float) -> None:
        self.began = began
        self.established = 0.0
        self.phase = Phase.CONNECTING
        #: of the request under way: when it was due, when it was sent, when its first byte came
        self.due = self.sent = self.first_byte = 0.0
        #: whether an answer has come over it before; such a connection may be closed under our hands
        self.used = False
        self.noted_first_byte = False
        self.received = 0
        self.complete = False
        self.reusable = True
        self.body: list[bytes] = []
        self._context = context
        self._name = request.name or request.host
        self._parser = httptools.HttpResponseParser(self)
        self._socket: socket.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self._socket.connect_ex((request.host, request.port))
        if code not in _IN_PROGRESS:
            self._socket.close()
            raise WrongAnswer(_named(code))

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether it waits until it can write, not until it can read."""
        return self.phase is Phase.CONNECTING

    def advance(self, now: float) -> bool:
        """Go on as far as it goes without waiting.

        Args:
            now: the clock, in seconds.

        Returns:
            Whether something came to its end: it is established, or an answer is complete.

        Raises:
            WrongAnswer: the connection broke, or what came isn't HTTP.
        """
        if self.phase is Phase.WAITING or self.phase is Phase.IDLE:
            return self._read(now)
        if self.phase is Phase.CONNECTING:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise WrongAnswer(_named(code))
            if self._context is not None:
                self._socket = self._context.wrap_socket(
                    self._socket, server_hostname=self._name, do_handshake_on_connect=False
                )
                self.phase = Phase.HANDSHAKE
        if self.phase is Phase.HANDSHAKE and isinstance(self._socket, ssl.SSLSocket):
            try:
                self._socket.do_handshake()
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLCertVerificationError as error:
                raise WrongAnswer(f"certificate: {error.verify_message}") from error
            except OSError as error:
                raise WrongAnswer(_why(error)) from error
        self.phase = Phase.IDLE
        self.established = now
        return True

    def send(self, message: bytes, due: float, now: float) -> None:
        """Send a request; an idle connection's socket has room for it.

        Raises:
            WrongAnswer: the connection is broken.
        """
        self.due, self.sent, self.first_byte = due, now, 0.0
        self.complete = False
        if self.body:
            self.body = []
        self.phase = Phase.WAITING
        try:
            self._socket.send(message)
        except OSError as error:
            raise WrongAnswer(_why(error)) from error

    def close(self) -> None:
        """Close it."""
        self.phase = Phase.CLOSED
        self._socket.close()

    @property
    def status(self) -> int:
        """The status of the answer that is complete."""
        return int(self._parser.get_status_code())

    def _read(self, now: float) -> bool:
        while True:
            try:
                data = self._socket.recv(_ONE_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            except OSError as error:
                raise WrongAnswer(_why(error)) from error
            if not data:
                raise WrongAnswer("closed in the middle" if self.first_byte else "closed without an answer")
            if self.phase is Phase.IDLE:
                raise WrongAnswer("an answer that nobody asked for")
            self.received += len(data)
            if not self.first_byte:
                self.first_byte = now
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                raise WrongAnswer("not HTTP") from error
            if self.complete:
                self.used = True
                self.phase = Phase.IDLE
                return True

    # --- called by the parser ---

    def on_headers_complete(self) -> None:
        """Note whether the server will keep the connection."""
        self.reusable = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Keep the body: it is checked."""
        self.body.append(data)

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        self.complete = True


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'broken off'}"
    return _named(error.errno or 0)


def _named(code: int) -> str:
    return {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.ETIMEDOUT: "time-out"}.get(
        code, os.strerror(code).lower()
    )
