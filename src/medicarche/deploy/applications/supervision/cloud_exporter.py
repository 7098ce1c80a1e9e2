"""The cloud's own figures for Prometheus: what a reader of the project may see, in a bounded number of calls.

Written by Medicarche; changes are put back. It runs in the supervision's instance by the system's Python,
with openstacksdk and prometheus_client, and imports nothing of Medicarche's::

    cloud-exporter.py CLOUD ADDRESS:PORT        CLOUD: an entry of clouds.yaml (OS_CLIENT_CONFIG_FILE)

Each scrape asks each part once, in one call of the largest page; a part that is refused or doesn't answer is
told by ``openstack_part_up`` and leaves the others alone. Nobody waits longer than `PATIENCE` for one part.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import openstack
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from openstack.connection import Connection

#: seconds that one answer may take
PATIENCE = 8.0
#: objects in one page: what the services give at most in one answer, as a rule
PAGE = 1000
#: seconds for which figures are fresh: two who ask at the same time cost the cloud one round
FRESH = 10.0
_OK = 200

#: limit, used: Nova's names (API reference, "Show Rate And Absolute Limits")
_COMPUTE_LIMITS = {
    "instances": ("maxTotalInstances", "totalInstancesUsed"),
    "cores": ("maxTotalCores", "totalCoresUsed"),
    "ram_mib": ("maxTotalRAMSize", "totalRAMUsed"),
}


class Refused(Exception):
    """A part of the cloud doesn't give its figures. ``status``: the answer's, 0 where there was none."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Cloud:
    """The cloud as a reader of the project sees it; counts its calls."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.calls = 0

    @property
    def project(self) -> str:
        """The project's id."""
        return str(self._connection.current_project_id)

    def get(self, service: str, path: str) -> Any:  # noqa: ANN401 - the services' own JSON
        """Return an answer's content.

        Raises:
            Refused: it isn't given.
        """
        self.calls += 1
        proxy = getattr(self._connection, service)
        try:
            # one attempt: the next scrape is the next one
            answer = proxy.get(
                path, timeout=PATIENCE, raise_exc=False, connect_retries=0, status_code_retries=0
            )
        except Exception as error:  # whatever a cloud that is ill does, the other parts are asked
            raise Refused(0) from error
        if answer.status_code != _OK:
            raise Refused(answer.status_code)
        return answer.json()


