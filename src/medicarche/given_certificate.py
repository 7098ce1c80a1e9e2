"""The operator's own certificates: read, and checked before anything begins."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from medicarche.errors import MedicarcheError

if TYPE_CHECKING:
    from pathlib import Path

    from medicarche.spec.environment import CertificateSpec

__all__ = ["GivenCertificate", "read_certificate"]

#: the shortest keys that browsers take (CA/Browser Forum, Baseline Requirements, section 6.1.5)
_RSA_BITS = 2048
_EC_BITS = 256
_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class GivenCertificate:
    """An operator's certificate.

    Attributes:
        chain: PEM: the certificate, then those between it and its authority.
        key: PEM of its private key.
        names: DNS names that it is for, ``*.example.org`` among them.
        authority: file of the authority that visitors believe; None for those that every system believes.
        ends: when it ends, in UTC.
        ends_soon: in less than 30 days.
    """

    chain: str
    key: str
    names: tuple[str, ...]
    authority: Path | None
    ends: datetime
    ends_soon: bool


def read_certificate(given: CertificateSpec, *, now: datetime | None = None) -> GivenCertificate:
    """Read an operator's certificate.

    Raises:
        MedicarcheError: a file can't be read, isn't PEM, has a password, doesn't belong to the other; the key
            is too short; the certificate has ended, hasn't begun, or names no host.
    """
    chain, key = _read(given.chain), _read(given.key)
    if given.authority is not None:
        _certificates(given.authority, _read(given.authority))
    certificates = _certificates(given.chain, chain)
    leaf = certificates[0]
    _check_key(given, key, leaf)
    for below, above in itertools.pairwise(certificates):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise _wrong(given.chain, "its certificates don't sign each other in this order") from error
    now = now or datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        days = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        raise _wrong(given.chain, f"good from {days} only")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise _wrong(given.chain, "it names no host (subject alternative name)") from error
    return GivenCertificate(
        chain=chain.decode("ascii"),
        key=key.decode("ascii"),
        names=tuple(names.get_values_for_type(x509.DNSName)),
        authority=given.authority,
        ends=leaf.not_valid_after_utc,
        ends_soon=leaf.not_valid_after_utc - now < _SOON,
    )


def _check_key(given: CertificateSpec, pem: bytes, leaf: x509.Certificate) -> None:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _wrong(given.key, "no private key in PEM form, or one with a password") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise _wrong(given.key, "neither an RSA nor an elliptic-curve key")
    least = _RSA_BITS if isinstance(key, rsa.RSAPrivateKey) else _EC_BITS
    if key.key_size < least:
        raise _wrong(given.key, f"a key of {key.key_size} bits; {least} are the least that browsers take")
    if key.public_key() != leaf.public_key():
        raise _wrong(given.key, f"it isn't the key of {given.chain}")


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _wrong(path, f"it can't be read: {error.strerror}") from error
    if not content.isascii():
        raise _wrong(path, "not in PEM form")
    return content


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise _wrong(path, "no certificate in PEM form") from error


def _wrong(path: Path, what: str) -> MedicarcheError:
    return MedicarcheError(
        f"{path}: {what}",
        hint="put it right, or remove `certificate` from the instance: the environment's authority makes one",
    )
