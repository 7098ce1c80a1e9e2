"""What a supervised instance has: agents, each on its private address only; and their end.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pyinfra.api.operation import operation

from medicarche.deploy.asking import ask
from medicarche.deploy.database_accounts import DATABASES
from medicarche.deploy.figures import FIGURES, TEXT_FILES
from medicarche.deploy.leftovers import Leftovers
from medicarche.deploy.operations import File, Unit, note, shell
from medicarche.deploy.packages import purge_command
from medicarche.deploy.templating import render
from medicarche.spec.supervision import EXPORTERS

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from pyinfra.api.command import StringCommand

    from medicarche.deploy.database_accounts import Procedure
    from medicarche.deploy.figures import Figures
    from medicarche.spec.supervision import Exporter

__all__ = ["Remains", "databases", "files", "packages", "procedures", "units", "withdraw"]

_TEMPLATES = Path(__file__).parent / "templates" / "supervised"
_SYSTEMD = "/etc/systemd/system"
_OWN_METRICS = "/usr/local/lib/medicarche/own-metrics"
_OWN_UNIT = f"{_SYSTEMD}/medicarche-own-metrics.service"
#: exporter's job → what it needs besides: path → its template and mode. Where a service tells its agent what
#: it does, nobody but the instance itself asks
_BESIDES: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "instances": {_OWN_METRICS: ("own-metrics.sh", "755"), _OWN_UNIT: ("own-metrics.service.j2", "644")},
    "nginx": {"/etc/nginx/conf.d/medicarche-status.conf": ("nginx-status.conf.j2", "644")},
    "apache": {"/etc/apache2/conf-enabled/medicarche-status.conf": ("apache-status.conf.j2", "644")},
    "mariadb": {"/etc/prometheus/medicarche-mariadb.cnf": ("mariadb.cnf", "644")},
}
#: what nginx and Apache load again when it is younger than the last time
_LOADED = ("/etc/nginx/conf.d/medicarche.conf", "/etc/apache2/ports.conf")


def packages(instance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return Debian's packages."""
    return tuple(exporter.program for exporter in _agents(instance))


def files(instance: Mapping[str, Any]) -> list[File]:
    """Return the agents' configuration."""
    found = []
    for exporter in _agents(instance):
        values = {
            "address": instance["private_address"],
            "port": exporter.port,
            "inside": exporter.inside and exporter.inside.port,
            "arguments": _arguments(exporter),
        }
        found += [
            File(path, render(_TEMPLATES, template, **values), mode=mode)
            for path, (template, mode) in _written(exporter).items()
        ]
    return found + [file for figures in _figures(instance) for file in figures.files()]


def units(instance: Mapping[str, Any]) -> list[Unit]:
    """Return the agents' services; to come after what they ask."""
    if not instance["exporters"]:
        return []
    agents = [
        Unit(f"{exporter.program}.service", tuple(_written(exporter))) for exporter in _agents(instance)
    ]
    told = [Unit(figures.timer, (figures.timer_file,)) for figures in _figures(instance)]
    return [Unit(_OWN_UNIT.rpartition("/")[2], (_OWN_METRICS, _OWN_UNIT)), *agents, *told]


def databases(instance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the databases whose figures are shown."""
    return tuple(exporter.job for exporter in _agents(instance) if exporter.job in DATABASES)


def procedures(instance: Mapping[str, Any]) -> tuple[Procedure, ...]:
    """Return the procedures of its database that count for the supervision."""
    return tuple(figures.procedure for figures in _figures(instance))


def _figures(instance: Mapping[str, Any]) -> list[Figures]:
    """Return what tells figures of the instance's applications; nothing where nobody supervises."""
    kinds = {application["kind"] for application in instance["applications"]} if instance["exporters"] else ()
    return [figures for kind, figures in FIGURES.items() if kind in kinds]


def _agents(instance: Mapping[str, Any]) -> list[Exporter]:
    return [exporter for exporter in EXPORTERS if exporter.job in instance["exporters"]]


def _arguments(exporter: Exporter) -> str:
    """Return the file of an agent's arguments; its package gives the usual one other rights when it comes."""
    return f"/etc/prometheus/medicarche-{exporter.job}.arguments"


def _written(exporter: Exporter) -> dict[str, tuple[str, str]]:
    """Return an exporter's files: path → template and mode."""
    return {
        _arguments(exporter): (f"{exporter.job}.arguments.j2", "644"),
        f"{_SYSTEMD}/{exporter.program}.service.d/medicarche.conf": ("agent.service.j2", "644"),
        **_BESIDES.get(exporter.job, {}),
    }


class Remains(Leftovers):
    """Agents' files and packages that are in the instance."""

    paths = (
        *(path for exporter in EXPORTERS for path in _written(exporter)),
        *(path for figures in FIGURES.values() for path in figures.paths),
    )
    programs = tuple(exporter.program for exporter in EXPORTERS)


@operation()
def withdraw() -> Generator[StringCommand, None, None]:
    """Take the agents away again where nobody supervises any more: nothing listens for them."""
    found = ask(Remains)
    if not found:
        return
    for name in found:
        note(f"{name}: must not be there")
    # a timer before what it starts
    theirs = [unit for figures in FIGURES.values() for unit in (figures.timer, figures.service)]
    stopped = shlex.join([_OWN_UNIT.rpartition("/")[2], *theirs])
    there = shlex.join(name for name in found if name.startswith("/"))
    installed = [name for name in found if not name.startswith("/")]
    # touched first: they are due for loading it then, however soon after this the run may be killed
    loaded = shlex.join(_LOADED)
    yield shell(
        f"{{ touch --no-create -- {loaded}; }}"
        # one by one: one that isn't there mustn't keep the others
        f" && for unit in {stopped}; do systemctl disable -q --now $unit || true; done"
        f" && rm -f -- {there} {TEXT_FILES}/medicarche-*.prom* && systemctl daemon-reload"
    )
    if installed:
        yield shell(purge_command(installed))
