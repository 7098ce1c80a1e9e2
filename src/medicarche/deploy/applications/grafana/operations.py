"""Grafana on the supervision's instance: its code, account, configuration, dashboards, service, people.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from medicarche.deploy import archives
from medicarche.deploy.applications.supervision.configuration import as_yaml
from medicarche.deploy.applications.supervision.dashboards import as_json
from medicarche.deploy.asking import ask, ask_together
from medicarche.deploy.leftovers import Leftovers
from medicarche.deploy.operations import (
    File,
    Unit,
    applied,
    files_question,
    note,
    run,
    services,
    services_question,
    shell,
)
from medicarche.deploy.operations import files as bring_files
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

__all__ = ["Remains", "deploy", "files", "packages", "units", "withdraw"]

_TEMPLATES = Path(__file__).parent / "templates"
_SOURCE = Path(__file__).parent / "people.py"
_PROGRAM = "/usr/local/lib/medicarche/grafana-people.py"
_CODE = "/opt/grafana"
#: what its makers' archive holds, of all versions that read our dashboards
_NEEDS = ("bin/grafana", "conf/defaults.ini", "public/build")
_ACCOUNT = "grafana"
_FOLDER = "/etc/medicarche/grafana"
_INI = f"{_FOLDER}/grafana.ini"
_DASHBOARDS = f"{_FOLDER}/dashboards"
_PROVISIONING = f"{_FOLDER}/provisioning"
_SOURCES = f"{_PROVISIONING}/datasources/medicarche.yaml"
_PROVIDERS = f"{_PROVISIONING}/dashboards/medicarche.yaml"
_UNUSED = ("alerting", "plugins")
_LDAP = f"{_FOLDER}/ldap.toml"
_AUTHORITY = "/etc/medicarche/authority.pem"
_SERVICE = "grafana-server.service"
_UNIT = f"/etc/systemd/system/{_SERVICE}"
#: Grafana's words for our roles
_ROLES = {"administrator": "Admin", "editor": "Editor", "viewer": "Viewer"}


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the C library that its makers' program is linked with; the archive has all the rest."""
    del application
    return ("musl",)


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return all but what only Grafana's own account may read (`deploy`)."""
    values = {
        "application": application,
        "code": _CODE,
        "account": _ACCOUNT,
        "ini": _INI,
        "folder": _FOLDER,
        "dashboards": _DASHBOARDS,
        "provisioning": _PROVISIONING,
        "ldap": _LDAP if application["directory"] else "",
        **instance,
    }
    rendered = {
        _UNIT: "grafana-server.service.j2",
        _INI: "grafana.ini.j2",
        f"/etc/nginx/applications/{application['name']}.conf": "nginx.conf.j2",
    }
    found = [File(path, render(_TEMPLATES, template, **values)) for path, template in rendered.items()]
    found += [
        archives.program(),
        File(_PROGRAM, _SOURCE.read_text(encoding="utf-8")),
        File(_SOURCES, as_yaml(_sources(instance))),
        File(_PROVIDERS, as_yaml(_providers(instance))),
        # nothing of these; without their folders it complains at each start
        *(File(f"{_PROVISIONING}/{kind}/medicarche.yaml", as_yaml({"apiVersion": 1})) for kind in _UNUSED),
        *_dashboards(instance),
    ]
    if application["directory"]:
        found.append(File(_AUTHORITY, application["directory"]["authority"]))
    return found


