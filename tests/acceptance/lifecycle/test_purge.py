"""Purged while it runs, a cloud leaves nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.testing.hoststate import differences, remains, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


def test_purge_leaves_nothing(breakable: Sandbox, before: Mapping[str, str]) -> None:
    sandbox = breakable
    network = sandbox.network.stat().st_ino
    loops = remains(sandbox.words, network)
    assert loops.processes
    sandbox.expect("cloud", "purge")
    assert not remains(sandbox.words, network), remains(sandbox.words, network)
    assert not list(sandbox.home.glob("clouds/*"))
    assert not list(sandbox.home.glob("environments/*"))
    assert not sandbox.run_folder.exists()
    assert differences(before, snapshot()) == {}
    # what isn't there is no error
    sandbox.expect("cloud", "down")
    sandbox.expect("cloud", "purge")
    assert "absent" in sandbox.expect("cloud", "status", code=5)
