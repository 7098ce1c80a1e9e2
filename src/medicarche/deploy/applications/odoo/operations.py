"""Odoo on an instance: its packages, files, services, database and first user.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.deploy.applications.odoo import MODULES, ROLES
from medicarche.deploy.hardening import drop_in, private_tmp
from medicarche.deploy.operations import File, Unit, applied, run
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["deploy", "files", "master_password_hash", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates"
_POSTGRESQL_UNIT = "postgresql@.service"
_SCRIPT = "/usr/local/lib/medicarche/odoo_database.py"
_CONFIGURATION = "/etc/odoo/medicarche.conf"
_ADDONS = "/usr/local/lib/medicarche/odoo"
#: Odoo's module that asks the directory, and what it believes
_DIRECTORY = "medicarche_directory"
_AUTHORITY = "/etc/odoo/directory.pem"
_SOCKET = "/etc/systemd/system/odoo.socket"


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages: trixie's but for Odoo itself, which is in sid; by name what it recommends."""
    del application
    # the last two are asked for by modules that come with a country's accounting (electronic invoices)
    return ("odoo-19", "postgresql", "python3-ldap", "python3-asn1crypto", "python3-phonenumbers")


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return apt's source for Odoo, and the configuration of Odoo and PostgreSQL."""
    values = {
        "application": application,
        "master_password": master_password_hash(application["secrets"]["master"]),
        **instance,
    }
    found = [
        ("/etc/apt/preferences.d/medicarche-odoo", "preferences.j2"),
        ("/etc/apt/sources.list.d/medicarche-odoo.sources", "sid.sources.j2"),
        # what isn't compiled as the package comes: py3compile(1)
        ("/usr/share/python3/bcep/medicarche-odoo", "bytecode.j2"),
        (_CONFIGURATION, "odoo.conf.j2"),
        ("/etc/postgresql-common/createcluster.d/medicarche.conf", "createcluster.conf.j2"),
        ("/etc/systemd/system/odoo.service.d/medicarche.conf", "odoo.service.j2"),
        (_SOCKET, "odoo.socket.j2"),
        (f"/etc/nginx/applications/{application['name']}.conf", "nginx.conf.j2"),
        (_SCRIPT, "odoo_database.py.j2"),
        # always: where it has been installed once, Odoo looks for it
        (f"{_ADDONS}/{_DIRECTORY}/__manifest__.py", "directory_manifest.py.j2"),
        (f"{_ADDONS}/{_DIRECTORY}/__init__.py", "directory_module.py.j2"),
    ]
    values |= {"addons": _ADDONS, "authority": _AUTHORITY}
    written = [File(path, render(_TEMPLATES, template, **values)) for path, template in found]
    if application["directory"]:
        written.append(File(_AUTHORITY, application["directory"]["authority"]))
    return [*written, private_tmp(_POSTGRESQL_UNIT)]


def units(application: Mapping[str, Any], paths: Iterable[str]) -> list[Unit]:
    """Return the services, the database before what needs it."""
    del application
    known = tuple(paths)
    own = {_CONFIGURATION, _AUTHORITY}
    odoo = tuple(p for p in known if p in own or "odoo.service.d" in p or p.startswith(_ADDONS))
    # trixie's cluster by its own name, too: whether systemd knows its file is told of it alone
    database = Unit("postgresql@17-main.service", (drop_in(_POSTGRESQL_UNIT),))
    # the service's start brings its socket with it; a socket can't be started under a service that runs
    return [
        database,
        Unit("postgresql.service"),
        Unit("odoo.service", odoo),
        Unit("odoo.socket", (_SOCKET,)),
    ]


def deploy(application: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
    """Add the operation that makes the database: modules, language, company, administrator."""
    wanted = _wanted(application, instance)
    run(f"{application['name']}: the database", applied, _SCRIPT, "/usr/bin/odoo", wanted, user="odoo")


def _wanted(application: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    """Return what odoo_database.py reads on its standard input; it holds passwords."""
    settings = application["settings"]
    asks = [_DIRECTORY] if application["directory"] else []
    wanted = {
        "modules": [*MODULES, *settings.get("modules", "").split(), *asks],
        "language": instance["language"].partition(".")[0],
        "timezone": instance["timezone"],
        "company": instance["organization"],
        "country": settings["country"],
        "login": settings["administrator"],
        "email": f"{settings['administrator']}@{instance['domain']}",
        "password": application["secrets"]["administrator"],
        "url": f"https://{instance['name']}.{instance['domain']}:{application['port']}",
        "servers": _servers(application),
        "people": application["directory"]["people"] if application["directory"] else {},
        "roles": ROLES,
    }
    return json.dumps(wanted)


def _servers(application: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the directories that Odoo asks (``res.company.ldap``): ours, or none."""
    directory = application["directory"]
    if not directory:
        return []
    address, _, port = directory["address"].rpartition(":")
    return [
        {
            "ldap_server": address,
            "ldap_server_port": int(port),
            "ldap_tls": True,
            "ldap_binddn": directory["account"],
            "ldap_password": application["secrets"]["directory"],
            "ldap_base": f"ou=people,{directory['base']}",
            "ldap_filter": directory["filter"],
            # who may be in is there before
            "create_user": False,
        }
    ]


@cache
def master_password_hash(password: str) -> str:
    """Return passlib's ``pbkdf2_sha512`` of a password: what stands in a file that services may read.

    The salt follows from the password, so that the file is the same at every run; passwords are random and
    of one environment only, so that no two of them are compared by their salts.
    """
    rounds = 600_000  # OWASP's advice for PBKDF2 is 210,000 and more; Odoo 19's own number
    salt = hashlib.sha512(f"salt of {password}".encode()).digest()[:16]
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$pbkdf2-sha512${rounds}${_ab64(salt)}${_ab64(made)}"


def _ab64(value: bytes) -> str:
    """Passlib's own base 64: dots for plus signs, no padding."""
    return base64.b64encode(value).decode().rstrip("=").replace("+", ".")
