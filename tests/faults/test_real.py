"""A random sample of the sweep on a real OpenStack: an embedded cloud that is up, and a proxy that hurts.

By hand, as root: ``MEDICARCHE_FAULTS_ON=NAME pytest tests/faults/test_real.py -s``, with the name of an
embedded cloud that holds no environment. ``MEDICARCHE_FAULTS_POINTS`` and ``MEDICARCHE_FAULTS_SEED`` choose
the points.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from fake_openstack.fault_table import LIES, more_fields, strange_states, without
from fake_openstack.faults import Fault, Kind
from fake_openstack.real import ENVIRONMENT, PATIENCE, Real, by_hand, real, until
from medicarche import converge, deploying, people, planning, provisioning
from medicarche.cloud.connect import Target, connect
from medicarche.cloud.observe import observe
from medicarche.errors import CloudRefused, Unreachable
from medicarche.probe import Endpoint, PortState, scan
from medicarche.progress import SilentReporter
from medicarche.spec import load_environment

if TYPE_CHECKING:
    from pathlib import Path

    from medicarche.target import Selection

__all__ = ["real"]

POINTS = int(os.environ.get("MEDICARCHE_FAULTS_POINTS", "50"))
SEED = int(os.environ.get("MEDICARCHE_FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
QUOTA = b'{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded", "detail": ""}}'
#: the command is killed at the call
KILLS: dict[str, Fault] = {
    "kill -9 before the request": Fault(Kind.DROP, "", ""),
    "kill -9 after the request": Fault(Kind.LOSE, "", ""),
}
#: the cloud tells the truth, late or not at all: so must the run
HONEST: dict[str, Fault] = {
    "request lost": Fault(Kind.DROP, "", ""),
    "answer lost": Fault(Kind.LOSE, "", ""),
    "500": Fault(Kind.REFUSE, "", "", status=500),
    "503": Fault(Kind.REFUSE, "", "", status=503),
    "504 though done": Fault(Kind.REFUSE_AFTER, "", "", status=504),
    "429": Fault(Kind.REFUSE, "", "", status=429, headers={"Retry-After": "1"}),
    "half of the JSON": Fault(Kind.CHANGE, "", "", raw=b'{"half": ["of the'),
    "another object": Fault(Kind.CHANGE, "", "", raw=b'{"hello": "world"}'),
    "no body": Fault(Kind.CHANGE, "", "", raw=b""),
    "401": Fault(Kind.REFUSE, "", "", status=401),
    "403": Fault(Kind.REFUSE, "", "", status=403),
    "409 quota": Fault(Kind.REFUSE, "POST", "", status=409, raw=QUOTA),
    "413 quota": Fault(Kind.REFUSE, "POST", "", status=413, raw=QUOTA),
    "unknown fields": Fault(Kind.CHANGE, "", "", change=more_fields),
    "unknown states": Fault(Kind.CHANGE, "", "", change=strange_states),
}
#: lists that lie: what a run tells by them needn't be true, what comes of the next one must be
LYING: dict[str, Fault] = {
    f"{name}, {times} times": Fault(Kind.CHANGE, "GET", "", change=without(choose), times=times)
    for name, choose in LIES.items()
    for times in (1, 2)
}
NOT_STRUCK = "nothing struck"
FAULTS = KILLS | HONEST | LYING
pytestmark = by_hand


@dataclass(frozen=True)
class Point:
    """A fault at the n-th call of a run that it can strike."""

    what: str
    destroys: bool
    call: int


def test_a_random_sample(real: Real) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a sample, no secret
    print(f"\nseed {SEED}, {POINTS} points", flush=True)  # noqa: T201 - to run it again
    real.run(real.straight, destroys=True)
    calls, whole = _undisturbed(real)
    foreign = real.foreign()
    wrong, struck, began = [], 0, time.monotonic()
    destroys = False  # each begins with what the one before has left
    while struck < POINTS:
        what = chance.choice([*KILLS, *KILLS, *HONEST, *LYING])
        possible = [method for method in calls[destroys] if FAULTS[what].method in {"", method}]
        if not possible:
            continue
        point = Point(what, destroys, chance.randrange(len(possible)))
        destroys = not destroys
        found = _point(real, point, whole)
        if real.foreign() != foreign:
            found += " foreign objects were touched"
        struck += found != NOT_STRUCK
        print(f"{time.monotonic() - began:5.0f} s {point} {found or 'as it should be'}", flush=True)  # noqa: T201 - long
        if found not in {"", NOT_STRUCK}:
            wrong.append(f"{point}: {found}")
    real.run(real.straight, destroys=True)
    assert real.marks() == []
    assert not wrong, "\n".join(wrong)


def test_a_plain_member(real: Real, tmp_path: Path) -> None:
    """What only an admin may create is named at once where it is missing, and used where it is there."""
    text = ENVIRONMENT.read_text(encoding="utf-8") + "groups: {staff: {cloud_role: member}}\n"
    text += "people: {faults.member: {name: A Member, group: staff}}\n"
    file = tmp_path / "with-people.yaml"
    file.write_text(text, encoding="utf-8")
    with_people = replace(real.straight, environment=load_environment(file))
    assert real.run(with_people, destroys=False) == 0
    theirs = people.file_of(with_people.folder, "faults.member")
    target = Target("member", theirs, people.CLOUD)

    def as_member(name: str, *changes: tuple[str, str]) -> Selection:
        changed = ENVIRONMENT.read_text(encoding="utf-8").replace("name: faults\n", f"name: {name}\n")
        for old, new in changes:
            assert old in changed
            changed = changed.replace(old, new)
        path = tmp_path / f"{name}.yaml"
        path.write_text(changed, encoding="utf-8")
        return replace(
            real.straight, target=target, environment=load_environment(path), folder=tmp_path / name
        )

    before = real.foreign()
    lacking = as_member("lacking", ("faults.small", "lacking.small"))
    with pytest.raises(CloudRefused) as told:
        provisioning.provision(lacking, SilentReporter(), deploy=False)
    assert "create flavor/lacking.small" in told.value.message
    assert "create router/router" in told.value.message
    assert real.foreign() == before

    credential = "application_credentials: {program: {role: reader, why: looks}}\nkey_pair:"
    plain = as_member("plain", ("external_address: 10.20.20.224, ", ""), ("key_pair:", credential))
    provisioning.provision(plain, SilentReporter(), deploy=False).connections.close()
    with planning.plan(plain).connections as connections:
        assert connections.admin is None
    assert planning.plan(plain).plan.empty
    program = Target("program", people.credential_file(plain.folder, "program"), people.CLOUD)
    with connect(program) as connections:
        assert connections.member.roles == {"reader"}
        assert observe(connections, "plain", ())
    after = provisioning.destroy(plain, SilentReporter()).after
    assert [item for item in after if item.mark is not None] == []
    with pytest.raises(CloudRefused):
        connect(program)
    assert real.foreign() == before
    real.run(with_people, destroys=True)


def test_active_without_ssh(real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that nobody gets into is named, and is no success; once it answers, the next run is one."""
    text = ENVIRONMENT.read_text(encoding="utf-8")
    text = text.replace("images: {}", "images: {debian-13: {suite: trixie, user: debian, disk_mib: 1024}}")
    host = "{flavor: faults.small, image: debian-13, network: private, security_groups: [private-sg]"
    text = text.replace("instances: {}", f"instances: {{host: {host}, floating_ip: true}}}}")
    file = tmp_path / "with-a-host.yaml"
    file.write_text(text, encoding="utf-8")
    _, selection = real.hosting(file)
    real.run(real.straight, destroys=True)  # what another test has left may be on another physical network
    try:
        _not_without_ssh(selection, monkeypatch)
    finally:
        assert real.run(selection, destroys=True) == 0


