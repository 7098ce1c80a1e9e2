"""Grafana in front of the supervision's figures, from its makers' archive, behind nginx (SUP-3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.deploy.applications.settings import administrator, archive, unknown
from medicarche.deploy.declaration import Artefact, Declaration
from medicarche.spec.environment import Listener, Size, Traits
from medicarche.spec.supervision import GRAFANA, SUPERVISION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.spec.environment import Application

__all__ = ["DECLARATION"]

#: the pinned version, and where its makers publish it with its SHA-256 beside. The last of 12: in 13 the data
#: source for Prometheus is a program of its own, which brings itself up to date from outside
_ARCHIVE = "https://dl.grafana.com/oss/release/grafana-12.4.12.linux-amd64.tar.gz"


def _check_settings(application: Application) -> Iterable[str]:
    yield from unknown(application.settings, {"administrator", "archive", "sha256"})
    yield from administrator(application.settings)
    yield from archive(application.settings, "Grafana", (".tar.gz",))


def _artefact(application: Application) -> Artefact:
    settings = application.settings
    return Artefact(settings.get("archive", _ARCHIVE), settings.get("sha256"), "Grafana's archive")


DECLARATION = Declaration(
    kind=GRAFANA,
    minimum=Size(
        ram_mib=512,
        disk_gib=4,
        source="Grafana's documentation, 'Install Grafana', 'Hardware recommendations': a minimum of 512 MB."
        " On disk: its code takes 0.8 GB, as much again while a newer one is unpacked, and its archive",
    ),
    listeners=(
        Listener(
            "127.0.0.1", 3000, "tcp", "grafana", "grafana", public=False, why="dashboards, behind nginx"
        ),
    ),
    # its code is brought, and it asks the supervision on the spot
    egress=frozenset(),
    secrets={
        "administrator": "password of the local administrator",
        "secret_key": "what Grafana encrypts secrets in its database with",
    },
    host_names=(),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.grafana.operations",
    health="/api/health",
    artefact=_artefact,
    # the most powerful first
    traits=Traits(roles=("administrator", "editor", "viewer")),
    service_account=True,
    beside=SUPERVISION,
)
