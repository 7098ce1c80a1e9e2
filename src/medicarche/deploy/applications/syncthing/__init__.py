"""Syncthing behind nginx: its pages and its peers share the one public port (APP-3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.deploy.applications.settings import administrator, unknown
from medicarche.deploy.declaration import Declaration
from medicarche.spec.environment import Listener, Size, Traits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.spec.environment import Application

__all__ = ["DECLARATION"]


def _check_settings(application: Application) -> Iterable[str]:
    yield from unknown(application.settings, {"administrator"})
    yield from administrator(application.settings)


DECLARATION = Declaration(
    kind="syncthing",
    minimum=Size(
        ram_mib=256,
        disk_gib=2,
        source="Syncthing's documentation names no number (FAQ: memory grows with the number of files);"
        " 256 MiB and 2 GiB are our estimate for a few thousand files",
    ),
    listeners=(
        Listener(
            "127.0.0.1",
            8384,
            "tcp",
            "syncthing",
            "syncthing",
            public=False,
            why="pages and REST, behind nginx",
        ),
        Listener(
            "127.0.0.1", 22000, "tcp", "syncthing", "syncthing", public=False, why="peers, behind nginx"
        ),
        Listener(
            "127.0.0.1", 8443, "tcp", "nginx", "root", public=False, why="TLS of the pages, behind the port"
        ),
    ),
    egress=frozenset({"dns", "packages"}),
    secrets={
        "administrator": "password of the pages' administrator",
        "api_key": "key of the REST interface (X-API-Key)",
    },
    host_names=(),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.syncthing.operations",
    # whoever opens its pages governs the node
    traits=Traits(roles=("administrator",)),
    # the public port is shared out by what a client says that it speaks (ALPN, RFC 7301)
    https_at="127.0.0.1:8443",
    health="/rest/noauth/health",
)
