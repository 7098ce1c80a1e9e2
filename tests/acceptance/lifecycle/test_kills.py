"""Killed at any moment and run again, it converges, with nothing twice and nothing left over."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from medicarche.testing.sandbox import Running, Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1", "CLOUD-6")]

#: every object of the project, by what makes it recognisable; asked of the APIs, not of our own code
EVERYTHING = """
project = member.current_project_id
mine = lambda found: [x for x in found if (x.project_id or project) == project]
named = lambda found: sorted(x.name for x in found)
groups = {g.id: g.name for g in mine(member.network.security_groups())}
show({
    "flavors": named(member.compute.flavors(details=False)),
    "images": named(member.image.images()),
    "networks": named(member.network.networks()),
    "subnets": named(member.network.subnets()),
    "routers": named(mine(member.network.routers())),
    "groups": sorted(groups.values()),
    "rules": sorted(f"{groups[r.security_group_id]} {r.direction} {r.protocol} {r.port_range_min}"
                    f" {r.remote_ip_prefix} {r.ether_type}"
                    for r in member.network.security_group_rules() if r.security_group_id in groups),
    "ports": sorted(p.description or p.device_owner for p in mine(member.network.ports())
                    if p.device_owner.startswith("compute:") or not p.device_owner),
    "servers": named(member.compute.servers()),
    "addresses": sorted(a.description for a in mine(member.network.ips())),
    "queued images": [i.name for i in member.image.images() if i.status != "active"],
    "servers in error": [s.name for s in member.compute.servers() if s.status != "ACTIVE"],
    "addresses without port": [a.description for a in mine(member.network.ips()) if not a.port_id],
})
"""

Moment = tuple["Callable[[Sandbox, Running], Callable[[], bool]]", float]

#: when → (condition, seconds to let go by after it)
MOMENTS: dict[str, Moment] = {
    "the cloud's start": (lambda sandbox, _: sandbox.network.exists, 5.0),
    "the image's upload": (lambda _, run: run.says(r"create image/"), 0.5),
    "the server's creation": (lambda _, run: run.says(r"create server/"), 0.7),
    "the instance's boot": (lambda _, run: run.says(r"Waiting for the instances"), 2.0),
    "the deployment": (lambda _, run: run.says(r"Deploying the applications"), 15.0),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_during(sandbox: Sandbox, moment: str) -> None:
    """The moments follow each other: each run goes on where the one before it was killed."""
    condition, later = MOMENTS[moment]
    running = sandbox.start("provision", "--yes")
    try:
        running.wait_until(condition(sandbox, running), timeout=700)
        time.sleep(later)
    finally:
        running.kill()
    assert "Traceback" not in running.said


def test_run_again_it_converges_with_nothing_twice(sandbox: Sandbox) -> None:
    sandbox.expect("provision", "--yes")
    status = json.loads(sandbox.expect("status", "--json"))
    assert status["drift"] is False
    assert [a["state"] for a in status["applications"]] == ["answering"] * len(status["applications"])
    assert sandbox.expect("plan", "--deploy")
    found: dict[str, list[str]] = sandbox.ask_cloud(EVERYTHING)
    for kind in ("queued images", "servers in error", "addresses without port"):
        assert found.pop(kind) == [], kind
    for kind, names in found.items():
        twice = [name for name, count in Counter(names).items() if count > 1]
        # Neutron gives every project a group called "default", and others their two egress rules
        assert twice == [], kind
    assert len(found["servers"]) == len(found["addresses"]) == len(status["instances"])


def test_a_node_that_was_killed_is_brought_back(sandbox: Sandbox) -> None:
    """As after a power cut: the cloud's processes are gone at once, what they held is left behind."""
    before: Any = sandbox.ask_cloud("show(sorted(s.id for s in member.compute.servers()))")
    _kill_everything_in(sandbox)
    sandbox.expect("provision", "--yes")
    assert sandbox.ask_cloud("show(sorted(s.id for s in member.compute.servers()))") == before
    status = json.loads(sandbox.expect("status", "--json"))
    assert {a["state"] for a in status["applications"]} == {"answering"}


def test_two_runs_at_once_dont_meet(sandbox: Sandbox) -> None:
    first = sandbox.start("provision", "--yes")
    try:
        first.wait_until(first.says(r"Compare the cloud|Deploying"), timeout=120)
        second = sandbox.run("provision", "--yes", timeout=60)
        assert second.returncode == 6, second.stderr
        assert "another run" in second.stderr
    finally:
        first.kill()


def test_destroy_removes_what_is_ours_and_nothing_else(sandbox: Sandbox) -> None:
    sandbox.ask_cloud("member.network.create_network(name='somebody-elses')")
    sandbox.expect("destroy", "--yes")
    found = sandbox.ask_cloud(EVERYTHING)
    assert found["servers"] == found["addresses"] == found["routers"] == found["images"] == []
    assert found["networks"] == ["somebody-elses"]
    assert found["groups"] == ["default"]
    # again: nothing to do is no error
    sandbox.expect("destroy", "--yes")


def _kill_everything_in(sandbox: Sandbox) -> None:
    network = sandbox.network.stat().st_ino
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inside = (folder / "ns/net").stat().st_ino == network
        except OSError:
            continue
        if inside:
            os.kill(int(folder.name), signal.SIGKILL)
