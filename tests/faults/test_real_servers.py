"""What can happen to servers, on a real OpenStack: by hand, as root, as test_real.py is run."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from fake_openstack.fault_table import without
from fake_openstack.faults import Fault, Kind
from fake_openstack.real import ENVIRONMENT, PATIENCE, Real, by_hand, real, until
from medicarche import planning

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from medicarche.target import Selection

__all__ = ["real"]

pytestmark = by_hand
FIRST, SECOND = "first", "second"
SERVERS, LIST = "^/compute/v2.1/servers$", r"^/compute/v2.1/servers/detail"
#: looks at the servers until the second one is waited for: two to observe, one before it is ordered
BEFORE = 3


@dataclass
class Hosts:
    """An environment of two servers, of which the second one is lost again and again."""

    real: Real
    file: Path
    hurt: Selection
    straight: Selection
    whole: list[str] = field(default_factory=list)
    first: str = ""

    def lose(self) -> None:
        """Take the second server away, as somebody in Horizon would."""
        compute = self.real.connections.member.compute
        compute.delete(f"/servers/{self.real.servers()[SECOND]['id']}")
        until(lambda: SECOND not in self.real.servers())

    def vanish(self) -> None:
        """Take the second server away between its order and the answer: before anybody waits for it."""
        self.real.connections.member.compute.delete(f"/servers/{self.real.servers()[SECOND]['id']}")

    def quota(self, instances: int) -> None:
        """Limit the project's instances."""
        admin, project = self.real.connections.admin, self.real.connections.member.project_id
        assert admin is not None
        admin.compute.put(f"/os-quota-sets/{project}", {"quota_set": {"instances": instances}})

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Start ``provision`` as a command."""
        return self.real.command("provision", "--no-deploy", *words, hosting=self.file)

    def converges(self) -> None:
        """The next run mends all, and the one after that writes nothing."""
        self.real.proxy.faults.revive()
        assert self.real.outcome(self.hurt) == (0, "")
        assert self.real.marks() == self.whole
        servers = self.real.servers()
        assert sorted(servers) == [FIRST, SECOND]
        assert {raw["status"] for raw in servers.values()} == {"ACTIVE"}
        assert servers[FIRST]["id"] == self.first, "what nothing had befallen was replaced"
        writes = self.real.writes()
        assert self.real.outcome(self.hurt) == (0, "")
        assert self.real.proxy.faults.writes[writes:] == []


@pytest.fixture(scope="module")
def hosts(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return two servers, of a flavor that has an ephemeral and a swap disk."""
    text = ENVIRONMENT.read_text(encoding="utf-8")
    host = "{flavor: faults.small, image: debian-13, network: private, security_groups: [private-sg]}"
    for old, new in (
        ("disk_gib: 2}", "disk_gib: 2, ephemeral_gib: 1, swap_mib: 64}"),
        ("images: {}", "images: {debian-13: {suite: trixie, user: debian, disk_mib: 1024}}"),
        ("instances: {}", f"instances: {{{FIRST}: {host}, {SECOND}: {host}}}"),
    ):
        assert old in text
        text = text.replace(old, new)
    file = tmp_path_factory.mktemp("hosts") / "with-hosts.yaml"
    file.write_text(text, encoding="utf-8")
    made = Hosts(real, file, *real.hosting(file))
    try:
        assert real.outcome(made.straight) == (0, "")
        made.whole, made.first = real.marks(), str(real.servers()[FIRST]["id"])
        yield made
    finally:
        real.proxy.faults.revive()
        assert real.run(made.straight, destroys=True) == 0
        assert real.marks() == []


def _fewer(hosts: Hosts) -> list[Fault]:
    # the limits are read before, as in a race: the refusal itself is Nova's
    return [Fault(Kind.CHANGE, "GET", "^/compute/v2.1/limits", before=lambda: hosts.quota(1))]


def _lost(kind: Kind, **options: Any) -> Callable[[Hosts], list[Fault]]:  # noqa: ANN401 - Fault's fields
    return lambda _hosts: [Fault(kind, "POST", SERVERS, **options)]


