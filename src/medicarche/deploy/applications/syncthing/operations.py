"""Syncthing on an instance: its package, files, account, configuration and service.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.deploy.operations import File, Unit, applied, run
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["deploy", "files", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = "/usr/local/lib/medicarche/syncthing.py"


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages: Syncthing, and what shares out its port."""
    del application
    return ("libnginx-mod-stream", "syncthing")


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return nginx's configuration, the service's place for its files, and the script that configures it."""
    directory = application["directory"]
    values = {"application": application, "generation": _generation(application), **instance}
    found = [
        ("/etc/nginx/stream.d/syncthing.conf", "stream.conf.j2"),
        ("/etc/systemd/system/syncthing@syncthing.service.d/medicarche.conf", "syncthing.service.j2"),
        (_SCRIPT, "syncthing.py.j2"),
    ]
    made = [File(path, render(_TEMPLATES, template, **values)) for path, template in found]
    nginx = render(_TEMPLATES, "nginx.conf.j2", **values)
    made.append(
        # with a directory it holds the key that the local administrator comes in with
        File(f"/etc/nginx/applications/{application['name']}.conf", nginx, mode="600" if directory else "644")
    )
    if directory:
        login, password = application["settings"]["administrator"], application["secrets"]["administrator"]
        made += [
            File("/etc/medicarche/authority.pem", directory["authority"]),
            File("/etc/nginx/syncthing.users", f"{login}:{{PLAIN}}{password}\n", "640", "root:www-data"),
        ]
    return made


def _generation(application: Mapping[str, Any]) -> str:
    """Return a word that is another one when other people are let in, and that nobody can guess.

    Syncthing keeps a session for a week, whoever has left meanwhile: nginx passes on only those that were
    begun with the present word.
    """
    directory = application["directory"]
    if not directory:
        return ""
    people = "\n".join(sorted(directory["members"])).encode()
    return hmac.new(application["secrets"]["api_key"].encode(), people, "sha256").hexdigest()[:40]


def units(application: Mapping[str, Any], paths: Iterable[str]) -> list[Unit]:
    """Return none: the service can only start when its account and configuration are there (see `deploy`)."""
    del application, paths
    return []


def deploy(application: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
    """Add the operation that configures and starts it."""
    del instance
    wanted = {
        "login": application["settings"]["administrator"],
        "password": application["secrets"]["administrator"],
        "api_key": application["secrets"]["api_key"],
        "ldap": _ldap(application["directory"]),
    }
    # its folders, peers and keys are never touched
    run(f"{application['name']}: the node", applied, _SCRIPT, "/usr/bin/syncthing", json.dumps(wanted))


def _ldap(directory: Mapping[str, Any] | None) -> dict[str, str]:
    """Return Syncthing's settings for a directory: it asks as the person who logs in, for that one."""
    if directory is None:
        return {}
    base = directory["base"]
    return {
        "address": directory["address"],
        "bindDN": f"uid=%s,ou=people,{base}",
        "transport": "tls",
        "searchBaseDN": f"ou=people,{base}",
        "searchFilter": directory["filter"],
    }
