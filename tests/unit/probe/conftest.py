"""Small real servers on the loopback address for the probes to look at."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import ipaddress
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_HOUR = dt.timedelta(hours=1)


def _issue(folder: Path, *, lifetime: dt.timedelta = _HOUR) -> dict[str, Path]:
    """Make an authority and a certificate of it for 127.0.0.1 and site.example; it ends in ``lifetime``."""
    folder.mkdir(parents=True, exist_ok=True)
    now = dt.datetime.now(dt.UTC)
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {folder.name}")])
    authority = (
        x509.CertificateBuilder()
        .subject_name(authority_name)
        .issuer_name(authority_name)
        .public_key(authority_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * _HOUR)
        .not_valid_after(now + 3 * _HOUR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.DNSName("site.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    server = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site.example")]))
        .issuer_name(authority_name)
        .public_key(server_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _HOUR)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    issued = {
        "authority": folder / "ca.pem",
        "certificate": folder / "server.pem",
        "key": folder / "server.key",
    }
    issued["authority"].write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    issued["certificate"].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    issued["key"].write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return issued


@pytest.fixture(scope="session")
def issued(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate that holds."""
    return _issue(tmp_path_factory.mktemp("valid"))


@pytest.fixture
def make_certificate(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Make another authority and a certificate of it, by a folder's name."""

    def make(name: str, *, lifetime: dt.timedelta = _HOUR) -> dict[str, Path]:
        return _issue(tmp_path / name, lifetime=lifetime)

    return make


@pytest.fixture
def serve_tls() -> Iterator[Callable[[dict[str, Path]], int]]:
    """Start a TLS server with that certificate, and return its port."""
    with contextlib.ExitStack() as stack:

        def start(issued: dict[str, Path], version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> int:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(issued["certificate"], issued["key"])
            context.minimum_version = context.maximum_version = version
            return stack.enter_context(_serving(context))

        yield start


@pytest.fixture
def tls_port(issued: dict[str, Path], serve_tls: Callable[..., int]) -> int:
    """A TLS server that speaks 1.2 only and answers every request with 404."""
    return serve_tls(issued, ssl.TLSVersion.TLSv1_2)


class _Redirecting(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(301)
        self.send_header("Location", self.headers["X-Where"])
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def redirecting_port() -> Iterator[int]:
    """A server that redirects to where the request's header X-Where says."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(timeout=10)


@contextlib.contextmanager
def _serving(context: ssl.SSLContext) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))

    def loop() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return  # closed: the test is over
            with plain:
                plain.settimeout(5)
                try:
                    with context.wrap_socket(plain, server_side=True) as secure:
                        if secure.recv(4096):
                            secure.sendall(
                                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                            )
                except OSError:
                    continue  # a client that didn't want this version, or this certificate

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(timeout=10)
