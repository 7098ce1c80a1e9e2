"""What a TLS server shows: its certificate, whether an authority vouches for it, the versions."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from medicarche.errors import Unreachable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

__all__ = ["Certificate", "inspect", "versions_offered"]

_VERSIONS = (
    ssl.TLSVersion.TLSv1,
    ssl.TLSVersion.TLSv1_1,
    ssl.TLSVersion.TLSv1_2,
    ssl.TLSVersion.TLSv1_3,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate as it was shown.

    Attributes:
        subject: RFC 4514 text.
        issuer: likewise.
        names: DNS names and IP addresses of the subjectAltName extension (RFC 5280, 4.2.1.6), sorted.
        not_before: with time zone.
        not_after: with time zone.
        distrust: why the authority or the name doesn't hold, in OpenSSL's words; empty where the chain and
            the name are verified.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    distrust: str

    @property
    def trusted(self) -> bool:
        """The chain leads to the authority, and the name that was asked for is in the certificate."""
        return not self.distrust


def inspect(
    address: str, port: int, *, authority: Path, name: str | None = None, timeout: float = 10
) -> Certificate:
    """Read a server's certificate, and verify it with one authority only (not the system's).

    Args:
        address: numeric address to connect to.
        port: TCP port.
        authority: PEM file of the one certificate authority that is believed.
        name: DNS name or IP address that the certificate must hold; ``address`` where it isn't given.
        timeout: seconds for each of the two connections.

    Raises:
        Unreachable: nothing there speaks TLS.
    """
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = (
        ssl.CERT_NONE
    )  # what is shown is looked at, not believed: the next connection verifies
    try:
        shown = _handshake(address, port, blind, name, timeout)
    except OSError as error:
        raise Unreachable(f"{address}:{port}: no TLS: {error}") from error
    distrust = ""
    try:
        _handshake(address, port, ssl.create_default_context(cafile=str(authority)), name or address, timeout)
    except ssl.SSLCertVerificationError as error:
        distrust = error.verify_message
    except OSError as error:
        raise Unreachable(f"{address}:{port}: TLS broke off: {error}") from error
    certificate = x509.load_der_x509_certificate(shown)
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_alternative_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        distrust=distrust,
    )


def versions_offered(address: str, port: int, *, timeout: float = 10) -> frozenset[str]:
    """Return the TLS versions that a server accepts, of ``TLSv1``, ``TLSv1_1``, ``TLSv1_2``, ``TLSv1_3``.

    Raises:
        Unreachable: nothing there accepts a connection.
    """
    offered = set()
    for version in _VERSIONS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the question is the version, not the certificate
        # OpenSSL 3 refuses the old versions by itself above security level 0: the server is to be asked
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # for naming the old versions at all
            context.minimum_version = version
            context.maximum_version = version
        try:
            _handshake(address, port, context, None, timeout)
        except (ssl.SSLError, ConnectionResetError):
            continue
        except OSError as error:
            raise Unreachable(f"{address}:{port}: no connection: {error}") from error
        offered.add(version.name)
    return frozenset(offered)


def _handshake(address: str, port: int, context: ssl.SSLContext, name: str | None, timeout: float) -> bytes:
    with (
        socket.create_connection((address, port), timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = extension.get_values_for_type(x509.DNSName)
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [
        address
        for address in extension.get_values_for_type(x509.IPAddress)
        if isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
    ]
    return tuple(sorted([*names, *map(str, addresses)]))
