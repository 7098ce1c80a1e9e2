"""Nextcloud from the operator's archive: Apache with PHP, MariaDB on its socket, behind nginx (APP-2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from medicarche.deploy.applications.settings import administrator, archive, unknown
from medicarche.deploy.declaration import Artefact, Declaration
from medicarche.spec.environment import Listener, Size, Traits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.spec.environment import Application

__all__ = ["DECLARATION"]

#: the pinned version, and where its makers publish it with its SHA-256 beside
_ARCHIVE = "https://download.nextcloud.com/server/releases/nextcloud-32.0.6.tar.bz2"
_ENDINGS = (".tar.bz2", ".tar.gz", ".tar.xz", ".zip")


def _check_settings(application: Application) -> Iterable[str]:
    settings = application.settings
    yield from unknown(settings, {"administrator", "archive", "phone_region", "sha256"})
    yield from administrator(settings)
    yield from archive(settings, "Nextcloud", _ENDINGS)
    # ISO 3166-1 alpha-2
    if not re.fullmatch(r"[A-Z]{2}", settings.get("phone_region", "FR")):
        yield "phone_region: a country in two capital letters, as FR"


def _artefact(application: Application) -> Artefact:
    settings = application.settings
    return Artefact(settings.get("archive", _ARCHIVE), settings.get("sha256"), "Nextcloud's archive")


DECLARATION = Declaration(
    kind="nextcloud",
    minimum=Size(
        ram_mib=512,
        disk_gib=4,
        source="Nextcloud's documentation, 'System requirements', 'Memory': a minimum of 512 MB per process"
        " is recommended. On disk: its code takes 0.8 GB, and its archive as much while it is unpacked",
    ),
    listeners=(
        Listener("127.0.0.1", 8080, "tcp", "apache2", "root", public=False, why="Nextcloud, behind nginx"),
        # MariaDB listens on its unix socket only
    ),
    egress=frozenset({"dns", "packages"}),
    secrets={"administrator": "password of the administrator"},
    host_names=("cloud",),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.nextcloud.operations",
    health="/login",
    artefact=_artefact,
    # the most powerful first
    traits=Traits(roles=("administrator", "user"), services=("apache", "mariadb")),
    service_account=True,
    # people share with people whom they look for by a part of the name
    lists_people=True,
)
