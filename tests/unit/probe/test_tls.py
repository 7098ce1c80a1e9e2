"""What a TLS server shows."""

from __future__ import annotations

import datetime as dt
import socket
from typing import TYPE_CHECKING

import pytest

from medicarche.errors import Unreachable
from medicarche.probe.tls import inspect, versions_offered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_certificate_of_our_authority_for_this_address_is_trusted(
    tls_port: int, issued: dict[str, Path]
) -> None:
    seen = inspect("127.0.0.1", tls_port, authority=issued["authority"])
    assert seen.trusted, seen.distrust
    assert seen.names == ("127.0.0.1", "site.example")
    assert seen.subject == "CN=site.example"
    assert seen.issuer.startswith("CN=authority ")
    assert seen.not_before < dt.datetime.now(dt.UTC) < seen.not_after


def test_another_name_isnt_trusted(tls_port: int, issued: dict[str, Path]) -> None:
    seen = inspect("127.0.0.1", tls_port, authority=issued["authority"], name="other.example")
    assert not seen.trusted
    assert "other.example" in seen.distrust
    assert inspect("127.0.0.1", tls_port, authority=issued["authority"], name="site.example").trusted


def test_another_authority_doesnt_vouch(
    tls_port: int, make_certificate: Callable[..., dict[str, Path]]
) -> None:
    seen = inspect("127.0.0.1", tls_port, authority=make_certificate("foreign")["authority"])
    assert not seen.trusted


def test_a_certificate_past_its_end_isnt_trusted(
    make_certificate: Callable[..., dict[str, Path]], serve_tls: Callable[..., int]
) -> None:
    old = make_certificate("old", lifetime=dt.timedelta(seconds=-1))
    seen = inspect("127.0.0.1", serve_tls(old), authority=old["authority"])
    assert seen.distrust == "certificate has expired"


def test_the_versions_that_a_server_speaks(tls_port: int) -> None:
    assert versions_offered("127.0.0.1", tls_port) == {"TLSv1_2"}


def test_nobody_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
            versions_offered("127.0.0.1", port)