def _looks(kind: Kind, *, skip: int = BEFORE, **options: Any) -> Callable[[Hosts], list[Fault]]:  # noqa: ANN401 - Fault's fields
    return lambda _hosts: [Fault(kind, "GET", LIST, skip=skip, **options)]


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        pytest.param(_fewer, "Quota exceeded for instances", id="403: the quota of instances"),
        pytest.param(_lost(Kind.DROP), "", id="order lost"),
        pytest.param(_lost(Kind.LOSE), "", id="order's answer lost"),
        pytest.param(_lost(Kind.REFUSE_AFTER, status=504), "", id="504 though ordered"),
        pytest.param(_lost(Kind.REFUSE, status=503), "", id="503"),
        pytest.param(_looks(Kind.REFUSE, status=401), "", id="token expired while it is waited for"),
        pytest.param(_looks(Kind.LOSE), "", id="look lost while it is waited for"),
        pytest.param(
            lambda hosts: [Fault(Kind.CHANGE, "POST", SERVERS, before=hosts.vanish)],
            "has vanished",
            id="vanishing",
        ),
        pytest.param(
            _looks(Kind.CHANGE, skip=0, times=2, change=without(lambda _servers: [])),
            "",
            id="list empty twice",
        ),
        pytest.param(
            _looks(Kind.CHANGE, times=2, change=without(lambda servers: servers[1:])),
            "",
            id="missing from the lists while it is waited for",
        ),
    ],
)
def test_fate(hosts: Hosts, faults: Callable[[Hosts], list[Fault]], says: str) -> None:
    hosts.lose()
    for fault in faults(hosts):
        hosts.real.proxy.faults.order(fault)
    try:
        code, told = hosts.real.outcome(hosts.hurt)
    finally:
        hosts.quota(10)
    assert hosts.real.proxy.faults.struck, "nothing struck"
    assert code == (1 if says else 0), told
    assert says in told
    if not says:
        assert hosts.real.marks() == hosts.whole
    hosts.converges()


def test_killed_while_a_server_is_waited_for(hosts: Hosts) -> None:
    hosts.lose()
    process = hosts.command()
    hosts.real.proxy.faults.order(Fault(Kind.DROP, "GET", LIST, skip=BEFORE + 1, before=process.kill))
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    hosts.converges()


def test_interrupted_once_it_ends_what_is_under_way_and_tells_what_is_left(hosts: Hosts) -> None:
    hosts.lose()
    process = hosts.command()
    until(lambda: SECOND in hosts.real.servers())
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, told
    assert "stopped on demand" in told
    assert f"ordered, and not waited for: create server/{SECOND}" in told
    assert "Traceback" not in told
    hosts.converges()


def test_interrupted_twice_it_stops_at_once(hosts: Hosts) -> None:
    hosts.lose()
    began, answered = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        answered.wait(PATIENCE)

    process = hosts.command()
    hosts.real.proxy.faults.order(Fault(Kind.CHANGE, "POST", SERVERS, before=hold))
    try:
        assert began.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        time.sleep(2)
        assert process.poll() is None, "a call under way wasn't waited for"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    finally:
        answered.set()
    assert process.returncode == 130, told
    assert "stopped at once" in told
    assert f"with an unknown end: create server/{SECOND}" in told
    assert "Traceback" not in told
    hosts.converges()


def test_two_at_once(hosts: Hosts) -> None:
    """The second is told who is at work, and since when; the lock goes with its holder."""
    hosts.lose()
    first = hosts.command()
    until(lambda: SECOND in hosts.real.servers())
    writes = hosts.real.writes()
    second = hosts.command()
    _, told = second.communicate(timeout=PATIENCE)
    assert second.returncode == 6, told
    assert f"process {first.pid}" in told
    assert "provision --no-deploy" in told
    assert "since 20" in told
    first.kill()
    first.communicate(timeout=PATIENCE)
    assert hosts.real.writes() - writes <= 1, "the second one wrote"
    hosts.converges()


def test_no_server_is_replaced_unless_somebody_says_so(hosts: Hosts) -> None:
    admin = hosts.real.connections.admin
    assert admin is not None
    failed = hosts.real.servers()[SECOND]["id"]
    admin.compute.post(f"/servers/{failed}/action", {"os-resetState": {"state": "error"}}, repeatable=True)
    writes = hosts.real.writes()
    refused = hosts.command()
    _, told = refused.communicate(timeout=PATIENCE)
    assert refused.returncode == 1, told
    assert f"server/{SECOND} would be removed or replaced" in told
    assert "--yes" in told
    assert hosts.real.proxy.faults.writes[writes:] == []
    assert hosts.real.servers()[SECOND]["id"] == failed
    willing = hosts.command("--yes")
    _, told = willing.communicate(timeout=PATIENCE)
    assert willing.returncode == 0, told
    assert hosts.real.servers()[SECOND]["id"] != failed
    hosts.converges()


def test_ephemeral_and_swap_disks(hosts: Hosts) -> None:
    """They are as declared, servers run with them, and other ones are a replacement."""
    flavors = hosts.real.connections.member.compute.collection("/flavors/detail", "flavors")
    (made,) = (raw for raw in flavors if raw["name"] == "faults.small")
    assert (made["OS-FLV-EXT-DATA:ephemeral"], made["swap"]) == (1, 64)
    assert hosts.real.servers()[FIRST]["status"] == "ACTIVE"
    changed = hosts.file.with_name("changed.yaml")
    text = hosts.file.read_text(encoding="utf-8")
    changed.write_text(text.replace("swap_mib: 64", "swap_mib: 128"), encoding="utf-8")
    planned = planning.plan(hosts.real.hosting(changed)[1])
    planned.connections.close()
    replaced = {action.address for action in planned.plan.actions if action.replacement}
    assert replaced == {"flavor/faults.small", f"server/{FIRST}", f"server/{SECOND}"}
