"""What the checks of meaning work on."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Network

    from medicarche.spec.document import KeyPath
    from medicarche.spec.schema import EnvironmentFile, SubnetModel

__all__ = ["Content", "Finding", "host", "inside"]

Finding = tuple["KeyPath", str]


@dataclass(frozen=True)
class Content:
    """The models, and the raw data for the names that are declared."""

    file: EnvironmentFile
    raw: dict[str, Any]

    def names(self, section: str) -> set[str]:
        """Return the names declared in a section, right in form or not."""
        declared = self.raw.get(section)
        return set(declared) if isinstance(declared, dict) else set()

    def subnet_names(self) -> set[str]:
        """Return the names of all subnets of all networks."""
        found: set[str] = set()
        networks = self.raw.get("networks")
        for network in networks.values() if isinstance(networks, dict) else ():
            if isinstance(network, dict) and isinstance(network.get("subnets"), dict):
                found |= set(network["subnets"])
        return found

    def subnets(self) -> Iterator[tuple[KeyPath, str, str, SubnetModel]]:
        """Yield path, network's name, subnet's name and subnet, of all subnets."""
        for network, declared in self.file.networks.items():
            for name, subnet in declared.subnets.items():
                yield ("networks", network, "subnets", name), network, name, subnet


def host(address: str, network: IPv4Network) -> str:
    """Say why an address can't be a host's in a network; an empty text where it can."""
    parsed = IPv4Address(address)
    if parsed not in network:
        return f"{address} is outside of {network}"
    if parsed == network.network_address:
        return f"{address} is the address of {network} itself"
    if parsed == network.broadcast_address:
        return f"{address} is the broadcast address of {network}"
    return ""


def inside(address: str, first: str, last: str) -> bool:
    """Tell whether an address is in an inclusive range."""
    return IPv4Address(first) <= IPv4Address(address) <= IPv4Address(last)
