"""The machine is the same before, during and after; a cloud that is gone leaves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.testing.hoststate import differences, remains, snapshot

if TYPE_CHECKING:
    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


def test_the_host_is_left_as_it_was(sandbox: Sandbox) -> None:
    before = snapshot()
    assert not remains(sandbox.words)
    sandbox.expect("cloud", "up")
    network = sandbox.network.stat().st_ino
    during = remains(sandbox.words, network)
    # the search does find what is there: otherwise finding nothing later would prove nothing
    assert during.processes
    assert during.name_spaces
    assert during.control_groups
    assert differences(before, snapshot()) == {}

    sandbox.expect("cloud", "down")
    assert not remains(sandbox.words, network), remains(sandbox.words, network)
    assert differences(before, snapshot()) == {}

    sandbox.expect("cloud", "up")
    network = sandbox.network.stat().st_ino
    sandbox.expect("cloud", "purge")
    assert not remains(sandbox.words, network), remains(sandbox.words, network)
    assert not list(sandbox.home.glob("clouds/*"))
    assert differences(before, snapshot()) == {}


def test_down_and_purge_of_what_isnt_there_are_no_error(sandbox: Sandbox) -> None:
    sandbox.expect("cloud", "down")
    sandbox.expect("cloud", "purge")
    sandbox.expect("cloud", "status", code=5)
