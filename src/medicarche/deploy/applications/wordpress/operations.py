"""WordPress on an instance: its packages, files, services, and the site itself.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from medicarche.deploy.hardening import drop_in, private_tmp
from medicarche.deploy.operations import File, Unit, note, run
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

__all__ = ["deploy", "files", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = "/usr/local/lib/medicarche/wordpress.php"
_MU_PLUGINS = "/var/lib/wordpress/wp-content/mu-plugins"
_THEME = "/var/lib/wordpress/wp-content/themes/entreprise"


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages; recommendations aren't installed."""
    own = ("apache2", "libapache2-mod-php", "mariadb-server", "php-mysql", "wordpress", "wordpress-l10n")
    return (*own, "php-ldap") if application["directory"] else own


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return the configuration of Apache, MariaDB, PHP and WordPress, and the site's theme."""
    values = {"application": application, **instance}
    web = "root:www-data"
    found = [
        ("/etc/apache2/ports.conf", "ports.conf.j2", "644", "root:root"),
        ("/etc/apache2/sites-enabled/medicarche.conf", "apache.conf.j2", "644", "root:root"),
        ("/etc/mysql/mariadb.conf.d/90-medicarche.cnf", "mariadb.cnf.j2", "644", "root:root"),
        ("/etc/systemd/system/apache2.service.d/medicarche.conf", "apache2.service.j2", "644", "root:root"),
        ("/etc/systemd/system/medicarche-wordpress-cron.service", "cron.service.j2", "644", "root:root"),
        ("/etc/systemd/system/medicarche-wordpress-cron.timer", "cron.timer.j2", "644", "root:root"),
        (f"/etc/nginx/applications/{application['name']}.conf", "nginx.conf.j2", "644", "root:root"),
        ("/etc/wordpress/config-default.php", "config.php.j2", "640", web),
        (_SCRIPT, "site.php", "644", "root:root"),
        (f"{_MU_PLUGINS}/medicarche.php", "hardening.php", "644", "root:root"),
        (f"{_MU_PLUGINS}/medicarche-directory.php", "directory.php", "644", "root:root"),
        ("/etc/wordpress/directory-settings.php", "directory-settings.php.j2", "640", web),
        (f"{_THEME}/functions.php", "theme/functions.php", "644", "root:root"),
        (f"{_THEME}/style.css", "theme/style.css", "644", "root:root"),
        (f"{_THEME}/theme.json", "theme/theme.json", "644", "root:root"),
        (f"{_THEME}/templates/index.html", "theme/index.html", "644", "root:root"),
        (f"{_THEME}/templates/front-page.html", "theme/front-page.html", "644", "root:root"),
        (f"{_THEME}/parts/header.html", "theme/header.html", "644", "root:root"),
        (f"{_THEME}/parts/footer.html", "theme/footer.html.j2", "644", "root:root"),
    ]
    written = [
        File(path, render(_TEMPLATES, template, **values), mode=mode, owner=owner)
        for path, template, mode, owner in found
    ]
    if application["directory"]:
        written.append(File("/etc/wordpress/directory.pem", application["directory"]["authority"]))
    return [*written, private_tmp("mariadb.service")]


def units(application: Mapping[str, Any], paths: Iterable[str]) -> list[Unit]:
    """Return the services, the database before the web server."""
    del application
    known = tuple(paths)
    return [
        Unit(
            "mariadb.service",
            tuple(p for p in known if p.startswith(("/etc/mysql/", drop_in("mariadb.service")))),
        ),
        Unit(
            "apache2.service",
            # the folder is younger than Apache's start where an extension of PHP's came after it
            (*(p for p in known if p.startswith("/etc/apache2/")), "/etc/php/8.4/apache2/conf.d"),
            "restart",  # a graceful reload doesn't let go of a port that isn't listened on any more
            check="apache2ctl -t",
        ),
        Unit("medicarche-wordpress-cron.timer"),
    ]


def deploy(application: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
    """Add the operation that makes the site: database, installation, options, home page."""
    run(f"{application['name']}: the site", site, _wanted(application, instance))


def _wanted(application: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    """Return what site.php reads on its standard input; it holds the administrator's password."""
    settings = application["settings"]
    sites = [part.partition(":") for part in settings.get("sites", "").split(";") if part.strip()]
    home = render(
        _TEMPLATES,
        "home.html.j2",
        application=application,
        sites=[(name.strip(), place.strip()) for name, _, place in sites],
        **instance,
    )
    wanted = {
        "title": application["title"],
        "tagline": settings["tagline"],
        "administrator": settings["administrator"],
        "email": f"{settings['administrator']}@{instance['domain']}",
        "password": application["secrets"]["administrator"],
        "url": f"https://www.{instance['domain']}:{application['port']}",
        "language": instance["language"].partition(".")[0],
        "timezone": instance["timezone"],
        "home": home,
        "members": application["directory"]["members"] if application["directory"] else {},
    }
    return json.dumps(wanted)


class SiteDifferences(FactBase[list[str] | None]):
    """What differs from the wanted site, in words; None where WordPress can't say yet."""

    def command(self) -> str:
        """Let the site's own code compare; it is read-only in this mode."""
        return (
            f"if [ -e {_SCRIPT} ] && [ -e /usr/bin/php ] && [ -e /usr/share/wordpress/wp-load.php ]; then "
            f"runuser -u www-data -- php {_SCRIPT} check; else echo null; fi"
        )

    def process(self, output: Iterable[str]) -> list[str] | None:
        """Read the last line."""
        lines = list(output)
        found = json.loads(lines[-1])
        return None if found is None else [str(line) for line in found]


_DATABASE = """
CREATE DATABASE IF NOT EXISTS wordpress CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'www-data'@'localhost' IDENTIFIED VIA unix_socket;
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, CREATE TEMPORARY TABLES
  ON wordpress.* TO 'www-data'@'localhost';
"""


@operation()
def site(wanted: str) -> Generator[StringCommand, None, None]:
    """Bring the site to what is wanted."""
    differences = host.get_fact(SiteDifferences, _stdin=wanted)
    if differences == []:
        return
    for line in differences or ["isn't installed"]:
        note(line)
    # the database's user is the web server's own account, known to MariaDB by the socket: there is no
    # password that could leak, and nothing listens on the network
    yield StringCommand("mariadb", _stdin=_DATABASE)
    yield StringCommand(f"runuser -u www-data -- php {_SCRIPT} apply", _stdin=wanted)
