"""Killed at any moment and run again, it converges, with nothing twice and nothing left over."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from medicarche.testing.sandbox import Running, Sandbox

pytestmark = [pytest.mark.lifecycle, pytest.mark.requirement("CLOUD-1", "CLOUD-6")]

#: every object of the project, asked of the APIs, not of our own code: kind → id → [name, mark]
CENSUS = """
project = member.current_project_id
mine = lambda found: [x for x in found if x.project_id == project]
ours = lambda text: (text or "").split(" ")[0] if (text or "").startswith("medicarche:") else None
by = lambda found, mark: {x.id: [x.name, mark(x)] for x in found}
described = lambda found: by(found, lambda x: ours(x.description))
groups = {g.id: g.name for g in mine(member.network.security_groups())}
show({
    "flavor": by(member.compute.flavors(), lambda x: ours(x.description)),
    "key pair": {k.name: [k.name, None] for k in member.compute.keypairs()},
    "image": by(member.image.images(), lambda x: x.properties.get("medicarche_mark")),
    "network": described(member.network.networks()),
    "subnet": described(member.network.subnets()),
    "router": described(mine(member.network.routers())),
    "security group": described(mine(member.network.security_groups())),
    "rule": {r.id: [f"{groups[r.security_group_id]} {r.direction} {r.protocol} {r.port_range_min}"
                    f" {r.remote_ip_prefix} {r.remote_group_id} {r.ether_type}", ours(r.description)]
             for r in mine(member.network.security_group_rules())},
    "port": {p.id: [f"{p.device_owner} {p.device_id} {p.name}", ours(p.description)]
             for p in mine(member.network.ports())},
    "server": by(member.compute.servers(), lambda x: x.metadata.get("medicarche")),
    "floating IP": {a.id: [a.floating_ip_address, ours(a.description)] for a in mine(member.network.ips())},
    "unfinished": [i.id for i in member.image.images() if i.status != "active"]
                + [s.id for s in member.compute.servers() if s.status != "ACTIVE"]
                + [a.id for a in mine(member.network.ips()) if not a.port_id],
})
"""

Census = dict[str, dict[str, list[str]]]
Moment = tuple[str, str, "Callable[[Sandbox, Running], Callable[[], bool]]", str]


def _services_start(sandbox: Sandbox, run: Running) -> Callable[[], bool]:
    """The node runs, and Keystone has begun."""
    waiting = run.says(r"^… Waiting for OpenStack")
    return lambda: waiting() and (sandbox.cloud / "data/var/log/keystone").is_dir()


def _bytes_arrive(sandbox: Sandbox) -> Callable[[], bool]:
    """Glance writes the image's file."""
    folder = sandbox.cloud / "data/var/lib/glance/images"
    known = {path.name for path in folder.glob("*")}  # of an upload that was ended before

    def arrive() -> bool:
        return any(path.stat().st_size > 0 for path in folder.glob("*") if path.name not in known)

    return arrive


def _operations_begin(sandbox: Sandbox, name: str, pause: float = 0) -> Callable[[], bool]:
    """Pyinfra is at an operation in the instance, for ``pause`` seconds."""
    log = sandbox.home / "environments" / f"embedded-{sandbox.name}" / "medicarche" / "deploy.log"
    known = log.stat().st_size if log.exists() else 0
    begun: list[float] = []

    def begin() -> bool:
        if not begun and log.exists() and f"Starting operation: {name}".encode() in log.read_bytes()[known:]:
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] >= pause

    return begin


