"""WordPress from Debian's packages: Apache with PHP, MariaDB on its socket, behind nginx (APP-4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from medicarche.deploy.declaration import Declaration
from medicarche.spec.environment import Listener, Size, Traits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.spec.environment import Application

__all__ = ["DECLARATION"]

_SETTINGS = {"tagline", "administrator", "sites"}
#: the constants of wp-config.php that sign cookies and forms
_SALTS = tuple(
    f"{prefix}{kind}"
    for kind in ("key", "salt")
    for prefix in ("auth_", "secure_auth_", "logged_in_", "nonce_")
)
#: names that every password guesser tries first
_GUESSED = {"admin", "administrator", "root", "test", "user", "wordpress"}


def _check_settings(application: Application) -> Iterable[str]:
    settings = application.settings
    for key in sorted(set(settings) - _SETTINGS):
        yield f"settings.{key}: unknown; known are {', '.join(sorted(_SETTINGS))}"
    if not application.title.strip():
        yield "title: empty; it is the site's title"
    if not settings.get("tagline", "").strip():
        yield "settings.tagline: missing; it is the line under the site's title"
    administrator = settings.get("administrator", "")
    # wp-includes/formatting.php, sanitize_user(strict); 60 characters is the column's width
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,59}", administrator):
        yield "settings.administrator: a login of 2 to 60 small letters, digits, '.', '_', '-'"
    elif administrator in _GUESSED:
        yield f"settings.administrator: {administrator!r} is what attackers try first; take another name"
    for site in settings.get("sites", "").split(";"):
        if site.strip() and not re.fullmatch(r"\s*[^:]+:[^:]+", site):
            yield f"settings.sites: {site.strip()!r} isn't 'name: place' (several are parted by ';')"


DECLARATION = Declaration(
    kind="wordpress",
    minimum=Size(
        ram_mib=512,
        disk_gib=2,
        source="wordpress.org/about/requirements names PHP and MariaDB versions only; the packages take 1 GB "
        "of disk, and PHP's memory_limit of 128 MB times 2 requests with MariaDB's 64 MB fits 512 MiB",
    ),
    listeners=(
        Listener("127.0.0.1", 8080, "tcp", "apache2", "root", public=False, why="WordPress, behind nginx"),
        # MariaDB listens on its unix socket only
    ),
    egress=frozenset({"dns", "packages"}),
    secrets={
        "administrator": "password of the site's administrator",
        **{f"salt_{name}": f"signs cookies and forms ({name})" for name in _SALTS},
    },
    host_names=("www",),
    check_settings=_check_settings,
    module="medicarche.deploy.applications.wordpress.operations",
    traits=Traits(
        roles=("administrator", "editor", "author", "contributor", "subscriber"),
        services=("apache", "mariadb"),
    ),
    service_account=True,
)
