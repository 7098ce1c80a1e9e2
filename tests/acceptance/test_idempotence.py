"""Again with nothing to do: no change, by plan and by deploy, and soon done."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from medicarche.testing.built import Built

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.requirement("CLOUD-1"), pytest.mark.alone, pytest.mark.usefixtures("provisioned")]

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
    run_medicarche: Run, provisioned: Built, record_property: Callable[[str, object], None]
) -> None:
    before = _ids(provisioned)
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
    assert seconds < SOON * slow, f"on a machine that others make {slow:.1f} times slower"


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