#: in the order of a run: how it is ended, when, how it is known to have begun, and what is said at its end
MOMENTS: tuple[Moment, ...] = (
    (
        "SIGKILL",
        "the cloud's start",
        _services_start,
        r"^✓ Waiting for OpenStack",
    ),
    ("Ctrl-C", "the cloud's start", _services_start, r"^✓ Waiting for OpenStack"),
    ("SIGKILL", "the image's upload", lambda sandbox, _: _bytes_arrive(sandbox), r"^✓ create image/"),
    ("Ctrl-C", "the image's upload", lambda sandbox, _: _bytes_arrive(sandbox), r"^✓ create server/"),
    ("SIGKILL", "the server's creation", lambda _, run: run.says(r"^… create server/"), r"^✓ create server/"),
    (
        "SIGKILL",
        "the instance's boot",
        lambda _, run: run.says(r"^… Waiting for the inst"),
        r"^✓ Waiting for the inst",
    ),
    (
        "SIGKILL",
        "the deployment",
        lambda sandbox, _: _operations_begin(sandbox, "packages", 12),
        r"^✓ Deploying",
    ),
    ("Ctrl-C", "the deployment", lambda sandbox, _: _operations_begin(sandbox, ""), r"^✓ Deploying"),
)


def test_ended_at_each_moment_it_goes_on_with_nothing_twice(nothing: Sandbox) -> None:
    """From nothing to the proven environment, ended eight times on the way."""
    sandbox = nothing
    known: Census = {}
    for how, what, begun, ended in MOMENTS:
        moment = f"{how} during {what}"
        running = sandbox.start("provision", "--yes")
        try:
            running.wait_until(begun(sandbox, running), timeout=900)
            if how == "Ctrl-C":
                _interrupted(running, moment)
        finally:
            running.kill()
        assert not running.says(ended)(), f"not in time: {moment}:\n{running.said}"
        assert "Traceback" not in running.said
        if what == "the cloud's start":
            continue  # nobody answers yet
        found = sandbox.ask_cloud(CENSUS)
        _nothing_twice(found, moment)
        _adopted(known, found, moment)
        known = found

    sandbox.expect("provision", "--yes")
    found = sandbox.ask_cloud(CENSUS)
    _nothing_twice(found, "all")
    _adopted(known, found, "all")
    assert found["unfinished"] == []
    # again: nothing to do, by plan, in the instances, and by provision itself
    sandbox.expect("plan", "--deploy", code=0)
    again = sandbox.expect("provision", "--yes")
    assert "cloud: nothing to do" in again
    assert "instances: nothing to do" in again
    assert sandbox.ask_cloud(CENSUS) == found
    status = json.loads(sandbox.expect("status", "--json"))
    assert status["drift"] is False
    assert {a["state"] for a in status["applications"]} == {"answering"}
    assert len(found["server"]) == len(found["floating IP"]) == len(status["instances"])


def _interrupted(running: Running, moment: str) -> None:
    """One line, the documented exit code; what was under way may be finished first."""
    code = running.interrupt(timeout=300)
    assert code == 130, f"{moment}: {code}\n{running.said}"
    assert running.said.count("interrupted; run the same command again") == 1, running.said
    assert "Error" not in running.said, running.said


def _nothing_twice(found: Census, moment: str) -> None:
    """No mark twice; and what has no mark isn't there twice under one name (but for what has no name)."""
    for kind, objects in found.items():
        if kind == "unfinished":
            continue
        marks = Counter(mark for _, mark in objects.values() if mark)
        assert [mark for mark, count in marks.items() if count > 1] == [], f"{kind}: {moment}"
        names = Counter(name for name, _ in objects.values())
        assert [name for name, count in names.items() if count > 1] == [], f"{kind}: {moment}"


def _adopted(known: Census, found: Census, moment: str) -> None:
    """What was whole is kept: the run after the kill has adopted it, not made it anew."""
    unfinished = set(known.get("unfinished", ()))
    for kind, objects in known.items():
        if kind == "unfinished":
            continue
        gone = {i: o for i, o in objects.items() if i not in found[kind] and i not in unfinished}
        if kind == "rule":  # Neutron's own two of a new group go when ours are made
            gone = {i: o for i, o in gone.items() if o[1]}
        assert gone == {}, f"{kind}: {moment}"
