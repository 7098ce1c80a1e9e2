"""What may listen in an instance, as far as the environment file says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.spec.environment import Listener
from medicarche.spec.supervision import listening

if TYPE_CHECKING:
    from medicarche.spec.environment import Environment

__all__ = ["listeners"]

_ALL = "0.0.0.0"  # noqa: S104 - what is declared to listen, not a socket that is opened here
_SSH = 22
_HTTP = 80


def listeners(environment: Environment, instance_name: str) -> tuple[Listener, ...]:
    """Return the sockets that an instance opens to others, sorted by port.

    SSH always; each application's port, which is the reverse proxy's where the application is for people;
    port 80, which only redirects, where there is one for people and one of the instance's groups opens it;
    the exporters where the environment is supervised. Sockets on loopback are declared by the applications'
    own modules.

    Raises:
        KeyError: there is no such instance.
    """
    instance = environment.instance(instance_name)
    groups = {group.name: group for group in environment.security_groups}
    opened = {
        rule.port: rule.why
        for name in instance.security_groups
        for rule in groups[name].ingress
        if rule.protocol == "tcp"
    }
    found = [
        Listener(
            address=_ALL,
            port=_SSH,
            protocol="tcp",
            process="sshd",
            user="root",
            public=_SSH in opened,
            why=opened.get(_SSH, "administration over SSH"),
        ),
    ]
    applications = [a for a in environment.applications_of(instance_name) if a.deployed]
    if any(a.traits.serves == "people" for a in applications) and _HTTP in opened:
        found.append(
            Listener(
                address=_ALL,
                port=_HTTP,
                protocol="tcp",
                process="nginx",
                user="root",
                public=True,
                why=opened[_HTTP],
            ),
        )
    found += [
        Listener(
            address=_ALL,
            port=a.port,
            protocol="tcp",
            process=a.traits.process,
            user="root",
            public=True,
            why=f"{a.name} over TLS",
        )
        for a in applications
    ]
    found += listening(environment, instance_name)
    return tuple(sorted(found, key=lambda listener: listener.port))
