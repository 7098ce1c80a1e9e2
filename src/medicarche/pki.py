"""The environment's own certificate authority.

The authority's key stays on the operator's machine. It may only sign for the environment's domain, for
``localhost`` and for IP addresses (name constraints: RFC 5280, section 4.2.1.10), so that one that leaks
can't pass for anybody else's site.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from medicarche.errors import MedicarcheError
from medicarche.private_files import locked, make_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Authority", "Certificate"]

_AUTHORITY_DAYS = 3652
#: browsers refuse more than 398 days (CA/Browser Forum, Baseline Requirements, section 6.3.2)
_LEAF_DAYS = 397
_RENEW_DAYS = 30
#: an instance's clock may be a little behind the operator's
_BACKDATED = timedelta(hours=1)
#: the longest common name (RFC 5280, appendix A: ub-common-name)
_COMMON_NAME = 64


class Certificate(NamedTuple):
    """An issued certificate: its PEM file, and its private key's (0600)."""

    certificate: Path
    key: Path


class Authority:
    """The certificate authority of one environment.

    Args:
        folder: the environment's folder; the authority is in ``pki`` below it.
        organization: the company's name, in the certificates' subjects.
        domain: the environment's DNS domain.
        now: the present, in UTC.
    """

    def __init__(
        self,
        folder: Path,
        *,
        organization: str,
        domain: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder / "pki"
        self._organization = organization
        self._domain = domain
        self._now = now

    @property
    def ca_certificate(self) -> Path:
        """The authority's certificate (PEM): for a browser, for curl's ``--cacert``. It is no secret."""
        return self._folder / "ca.pem"

    def ensure(self) -> Path:
        """Make the authority where it isn't there yet, or was for another domain or is about to end.

        Returns:
            The path of its certificate.

        Raises:
            MedicarcheError: its files can't be read, or don't belong together.
        """
        self._authority()
        return self.ca_certificate

    def issue(self, name: str, dns_names: Iterable[str], addresses: Iterable[str]) -> Certificate:
        """Return a server certificate; a new one where there is none that is good for 30 days more.

        A certificate with other names, or signed by another authority, is replaced by a new one with a new
        key. Its subject is the first of the domain's names.

        Args:
            name: the certificate's file name, as the instance's.
            dns_names: of the environment's domain, or ``localhost``.
            addresses: IP addresses.

        Raises:
            ValueError: no name at all, or a name outside of the domain.
            MedicarcheError: the authority can't be read.
        """
        names = sorted(set(dns_names))
        ips = sorted({ipaddress.ip_address(a) for a in addresses}, key=lambda ip: (ip.version, int(ip)))
        if not names and not ips:
            raise ValueError(f"certificate {name}: no name to issue it for")
        for dns_name in names:
            if dns_name != "localhost" and not f".{dns_name}".endswith(f".{self._domain}"):
                raise ValueError(f"certificate {name}: {dns_name} isn't in {self._domain}")
        ca_key, ca = self._authority()
        issued = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        with locked(self._folder):
            if not self._good(issued, ca, names, ips):
                self._sign(issued, ca_key, ca, names, ips)
        return issued

    def _authority(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        make_private_folder(self._folder.parent)
        key_path = self._folder / "ca.key"
        with locked(self._folder):
            if not key_path.exists():
                key = ec.generate_private_key(ec.SECP384R1())
                write_private(key_path, _pem(key))
            key = _load_key(key_path)
            authority = self._load_authority()
            # a crash between the two files leaves a key alone: the certificate is made from it
            if authority is None or not self._fit(authority):
                authority = self._self_sign(key)
                write_private(self.ca_certificate, _certificate_pem(authority), mode=0o644)
        if authority.public_key() != key.public_key():
            raise MedicarcheError(
                f"{self.ca_certificate} and {key_path} don't belong together",
                hint=f"put both back from a backup, or move {self._folder} away to make a new authority",
            )
        return key, authority

    def _load_authority(self) -> x509.Certificate | None:
        try:
            return x509.load_pem_x509_certificate(self.ca_certificate.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise MedicarcheError(
                f"{self.ca_certificate}: not a PEM certificate",
                hint="put it back from a backup, or move it away: it is made again from the authority's key",
            ) from error

    def _fit(self, authority: x509.Certificate) -> bool:
        limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value
        same = x509.DNSName(self._domain) in (limits.permitted_subtrees or ())
        return same and authority.not_valid_after_utc - self._now() > timedelta(days=_LEAF_DAYS)

    def _self_sign(self, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self._organization[:_COMMON_NAME]),
                x509.NameAttribute(
                    NameOID.COMMON_NAME, f"{self._organization} {self._domain}"[:_COMMON_NAME]
                ),
            ]
        )
        anywhere = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
        permitted: list[x509.GeneralName] = [x509.DNSName(self._domain), x509.DNSName("localhost")]
        permitted += [x509.IPAddress(network) for network in anywhere]
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() - _BACKDATED)
            .not_valid_after(self._now() + timedelta(days=_AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.NameConstraints(permitted, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA384())
        )

    def _good(
        self,
        issued: Certificate,
        ca: x509.Certificate,
        names: list[str],
        ips: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
    ) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
            key = _load_key(issued.key)
            certificate.verify_directly_issued_by(ca)
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, MedicarcheError):
            return False  # whatever is wrong with it, a new one is right
        return (
            certificate.public_key() == key.public_key()
            and sorted(found.get_values_for_type(x509.DNSName)) == names
            and set(found.get_values_for_type(x509.IPAddress)) == set(ips)
            and certificate.not_valid_after_utc - self._now() >= timedelta(days=_RENEW_DAYS)
            and certificate.not_valid_before_utc <= self._now()
        )

    def _sign(
        self,
        issued: Certificate,
        ca_key: ec.EllipticCurvePrivateKey,
        ca: x509.Certificate,
        names: list[str],
        ips: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = next((n for n in names if n != "localhost"), (names or [str(ips[0])])[0])
        alternatives: list[x509.GeneralName] = [x509.DNSName(n) for n in names]
        alternatives += [x509.IPAddress(ip) for ip in ips]
        attributes = [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, self._organization[:_COMMON_NAME]),
            x509.NameAttribute(NameOID.COMMON_NAME, subject[:_COMMON_NAME]),
        ]
        identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() - _BACKDATED)
            .not_valid_after(self._now() - _BACKDATED + timedelta(days=_LEAF_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .sign(ca_key, hashes.SHA384())
        )
        # a crash between the two leaves a pair that doesn't belong together: issued again at the next run
        write_private(issued.key, _pem(key))
        write_private(issued.certificate, _certificate_pem(certificate), mode=0o644)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise MedicarcheError(
            f"{path}: not a private key in PEM form",
            hint=f"put it back from a backup, or move {path.parent} away to make a new authority",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MedicarcheError(
            f"{path}: not an elliptic-curve key",
            hint=f"put it back from a backup, or move {path.parent} away to make a new authority",
        )
    return key
