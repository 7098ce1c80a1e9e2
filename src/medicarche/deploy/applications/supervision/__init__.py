"""Supervision: Prometheus, Alertmanager and blackbox exporter behind nginx (SUP-1, SUP-2, SUP-3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.deploy.applications.settings import administrator, unknown
from medicarche.deploy.declaration import Declaration
from medicarche.spec.environment import Listener, Size
from medicarche.spec.supervision import SUPERVISION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.spec.environment import Application

__all__ = ["DECLARATION"]


def _check_settings(application: Application) -> Iterable[str]:
    yield from unknown(application.settings, {"administrator"})
    yield from administrator(application.settings)


DECLARATION = Declaration(
    kind=SUPERVISION,
    minimum=Size(
        ram_mib=512,
        disk_gib=4,
        source='Prometheus\' documentation, "Storage", names 1 to 2 bytes a sample; 1 GB of them is kept;'
        " its packages take 1 GB of disk; it names no memory, that is twice what was measured",
    ),
    listeners=(
        Listener("127.0.0.1", 9090, "tcp", "prometheus", public=False, why="Prometheus, behind nginx"),
        Listener(
            "127.0.0.1", 9093, "tcp", "prometheus-alertmanager", public=False, why="alerts, behind nginx"
        ),
        Listener("127.0.0.1", 9115, "tcp", "prometheus-blackbox-exporter", public=False, why="probes"),
    ),
    cloud_listeners=(
        *(
            Listener("127.0.0.1", port, "tcp", "nginx", public=False, why=f"{what}, as the catalogue says it")
            for port, what in ((5000, "Keystone"), (8774, "Nova"), (9696, "Neutron"), (9292, "Glance"))
        ),
        Listener("127.0.0.1", 9180, "tcp", "python3", public=False, why="the cloud's own figures"),
    ),
    egress=frozenset({"dns", "packages"}),
    secrets={"administrator": "password of the supervision's pages"},
    host_names=(),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.supervision.operations",
    health="/sante",
)
