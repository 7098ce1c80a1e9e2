"""The node's OpenStack services: how each is started, where it listens, where it logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medicarche.embedded.authorities import BUNDLE
from medicarche.embedded.dashboard_domains import DOMAINS

__all__ = ["SERVICES", "Service", "service_named"]

_NOVA: Final = "--config-file=/etc/nova/nova.conf"
_NEUTRON: Final = "--config-file=/etc/neutron/neutron.conf"
_ML2: Final = "--config-file=/etc/neutron/plugins/ml2/ml2_conf.ini"


@dataclass(frozen=True, slots=True)
class Service:
    """One systemd unit of the node.

    Attributes:
        name: the unit's, without its suffix.
        project: the OpenStack project: the folder of its log, its configuration, and its user.
        arguments: of the program ``/usr/bin/<name>``; unused for uwsgi applications.
        port: where it listens on 127.0.0.1; None where it doesn't.
        wsgi_file: what uwsgi serves, or None for a program of its own.
        processes: how many processes uwsgi runs.
        threads: how many threads in each.
        copies: its processes are copies of one that has loaded the application: another one costs less than
            half of the memory, and none of the time. For what has no connection before its first request.
        extra: further lines of uwsgi's configuration.
        after_identity: it needs the cloud's users and catalog as soon as it starts.
        waits_for_rpc: it calls Neutron's RPC server as soon as it starts.
        nice: of its processes: what nobody waits for starts behind the others.
    """

    name: str
    project: str
    arguments: tuple[str, ...] = ()
    port: int | None = None
    wsgi_file: str | None = None
    processes: int = 1
    threads: int = 8
    copies: bool = False
    extra: tuple[str, ...] = ()
    after_identity: bool = False
    waits_for_rpc: bool = False
    nice: int = 0

    @property
    def kind(self) -> str:
        """How systemd learns that it has started: systemd.service(5), ``Type``."""
        return "notify" if self.name in {"nova-conductor", "nova-scheduler", "nova-compute"} else "exec"

    @property
    def log(self) -> str:
        """Its log file in the node."""
        return f"/var/log/{self.project}/{self.name}.log"

    @property
    def folder(self) -> str:
        """Its working directory."""
        return f"/var/lib/{self.project}"

    @property
    def command(self) -> str:
        """The command line of its unit."""
        if self.wsgi_file:
            return f"/usr/bin/uwsgi_python3 --ini /etc/medicarche/uwsgi/{self.name}.ini"
        return " ".join((f"/usr/bin/{self.name}", *self.arguments, f"--log-file={self.log}"))


def _agent(name: str, *configs: str) -> Service:
    arguments = (_NEUTRON, *(f"--config-file=/etc/neutron/{c}" for c in configs))
    return Service(name, "neutron", arguments, waits_for_rpc=True)


SERVICES: Final = (
    # whatever loads eventlet deadlocks now and then with more than one thread in a process, saying that a
    # greenlet can't switch to a different thread: Keystone as it starts, Nova's and Neutron's APIs later.
    # Most likely it is oslo.log's lock for greenlets, which Keystone has no more (its `wsgi_file`).
    # Keystone keeps what it has read: a catalog that was half made would stay half for ten minutes
    Service(
        "keystone",
        "keystone",
        port=5000,
        wsgi_file="/usr/local/lib/medicarche/keystone-wsgi-public",
        # who asks for a token of a directory's that hangs holds one until the limits of time are over
        # (`medicarche.plan.cloud_groups`); the cloud's own accounts and the services need another
        processes=6,
        threads=1,
        copies=True,
        extra=(
            # once they have spoken TLS, its processes keep the authorities that they had then
            f"touch-reload = {BUNDLE}",
            # seconds; twice that in practice. For what hangs in spite of all limits: it is replaced
            "harakiri = 60",
        ),
        after_identity=True,
    ),
    Service("glance-api", "glance", ("--config-file=/etc/glance/glance-api.conf",), port=9292),
    Service("placement-api", "placement", port=8778, wsgi_file="/usr/bin/placement-api"),
    Service("nova-api", "nova", port=8774, wsgi_file="/usr/bin/nova-api-wsgi", processes=2, threads=1),
    Service(
        "nova-api-metadata",
        "nova",
        port=8775,
        wsgi_file="/usr/bin/nova-metadata-wsgi",
        processes=2,
        threads=1,
    ),
    Service("nova-conductor", "nova", (_NOVA,)),
    Service("nova-scheduler", "nova", (_NOVA,)),
    Service("nova-compute", "nova", (_NOVA,), after_identity=True),
    Service(
        "neutron-api",
        "neutron",
        port=9696,
        wsgi_file="/usr/bin/neutron-api",
        processes=3,
        threads=1,
        extra=(f"pyargv = {_NEUTRON} {_ML2}",),
    ),
    Service("neutron-rpc-server", "neutron", (_NEUTRON, _ML2)),
    _agent("neutron-linuxbridge-agent", "plugins/ml2/ml2_conf.ini", "plugins/ml2/linuxbridge_agent.ini"),
    _agent("neutron-l3-agent", "l3_agent.ini"),
    _agent("neutron-dhcp-agent", "dhcp_agent.ini"),
    _agent("neutron-metadata-agent", "metadata_agent.ini"),
    Service(
        "horizon",
        "horizon",
        port=80,
        wsgi_file="/usr/share/openstack-dashboard/wsgi.py",
        extra=(
            "static-map = /static=/var/lib/openstack-dashboard/static",
            # its settings say which domains the log-in page offers, and are read once
            f"touch-reload = {DOMAINS}",
        ),
        nice=5,
    ),
)


def service_named(name: str) -> Service:
    """Return the service of that name.

    Raises:
        KeyError: there is none.
    """
    for service in SERVICES:
        if service.name == name:
            return service
    raise KeyError(name)
