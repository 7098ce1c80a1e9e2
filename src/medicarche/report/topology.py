"""The environment as a picture: networks, routers, instances, what each serves, ports and groups. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from medicarche.spec import listeners

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medicarche.spec.environment import Environment, Instance

__all__ = ["draw"]

#: sizes in the picture's own units, about a screen's pixels
_BOX, _GAP, _MARGIN, _LINE = 232, 20, 20, 17
_BAND, _ROUTER = 58, 50
_AT_LEAST = 2


@dataclass(frozen=True, slots=True)
class _Box:
    """A box with lines of text; ``x`` and ``y`` of its upper left corner."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    dim: bool = False

    @property
    def middle(self) -> int:
        return self.x + self.width // 2


def draw(environment: Environment, addresses: Mapping[str, tuple[str, str | None]]) -> str:
    """Return the environment as SVG: from the outside at the top to the instances at the bottom.

    Args:
        environment: what is declared.
        addresses: instance → its private and its floating address, as the cloud has them.
    """
    outside = [n for n in environment.networks if n.external]
    inside = [n for n in environment.networks if not n.external]
    by_network = [[i for i in environment.instances if i.network == n.name] for n in inside]
    columns = [max(len(found), 1) for found in by_network]
    width = max(sum(columns), _AT_LEAST) * (_BOX + _GAP) - _GAP
    bands = [
        _Box(_MARGIN, _MARGIN + n * (_BAND + 10), width, _BAND, network.name, _prefixes(network.subnets))
        for n, network in enumerate(outside)
    ]
    top = _MARGIN + len(outside) * (_BAND + 10) + 24
    step = width // max(len(environment.routers), 1)
    routers = []
    for n, router in enumerate(environment.routers):
        text = (router.external_address or "", "NAT") if router.external_network else ("",)
        routers.append(
            _Box(_MARGIN + n * step + (step - _BOX) // 2, top, _BOX, _ROUTER, router.name, _words(text))
        )
    below = top + (_ROUTER + 34 if routers else 0)
    networks, boxes, x = [], [], _MARGIN
    for network, instances, count in zip(inside, by_network, columns, strict=True):
        own = count * (_BOX + _GAP) - _GAP if len(inside) > 1 else width
        networks.append(_Box(x, below, own, _BAND, network.name, _prefixes(network.subnets)))
        for n, instance in enumerate(instances):
            boxes.append(
                _instance(environment, instance, addresses, x + n * (_BOX + _GAP), below + _BAND + 34)
            )
        x += own + _GAP
    height = max((b.y + b.height for b in (*bands, *routers, *networks, *boxes)), default=0) + _MARGIN
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    ).get_template("topology.svg.j2")
    return template.render(
        width=width + 2 * _MARGIN,
        height=height,
        line=_LINE,
        outside=bands,
        routers=routers,
        inside=networks,
        instances=boxes,
    )


def _instance(
    environment: Environment,
    instance: Instance,
    addresses: Mapping[str, tuple[str, str | None]],
    x: int,
    y: int,
) -> _Box:
    private, floating = addresses.get(instance.name, ("", None))
    applications = environment.applications_of(instance.name)
    ports = [str(w.port) for w in listeners(environment, instance.name) if w.public]
    groups = [*instance.security_groups, *(f"app-{a.name}" for a in applications)]
    lines = [
        *(f"{a.kind}, port {a.port}" for a in applications),
        " ↔ ".join(address for address in (private, floating) if address),
        f"TCP {', '.join(ports)}" if ports else "",
        *groups,
        instance.flavor,
    ]
    kept = _words(lines)
    deployed = any(a.deployed for a in applications) or not applications
    return _Box(x, y, _BOX, 34 + len(kept) * _LINE, instance.name, kept, dim=not deployed)


def _prefixes(subnets: tuple[object, ...]) -> tuple[str, ...]:
    return (", ".join(str(getattr(subnet, "cidr", "")) for subnet in subnets),)


def _words(lines: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for line in lines if line)
