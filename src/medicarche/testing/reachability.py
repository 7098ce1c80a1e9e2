"""The reachability matrix of a built environment: from where what is probed, and the probing itself."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from medicarche.errors import CommandError
from medicarche.plan import derive
from medicarche.plan.cloud_groups import keystone_asks
from medicarche.plan.matrix import Cell, Matrix
from medicarche.plan.reach import (
    PORTS,
    Placed,
    Policy,
    VantagePoint,
    administrators_address,
    expectation,
    outside_address,
    targets,
)
from medicarche.planning import site_of
from medicarche.probe.vantage import BOOT, Station, Sweep, sweep
from medicarche.process import run
from medicarche.testing.machines import ssh_to
from medicarche.testing.shared import once

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from medicarche.converge import InstanceState
    from medicarche.plan.reach import Span, Target
    from medicarche.spec import Site
    from medicarche.testing.built import Built

__all__ = ["ALL_PORTS", "NOT_OURS", "UDP_PORTS", "Layout", "gather", "gather_once", "lay_out"]

#: DNS, DHCP, TFTP, portmapper, NTP, NetBIOS, SNMP, LDAP, IKE, syslog, OpenVPN, SSDP, NFS, IPsec, SIP, mDNS,
#: memcached, Syncthing's discovery and QUIC, WireGuard: what answers strangers, or amplifies
UDP_PORTS: Final = (
    53, 67, 68, 69, 111, 123, 137, 161, 389, 500, 514, 1194, 1900, 2049, 4500, 5060, 5353, 11211, 21027,
    22000, 51820,
)  # fmt: skip
#: of the routes by which the two addresses outside reach the private network, as a neighbour would try to
ALL_PORTS: Final = ((PORTS.start, PORTS.stop - 1),)
_TABLE: Final = "42222"
NOT_OURS: Final = "on a configured cloud no machine of ours is there"


@dataclass(frozen=True, slots=True)
class Layout:
    """What is probed: the vantage points that there are, and why others can't be had."""

    policy: Policy
    pairs: tuple[tuple[VantagePoint, Target, tuple[Span, ...], str], ...]
    instances: tuple[InstanceState, ...]
    router: str | None
    private: tuple[str, ...]
    gateway: str | None


def lay_out(built: Built, instances: Sequence[InstanceState]) -> Layout:
    """Say what is probed from where, and what must be found."""
    environment = built.selection.environment
    site = site_of(built.selection)
    embedded = built.selection.embedded is not None
    network = built.connections.member.sdk.network
    subnets = {subnet.id: subnet.name for subnet in network.subnets()}
    name_servers = {
        ip["ip_address"]: subnets[ip["subnet_id"]]
        for port in network.ports(device_owner="network:dhcp")
        for ip in port.fixed_ips
        if ip["subnet_id"] in subnets
    }
    placed = [Placed(i.name, i.private_address, i.floating_address) for i in instances]
    policy = Policy(environment, derive(environment, site), {p.name: p.private for p in placed})
    elsewhere = outside_address(environment)
    known = targets(
        environment,
        placed,
        name_servers=name_servers,
        package_proxy=site.package_proxy,
        elsewhere=elsewhere if embedded else None,
        api=site.api,
    )
    router = next(iter(environment.routers), None)
    gateways = {s.name: s.gateway for n in environment.networks for s in n.subnets}
    made = {r.name: r for r in network.routers()}
    found = made.get(router.name) if router is not None else None
    outer = ((found.external_gateway_info or {}).get("external_fixed_ips") or [{}]) if found else [{}]
    behind = str(outer[0].get("ip_address", ""))
    inside = next((gateways[name] for name in router.subnets), None) if router is not None else None
    points = [
        *([VantagePoint("outside", "outside", elsewhere)] if elsewhere else []),
        *(
            VantagePoint(
                f"administrators {address}" if number else "administrators", "administrators", address
            )
            for number, address in enumerate(administrators_address(environment))
        ),
        *([VantagePoint("router", "router", inside, behind)] if inside else []),
        # the embedded cloud's node: it is where we are, and has its address already
        *_keystones(site if keystone_asks(environment, site) else None),
    ]
    missing = "" if embedded else NOT_OURS
    pairs = [(point, target, missing) for point in points for target in known if _concerns(point, target)]
    for place in placed:
        point = VantagePoint(place.name, "instance", place.private, place.floating or behind)
        pairs += [(point, t, "") for t in known if not (t.kind == "private" and t.name == place.name)]
    return Layout(
        policy=policy,
        pairs=tuple((p, t, expectation(policy, p, t, UDP_PORTS), why) for p, t, why in pairs),
        instances=tuple(instances),
        router=found.id if found is not None else None,
        private=tuple(s.cidr for n in environment.networks if not n.external for s in n.subnets),
        gateway=behind or None,
    )


def _keystones(site: Site | None) -> Iterator[VantagePoint]:
    prefixes = site.keystone.prefixes if site is not None and site.keystone is not None else ()
    for number, prefix in enumerate(prefixes):
        name = f"keystone {prefix}" if number else "keystone"
        yield VantagePoint(name, "keystone", prefix.partition("/")[0])


