"""A random sample of the sweep on a real OpenStack: an embedded cloud that is up, and a proxy that hurts.

By hand, as root: ``MEDICARCHE_FAULTS_ON=NAME pytest tests/faults/test_real.py -s``, with the name of an
embedded cloud that holds no environment. ``MEDICARCHE_FAULTS_POINTS`` and ``MEDICARCHE_FAULTS_SEED`` choose
the points.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_openstack.faults import Fault, Kind
from fake_openstack.proxy import HurtingProxy
from medicarche import converge, people, provisioning
from medicarche.cloud import Target, connect, observe
from medicarche.embedded import EmbeddedCloud, namespace
from medicarche.errors import CloudRefused, MedicarcheError, Unreachable
from medicarche.paths import Paths
from medicarche.progress import SilentReporter
from medicarche.spec import load_environment
from medicarche.target import Options, Selection, select

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("MEDICARCHE_FAULTS_ON", "")
POINTS = int(os.environ.get("MEDICARCHE_FAULTS_POINTS", "50"))
SEED = int(os.environ.get("MEDICARCHE_FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
ENVIRONMENT = Path(__file__).with_name("real.yaml")
KILLS = ("kill -9 before the request", "kill -9 after the request")
FAULTS: dict[str, Fault] = {
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
}
pytestmark = pytest.mark.skipif(not NAME, reason="MEDICARCHE_FAULTS_ON names no embedded cloud")


@dataclass(frozen=True)
class Point:
    """A fault at the n-th call of a run; a kill of the command, or a fault in our process."""

    number: int
    what: str
    destroys: bool
    call: int


@dataclass
class Real:
    """The cloud, through the proxy and past it."""

    proxy: HurtingProxy
    hurt: Selection
    straight: Selection

    def run(self, selection: Selection, *, destroys: bool) -> int:
        """Run as the command does; the exit code."""
        try:
            if destroys:
                provisioning.destroy(selection, SilentReporter())
            else:
                provisioning.provision(selection, SilentReporter(), deploy=False).connections.close()
        except MedicarcheError as error:
            return error.exit_code
        return 0

    def command(self, *, destroys: bool) -> subprocess.Popen[bytes]:
        """Start the command itself."""
        words = ("destroy", "--yes") if destroys else ("provision", "--no-deploy")
        program = "from medicarche.cli import main; main()"
        clouds = ("--cloud", "medicarche", "--admin-cloud", "medicarche-admin")
        return subprocess.Popen(
            [sys.executable, "-c", program, "--environment", str(ENVIRONMENT), *clouds, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.hurt.target.clouds_yaml)},
        )

    def marks(self) -> list[str]:
        """Return the marks in the cloud, each as often as it is there."""
        with connect(self.straight.target) as connections:
            found = observe(connections, self.straight.environment.name, ())
        return sorted(item.mark for item in found if item.mark is not None)

    def writes(self) -> int:
        """Return how many writes have gone through the proxy."""
        return len(self.proxy.faults.writes)

    def foreign(self) -> list[str]:
        """Return the networks and groups that aren't ours."""
        with connect(self.straight.target) as connections:
            network = connections.member.network
            items = [
                *network.collection("/networks", "networks"),
                *network.collection("/security-groups", "security_groups"),
            ]
        return sorted(repr(i) for i in items if not str(i["description"]).startswith("medicarche:faults:"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Stand between us and the cloud."""
    cloud = EmbeddedCloud(NAME, Paths.from_environment())
    namespace.enter(cloud.netns)
    folder = tmp_path_factory.mktemp("real")
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDICARCHE_HOME", str(folder / "home"))
    options = Options(ENVIRONMENT, cloud="medicarche", admin_cloud="medicarche-admin")
    selected = select(replace(options, paths=Paths.from_environment()))
    straight = replace(selected, target=replace(selected.target, clouds_yaml=cloud.clouds_yaml))
    with connect(straight.target) as connections:
        upstreams = {
            service: str(connections.member.sdk.session.get_endpoint(service_type=service))
            for service in ("compute", "network", "image", "identity")
        }
        network = connections.member.network
        theirs = network.post("/networks", {"network": {"name": "private"}})["network"]["id"]
        group = {"security_group": {"name": "private-sg", "description": "medicarche:other:x"}}
        group_id = network.post("/security-groups", group)["security_group"]["id"]
        upstreams.pop("identity")
        try:
            with HurtingProxy(upstreams) as proxy:
                clouds = proxy.clouds_yaml(cloud.clouds_yaml, folder / "clouds.yaml")
                hurt = replace(straight, target=replace(straight.target, clouds_yaml=clouds))
                yield Real(proxy, hurt, straight)
        finally:
            network.delete(f"/networks/{theirs}")
            network.delete(f"/security-groups/{group_id}")
            patch.undo()


def test_a_random_sample(real: Real) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a sample, no secret
    print(f"\nseed {SEED}, {POINTS} points", flush=True)  # noqa: T201 - to run it again
    real.run(real.straight, destroys=True)
    lengths, whole = _lengths(real)
    foreign = real.foreign()
    wrong, began = [], time.monotonic()
    for number in range(POINTS):
        destroys = number % 2 == 1  # each begins with what the one before has left
        what = chance.choice([*KILLS, *KILLS, *FAULTS])
        point = Point(number, what, destroys, chance.randrange(lengths[destroys]))
        found = _point(real, point, whole)
        if real.foreign() != foreign:
            found += " foreign objects were touched"
        print(f"{time.monotonic() - began:5.0f} s {point} {found or 'as it should be'}", flush=True)  # noqa: T201 - long
        if found:
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
    with provisioning.plan(plain).connections as connections:
        assert connections.admin is None
    assert provisioning.plan(plain).plan.empty
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
    selection = replace(real.straight, environment=load_environment(file))
    with provisioning.provision(selection, SilentReporter(), deploy=False).connections as connections:
        found = converge.instances(connections, selection.environment.name)
        provisioning.wait_for_instances(selection, connections, found, SilentReporter())
        (instance,) = found
        stop = ["sudo", "systemd-run", "--on-active=1", "systemctl", "stop", "ssh.socket", "ssh.service"]
        assert selection.ssh("debian").run(instance, stop)[0] == 0
        time.sleep(5)
        monkeypatch.setattr(provisioning, "READY_TIMEOUT", 10.0)
        # before anything is deployed: this instance lets nothing out, and couldn't fetch a package
        with pytest.raises(Unreachable, match="host: port 22: "):
            provisioning.provision(selection, SilentReporter())
        reboot = {"reboot": {"type": "HARD"}}
        connections.member.compute.post(f"/servers/{instance.id}/action", reboot, repeatable=True)
        monkeypatch.undo()
        provisioning.wait_for_instances(selection, connections, found, SilentReporter())
    assert provisioning.plan(selection).plan.empty
    real.run(selection, destroys=True)


def _lengths(real: Real) -> tuple[dict[bool, int], list[str]]:
    """Return the number of calls of a provision and of a destroy, and the marks of the whole environment."""
    assert real.run(real.hurt, destroys=False) == 0
    calls, whole = len(real.proxy.faults.calls), real.marks()
    assert real.run(real.hurt, destroys=True) == 0
    return {False: calls, True: len(real.proxy.faults.calls) - calls}, whole


def _point(real: Real, point: Point, whole: list[str]) -> str:
    """Run a point and say what is wrong."""
    wanted = [] if point.destroys else whole
    faults = real.proxy.faults
    if point.what in KILLS:
        process = real.command(destroys=point.destroys)
        kind = Kind.DROP if point.what == KILLS[0] else Kind.LOSE
        faults.order(Fault(kind, "", "", skip=point.call, before=process.kill))
        code = process.wait(300)
        ok = {-9, 0}
    else:
        faults.order(replace(FAULTS[point.what], skip=point.call))
        code = real.run(real.hurt, destroys=point.destroys)
        ok = {0, 1, 5}
    faults.revive()
    if code not in ok:
        return f"exit code {code}"
    if code == 0 and real.marks() != wanted:
        return f"said that all was done, and there is {real.marks()}"
    if (again := real.run(real.hurt, destroys=point.destroys)) != 0:
        return f"the next run ended with {again}"
    if real.marks() != wanted:
        return f"the next run left {real.marks()}"
    writes = real.writes()
    if real.run(real.hurt, destroys=point.destroys) != 0 or real.writes() != writes:
        return f"the run after the next wrote {real.proxy.faults.writes[writes:]}"
    return ""
