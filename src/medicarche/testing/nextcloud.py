"""How tests ask Nextcloud: over its API, and by its own command in the instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OCC", "OCS"]

#: headers of a request to its API ("OCS API overview")
OCS: Final[Mapping[str, str]] = {"OCS-APIRequest": "true", "Accept": "application/json"}
#: its command's beginning, for who is root in the instance
OCC: Final = (
    "cd / && runuser -u www-data -- env NEXTCLOUD_CONFIG_DIR=/var/lib/nextcloud/config LC_ALL=C.UTF-8"
    " php /var/www/nextcloud/occ"
)
