"""The bridge's configuration file: read and checked, as frozen data."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicarche.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Address", "Config", "Forward", "load", "parse_forwards"]

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Forward:
    """``listen`` on the host's loopback, ``connect`` inside of the cloud's network name space.

    A relay's two ends are both inside.
    """

    listen: Address
    connect: Address


@dataclass(frozen=True, slots=True)
class Config:
    """What the daemon does.

    Attributes:
        netns: the cloud's network name space.
        forwards: from the host into the cloud.
        relays: from an address that instances reach to the loopback of the name space: the cloud's API.
        proxy_listen: where instances find the package proxy, inside; None where there is none.
        proxy_upstream: the unix socket of the package proxy, outside.
        proxy_pid_file: of `medicarche.embedded.pidfile`: the proxy is ended where the name space goes away
            without a word (the node died).
        ready_file: written when everything listens, removed at the end.
        log: the daemon's log.
    """

    netns: Path
    forwards: tuple[Forward, ...]
    relays: tuple[Forward, ...]
    proxy_listen: Address | None
    proxy_upstream: Path | None
    proxy_pid_file: Path | None
    ready_file: Path | None
    log: Path


def load(path: Path) -> Config:
    """Read the configuration file.

    Raises:
        MachineError: it can't be read, or it is wrong; the message says where.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        proxy = data.get("package_proxy")
        return Config(
            netns=Path(data["netns"]),
            forwards=parse_forwards(data.get("forwards", ())),
            relays=_relays(data.get("relays", ())),
            proxy_listen=_address(proxy["listen"]) if proxy else None,
            proxy_upstream=Path(proxy["upstream_socket"]) if proxy else None,
            proxy_pid_file=Path(proxy["pid_file"]) if proxy and proxy.get("pid_file") else None,
            ready_file=Path(data["ready_file"]) if data.get("ready_file") else None,
            log=Path(data.get("log") or path.with_name("bridge.log")),
        )
    except OSError as error:
        raise MachineError(
            f"{path}: {error.strerror}", hint="start the cloud again: medicarche cloud up"
        ) from error
    except KeyError as error:
        raise MachineError(f"{path}: {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise MachineError(f"{path}: {error}") from error


def parse_forwards(items: Iterable[Any]) -> tuple[Forward, ...]:
    """Read forwards as of the configuration file.

    Raises:
        ValueError: an address isn't one, a forward would listen elsewhere than on loopback, or two forwards
            ask for one port.
    """
    forwards = tuple(Forward(_address(item["listen"]), _address(item["connect"])) for item in items)
    for forward in forwards:
        if not ipaddress.IPv4Address(forward.listen[0]).is_loopback:
            raise ValueError(f"{forward.listen[0]}: forwards listen on loopback only")
    asked = [forward.listen for forward in forwards]
    for address in asked:
        if asked.count(address) > 1:
            raise ValueError(f"{address[0]}:{address[1]} is asked for twice")
    return forwards


def _relays(items: Iterable[Any]) -> tuple[Forward, ...]:
    return tuple(Forward(_address(item["listen"]), _address(item["connect"])) for item in items)


def _address(value: Sequence[Any]) -> Address:
    host, port = value
    if not isinstance(port, int) or not 0 < port < 2**16:
        raise ValueError(f"{port!r} is not a port")
    return str(ipaddress.IPv4Address(host)), port
