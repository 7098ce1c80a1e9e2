"""The environment's certificate authority."""

from __future__ import annotations

import ipaddress
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from medicarche.errors import MedicarcheError
from medicarche.pki import Authority

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("website.medicarche.internal", "www.medicarche.internal", "localhost")
ADDRESSES = ("10.20.20.101", "127.0.0.1")


class Clock:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        """Return its time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, clock: Clock) -> Authority:
    return Authority(tmp_path, organization="Medicarche", domain="medicarche.internal", now=clock)


def _load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_authority_is_made_once(authority: Authority, tmp_path: Path) -> None:
    first = authority.ensure().read_bytes()
    again = Authority(tmp_path, organization="Medicarche", domain="medicarche.internal")
    assert again.ensure().read_bytes() == first
    assert stat.S_IMODE((tmp_path / "pki" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


def test_the_authority_signs_certificates_of_its_domain_only(authority: Authority) -> None:
    ca = _load(authority.ensure())
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    limits = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert limits.critical
    assert x509.DNSName("medicarche.internal") in (limits.value.permitted_subtrees or [])
    with pytest.raises(ValueError, match=r"example\.com isn't in medicarche\.internal"):
        authority.issue("website", ["example.com"], [])
    with pytest.raises(ValueError, match=r"evilmedicarche\.internal isn't in"):
        authority.issue("website", ["evilmedicarche.internal"], [])
    with pytest.raises(ValueError, match="no name"):
        authority.issue("website", [], [])


def test_a_certificate_carries_the_names_for_397_days(authority: Authority, clock: Clock) -> None:
    issued = authority.issue("website", NAMES, ADDRESSES)
    leaf = _load(issued.certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == set(NAMES)
    assert set(names.get_values_for_type(x509.IPAddress)) == {ipaddress.ip_address(a) for a in ADDRESSES}
    assert "CN=website.medicarche.internal" in leaf.subject.rfc4514_string()
    assert leaf.not_valid_before_utc < clock.now
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=397)
    assert stat.S_IMODE(issued.key.stat().st_mode) == 0o600
    leaf.verify_directly_issued_by(_load(authority.ca_certificate))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program here")
def test_openssl_accepts_the_chain(authority: Authority) -> None:
    issued = authority.issue("website", NAMES, ADDRESSES)
    for check in (["-verify_hostname", "www.medicarche.internal"], ["-verify_ip", "10.20.20.101"]):
        arguments = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *check]
        arguments += ["-CAfile", str(authority.ca_certificate), str(issued.certificate)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_same_certificate_is_given_again(authority: Authority) -> None:
    first = authority.issue("website", NAMES, ADDRESSES).certificate.read_bytes()
    second = authority.issue("website", reversed(NAMES), reversed(ADDRESSES)).certificate.read_bytes()
    assert second == first


@pytest.mark.parametrize(("days", "renewed"), [(366, False), (368, True), (500, True)])
def test_it_is_renewed_in_its_last_30_days(
    authority: Authority, clock: Clock, days: int, *, renewed: bool
) -> None:
    first = authority.issue("website", NAMES, ADDRESSES)
    before = (first.certificate.read_bytes(), first.key.read_bytes())
    clock.now += timedelta(days=days)
    second = authority.issue("website", NAMES, ADDRESSES)
    assert (second.certificate.read_bytes() != before[0]) is renewed
    assert (second.key.read_bytes() != before[1]) is renewed


def test_other_names_need_another_certificate(authority: Authority) -> None:
    first = authority.issue("website", NAMES, ADDRESSES).certificate.read_bytes()
    assert authority.issue("website", NAMES, ["10.20.20.102"]).certificate.read_bytes() != first


def test_a_half_written_pair_is_issued_again(authority: Authority) -> None:
    first = authority.issue("website", NAMES, ADDRESSES)
    other = authority.issue("other", NAMES, ADDRESSES)
    first.key.write_bytes(other.key.read_bytes())
    key = authority.issue("website", NAMES, ADDRESSES).key.read_bytes()
    assert key != other.key.read_bytes()


def test_the_authoritys_certificate_comes_back_from_its_key(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("website", NAMES, ADDRESSES)
    before = issued.certificate.read_bytes()
    key = (tmp_path / "pki" / "ca.key").read_bytes()
    authority.ca_certificate.unlink()
    authority.ensure()
    assert (tmp_path / "pki" / "ca.key").read_bytes() == key
    assert authority.issue("website", NAMES, ADDRESSES).certificate.read_bytes() == before


def test_files_that_dont_belong_together_are_told(authority: Authority, tmp_path: Path) -> None:
    authority.ensure()
    other = Authority(tmp_path / "other", organization="Medicarche", domain="medicarche.internal")
    other.ensure()
    shutil.copy(tmp_path / "other" / "pki" / "ca.key", tmp_path / "pki" / "ca.key")
    with pytest.raises(MedicarcheError, match="don't belong together"):
        authority.ensure()


def test_a_damaged_key_is_told_and_kept(authority: Authority, tmp_path: Path) -> None:
    authority.ensure()
    key = tmp_path / "pki" / "ca.key"
    key.write_text("nonsense")
    with pytest.raises(MedicarcheError, match="not a private key"):
        authority.ensure()
    assert key.read_text() == "nonsense"
