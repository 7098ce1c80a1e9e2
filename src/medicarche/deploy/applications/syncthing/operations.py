"""Syncthing on an instance: its package, files, account, configuration and service.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from medicarche.deploy.operations import Differences, File, Unit, note, run
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

__all__ = ["deploy", "files", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = "/usr/local/lib/medicarche/syncthing.py"


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages: Syncthing, and what shares out its port."""
    del application
    return ("libnginx-mod-stream", "syncthing")


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return nginx's configuration, the service's place for its files, and the script that configures it."""
    values = {"application": application, **instance}
    found = [
        ("/etc/nginx/stream.d/syncthing.conf", "stream.conf.j2"),
        (f"/etc/nginx/applications/{application['name']}.conf", "nginx.conf.j2"),
        ("/etc/systemd/system/syncthing@syncthing.service.d/medicarche.conf", "syncthing.service.j2"),
        (_SCRIPT, "syncthing.py.j2"),
    ]
    return [File(path, render(_TEMPLATES, template, **values)) for path, template in found]


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
    }
    run(f"{application['name']}: the node", node, json.dumps(wanted))


@operation()
def node(wanted: str) -> Generator[StringCommand, None, None]:
    """Bring the node to what is wanted; its folders, peers and keys are never touched."""
    differences = host.get_fact(Differences, script=_SCRIPT, program="/usr/bin/syncthing", _stdin=wanted)
    if differences == []:
        return
    for line in differences or ["isn't installed"]:
        note(line)
    yield StringCommand(f"python3 {_SCRIPT} apply", _stdin=wanted)
