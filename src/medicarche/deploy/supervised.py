"""What a supervised instance has: agents, each on its private address only; and their end.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from medicarche.deploy.asking import ask
from medicarche.deploy.operations import File, Unit, note, shell
from medicarche.deploy.packages import purge_command
from medicarche.deploy.templating import render
from medicarche.spec.supervision import NGINX_PORT, NODE_PORT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from pyinfra.api.command import StringCommand

__all__ = ["Remains", "files", "packages", "units", "withdraw"]

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
#: what nginx loads again when it is younger than the last time
_SITES = "/etc/nginx/conf.d/medicarche.conf"
_PACKAGES = ("prometheus-node-exporter", "prometheus-nginx-exporter")


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


class Remains(FactBase[list[str]]):
    """Agents' files and packages that are in the instance, in one command."""

    default = list

    def command(self) -> str:
        """Ask for both."""
        paths = shlex.join((_OWN_METRICS, _OWN_UNIT, *_NODE, *_NGINX, _STATUS))
        return (
            f"ls -d -- {paths} 2>/dev/null;"
            f" dpkg-query -W -f '${{db:Status-Abbrev}}|${{Package}}\n' {shlex.join(_PACKAGES)} 2>/dev/null"
            " | sed -n 's/^.[^n].|//p'; true"
        )

    def process(self, output: Iterable[str]) -> list[str]:
        """Read the lines."""
        return [line.strip() for line in output if line.strip()]


@operation()
def withdraw() -> Generator[StringCommand, None, None]:
    """Take the agents away again where nobody supervises any more: nothing listens for them."""
    found = ask(Remains)
    if not found:
        return
    for name in found:
        note(f"{name}: must not be there")
    unit = _OWN_UNIT.rpartition("/")[2]
    there = shlex.join(name for name in found if name.startswith("/"))
    installed = [name for name in found if not name.startswith("/")]
    # touched first: nginx is due for a reload then, however soon after this the run may be killed
    yield shell(
        f"{{ [ ! -e {_SITES} ] || touch {_SITES}; }} && {{ systemctl disable -q --now {unit} || true; }}"
        f" && rm -f -- {there} /var/lib/prometheus/node-exporter/medicarche-*.prom && systemctl daemon-reload"
    )
    if installed:
        yield shell(purge_command(installed))
