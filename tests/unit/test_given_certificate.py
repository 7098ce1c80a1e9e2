"""An operator's own certificate: what is taken, and what is refused before anything begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from medicarche.errors import MedicarcheError
from medicarche.given_certificate import read_certificate
from medicarche.pki import Authority
from medicarche.spec.environment import CertificateSpec

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


@pytest.fixture
def given(tmp_path: Path) -> CertificateSpec:
    """A good one, of an authority of its own."""
    authority = Authority(tmp_path / "theirs", organization="Autorité", domain="example.org")
    issued = authority.issue("www", ["www.example.org", "example.org"], [])
    chain = tmp_path / "chain.pem"
    chain.write_bytes(issued.certificate.read_bytes() + authority.ca_certificate.read_bytes())
    return CertificateSpec(chain, issued.key, authority.ca_certificate)


def test_a_good_one_is_read_with_its_names(given: CertificateSpec) -> None:
    found = read_certificate(given)
    assert set(found.names) == {"www.example.org", "example.org"}
    assert found.chain.count("BEGIN CERTIFICATE") == 2
    assert "PRIVATE KEY" in found.key
    assert not found.ends_soon
    assert read_certificate(given, now=datetime.now(UTC) + timedelta(days=380)).ends_soon


@pytest.mark.parametrize("days", [-30, 400])
def test_one_that_isnt_good_today_is_refused(given: CertificateSpec, days: int) -> None:
    with pytest.raises(MedicarcheError, match=r"chain.pem: good from 20\d\d-\d\d-\d\d to 20"):
        read_certificate(given, now=datetime.now(UTC) + timedelta(days=days))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "it isn't the key of"),
        (ec.generate_private_key(ec.SECP192R1()), "a key of 192 bits; 256 are the least"),
        (rsa.generate_private_key(65537, 1024), "a key of 1024 bits; 2048 are the least"),  # noqa: S505 - is refused
        (ed25519.Ed25519PrivateKey.generate(), "neither an RSA nor an elliptic-curve key"),
    ],
)
def test_a_wrong_key_is_refused(given: CertificateSpec, key: PrivateKeyTypes, said: str) -> None:
    given.key.write_bytes(_pem(key, serialization.NoEncryption()))
    with pytest.raises(MedicarcheError, match=said):
        read_certificate(given)


def test_a_key_with_a_password_is_refused(given: CertificateSpec) -> None:
    locked = serialization.BestAvailableEncryption(b"password")
    given.key.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1()), locked))
    with pytest.raises(MedicarcheError, match="or one with a password"):
        read_certificate(given)


def _pem(key: PrivateKeyTypes, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_files_that_arent_there_or_arent_certificates_are_refused(given: CertificateSpec) -> None:
    for path in (given.chain, given.authority):
        assert path is not None
        content = path.read_bytes()
        path.write_text("essai", encoding="ascii")
        with pytest.raises(MedicarcheError, match=f"{path.name}: no certificate in PEM form"):
            read_certificate(given)
        path.write_bytes(content)
    given.chain.unlink()
    with pytest.raises(MedicarcheError, match=r"chain.pem: it can't be read: No such file"):
        read_certificate(given)


def test_a_chain_in_the_wrong_order_is_refused(given: CertificateSpec, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", organization="Autre", domain="example.org")
    leaf = given.chain.read_text().partition("-----END CERTIFICATE-----\n")
    given.chain.write_text(leaf[0] + leaf[1] + stranger.ensure().read_text())
    with pytest.raises(MedicarcheError, match="don't sign each other"):
        read_certificate(given)
