"""Again with nothing to do: no change, by plan and by deploy, in few round trips, and soon done."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.requirement("CLOUD-1"), pytest.mark.alone, pytest.mark.usefixtures("provisioned")]

#: commands for each application of an instance, its readiness included (issue 4: at most 3 round trips more)
ROUND_TRIPS = 3
#: seconds for a run that finds nothing to do, on a machine that has nothing else to do
SOON = 15


def test_the_plan_is_empty(run_medicarche: Run, provisioned: Built) -> None:
    done = run_medicarche("plan", "--json", "--deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["actions"] == []
    inside = shown["deployment"]["instances"]
    assert set(inside) == {i.name for i in provisioned.instances}
    assert {name: instance["changed"] for name, instance in inside.items() if instance["changed"]} == {}


def test_another_run_changes_nothing_and_is_soon_done(
    run_medicarche: Run,
    provisioned: Built,
    instances: tuple[InstanceState, ...],
    machines: Callable[[InstanceState], Host],
    record_property: Callable[[str, object], None],
) -> None:
    before = _ids(provisioned)
    commands = {i.name: _commands(machines(i)) for i in instances}
    slow = _slowness()
    began = time.monotonic()
    done = run_medicarche("provision")
    seconds = time.monotonic() - began
    slow = max(1.0, (slow + _slowness()) / 2)
    record_property("seconds", round(seconds, 1))
    record_property("slowness of the machine", round(slow, 1))
    assert done.returncode == 0, done.stderr
    assert "cloud: nothing to do" in done.stdout
    assert "instances: nothing to do" in done.stdout
    assert _ids(provisioned) == before
    # but for the one that asks
    trips = {i.name: _commands(machines(i)) - commands[i.name] - 1 for i in instances}
    record_property("commands over SSH", trips)
    # none at all would mean that sshd doesn't tell them any more
    declared = provisioned.selection.environment
    most = {
        i.name: ROUND_TRIPS * max(1, len([a for a in declared.applications_of(i.name) if a.deployed]))
        for i in instances
    }
    assert all(1 <= count <= most[name] for name, count in trips.items()), trips
    assert seconds < SOON * slow, f"on a machine that others make {slow:.1f} times slower"


def _commands(machine: Host) -> int:
    """Return how many commands sshd says that it was given since the instance's start, this one included."""
    journal = "journalctl --quiet --boot --output=cat --identifier=sshd-session --identifier=sshd"
    return str(machine.check_output(journal)).count("Starting session: command")


def _slowness() -> float:
    """Return how much longer work takes here than the processor needs for it: 1 on a machine at rest."""
    wall, own = time.monotonic(), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    return (time.monotonic() - wall) / 0.3


def _ids(built: Built) -> dict[str, set[str]]:
    sdk = built.connections.member.sdk
    return {
        "servers": {s.id for s in sdk.compute.servers(details=False)},
        "ports": {p.id for p in sdk.network.ports()},
        "networks": {n.id for n in sdk.network.networks()},
        "subnets": {s.id for s in sdk.network.subnets()},
        "routers": {r.id for r in sdk.network.routers()},
        "groups": {g.id for g in sdk.network.security_groups()},
        "rules": {r.id for r in sdk.network.security_group_rules()},
        "addresses": {a.id for a in sdk.network.ips()},
        "images": {i.id for i in sdk.image.images()},
        "flavors": {f.id for f in sdk.compute.flavors(details=False)},
    }
