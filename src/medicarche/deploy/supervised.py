"""What a supervised instance has: its agents, each on the instance's private address only.

Imported in the deployment's own process only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.deploy.operations import File, Unit
from medicarche.deploy.templating import render
from medicarche.spec.supervision import NGINX_PORT, NODE_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["files", "packages", "units"]

_TEMPLATES = Path(__file__).parent / "templates" / "supervised"
_SYSTEMD = "/etc/systemd/system"
_OWN_METRICS = "/usr/local/lib/medicarche/own-metrics"
_OWN_UNIT = f"{_SYSTEMD}/medicarche-own-metrics.service"
_NODE = (
    "/etc/default/prometheus-node-exporter",
    f"{_SYSTEMD}/prometheus-node-exporter.service.d/medicarche.conf",
)
_NGINX = (
    "/etc/default/prometheus-nginx-exporter",
    f"{_SYSTEMD}/prometheus-nginx-exporter.service.d/medicarche.conf",
)
_STATUS = "/etc/nginx/conf.d/medicarche-status.conf"


def packages(instance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages."""
    serving = ("prometheus-nginx-exporter",) if _has_nginx(instance) else ()
    return ("prometheus-node-exporter", *serving)


def files(instance: Mapping[str, Any]) -> list[File]:
    """Return the agents' configuration; nginx' own figures are at a socket that only its agent may open."""
    values = {"address": instance["private_address"], "node_port": NODE_PORT, "nginx_port": NGINX_PORT}
    found = {
        _NODE[0]: ("node.default.j2", "644"),
        _NODE[1]: ("agent.service.j2", "644"),
        _OWN_METRICS: ("own-metrics.sh", "755"),
        _OWN_UNIT: ("own-metrics.service.j2", "644"),
    }
    if _has_nginx(instance):
        found |= {
            _NGINX[0]: ("nginx.default.j2", "644"),
            _NGINX[1]: ("agent.service.j2", "644"),
            _STATUS: ("status.conf.j2", "644"),
        }
    return [
        File(path, render(_TEMPLATES, template, **values), mode=mode)
        for path, (template, mode) in found.items()
    ]


def units(instance: Mapping[str, Any]) -> list[Unit]:
    """Return the agents' services; to come after nginx."""
    found = [
        Unit("medicarche-own-metrics.service", (_OWN_METRICS, _OWN_UNIT)),
        Unit("prometheus-node-exporter.service", _NODE),
    ]
    if _has_nginx(instance):
        found.append(Unit("prometheus-nginx-exporter.service", _NGINX))
    return found


def _has_nginx(instance: Mapping[str, Any]) -> bool:
    """Tell whether nginx runs: in front of what people use."""
    return any(application["serves"] == "people" for application in instance["applications"])
