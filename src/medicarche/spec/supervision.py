"""Supervision, as far as the environment file says it: who collects, and what each instance shows.

An application of the kind `SUPERVISION` supervises the whole environment: every instance that is declared,
with no word about it at the instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.spec.environment import Listener

if TYPE_CHECKING:
    from medicarche.spec.environment import Application, Environment

__all__ = [
    "EXPORTER_PORTS",
    "NGINX_PORT",
    "NODE_PORT",
    "STATUS_PORT",
    "SUPERVISION",
    "exporters",
    "supervisor",
]

#: the kind of application that supervises all the others
SUPERVISION = "supervision"
#: the numbers that Prometheus' own list of exporters gives them
NODE_PORT = 9100
NGINX_PORT = 9113
#: where nginx tells its agent, in the same instance, what it does
STATUS_PORT = 9145
#: ports that are taken in every supervised instance, and by what
EXPORTER_PORTS = {
    NODE_PORT: "the instance's metrics",
    NGINX_PORT: "nginx' metrics",
    STATUS_PORT: "nginx' metrics, inside",
}


def supervisor(environment: Environment) -> Application | None:
    """Return the application that supervises the environment, deployed or not; None where there is none."""
    return next((a for a in environment.applications if a.kind == SUPERVISION), None)


def exporters(environment: Environment, instance_name: str) -> tuple[Listener, ...]:
    """Return the sockets at which an instance shows its metrics, to the supervision only.

    They are on its private address. nginx shows its own where it runs: in front of an application; its agent
    asks it on loopback.
    """
    watcher = supervisor(environment)
    if watcher is None or not watcher.deployed:
        return ()
    found = [_shown(NODE_PORT, "prometheus-node-exporter")]
    if any(a in environment.for_people for a in environment.applications_of(instance_name)):
        found.append(_shown(NGINX_PORT, "prometheus-nginx-exporter"))
        found.append(
            Listener("127.0.0.1", STATUS_PORT, "tcp", "nginx", public=False, why=EXPORTER_PORTS[STATUS_PORT])
        )
    return tuple(found)


def _shown(port: int, process: str) -> Listener:
    why = f"{EXPORTER_PORTS[port]}, for the supervision"
    return Listener(Listener.PRIVATE, port, "tcp", process, public=True, why=why)
