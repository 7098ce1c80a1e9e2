"""The company's directory: OpenLDAP over TLS, asked by the other applications only (DIR-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.deploy.applications.settings import unknown
from medicarche.deploy.declaration import Declaration
from medicarche.spec.environment import Size, Traits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.spec.environment import Application

__all__ = ["DECLARATION"]


def _check_settings(application: Application) -> Iterable[str]:
    yield from unknown(application.settings, ())


DECLARATION = Declaration(
    kind="directory",
    minimum=Size(
        ram_mib=256,
        disk_gib=2,
        source="OpenLDAP's Administrator's Guide names no number; ours: 19 MiB for each of 4 passwords that"
        " are checked at once (Argon2), LMDB's pages of some hundred people; Debian takes 1 GB of disk",
    ),
    # besides its public port its unix socket only
    listeners=(),
    egress=frozenset({"dns", "packages"}),
    # those of people and services follow from the people's file and from who asks: `deploy.directory`
    secrets={},
    host_names=("annuaire",),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.directory.operations",
    traits=Traits(serves="applications", process="slapd", directory=True),
)
