"""Waiting for servers: one list for all of them, and no worker held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medicarche.errors import ConvergenceError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping, Sequence

    from medicarche.cloud.connect import Connections
    from medicarche.cloud.listing import Raw

__all__ = ["Wait", "poll"]

#: looks in a row that don't find a new server until it counts as gone: a list may lag behind a POST
VANISHED = 3


@dataclass(frozen=True, slots=True)
class Wait:
    """A server that is waited for.

    Attributes:
        action: the id of the action that waits.
        server: the server's id.
        gone: its end is waited for, not its readiness.
        deadline: on the monotonic clock.
    """

    action: str
    server: str
    gone: bool
    deadline: float


def poll(
    connections: Connections, waits: Sequence[Wait], unseen: Counter[str]
) -> dict[str, ConvergenceError | None]:
    """Look once at all servers that are waited for.

    Args:
        connections: the cloud.
        waits: the servers.
        unseen: server → number of looks in a row that didn't find it; kept from look to look.

    Returns:
        Action id → None where the wait is over, or the error that ended it; not of those that go on.
    """
    listed = connections.member.compute.collection("/servers/detail", "servers", limit=1000)
    servers = {raw["id"]: raw for raw in listed}
    now = connections.clock.monotonic()
    for wait in waits:
        unseen[wait.server] = 0 if wait.server in servers else unseen[wait.server] + 1
    return dict(_settled(waits, servers, now, unseen))


def _settled(
    waits: Iterable[Wait], servers: Mapping[str, Raw], now: float, unseen: Mapping[str, int]
) -> Iterable[tuple[str, ConvergenceError | None]]:
    for wait in waits:
        raw = servers.get(wait.server)
        if raw is None:
            if wait.gone:
                yield wait.action, None
            elif unseen[wait.server] >= VANISHED:
                yield wait.action, ConvergenceError(f"server {wait.server} has vanished")
        elif raw["status"] == "ERROR" and not (wait.gone and raw.get("OS-EXT-STS:task_state")):
            fault = (raw.get("fault") or {}).get("message", "no fault is given")
            if wait.gone and now < wait.deadline:
                continue
            yield (
                wait.action,
                ConvergenceError(
                    f"server {wait.server} is in ERROR: {fault}",
                    hint=f"`medicarche audit {raw['name']}` tells more.",
                ),
            )
        elif raw["status"] == "ACTIVE" and raw.get("OS-EXT-STS:task_state") is None and not wait.gone:
            yield wait.action, None
        elif now >= wait.deadline:
            doing = "still there" if wait.gone else f"still {raw['status']}"
            yield wait.action, ConvergenceError(f"server {wait.server} is {doing} after its time")
