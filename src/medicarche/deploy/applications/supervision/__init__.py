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
    listeners=tuple(
        Listener("127.0.0.1", port, "tcp", program, "prometheus", public=False, why=why)
        for port, program, why in (
            (9090, "prometheus", "Prometheus, behind nginx"),
            (9093, "prometheus-alertmanager", "alerts, behind nginx"),
            (9115, "prometheus-blackbox-exporter", "probes"),
        )
    ),
    cloud_listeners=(
        *(
            Listener(
                "127.0.0.1", port, "tcp", "nginx", "root", public=False, why=f"{what}: the catalogue's name"
            )
            for port, what in ((5000, "Keystone"), (8774, "Nova"), (9696, "Neutron"), (9292, "Glance"))
        ),
        Listener(
            "127.0.0.1", 9180, "tcp", "python3", "prometheus", public=False, why="the cloud's own figures"
        ),
    ),
    egress=frozenset({"dns", "packages"}),
    secrets={"administrator": "password of the supervision's pages"},
    host_names=(),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.supervision.operations",
    health="/sante",
)
