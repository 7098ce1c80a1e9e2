"""What a look at an environment costs as it grows: calls, seconds and memory of ``medicarche plan``.

The cloud is the fake one of the tests, in this process; the command is a process of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fake_openstack import FakeOpenStack
from medicarche import converge, planning
from medicarche.cloud.connect import connect
from medicarche.cloud.observe import observe
from medicarche.options import Options
from medicarche.paths import Paths
from medicarche.plan import derive, make_plan
from medicarche.plan.resources import Image
from medicarche.progress import SilentReporter
from medicarche.target import select

__all__ = ["Look", "look"]

MEMBER, ADMIN = "demo", "admin"
PLENTY = 1_000_000
KIB_PER_MIB = 1024

_SHARED = """
version: 1
name: scale
organization: Scale
domain: scale.internal
locale: {language: fr_FR.UTF-8, keyboard: fr, timezone: Europe/Paris}
administrators: {prefixes: [10.20.0.0/16]}
networks:
  external:
    external: true
    physical_network: physnet1
    subnets:
      external-subnet:
        {cidr: 10.20.0.0/16, gateway: 10.20.0.1, dhcp: false, pools: [{first: 10.20.1.0, last: 10.20.99.0}]}
  private:
    subnets:
      private-subnet: {cidr: 172.16.0.0/16, gateway: 172.16.0.1}
routers:
  router: {external_network: external, subnets: [private-subnet]}
security_groups:
  shared:
    ingress: [{port: 22, from: administrators, why: administration}]
flavors:
  scale.small: {vcpus: 1, ram_mib: 512, disk_gib: 2}
images:
  debian-13: {suite: trixie, user: debian, disk_mib: 1024}
key_pair: administration
applications: {}
instances:
"""
_INSTANCE = (
    "  server-{n}: {{flavor: scale.small, image: debian-13, network: private,"
    " security_groups: [shared], floating_ip: true}}\n"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What ``medicarche plan`` cost where there was nothing to do.

    Attributes:
        servers: of the environment.
        calls: HTTP calls, authentication and discovery included.
        writes: of these, but for authentication.
        seconds: of the whole process, on the clock.
        processor: seconds that it had the processor.
        memory: MiB that it held at most.
    """

    servers: int
    calls: int
    writes: int
    seconds: float
    processor: float
    memory: float


def look(servers: int) -> Look:
    """Build an environment on a fake cloud, and look at it with the command."""
    with tempfile.TemporaryDirectory() as name, FakeOpenStack() as fake:
        folder = Path(name)
        file = folder / "scale.yaml"
        instances = (_INSTANCE.format(n=n) for n in range(servers))
        file.write_text(_SHARED + "".join(instances), encoding="utf-8")
        fake.nova.quota = dict.fromkeys(fake.nova.quota, PLENTY)
        fake.neutron.quota = dict.fromkeys(fake.neutron.quota, PLENTY)
        clouds = fake.write_clouds_yaml(folder / "clouds.yaml")
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(clouds)
        paths = Paths(home=folder / "home", cache=folder / "cache")
        _build(Options(file, cloud=MEMBER, admin_cloud=ADMIN, paths=paths), folder / "image")
        fake.faults.calls.clear()
        environment = {**os.environ, "MEDICARCHE_HOME": str(paths.home), "MEDICARCHE_CACHE": str(paths.cache)}
        return _measured(servers, fake, file, environment)


def _build(options: Options, image: Path) -> None:
    selection = select(options)
    wanted = derive(selection.environment, planning.site_of(selection))
    image.write_bytes(b"disk")
    name = selection.environment.name
    with connect(selection.target) as connections:
        plan = make_plan(name, wanted, observe(connections, name, wanted))
        files = {resource.name: image for resource in wanted if isinstance(resource, Image)}
        converge.apply(connections, plan, images=files, reporter=SilentReporter(), poll_interval=0)


def _measured(servers: int, fake: FakeOpenStack, file: Path, environment: dict[str, str]) -> Look:
    words = ["--environment", str(file), "--cloud", MEMBER, "--admin-cloud", ADMIN]
    program = [sys.executable, "-c", "from medicarche.cli import main; main()", *words, "plan"]
    began = time.monotonic()
    child = os.posix_spawn(program[0], program, environment)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - began
    if code := os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"`plan` of {servers} servers ended with {code}: there should be nothing to do")
    return Look(
        servers=servers,
        calls=len(fake.faults.calls),
        writes=len(fake.faults.writes),
        seconds=seconds,
        processor=usage.ru_utime + usage.ru_stime,
        memory=usage.ru_maxrss / KIB_PER_MIB,
    )
