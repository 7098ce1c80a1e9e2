"""SUP-3: Grafana's dashboards. Apart from the other tests of the supervision, which need no Grafana."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Environment


@pytest.mark.requirement("SUP-3")
def test_grafana_serves_its_dashboards(
    environment: Environment,
    instances: tuple[InstanceState, ...],
    machines: Callable[[InstanceState], Host],
) -> None:
    watching = {a.instance for a in environment.applications if a.kind == "supervision" and a.deployed}
    if not watching:
        pytest.skip("no supervision is deployed")
    (machine,) = (machines(i) for i in instances if i.name in watching)
    if not machine.package("grafana").is_installed:
        pytest.skip("Grafana isn't in Debian and isn't installed; Prometheus' own pages stand in for it")
    assert machine.service("grafana-server").is_running