def _concerns(point: VantagePoint, target: Target) -> bool:
    if point.kind == "keystone":
        return target.kind == "floating"
    if target.kind == "router":
        return point.kind != "router"
    return target.kind in {"private", "floating"} or (target.kind == "dns" and point.kind == "router")


def gather(built: Built, layout: Layout, ports: Sequence[tuple[int, int]]) -> Matrix:
    """Probe, from all vantage points at once.

    Args:
        built: the environment.
        layout: what is probed from where.
        ports: ranges of TCP ports.
    """
    return _matrix(layout, _sweep(built, layout, ports), ports)


def gather_once(built: Built, layout: Layout, ports: Sequence[tuple[int, int]], folder: Path) -> Matrix:
    """Probe once for all processes that share a folder; the others take the result over."""
    content = once(folder, "matrix", lambda: asdict(_sweep(built, layout, ports)))
    received = {name: tuple((r[0], r[1], r[2]) for r in rows) for name, rows in content["received"].items()}
    return _matrix(layout, Sweep(**{**content, "received": received}), ports)


def _sweep(built: Built, layout: Layout, ports: Sequence[tuple[int, int]]) -> Sweep:
    scans: dict[VantagePoint, list[dict[str, Any]]] = {}
    for point, target, _, why in layout.pairs:
        if not why:
            scan = {
                "source": point.address if point.kind != "instance" else None,
                "target": target.address,
                "tcp": [list(r) for r in ports],
                "udp": UDP_PORTS,
            }
            scans.setdefault(point, []).append(scan)
    stations = [
        Station(p.name, _command(built, layout, p), tuple(todo), watch=p.kind == "instance")
        for p, todo in scans.items()
    ]
    own = [p.address for p in scans if p.kind in {"outside", "administrators"}]
    # on another network packets may get lost: there silence is asked a second time
    embedded = built.selection.embedded is not None
    with _addresses(own, layout):
        return sweep(stations, passes=1 if embedded else 2, settle=0.5 if embedded else 2.0)


def _command(built: Built, layout: Layout, point: VantagePoint) -> tuple[str, ...]:
    if point.kind == "instance":
        instance = next(i for i in layout.instances if i.name == point.name)
        way = ssh_to(built.selection, instance.name)
        return tuple(way.command(instance, ["sudo", "--non-interactive", "python3", "-c", BOOT]))
    if point.kind == "router" and built.selection.embedded is not None:
        inside = ["ip", "netns", "exec", f"qrouter-{layout.router}", "python3", "-c", BOOT]
        return tuple(built.selection.embedded.command(inside))
    return (sys.executable, "-c", BOOT)


@contextmanager
def _addresses(addresses: Sequence[str], layout: Layout) -> Iterator[None]:
    """Give the cloud's name space, which we are in, the addresses to probe from; nothing of them stays.

    They know the way to the private network through the router, as a neighbour on the external network who
    means harm would; without that the private addresses were out of reach for want of a route only.
    """
    if not addresses:
        yield
        return
    try:
        for address in addresses:
            _forget(address)
            run(["ip", "address", "replace", f"{address}/32", "dev", "lo"])
            run(["ip", "rule", "add", "from", address, "lookup", _TABLE, "priority", "1000"])
        if layout.gateway is not None:
            for prefix in layout.private:
                run(["ip", "route", "replace", prefix, "via", layout.gateway, "table", _TABLE])
        yield
    finally:
        for address in addresses:
            _forget(address)
        _quietly("ip", "route", "flush", "table", _TABLE)


def _forget(address: str) -> None:
    _quietly("ip", "rule", "del", "from", address, "lookup", _TABLE)
    _quietly("ip", "address", "del", f"{address}/32", "dev", "lo")


def _quietly(*command: str) -> None:
    with suppress(CommandError):  # it isn't there
        run(command)


def _matrix(layout: Layout, found: Sweep, ports: Sequence[tuple[int, int]]) -> Matrix:
    positions: dict[str, int] = {}
    cells, lost = [], 0
    for point, target, expected, missing in layout.pairs:
        spans = tuple(part for span in expected for part in _probed(span, ports))
        why = missing or found.failed.get(point.name, "")
        if why:
            cells.append(Cell(point, target, spans, not_tried=why))
            continue
        position = positions.get(point.name, 0)
        positions[point.name] = position + 1
        answer = found.answers[point.name][position]
        lost += answer["lost"] if position == 0 else 0
        cells.append(
            Cell(point, target, spans, answer["states"], answer["sent"], not_tried=answer["error"] or "")
        )
    return Matrix(tuple(cells), found.received, found.seconds, lost)


def _probed(span: Span, ports: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Cut a span down to what was probed."""
    if span.protocol == "udp":
        yield span
        return
    for first, last in ports:
        low, high = max(first, span.first), min(last, span.last)
        if low <= high:
            yield span._replace(first=low, last=high)
