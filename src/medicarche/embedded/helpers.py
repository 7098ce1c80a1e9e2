"""What runs beside the node: the package proxy, and the bridge between the cloud and the host's loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from medicarche.embedded import bridge, package_proxy
from medicarche.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["PROXY_PORT", "Helpers", "dashboard"]

PROXY_PORT: Final = 3142
_DASHBOARD_PORT: Final = 8080
_DASHBOARD: Final[dict[str, list[Any]]] = {
    "listen": ["127.0.0.1", _DASHBOARD_PORT],
    "connect": ["127.0.0.1", 80],
}


class Helpers:
    """The helpers of one cloud.

    Args:
        folder: the cloud's.
        netns: the cloud's network name space, as ip-netns(8) names it.
        cache: where packages are kept, for all clouds.
    """

    def __init__(self, folder: Path, netns: Path, cache: Path) -> None:
        self._folder = folder
        self._netns = netns
        self._cache = cache

    def start(
        self, programs: Path, sources: Sequence[str], gateway: str, *, relays: Iterable[tuple[str, int]]
    ) -> None:
        """Start both; what runs is left alone.

        Args:
            programs: the tree that the package proxy's program is in.
            sources: Debian's mirrors, as lines of apt's.
            gateway: the node's address on the external network, where instances find packages.
            relays: addresses and ports there that lead to the node's loopback: the API.
        """
        socket = package_proxy.start(
            programs, self._folder / "proxy", self._cache / "packages", tuple(sources)
        )
        config = self._folder / "bridge.json"
        forwards = [dict(f) for f in self._forwards_kept()]
        write_private(
            config,
            json.dumps(
                {
                    "netns": str(self._netns),
                    "forwards": forwards,
                    "relays": [
                        {"listen": list(address), "connect": ["127.0.0.1", address[1]]} for address in relays
                    ],
                    "package_proxy": {"listen": [gateway, PROXY_PORT], "upstream_socket": str(socket)},
                    "ready_file": str(self._folder / "bridge.ready"),
                    "log": str(self._folder / "bridge.log"),
                }
            ).encode(),
        )
        bridge.start(config)

    def stop(self) -> None:
        """Stop both."""
        bridge.stop(self._folder)
        package_proxy.stop(self._folder / "proxy")

    def forwards(self) -> tuple[Mapping[str, Any], ...]:
        """Return which of the host's loopback ports lead where; nothing where the bridge doesn't run."""
        return tuple(bridge.state(self._folder).get("forwards", ()))

    def forward(self, ports: Mapping[int, tuple[str, int]]) -> dict[int, int | None]:
        """Let the host's loopback ports lead into the cloud: `EmbeddedCloud.forward`."""
        wanted = [{"listen": ["127.0.0.1", port], "connect": list(target)} for port, target in ports.items()]
        got = bridge.set_forwards(self._folder, [_DASHBOARD, *wanted])["forwards"]
        return {f["listen"][1]: (f["got"] or [None, None])[1] for f in got if f["listen"][1] in ports}

    def _forwards_kept(self) -> Iterable[Mapping[str, Any]]:
        """The forwards that there were before; the dashboard's where there were none."""
        try:
            content = json.loads((self._folder / "bridge.json").read_text(encoding="utf-8"))
            return list(content["forwards"])
        except (OSError, ValueError, KeyError):
            return [_DASHBOARD]


def dashboard(forwards: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the dashboard's address on the host, of the forwards that there are; None where it has none."""
    for forward in forwards:
        if forward["connect"] == _DASHBOARD["connect"] and forward.get("got"):
            address, port = forward["got"]
            return f"http://{address}:{port}/"
    return None