class CloudCollector:
    """Gives the cloud's figures to prometheus_client, at each scrape."""

    def __init__(self, cloud: Cloud, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud = cloud
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: list[GaugeMetricFamily] = []
        self._until = float("-inf")

    def describe(self) -> list[GaugeMetricFamily]:
        """Say nothing beforehand: registering asks nobody."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask each part once."""
        with self._lock:
            if self._clock() >= self._until:
                self._kept = list(self._asked())
                self._until = self._clock() + FRESH
            yield from self._kept

    def _asked(self) -> Iterator[GaugeMetricFamily]:
        before = self._cloud.calls
        up = GaugeMetricFamily(
            "openstack_part_up", "A part of the cloud's API gives its figures.", labels=["part"]
        )
        seconds = GaugeMetricFamily(
            "openstack_part_seconds", "Seconds that its answer took.", labels=["part"], unit="seconds"
        )
        refused = GaugeMetricFamily(
            "openstack_part_refused", "It answers, and refuses a reader its figures.", labels=["part"]
        )
        for part, ask in PARTS.items():
            began = time.monotonic()
            status = _OK
            try:
                found = list(ask(self._cloud))
            except Refused as error:
                found, status = [], error.status
            except (KeyError, TypeError, ValueError):  # an answer of another form
                found, status = [], 0
            up.add_metric([part], float(status == _OK))
            refused.add_metric([part], float(status in {401, 403}))
            seconds.add_metric([part], time.monotonic() - began)
            yield from found
        calls = GaugeMetricFamily("openstack_scrape_calls", "Calls of the API that the last round took.")
        calls.add_metric([], self._cloud.calls - before)
        yield from (up, seconds, refused, calls)


def _gauge(
    name: str, what: str, labels: list[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=labels)
    for key, value in sorted(values, key=lambda entry: tuple(entry[0])):
        family.add_metric(list(key), value)
    return family


def _services(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    found = cloud.get("compute", "/os-services")["services"]
    up = {(s["binary"], s["host"]): float(s["state"] == "up") for s in found}
    yield _gauge("openstack_service_up", "A service of Nova's is alive.", ["service", "host"], up.items())


def _hypervisors(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    found = cloud.get("compute", "/os-hypervisors/detail")["hypervisors"]
    columns = (
        ("vcpus", "Virtual processors.", "vcpus", 1),
        ("vcpus_used", "Virtual processors that instances have.", "vcpus_used", 1),
        ("memory_bytes", "Memory.", "memory_mb", 2**20),
        ("memory_used_bytes", "Memory that instances have.", "memory_mb_used", 2**20),
        ("disk_bytes", "Disk.", "local_gb", 2**30),
        ("disk_used_bytes", "Disk that instances have.", "local_gb_used", 2**30),
        ("instances", "Instances.", "running_vms", 1),
    )
    for name, what, key, unit in columns:
        values = {(h["hypervisor_hostname"],): float(h[key] * unit) for h in found if h.get(key) is not None}
        yield _gauge(f"openstack_hypervisor_{name}", what, ["hypervisor"], values.items())
    alive = {(h["hypervisor_hostname"],): float(h["state"] == "up") for h in found}
    yield _gauge("openstack_hypervisor_up", "The hypervisor is alive.", ["hypervisor"], alive.items())


def _compute_limits(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    absolute = cloud.get("compute", "/limits")["limits"]["absolute"]
    yield from _quotas(
        "compute", {name: (absolute[most], absolute[used]) for name, (most, used) in _COMPUTE_LIMITS.items()}
    )


def _network_limits(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    found = cloud.get("network", f"/quotas/{cloud.project}/details.json")["quota"]
    yield from _quotas("network", {name: (entry["limit"], entry["used"]) for name, entry in found.items()})


def _quotas(service: str, found: Mapping[str, tuple[float, float]]) -> Iterator[GaugeMetricFamily]:
    """Yield limits and what is used of them; one that is -1 is no limit."""
    limits = {(service, name): float(most) for name, (most, _) in found.items() if most >= 0}
    used = {(service, name): float(now) for name, (_, now) in found.items()}
    labels = ["service", "resource"]
    # two services' figures are two families of one name: the text format wants one, so each has its own
    yield _gauge(f"openstack_{service}_quota_limit", "The project's limit.", labels, limits.items())
    yield _gauge(f"openstack_{service}_quota_used", "What the project uses of it.", labels, used.items())


def _instances(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    found = cloud.get("compute", f"/servers/detail?limit={PAGE}")["servers"]
    states = Counter((s["status"],) for s in found)
    yield _gauge("openstack_instances", "Instances of the project by state.", ["status"], states.items())


def _agents(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    found = cloud.get("network", "/agents")["agents"]
    up = {(a["agent_type"], a["host"]): float(bool(a["alive"])) for a in found}
    yield _gauge("openstack_agent_up", "An agent of Neutron's is alive.", ["agent", "host"], up.items())


def _networks(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    found = cloud.get("network", f"/networks?fields=id&fields=status&limit={PAGE}")["networks"]
    states = Counter((n["status"],) for n in found)
    yield _gauge("openstack_networks", "Networks that the project sees by state.", ["status"], states.items())


def _images(cloud: Cloud) -> Iterator[GaugeMetricFamily]:
    found = cloud.get("image", f"/images?limit={PAGE}")["images"]
    states = Counter((i["status"],) for i in found)
    yield _gauge("openstack_images", "Images that the project sees, by state.", ["status"], states.items())


#: part → what asks for it: one call each
PARTS: dict[str, Callable[[Cloud], Iterator[GaugeMetricFamily]]] = {
    "nova-services": _services,
    "nova-hypervisors": _hypervisors,
    "nova-limits": _compute_limits,
    "nova-instances": _instances,
    "neutron-agents": _agents,
    "neutron-limits": _network_limits,
    "neutron-networks": _networks,
    "glance-images": _images,
}


def main(arguments: list[str]) -> None:
    """Serve until the end."""
    cloud, listen = arguments
    address, _, port = listen.rpartition(":")
    registry = CollectorRegistry()
    registry.register(CloudCollector(Cloud(openstack.connect(cloud=cloud))))
    start_http_server(int(port), addr=address, registry=registry)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
