"""For tests that run pytest."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def only_our_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the inner run to the plug-in under test: it starts in half the time.

    A test that wants pytest-xdist names it, by ``-p xdist.plugin``.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
