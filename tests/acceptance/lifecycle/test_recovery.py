"""`cloud up` brings a cloud back from whatever a kill or a reboot left; instances and data are as before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medicarche.embedded import cgroups, place
from medicarche.embedded.node import Node
from medicarche.testing.hoststate import loop_devices

if TYPE_CHECKING:
    from medicarche.testing.sandbox import Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1", "CLOUD-6")]

SERVERS = "show(sorted(s.id for s in member.compute.servers()))"


def test_a_node_that_was_killed(breakable: Sandbox) -> None:
    """The container's first process is gone, and its processes with it; our helpers run on."""
    sandbox = breakable
    servers = sandbox.ask_cloud(SERVERS)
    _write(sandbox)
    leader = Node(f"medicarche-{sandbox.name}", sandbox.cloud, sandbox.run_folder).leader()
    assert leader is not None
    os.kill(leader, signal.SIGKILL)
    _gone(leader)
    sandbox.expect("cloud", "status", code=5)
    sandbox.expect("cloud", "up")
    _all_is_back(sandbox, servers)


def test_everything_was_killed_and_what_it_held_is_left(breakable: Sandbox) -> None:
    """Network name space (mounted twice), loop devices, control groups; and nobody knows what ran.

    The first `cloud up` after it is interrupted, the second one killed.
    """
    sandbox = breakable
    servers = sandbox.ask_cloud(SERVERS)
    _write(sandbox)
    _kill_all(sandbox)
    assert [f for f in loop_devices().values() if servers[0] in f]
    assert any(group.exists() for group in cgroups.plan(f"medicarche-{sandbox.name}").folders)
    subprocess.run(["unshare", f"--net={sandbox.network}", "true"], check=True, timeout=30)
    shutil.rmtree(sandbox.run_folder)

    running = sandbox.start("cloud", "up")
    running.wait_until(running.says(r"^… Waiting for OpenStack"), timeout=300)
    assert running.interrupt(timeout=120) == 130, running.said
    assert running.said.count("interrupted; run the same command again") == 1, running.said
    running = sandbox.start("cloud", "up")
    running.wait_until(running.says(r"^… Waiting for OpenStack"), timeout=300)
    running.kill()

    sandbox.expect("cloud", "up")
    _all_is_back(sandbox, servers)


def test_the_machine_was_rebooted(breakable: Sandbox) -> None:
    """Nothing is left but what is on the disk: /run is empty, no process, mount, loop device or group.

    The kernel's boot identifier stays, alas: the process numbers in the cloud's folder look as if they were
    of this boot, and have to be told apart by their start times.
    """
    sandbox = breakable
    servers = sandbox.ask_cloud(SERVERS)
    _write(sandbox)
    _kill_all(sandbox)
    for device, file in loop_devices().items():
        if servers[0] in file:
            subprocess.run(["losetup", "--detach", f"/dev/{device}"], check=True, timeout=30)
    subprocess.run(["umount", sandbox.network], check=True, timeout=30)
    sandbox.network.unlink()
    assert cgroups.plan(f"medicarche-{sandbox.name}").remove()
    shutil.rmtree(sandbox.run_folder)
    (sandbox.run_folder.parent / f"{sandbox.name}.lock").unlink()
    # provision alone is enough: it brings the cloud up by itself
    _all_is_back(sandbox, servers)


@pytest.mark.usefixtures("_root")
def test_a_name_space_that_iproute2_has_hidden_is_removed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first `ip netns add` on a machine mounts the folder of name spaces over itself."""
    monkeypatch.setattr(place, "NETNS_FOLDER", tmp_path / "netns")
    made = Node("medicarche-hidden", tmp_path, tmp_path / "run")
    made._make_netns()
    subprocess.run(["mount", "--rbind", made.netns.parent, made.netns.parent], check=True)
    subprocess.run(["unshare", f"--net={made.netns}", "true"], check=True, timeout=30)
    mounts = Path("/proc/self/mountinfo")
    assert mounts.read_text(encoding="utf-8").count(str(made.netns)) > 0
    try:
        made._remove_netns()
        assert not made.netns.exists()
        assert str(made.netns) not in mounts.read_text(encoding="utf-8")
    finally:
        subprocess.run(["umount", "--lazy", made.netns.parent], check=True, timeout=30)


def test_destroy_removes_what_is_ours_and_nothing_else(breakable: Sandbox) -> None:
    sandbox = breakable
    sandbox.ask_cloud("member.network.create_network(name='somebody-elses')")
    sandbox.expect("destroy", "--yes")
    left = sandbox.ask_cloud(
        """
project = member.current_project_id
mine = lambda found: sorted(x.name for x in found if x.project_id == project)
show([
    mine(member.network.networks()), mine(member.network.routers()), mine(member.network.ips()),
    mine(member.network.ports()), mine(member.network.security_groups()), mine(member.image.images()),
    [s.name for s in member.compute.servers()], [k.name for k in member.compute.keypairs()],
])
"""
    )
    assert left == [["somebody-elses"], [], [], [], ["default"], [], [], []]
    sandbox.expect("destroy", "--yes")  # nothing to do is no error


def _write(sandbox: Sandbox) -> None:
    """Write a file in the instance, to its disk."""
    sandbox.expect("ssh", "website", "--", "sudo", "sh", "-c", "date > /root/kept && sync")


def _all_is_back(sandbox: Sandbox, servers: list[str]) -> None:
    """Nothing has to be changed: the same instances, their data, their applications."""
    done = sandbox.expect("provision", "--yes")
    assert "cloud: nothing to do" in done
    assert "instances: nothing to do" in done
    assert sandbox.ask_cloud(SERVERS) == servers
    sandbox.expect("ssh", "website", "--", "sudo", "test", "-s", "/root/kept")
    sandbox.expect("ssh", "website", "--", "sudo", "rm", "/root/kept")
    assert '"answering"' in sandbox.expect("status", "--json")
    assert "ready" in sandbox.expect("cloud", "status")


def _kill_all(sandbox: Sandbox) -> None:
    """End all processes of the cloud, helpers included, at once and without warning."""
    deadline = time.monotonic() + 60
    while processes := sandbox.processes():
        assert time.monotonic() < deadline, processes
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.2)


def _gone(process: int) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline, process
        time.sleep(0.1)
