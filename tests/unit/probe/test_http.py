"""The HTTP client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from medicarche.probe.http import Client, answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_page_that_isnt_there_is_an_answer(tls_port: int, issued: dict[str, Path]) -> None:
    with Client(issued["authority"]) as client:
        assert client.get(f"https://127.0.0.1:{tls_port}/").status_code == 404
    assert answers(f"https://127.0.0.1:{tls_port}/", issued["authority"])


def test_a_foreign_authority_is_refused(
    tls_port: int, make_certificate: Callable[..., dict[str, Path]]
) -> None:
    foreign = make_certificate("foreign")["authority"]
    with Client(foreign) as client, pytest.raises(requests.exceptions.SSLError):
        client.get(f"https://127.0.0.1:{tls_port}/")
    assert not answers(f"https://127.0.0.1:{tls_port}/", foreign)


def test_tls_without_an_authority_isnt_tried(tls_port: int) -> None:
    with Client() as client, pytest.raises(ValueError, match="no authority"):
        client.get(f"https://127.0.0.1:{tls_port}/")


def test_the_machines_proxy_isnt_asked(
    tls_port: int, issued: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with Client(issued["authority"]) as client:
        assert client.get(f"https://127.0.0.1:{tls_port}/").status_code == 404


def test_a_redirect_is_shown_and_not_followed_unless_told_to(
    tls_port: int, issued: dict[str, Path], redirecting_port: int
) -> None:
    target = f"https://127.0.0.1:{tls_port}/"
    with Client(issued["authority"]) as client:
        for method in (client.get, client.post):
            answer = method(f"http://127.0.0.1:{redirecting_port}/", headers={"X-Where": target})
            assert (answer.status_code, answer.headers["location"]) == (301, target)
        followed = client.get(
            f"http://127.0.0.1:{redirecting_port}/", headers={"X-Where": target}, allow_redirects=True
        )
        assert (followed.status_code, followed.url) == (404, target)
