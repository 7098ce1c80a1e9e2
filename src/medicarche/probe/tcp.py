"""Which TCP ports answer: open, refused and filtered told apart.

The states are those of RFC 9293: a connection that is established (open), reset (refused: the packet arrived
and nothing listens), or never answered (filtered: a packet filter dropped it, which is what a security group
does).
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from asyncio import open_connection
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Endpoint", "PortState", "scan"]


class PortState(StrEnum):
    """What became of an attempt to connect."""

    OPEN = "open"
    REFUSED = "refused"
    FILTERED = "filtered"
    #: an ICMP error, or no route or neighbour: says nothing of the port
    UNREACHABLE = "unreachable"


class Endpoint(NamedTuple):
    """An IP address and a TCP port."""

    address: str
    port: int


_BY_ERRNO = {
    errno.ECONNREFUSED: PortState.REFUSED,
    errno.ETIMEDOUT: PortState.FILTERED,
    errno.EHOSTUNREACH: PortState.UNREACHABLE,
    errno.ENETUNREACH: PortState.UNREACHABLE,
}


def scan(
    endpoints: Iterable[Endpoint | tuple[str, int]], *, timeout: float = 3.0, concurrency: int = 64
) -> Mapping[Endpoint, PortState]:
    """Try to connect to each endpoint once, many at a time, from the calling thread.

    Args:
        endpoints: numeric addresses only, so that no name service takes part.
        timeout: seconds after which a silent port counts as filtered. Linux sends its SYN again after 1 and
            3 s (RFC 6298), so that 3 s forgive one lost packet.
        concurrency: how many attempts are under way at once.

    Raises:
        ValueError: an address isn't numeric.
        OSError: connecting failed in a way that says nothing of the port (no descriptors left ...).
    """
    wanted = [Endpoint(*endpoint) for endpoint in endpoints]
    for endpoint in wanted:
        ipaddress.ip_address(endpoint.address)
    return asyncio.run(_scan(wanted, timeout, concurrency))


async def _scan(endpoints: list[Endpoint], timeout: float, concurrency: int) -> dict[Endpoint, PortState]:  # noqa: ASYNC109 - handed down to asyncio.timeout
    gate = asyncio.Semaphore(concurrency)

    async def one(endpoint: Endpoint) -> PortState:
        async with gate:
            return await _attempt(endpoint, timeout)

    states = await asyncio.gather(*(one(endpoint) for endpoint in endpoints))
    return dict(zip(endpoints, states, strict=True))


async def _attempt(endpoint: Endpoint, timeout: float) -> PortState:  # noqa: ASYNC109 - as above
    try:
        async with asyncio.timeout(timeout):
            _, writer = await open_connection(endpoint.address, endpoint.port)
    except TimeoutError:
        return PortState.FILTERED
    except OSError as error:
        if error.errno not in _BY_ERRNO:
            raise
        return _BY_ERRNO[error.errno]
    # a reset, not a polite close: nothing is left in TIME_WAIT on either side
    writer.transport.abort()
    return PortState.OPEN
