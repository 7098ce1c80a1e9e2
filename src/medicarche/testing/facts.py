"""What was under test: the cloud, its release and versions, the instances. Asked once a run; never raises."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from medicarche import converge
from medicarche.report.model import Cloud, InstanceFact, Part
from medicarche.report.topology import draw
from medicarche.spec import listeners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from medicarche.testing.built import Built

__all__ = ["cloud_of", "own_version"]

#: Nova's newest microversion → OpenStack's release
#: (https://docs.openstack.org/nova/latest/reference/api-microversion-history.html)
_RELEASES: Final = {
    "2.60": "Queens",
    "2.65": "Rocky",
    "2.72": "Stein",
    "2.79": "Train",
    "2.87": "Ussuri",
    "2.88": "Wallaby",
    "2.90": "Xena / Yoga",
    "2.93": "Zed",
    "2.95": "2023.1 / 2023.2",
    "2.96": "2024.1 / 2024.2",
    "2.100": "2025.1",
    "2.103": "2025.2",
}
#: the embedded cloud's packages that decide about what it does
_PACKAGES: Final = {
    "keystone": "Keystone",
    "nova-common": "Nova",
    "neutron-common": "Neutron",
    "glance-common": "Glance",
    "placement-common": "Placement",
    "openstack-dashboard": "Horizon",
    "libvirt-daemon": "libvirt",
    "mariadb-server": "MariaDB",
    "rabbitmq-server": "RabbitMQ",
}


#: Nova's form of version 0.1.0
_SMALLEST = 1_000


def cloud_of(built: Built) -> Cloud:
    """Say what was under test. What can't be had (no admin's rights, say) isn't in it."""
    environment = built.selection.environment
    states = built.instances
    with suppress(Exception):  # as they are now: tests give and take addresses
        states = converge.instances(built.connections, environment.name)
    addresses = {state.name: (state.private_address, state.floating_address) for state in states}
    instances = []
    for state in states:
        declared = environment.instance(state.name)
        instances.append(
            InstanceFact(
                name=state.name,
                id=state.id,
                flavor=declared.flavor,
                image=declared.image,
                private_address=state.private_address,
                floating_address=state.floating_address,
                applications=tuple(a.title for a in environment.applications_of(state.name) if a.deployed),
                ports=tuple(w.port for w in listeners(environment, state.name) if w.public),
            )
        )
    newest = _asked(lambda: _newest(built))
    parts = [
        *_asked_all(lambda: _packages(built)),
        *_asked_all(lambda: _apis(built, newest)),
        *_asked_all(lambda: _hypervisors(built)),
        *_machine(),
    ]
    return Cloud(
        name=built.selection.target.name,
        kind="embedded" if built.selection.embedded is not None else "configured",
        release=_RELEASES.get(newest, ""),
        parts=tuple(parts),
        instances=tuple(instances),
        built=tuple(Part(name, f"{seconds:.0f} s") for name, seconds in built.work.seconds.items()),
        topology=draw(environment, addresses),
    )


def own_version(root: Path) -> str:
    """Return Medicarche's version, with the commit and whether the checkout was changed since."""
    found = version("medicarche")
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return f"{found}, {done.stdout.strip()}"
    return found


def _asked(ask: Callable[[], str]) -> str:
    with suppress(Exception):  # a report of a cloud that is broken is the one that is needed most
        return ask()
    return ""


def _asked_all(ask: Callable[[], Iterable[Part]]) -> list[Part]:
    with suppress(Exception):  # as above
        return list(ask())
    return []


def _newest(built: Built) -> str:
    compute = built.connections.member.sdk.compute
    data = compute.get_endpoint_data()
    return ".".join(str(part) for part in data.max_microversion or ()) if data is not None else ""


def _apis(built: Built, newest: str) -> Iterable[Part]:
    if newest:
        yield Part("API Nova", newest)
    network = built.connections.member.sdk.network
    names = {extension.alias for extension in network.extensions()}
    yield Part("API Neutron", f"v2.0, {len(names)} extensions")


def _packages(built: Built) -> Iterable[Part]:
    embedded = built.selection.embedded
    if embedded is None:
        return
    command = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *_PACKAGES]
    # a package that isn't there makes its exit code 1, and the others are told
    done = subprocess.run(embedded.command(command), capture_output=True, text=True, timeout=20, check=False)
    for line in done.stdout.splitlines():
        name, _, found = line.partition(" ")
        if found:
            yield Part(_PACKAGES[name], found)


def _hypervisors(built: Built) -> Iterable[Part]:
    if built.connections.admin is None:
        return
    answer = built.connections.admin.sdk.compute.get("/os-hypervisors/detail", microversion="2.53")
    seen = {(h["hypervisor_type"], str(h["hypervisor_version"])) for h in answer.json()["hypervisors"]}
    for kind, number in sorted(seen):
        yield Part("Hypervisor", f"{kind} {_readable(number)}")
    yield Part("Compute hosts", str(len(answer.json()["hypervisors"])))


def _readable(number: str) -> str:
    """Nova's number of a libvirt version: 9000000 is 9.0.0."""
    if not number.isdigit() or int(number) < _SMALLEST:
        return number
    value = int(number)
    return f"{value // 1_000_000}.{value // 1_000 % 1_000}.{value % 1_000}"


def _machine() -> Iterable[Part]:
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Part(
        "Test machine", f"{system}, Linux {platform.release()}, {os.cpu_count()} CPU, {memory:.0f} GiB"
    )
