"""The machine is the same before, during and after; a stopped cloud leaves nothing but its data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from medicarche.testing.hoststate import differences, loop_devices, remains, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1")]


def loops_of(servers: list[str]) -> list[str]:
    """Return the loop devices behind which disks of those servers are."""
    return [device for device, file in loop_devices().items() if any(server in file for server in servers)]


@pytest.mark.requirement("CLOUD-6")
def test_down_leaves_the_data_only_and_up_brings_all_back(
    breakable: Sandbox, before: Mapping[str, str]
) -> None:
    sandbox = breakable
    servers = sandbox.ask_cloud("show(sorted(s.id for s in member.compute.servers()))")
    network = sandbox.network.stat().st_ino
    during = remains(sandbox.words, network)
    # the search does find what is there: otherwise finding nothing later would prove nothing
    assert during.processes
    assert any("apt-cacher-ng" in process for process in during.processes.values())
    assert any("medicarche.embedded.bridge" in process for process in during.processes.values())
    assert during.name_spaces
    assert during.mounts
    assert during.control_groups
    assert len(servers) == 1
    assert loops_of(servers)
    assert differences(before, snapshot()) == {}
    sandbox.expect("ssh", "website", "--", "sudo", "tee", "/root/kept", "/var/lib/mysql/kept")
    page = _page(sandbox)

    sandbox.expect("cloud", "down")
    assert not remains(sandbox.words, network), remains(sandbox.words, network)
    assert loops_of(servers) == []
    assert not sandbox.run_folder.exists()
    assert differences(before, snapshot()) == {}
    assert "stopped" in sandbox.expect("cloud", "status", code=5)
    assert json.loads(sandbox.expect("status", "--json"))["cloud"]["state"] == "down"
    sandbox.expect("cloud", "down")  # again: no error

    sandbox.expect("cloud", "up")
    assert sandbox.ask_cloud("show(sorted(s.id for s in member.compute.servers()))") == servers
    again = sandbox.expect("provision", "--yes")
    assert "cloud: nothing to do" in again
    assert "instances: nothing to do" in again
    sandbox.expect("ssh", "website", "--", "sudo", "ls", "/root/kept", "/var/lib/mysql/kept")
    assert _page(sandbox) == page
    assert differences(before, snapshot()) == {}


def _page(sandbox: Sandbox) -> str:
    """The front page's title, as the site's database has it."""
    status = json.loads(sandbox.expect("status", "--json"))
    (site,) = status["applications"]
    assert site["state"] == "answering"
    command = ("curl", "--silent", "--show-error", "--fail", "--cacert", site["authority"], site["url"])
    page = sandbox.expect("cloud", "enter", "--", *command)
    assert "<title>" in page
    return page.partition("<title>")[2].partition("</title>")[0]
