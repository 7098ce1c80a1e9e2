"""Supervision, as far as the environment file says it: who collects, and what each instance shows.

An application of the kind `SUPERVISION` supervises the whole environment: every instance that is declared,
with no word about it at the instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from medicarche.spec.environment import Listener

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.spec.environment import Application, Environment

__all__ = [
    "EXPORTERS",
    "EXPORTER_PORTS",
    "GRAFANA",
    "NGINX",
    "NODE",
    "SERVICES",
    "SUPERVISION",
    "Exporter",
    "Inside",
    "exporters",
    "listening",
    "service_exporters",
    "supervisor",
]

#: the kind of application that supervises all the others
SUPERVISION = "supervision"
#: the kind that shows the supervision's figures; it asks for them on loopback
GRAFANA = "grafana"


@dataclass(frozen=True, slots=True)
class Inside:
    """A socket on loopback, at which a service tells its exporter what it does: ``process`` listens."""

    port: int
    process: str


@dataclass(frozen=True, slots=True)
class Exporter:
    """A program that shows figures to Prometheus, in the instance where they arise.

    Attributes:
        job: what Prometheus calls its targets.
        port: on the instance's private address, as Prometheus' own list of exporters numbers them.
        program: Debian's package, the systemd unit and the process.
        shows: what the figures are of.
        inside: where it asks over TCP; a database is asked at its unix socket.
    """

    job: str
    port: int
    program: str
    shows: str
    inside: Inside | None = None


NODE: Final = Exporter("instances", 9100, "prometheus-node-exporter", "the instance's metrics")
NGINX: Final = Exporter(
    "nginx", 9113, "prometheus-nginx-exporter", "nginx' metrics", inside=Inside(9145, "nginx")
)
#: service of an application's own (`medicarche.spec.environment.Traits.services`) → its exporter
SERVICES: Final[Mapping[str, Exporter]] = {
    "apache": Exporter(
        "apache", 9117, "prometheus-apache-exporter", "Apache's metrics", inside=Inside(9146, "apache2")
    ),
    "mariadb": Exporter("mariadb", 9104, "prometheus-mysqld-exporter", "MariaDB's metrics"),
    "postgresql": Exporter("postgresql", 9187, "prometheus-postgres-exporter", "PostgreSQL's metrics"),
}
EXPORTERS: Final = (NODE, NGINX, *SERVICES.values())
#: ports that are taken in every supervised instance, and by what
EXPORTER_PORTS: Final[Mapping[int, str]] = {e.port: e.shows for e in EXPORTERS} | {
    e.inside.port: f"{e.shows}, inside" for e in EXPORTERS if e.inside is not None
}


def supervisor(environment: Environment) -> Application | None:
    """Return the application that supervises the environment, deployed or not; None where there is none."""
    return next((a for a in environment.applications if a.kind == SUPERVISION), None)


def service_exporters(application: Application) -> tuple[Exporter, ...]:
    """Return the exporters that an application brings to its instance, besides the instance's own.

    nginx stands in front of what people use, and of nothing else.
    """
    front = (NGINX,) if application.traits.serves == "people" else ()
    return (*front, *(SERVICES[name] for name in application.traits.services))


def exporters(environment: Environment, instance_name: str) -> tuple[Exporter, ...]:
    """Return what shows an instance's figures; nothing where nobody supervises."""
    watcher = supervisor(environment)
    if watcher is None or not watcher.deployed:
        return ()
    deployed = [a for a in environment.applications_of(instance_name) if a.deployed]
    # two applications may share a service
    return tuple(dict.fromkeys((NODE, *(e for a in deployed for e in service_exporters(a)))))


def listening(environment: Environment, instance_name: str) -> tuple[Listener, ...]:
    """Return the sockets at which an instance shows its metrics, to the supervision only.

    They are on its private address; what a service tells its exporter, on loopback.
    """
    found = []
    for exporter in exporters(environment, instance_name):
        why = f"{exporter.shows}, for the supervision"
        shown = Listener(
            Listener.PRIVATE, exporter.port, "tcp", exporter.program, "prometheus", public=True, why=why
        )
        found.append(shown)
        if inside := exporter.inside:
            found.append(
                Listener(
                    "127.0.0.1",
                    inside.port,
                    "tcp",
                    inside.process,
                    "root",
                    public=False,
                    why=EXPORTER_PORTS[inside.port],
                )
            )
    return tuple(found)
