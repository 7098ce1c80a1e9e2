"""The directory on an instance: OpenLDAP's package, files, service, and the people in it.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.deploy.operations import File, Unit, applied, run
from medicarche.deploy.templating import render
from medicarche.spec.ssh_accounts import FIRST_NUMBER, LAST_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["deploy", "files", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = "/usr/local/lib/medicarche/directory.py"
_CONFIGURATION = "/etc/ldap/medicarche.conf"


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages: the server, and what the script that compares speaks LDAP with."""
    del application
    return ("python3-ldap", "slapd")


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return slapd's configuration, which holds no password, its certificate, and the script."""
    values = {"application": application, **instance}
    found = [
        (_CONFIGURATION, "slapd.conf.j2"),
        ("/etc/ldap/medicarche.schema", "medicarche.schema"),
        ("/etc/systemd/system/slapd.service.d/medicarche.conf", "slapd.service.j2"),
        (_SCRIPT, "directory.py.j2"),
    ]
    return [
        *(File(path, render(_TEMPLATES, template, **values)) for path, template in found),
        File("/etc/ldap/medicarche.pem", instance["certificate"]),
        # its group is the package's, which isn't there yet: the unit makes a copy for it
        File("/etc/ldap/medicarche.key", instance["private_key"], mode="600"),
    ]


def units(application: Mapping[str, Any], paths: Iterable[str]) -> list[Unit]:
    """Return the service; it is restarted when a file of its own is younger than its start."""
    del application
    own = tuple(p for p in paths if p.startswith("/etc/ldap/") or "slapd" in p)
    return [Unit("slapd.service", own, check=f"slaptest -Q -u -f {_CONFIGURATION}")]


def deploy(application: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
    """Add the operation that brings the directory to what the people's file says."""
    directory, secrets = application["directory"], application["secrets"]
    wanted = {
        "organization": instance["organization"],
        "base": directory["base"],
        "sites": directory["sites"],
        "groups": directory["groups"],
        "people": [
            {**member, "password": secrets[f"person/{member['login']}"]} for member in directory["members"]
        ],
        "services": [
            {"name": service["name"], "password": secrets[f"service/{service['name']}"]}
            for service in directory["services"]
        ],
    }
    if cloud := directory["cloud"]:
        account = cloud["account"]
        wanted["services"].append({"name": account, "password": secrets[f"service/{account}"]})
    if ssh := directory["ssh"]:
        wanted["ssh"] = {
            "keys": ssh["keys"],
            "first": FIRST_NUMBER,
            "last": LAST_NUMBER,
            "instances": [
                {"name": name, "password": secrets[f"instance/{name}"]} for name in ssh["instances"]
            ],
        }
    # what others made beside our tree isn't touched
    run(f"{application['name']}: the people", applied, _SCRIPT, "/usr/sbin/slapd", json.dumps(wanted))
