"""Prometheus, Alertmanager and the blackbox exporter on an instance.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.deploy.applications.supervision import configuration
from medicarche.deploy.applications.supervision.configuration import AUTHORITIES, FOLDER, as_yaml
from medicarche.deploy.applications.supervision.rules import instructions, rules
from medicarche.deploy.asking import ask_together
from medicarche.deploy.operations import File, Unit, files_question, run, services, services_question
from medicarche.deploy.operations import files as bring_files
from medicarche.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["deploy", "files", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates"
_CONSOLES = Path(__file__).parent / "consoles"
_PROMETHEUS = "/etc/prometheus/prometheus.yml"
_ALERTMANAGER = "/etc/prometheus/alertmanager.yml"
_BLACKBOX = "/etc/prometheus/blackbox.yml"
_ARGUMENTS = "/etc/default/prometheus"
_SOURCE = Path(__file__).parent / "cloud_exporter.py"
_EXPORTER = "/usr/local/lib/medicarche/cloud-exporter.py"
_EXPORTER_UNIT = "/etc/systemd/system/medicarche-cloud-exporter.service"
_RELAY = "/etc/nginx/stream.d/supervision-cloud.conf"
_CLOUDS = f"{FOLDER}/clouds.yaml"
_RULES = f"{FOLDER}/alertes.yml"


def packages(application: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages."""
    looking = ("libnginx-mod-stream", "python3-openstacksdk", "python3-prometheus-client")
    return (
        *("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter"),
        *(looking if "cloud" in application["egress"] else ()),
    )


def files(application: Mapping[str, Any], instance: Mapping[str, Any]) -> list[File]:
    """Return all but what Prometheus' own account alone may read (`deploy`)."""
    watched = instance["watched"]
    address = f"https://{instance['name']}.{instance['domain']}:{application['port']}"
    values = {"application": application, "pages": address, "alerts": instructions(), **instance}
    rendered = {
        f"/etc/nginx/applications/{application['name']}.conf": "nginx.conf.j2",
        _ARGUMENTS: "prometheus.default.j2",
        "/etc/default/prometheus-alertmanager": "alertmanager.default.j2",
        "/etc/default/prometheus-blackbox-exporter": "blackbox.default.j2",
        f"{FOLDER}/pages/consignes.html": "consignes.html.j2",
        "/var/lib/prometheus/node-exporter/medicarche-declared.prom": "declared.prom.j2",
    }
    if watched["cloud"] is not None:
        rendered |= {_RELAY: "stream.conf.j2", _EXPORTER_UNIT: "cloud-exporter.service.j2"}
    found = [File(path, render(_TEMPLATES, template, **values)) for path, template in rendered.items()]
    if watched["cloud"] is not None:
        found.append(File(_EXPORTER, _SOURCE.read_text(encoding="utf-8")))
    found += [
        File(f"{FOLDER}/consoles/{path.name}", path.read_text(encoding="utf-8"))
        for path in sorted(_CONSOLES.iterdir())
    ]
    found += [
        File(f"{FOLDER}/targets/{name}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        for name, content in configuration.targets(watched).items()
    ]
    found += [
        File(f"{AUTHORITIES}/{a['name']}.pem", a["authority"])
        for a in watched["applications"]
        if a["authority"]
    ]
    line = configuration.password_line(
        application["settings"]["administrator"], application["secrets"]["administrator"]
    )
    return [
        *found,
        File(_RULES, as_yaml(rules(f"{address}/consignes"))),
        File(_ALERTMANAGER, as_yaml(configuration.alertmanager())),
        File(_BLACKBOX, as_yaml(configuration.blackbox(watched))),
        File("/etc/nginx/supervision.users", line, mode="640", owner="root:www-data"),
    ]


def units(application: Mapping[str, Any], paths: Iterable[str]) -> list[Unit]:
    """Return the services but Prometheus, which starts when all of its configuration is there (`deploy`)."""
    del application
    known = tuple(paths)
    return [
        Unit("prometheus-alertmanager.service", (_ALERTMANAGER, "/etc/default/prometheus-alertmanager")),
        Unit(
            "prometheus-blackbox-exporter.service",
            (
                _BLACKBOX,
                "/etc/default/prometheus-blackbox-exporter",
                *(p for p in known if p.startswith(AUTHORITIES)),
            ),
        ),
    ]


def deploy(application: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
    """Add Prometheus' configuration, which only its account reads, and its service."""
    name = application["name"]
    content = as_yaml(configuration.prometheus(instance["watched"]))
    secret = {_PROMETHEUS: content}
    if instance["watched"]["cloud"] is not None:
        secret[_CLOUDS] = as_yaml({"clouds": {"supervision": instance["watched"]["cloud"]["entry"]}})
    secrets = [File(path, text, mode="640", owner="root:prometheus") for path, text in secret.items()]
    cloud = (_CLOUDS, _EXPORTER, _EXPORTER_UNIT)
    check = f"promtool check config {_PROMETHEUS} > /dev/null"
    started = [
        Unit("prometheus.service", (_ARGUMENTS,), check=check),
        Unit("prometheus.service", (_PROMETHEUS, _RULES), "reload", check=check),
        *([Unit("medicarche-cloud-exporter.service", cloud)] if _CLOUDS in secret else []),
    ]
    ask_together([files_question(secrets), services_question(started)])
    # the package has made the account by now
    run(f"{name}: what is watched", bring_files, secrets)
    run(f"{name}: Prometheus", services, started)