def _sources(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return Grafana's only source of figures; none where nobody supervises just now."""
    source = {
        "name": "Supervision",
        "uid": "supervision",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://127.0.0.1:9090/prometheus",
        "isDefault": True,
        "editable": False,
        "jsonData": {"httpMethod": "POST", "timeInterval": "15s", "manageAlerts": False},
    }
    return {"apiVersion": 1, "prune": True, "datasources": [source] if "watched" in instance else []}


def _providers(instance: Mapping[str, Any]) -> dict[str, Any]:
    provider = {
        "name": "medicarche",
        "folder": instance["organization"],
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": _DASHBOARDS},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _dashboards(instance: Mapping[str, Any]) -> list[File]:
    """Return the supervision's dashboards, as `medicarche dashboards` writes them too."""
    if "watched" not in instance:
        return []
    watched = instance["watched"]
    made = as_json(watched["environment"], cloud=watched["cloud"] is not None)
    return [File(f"{_DASHBOARDS}/{name}", content) for name, content in made.items()]


def units(application: Mapping[str, Any], paths: Iterable[str]) -> list[Unit]:
    """Return none: the service can only start when its code and account are there (`deploy`)."""
    del application, paths
    return []


def deploy(application: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
    """Add its code, its account, what only that may read, its service, and who may be in."""
    del instance
    name = application["name"]
    secrets = _secrets(application)
    absent = [] if application["directory"] else [_LDAP]
    read_at_start = (_CODE, _UNIT, _INI, _SOURCES, _PROVIDERS, *(file.path for file in secrets))
    theirs = (_AUTHORITY,) if application["directory"] else ()
    started = [Unit(_SERVICE, (*read_at_start, *theirs))]
    ask_together(
        [(Account, {"login": _ACCOUNT}), files_question(secrets, absent), services_question(started)]
    )
    run(f"{name}: its account", account, _ACCOUNT)
    run(f"{name}: its code", archives.code, "Grafana", _CODE, _NEEDS, application["artefact"])
    run(f"{name}: what only it may read", bring_files, secrets, absent)
    run(f"{name}: Grafana", services, started)
    # its interface is asked, so it has to be there
    run(f"{name}: who may be in", applied, _PROGRAM, f"{_CODE}/bin/grafana", json.dumps(_wanted(application)))


def _secrets(application: Mapping[str, Any]) -> list[File]:
    contents = {
        f"{_FOLDER}/{purpose}": f"{application['secrets'][purpose]}\n"
        for purpose in ("administrator", "secret_key")
    }
    if application["directory"]:
        contents[_LDAP] = _ldap(application)
    return [File(path, text, mode="640", owner=f"root:{_ACCOUNT}") for path, text in contents.items()]


def _ldap(application: Mapping[str, Any]) -> str:
    """Return how Grafana asks our directory; its documentation, "Configure LDAP authentication"."""
    directory = application["directory"]
    address, _, port = directory["address"].rpartition(":")
    groups = [
        {"dn": role["group"], "role": _ROLES[role["role"]], "server": role["role"] == "administrator"}
        for role in directory["roles"]
    ]
    return render(
        _TEMPLATES,
        "ldap.toml.j2",
        address=address,
        port=port,
        authority=_AUTHORITY,
        password=application["secrets"]["directory"],
        groups=groups,
        directory=directory,
    )


def _wanted(application: Mapping[str, Any]) -> dict[str, Any]:
    directory = application["directory"]
    return {
        "login": application["settings"]["administrator"],
        "password": application["secrets"]["administrator"],
        "people": directory["members"] if directory else None,
    }


class Remains(Leftovers):
    """What is in the supervision's instance of a Grafana that is declared no more."""

    paths = (_CODE, _FOLDER, _PROGRAM, _UNIT)
    programs = ()


@operation()
def withdraw() -> Generator[StringCommand, None, None]:
    """Take Grafana out; its data, with the dashboards that people have made, stays where it is."""
    found = ask(Remains)
    if not found:
        return
    for name in found:
        note(f"{name}: must not be there")
    trees = f"{_CODE}-{'?' * 16}"
    # the unit last: as long as it is there the next run goes on
    yield shell(
        f"systemctl disable -q --now {_SERVICE} || true; "
        f"rm -rf -- {_CODE} {trees} {_FOLDER} {_PROGRAM} && rm -f -- {_UNIT} && systemctl daemon-reload"
    )


class Account(FactBase[bool]):
    """Whether an account is there."""

    def command(self, login: str) -> str:
        """Ask for it."""
        return f"getent passwd {login} || true"

    def process(self, output: Iterable[str]) -> bool:
        """Read the answer."""
        return any(line.strip() for line in output)


@operation()
def account(login: str) -> Generator[StringCommand, None, None]:
    """Make the account that Grafana runs with."""
    if not ask(Account, login=login):
        note(f"{login}: isn't there")
        yield StringCommand(
            f"useradd --system --user-group --home-dir /var/lib/{login} --no-create-home"
            f" --shell /usr/sbin/nologin {login}"
        )