def _not_without_ssh(selection: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    with provisioning.provision(selection, SilentReporter(), deploy=False).connections as connections:
        found = converge.instances(connections, selection.environment.name)
        deploying.wait_for_instances(selection, connections, found, SilentReporter())
        (instance,) = found
        # later than this session's end, which the stop would take with it
        later = ["sudo", "systemd-run", "--on-active=1", "--timer-property=AccuracySec=100ms"]
        stop = [*later, "systemctl", "stop", "ssh.socket", "ssh.service"]
        assert selection.ssh("debian").run(instance, stop)[0] == 0
        door = Endpoint(str(instance.floating_address), 22)
        until(lambda: scan([door])[door] is not PortState.OPEN)
        monkeypatch.setattr(deploying, "READY_TIMEOUT", 10.0)
        # before anything is deployed: this instance lets nothing out, and couldn't fetch a package
        with pytest.raises(Unreachable, match="host: port 22: "):
            provisioning.provision(selection, SilentReporter())
        converge.reboot(connections, instance.id)
        monkeypatch.undo()
        deploying.wait_for_instances(selection, connections, found, SilentReporter())
    planned = planning.plan(selection)
    planned.connections.close()
    assert planned.plan.empty


def _undisturbed(real: Real) -> tuple[dict[bool, list[str]], list[str]]:
    """Return the methods of a provision's and a destroy's calls, and the marks of the whole environment."""
    calls = real.proxy.faults.calls
    before = len(calls)
    assert real.run(real.hurt) == 0
    between, whole = len(calls), real.marks()
    assert real.run(real.hurt, destroys=True) == 0
    methods = [method for method, _ in calls]
    return {False: methods[before:between], True: methods[between:]}, whole


def _point(real: Real, point: Point, whole: list[str]) -> str:
    """Run a point and say what is wrong."""
    wanted = [] if point.destroys else whole
    faults = real.proxy.faults
    fault = replace(FAULTS[point.what], skip=point.call)
    if point.what in KILLS:
        process = real.command(*(("destroy", "--yes") if point.destroys else ("provision", "--no-deploy")))
        faults.order(replace(fault, before=process.kill))
        process.communicate(timeout=PATIENCE)
        code, told, ok = process.returncode, "", {-signal.SIGKILL}
    else:
        faults.order(fault)
        (code, told), ok = real.outcome(real.hurt, destroys=point.destroys), {0, 1, 5}
    struck = faults.struck
    faults.revive()
    if code not in (ok if struck else {0}):
        return f"exit code {code}: {told}"
    if code == 0 and point.what not in LYING and real.marks() != wanted:
        return f"said that all was done, and there is {real.marks()}"
    if (again := real.outcome(real.hurt, destroys=point.destroys))[0] != 0:
        return f"the next run ended with {again}"
    if real.marks() != wanted:
        return f"the next run left {real.marks()}"
    writes = real.writes()
    if real.run(real.hurt, destroys=point.destroys) != 0 or real.writes() != writes:
        return f"the run after the next wrote {real.proxy.faults.writes[writes:]}"
    return "" if struck else NOT_STRUCK
