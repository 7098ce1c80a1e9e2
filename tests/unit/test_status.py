"""What is asked of the applications."""

from __future__ import annotations

import pytest

from medicarche.status import asked


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        ("wordpress", "/"),
        ("nextcloud", "/login"),
        ("syncthing", "/rest/noauth/health"),
        # of a later version: its own page is the best that is known
        ("unknown", "/"),
    ],
)
def test_a_page_is_asked_for_that_needs_the_application(kind: str, page: str) -> None:
    assert asked("https://192.0.2.1:8088/", kind) == f"https://192.0.2.1:8088{page}"
