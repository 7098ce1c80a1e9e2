"""The applications that can be deployed: one package each, its templates beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.deploy.applications import (
    directory,
    grafana,
    nextcloud,
    odoo,
    supervision,
    syncthing,
    wordpress,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.deploy.declaration import Declaration

__all__ = ["KINDS"]

#: kind → its declaration
KINDS: Mapping[str, Declaration] = {
    module.DECLARATION.kind: module.DECLARATION
    for module in (directory, grafana, nextcloud, odoo, supervision, syncthing, wordpress)
}
