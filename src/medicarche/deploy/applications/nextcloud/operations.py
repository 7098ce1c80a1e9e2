"""Nextcloud on an instance: its archive, packages, files, services, and the installation itself.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from medicarche.deploy import archives
from medicarche.deploy.hardening import drop_in, private_tmp
from medicarche.deploy.operations import Differences, File, Unit, note, run
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from pyinfra.api.command import PyinfraCommand

__all__ = ["deploy", "files", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = "/usr/local/lib/medicarche/nextcloud.py"
_DIRECTORY = "/usr/local/lib/medicarche/nextcloud-directory.php"
_ARCHIVE = "/var/lib/medicarche/nextcloud.archive"
_AUTHORITY = "/etc/medicarche/authority.pem"
#: read by whatever asks a directory by libldap, as PHP does: Nextcloud has no setting for an authority
_LDAP = "/etc/ldap/ldap.conf"
#: seconds for which Nextcloud remembers what the directory has said
_REMEMBERED = 30
#: seconds to wait for a directory that doesn't answer
_PATIENCE = 5
#: what ids of groups begin with that are the directory's; none of Nextcloud's own does, as ``admin``
_GROUP = "directory-"
#: characters that such an id may have (Nextcloud's column ``oc_groups.gid``)
_GROUP_ID = 64
#: PHP's extensions that Nextcloud needs, recommends, and uses for the directory (its "Preparing PHP")
_PHP = ("apcu", "bcmath", "bz2", "curl", "gd", "gmp", "intl", "ldap", "mbstring", "mysql", "xml", "zip")


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages; recommendations aren't installed."""
    del application
    return ("apache2", "libapache2-mod-php", "mariadb-server", *(f"php-{name}" for name in _PHP))


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return the configuration of Apache, MariaDB, PHP and Nextcloud."""
    values = {"application": application, **instance}
    found = [
        ("/etc/apache2/ports.conf", "ports.conf.j2", "root:root"),
        ("/etc/apache2/sites-enabled/medicarche.conf", "apache.conf.j2", "root:root"),
        ("/etc/mysql/mariadb.conf.d/90-medicarche.cnf", "mariadb.cnf.j2", "root:root"),
        ("/etc/php/8.4/apache2/conf.d/90-medicarche.ini", "php.ini.j2", "root:root"),
        ("/etc/php/8.4/cli/conf.d/90-medicarche.ini", "php.ini.j2", "root:root"),
        ("/etc/systemd/system/apache2.service.d/medicarche.conf", "apache2.service.j2", "root:root"),
        ("/etc/systemd/system/medicarche-nextcloud-cron.service", "cron.service.j2", "root:root"),
        ("/etc/systemd/system/medicarche-nextcloud-cron.timer", "cron.timer.j2", "root:root"),
        (f"/etc/nginx/applications/{application['name']}.conf", "nginx.conf.j2", "root:root"),
        ("/var/lib/nextcloud/config/medicarche.config.php", "config.php.j2", "root:www-data"),
        (_SCRIPT, "nextcloud.py.j2", "root:root"),
    ]
    directory = application["directory"]
    if directory:
        values |= {"authority": _AUTHORITY, "patience": _PATIENCE}
        found += [(_LDAP, "ldap.conf.j2", "root:root"), (_DIRECTORY, "directory.php", "root:root")]
    written = [
        File(path, render(_TEMPLATES, template, **values), owner=owner) for path, template, owner in found
    ]
    if directory:
        written.append(File(_AUTHORITY, directory["authority"]))
    return [*written, archives.program(), private_tmp("mariadb.service")]


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
            (
                *(p for p in known if p.startswith(("/etc/apache2/", "/etc/php/8.4/apache2/"))),
                "/etc/php/8.4/apache2/conf.d",
                # each of its processes has read them once
                *(p for p in known if p in {_AUTHORITY, _LDAP}),
            ),
            "restart",
            check="apache2ctl -t",
        ),
        Unit("medicarche-nextcloud-cron.timer"),
    ]


def deploy(application: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
    """Add the operation that unpacks, installs or upgrades it, and sets its administrator."""
    wanted = {
        "sha256": application["artefact"]["sha256"],
        "archive": _ARCHIVE,
        "login": application["settings"]["administrator"],
        "email": f"{application['settings']['administrator']}@{instance['domain']}",
        "password": application["secrets"]["administrator"],
        "directory": _directory(application),
    }
    run(f"{application['name']}: the installation", installation, wanted, application["artefact"]["path"])


def _directory(application: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings of Nextcloud's ``user_ldap`` for our directory, and who is what; None without one.

    Their names are those in its documentation, "LDAP Configuration API". It isn't told to ask for groups:
    the service's account sees none. Groups of its own hold who is in those of the directory.
    """
    directory = application["directory"]
    if not directory:
        return None
    address, _, port = directory["address"].rpartition(":")
    among = "".join(f"(memberOf={role['group']})" for role in directory["roles"])
    base = f"ou=people,{directory['base']}"
    settings = {
        "ldap_host": f"ldaps://{address}",
        "ldap_port": port,
        "ldap_turn_off_cert_check": "0",
        "ldap_connection_timeout": str(_PATIENCE),
        "ldap_dn": directory["account"],
        # as Nextcloud keeps it
        "ldap_agent_password": b64encode(application["secrets"]["directory"].encode()).decode(),
        "ldap_base": base,
        "ldap_base_users": base,
        "ldap_userlist_filter": f"(|{among})",
        "ldap_login_filter": directory["filter"].replace("%s", "%uid"),
        "ldap_display_name": "cn",
        "ldap_email_attr": "mail",
        "ldap_attributes_for_user_search": "cn\nuid\nmail",
        # somebody's files are the login's: one is never given to somebody else
        "ldap_expert_username_attr": "uid",
        "ldap_expert_uuid_user_attr": "uid",
        "ldap_cache_ttl": str(_REMEMBERED),
        "ldap_mark_remnants_as_disabled": "1",
        "ldap_turn_on_pwd_change": "0",
        "ldap_configuration_active": "1",
    }
    groups = {_group_id(name): group for name, group in directory["groups"].items()}
    return {"settings": settings, "people": directory["members"], "groups": groups}


def _group_id(name: str) -> str:
    """Return the id of Nextcloud's group for one of the directory's."""
    room = _GROUP_ID - len(_GROUP)
    return _GROUP + (name if len(name) <= room else hashlib.sha256(name.encode()).hexdigest()[:room])


@operation()
def installation(wanted: dict[str, Any], archive: str | None) -> Generator[PyinfraCommand, None, None]:
    """Bring the installation to what is wanted; the archive is uploaded where its code isn't there."""
    text = json.dumps(wanted)
    differences = host.get_fact(
        Differences, script=_SCRIPT, program="/usr/bin/php", user="www-data", _stdin=text
    )
    if differences == []:
        return
    for line in differences or ["isn't installed"]:
        note(line)
    if archive is not None and (differences is None or any(d.startswith("the code") for d in differences)):
        yield from archives.uploaded(archive, _ARCHIVE)
    yield StringCommand(f"python3 {_SCRIPT} apply", _stdin=text)
