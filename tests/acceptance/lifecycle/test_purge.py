"""Purged while it runs, a cloud leaves nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import loops
from medicarche.embedded.node import Node
from medicarche.process import run
from medicarche.testing.hoststate import differences, remains, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


def test_purge_leaves_nothing(breakable: Sandbox, before: Mapping[str, str]) -> None:
    sandbox = breakable
    network = sandbox.network.stat().st_ino
    running = remains(sandbox.words, network)
    assert running.processes
    number = _leave_a_deleted_servers_disk(sandbox)
    assert [loop for loop in loops.attached() if loop.filesystem == number and "0a1b_del" in loop.file]
    sandbox.expect("cloud", "purge")
    assert [loop for loop in loops.attached() if loop.filesystem == number] == []
    assert not remains(sandbox.words, network), remains(sandbox.words, network)
    assert not list(sandbox.home.glob("clouds/*"))
    assert not list(sandbox.home.glob("environments/*"))
    assert not sandbox.run_folder.exists()
    assert differences(before, snapshot()) == {}
    # what isn't there is no error
    sandbox.expect("cloud", "down")
    sandbox.expect("cloud", "purge")
    assert "absent" in sandbox.expect("cloud", "status", code=5)


def _leave_a_deleted_servers_disk(sandbox: Sandbox) -> str:
    """Do what Nova may leave behind: a loop device on a disk that is gone; its file system."""
    node = Node(sandbox.network.name, sandbox.cloud, sandbox.run_folder)
    folder = "/var/lib/nova/instances/0a1b_del"
    leave = f"mkdir {folder} && truncate -s 1M {folder}/disk && losetup -f {folder}/disk && rm -r {folder}"
    run(node.command(["sh", "-c", leave]))
    return run(node.command(["mountpoint", "--fs-devno", "/"])).strip()
