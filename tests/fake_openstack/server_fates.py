"""What can become of a server: the rows of the fault table that strike one server of several, not one call.

Each fate befalls the k-th server that is ordered, or removed. Before the next run the cloud's people have
done what ``recover`` says, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from fake_openstack.company import NAME, company
from fake_openstack.faults import Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_openstack.cloud import FakeOpenStack
    from fake_openstack.sweep import Rig, Scenario

__all__ = ["FATES", "INSTANCES", "RARELY", "REMOVALS", "WANTED", "Fate", "befall"]

INSTANCES = ("website", "odoo", "syncthing", "nextcloud")
WANTED = company(INSTANCES)
SERVERS, PORTS = "/compute/v2.1/servers$", "/network/v2.0/ports$"
LONG, FOR_GOOD = 1_000_000, 1000
#: seconds between two looks
RARELY = 60.0


@dataclass(frozen=True)
class Fate:
    """What becomes of the k-th server.

    Attributes:
        name: for people.
        strike: brings it about; ``k`` counts from 0.
        says: what the run must tell; an empty text where it must succeed.
        recover: what the cloud's people do before the next run.
    """

    name: str
    strike: Callable[[FakeOpenStack, int], None]
    says: str
    recover: Callable[[FakeOpenStack], None] = lambda _fake: None


def _room_for(fake: FakeOpenStack, k: int) -> None:
    theirs = sum(server["tenant_id"] == "project-demo" for server in fake.nova.servers.values())
    fake.nova.quota["instances"] = theirs + k


def _more_room(fake: FakeOpenStack) -> None:
    fake.nova.quota["instances"] = FOR_GOOD


def _refused(status: int, path: str, body: dict[str, Any]) -> Callable[[FakeOpenStack, int], None]:
    def strike(fake: FakeOpenStack, k: int) -> None:
        fake.order(Fault(Kind.REFUSE, "POST", path, skip=k, times=FOR_GOOD, status=status, body=body))

    return strike


def _ordered(become: Callable[[FakeOpenStack, str], None]) -> Callable[[FakeOpenStack, int], None]:
    """Return what does something to the k-th server in the moment in which it is ordered."""

    def strike(fake: FakeOpenStack, k: int) -> None:
        def change(body: Any) -> Any:  # noqa: ANN401 - JSON
            become(fake, body["server"]["id"])
            return body

        fake.order(Fault(Kind.CHANGE, "POST", SERVERS, skip=k, change=change))

    return strike


def _stuck(fake: FakeOpenStack, server: str) -> None:
    fake.nova.servers[server]["_looks"] = LONG


def _vanished(fake: FakeOpenStack, server: str) -> None:
    fake.nova.vanish(server)


def _error(fake: FakeOpenStack, server: str) -> None:
    fake.nova.servers[server]["_fault"] = "No valid host was found."


def _stopped(fake: FakeOpenStack, server: str) -> None:
    fake.nova.servers[server] |= {"OS-EXT-STS:task_state": None, "status": "SHUTOFF"}


def _go_on(fake: FakeOpenStack) -> None:
    for server in fake.nova.servers.values():
        server["_looks"] = min(server["_looks"], 1)


_FULL: dict[str, Any] = {
    "overLimit": {"code": 413, "message": "Quota exceeded for cores: Requested 2, used 20 of 20"}
}
_NO_PORT: dict[str, Any] = {
    "NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['port']."}
}
FATES = (
    Fate("403: the quota of instances", _room_for, "Quota exceeded for instances", _more_room),
    Fate("413: the quota of cores", _refused(413, SERVERS, _FULL), "Quota exceeded for cores"),
    Fate("409: the quota of ports", _refused(409, PORTS, _NO_PORT), "Quota exceeded for resources"),
    Fate("ERROR", _ordered(_error), "No valid host was found"),
    Fate("stuck in BUILD, and built at last", _ordered(_stuck), "still BUILD", _go_on),
    Fate("stuck in BUILD for good", _ordered(_stuck), "still BUILD"),
    Fate("vanishing", _ordered(_vanished), "has vanished"),
    Fate("stopped before it was ready", _ordered(_stopped), "still SHUTOFF"),
)


def _of(become: Callable[[FakeOpenStack, str], None]) -> Callable[[FakeOpenStack, int], None]:
    """Return what does something to the k-th of our servers in the moment in which its removal is ordered."""

    def strike(fake: FakeOpenStack, k: int) -> None:
        marks = {s["id"]: str(s["metadata"].get("medicarche", "")) for s in fake.nova.servers.values()}
        server = [identifier for identifier, text in marks.items() if text.startswith(f"medicarche:{NAME}:")][
            k
        ]
        path = f"/servers/{server}$"
        fake.order(Fault(Kind.CHANGE, "DELETE", path, before=lambda: become(fake, server)))

    return strike


def _stays(fake: FakeOpenStack, server: str) -> None:
    fake.nova.servers[server]["_removal"] = LONG


def _immovable(fake: FakeOpenStack, server: str) -> None:
    fake.nova.servers[server]["_removal_fault"] = "Failed to terminate process 1 with SIGKILL"


def _repaired(fake: FakeOpenStack) -> None:
    for server in fake.nova.servers.values():
        server.pop("_removal_fault", None)


REMOVALS = (
    Fate("stuck in its removal, gone at last", _of(_stays), "still there after its time", _go_on),
    Fate("ERROR at its removal", _of(_immovable), "is in ERROR: Failed to terminate", _repaired),
    Fate("gone already", _of(_vanished), ""),
)


def befall(rig: Rig, scenario: Scenario, fate: Fate, k: int) -> str:
    """Let a fate befall the k-th server, and say what is wrong; an empty text where nothing is."""
    rig.prepare(scenario)
    fate.strike(rig.fake, k)
    # few looks at a server that is waited for to the end: the clock stands still, the calls are real
    with patch("medicarche.cloud.observe.SETTLE_INTERVAL", RARELY):
        outcome = rig.run(scenario)
        rig.fake.faults.pardon()
        fate.recover(rig.fake)
        if outcome.ended != ("told" if fate.says else "done"):
            return f"{fate.name}, {k}: the run {outcome.ended}: {outcome.told}"
        if fate.says not in outcome.told:
            return f"{fate.name}, {k}: told {outcome.told!r}"
        return rig.judge(scenario, outcome)
