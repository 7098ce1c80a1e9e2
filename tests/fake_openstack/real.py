"""A real OpenStack for tests by hand: an embedded cloud that is up, with a proxy before it that hurts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_openstack.proxy import HurtingProxy
from medicarche import image, provisioning
from medicarche.cloud.connect import Connections, connect
from medicarche.cloud.observe import observe
from medicarche.embedded import namespace
from medicarche.embedded.build import ADMIN_CLOUD, MEMBER_CLOUD
from medicarche.embedded.cloud import EmbeddedCloud
from medicarche.errors import MedicarcheError
from medicarche.options import Options
from medicarche.paths import Paths
from medicarche.progress import SilentReporter
from medicarche.target import Selection, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ENVIRONMENT", "NAME", "PATIENCE", "Real", "by_hand", "real", "until"]

#: of the embedded cloud
NAME = os.environ.get("MEDICARCHE_FAULTS_ON", "")
ENVIRONMENT = Path(__file__).resolve().parents[1] / "faults" / "real.yaml"
#: seconds that a command, or a moment in it, may take on a busy machine
PATIENCE = 300.0
#: the exit code of a fault of ours
OUR_FAULT = 70
by_hand = pytest.mark.skipif(not NAME, reason="MEDICARCHE_FAULTS_ON names no embedded cloud")


@dataclass
class Real:
    """The cloud, through the proxy (``hurt``) and past it (``straight``, ``connections``)."""

    proxy: HurtingProxy
    hurt: Selection
    straight: Selection
    connections: Connections
    embedded: EmbeddedCloud

    def hosting(self, file: Path) -> tuple[Selection, Selection]:
        """Return an environment with servers, through the proxy and past it; its image is built.

        What its servers run on only the embedded cloud itself says, so that it isn't chosen as an entry.
        """
        chosen = select(Options(file, embedded_name=NAME, paths=self.embedded.paths))
        spec, builder = chosen.environment, self.embedded.site_facts().hypervisor
        with namespace.outside():
            for wanted in spec.images:
                image.build(wanted, spec.locale, builder, chosen.paths, spec.mirrors, SilentReporter())
        target = replace(chosen.target, clouds_yaml=self.hurt.target.clouds_yaml)
        return replace(chosen, target=target), chosen

    def run(self, selection: Selection, *, destroys: bool = False) -> int:
        """Run as the command does; the exit code."""
        return self.outcome(selection, destroys=destroys)[0]

    def outcome(self, selection: Selection, *, destroys: bool = False) -> tuple[int, str]:
        """Run as the command does; the exit code, and what is told of an error."""
        try:
            if destroys:
                provisioning.destroy(selection, SilentReporter())
            else:
                provisioning.provision(selection, SilentReporter(), deploy=False).connections.close()
        except MedicarcheError as error:
            return error.exit_code, error.message
        except Exception:  # noqa: BLE001 - as the command does: a fault of ours
            return OUR_FAULT, traceback.format_exc()
        return 0, ""

    def command(self, *words: str, hosting: Path | None = None) -> subprocess.Popen[str]:
        """Start the command itself, in a process group of its own; it has nobody to ask.

        Args:
            words: of the command.
            hosting: an environment with servers, as `hosting` takes it.
        """
        clouds = self.hurt.target.clouds_yaml
        where = ["--cloud", MEMBER_CLOUD, "--admin-cloud", ADMIN_CLOUD]
        program, more = "", {"OS_CLIENT_CONFIG_FILE": str(clouds)}
        if hosting is not None:
            where = []
            more = {"MEDICARCHE_HOME": str(self.embedded.paths.home), "MEDICARCHE_EMBEDDED_NAME": NAME}
            program = (
                "import pathlib; from medicarche import connecting; made = connecting.Target; "
                "connecting.Target = lambda **given: made(**{**given, "
                f"'clouds_yaml': pathlib.Path({str(clouds)!r})}}); "
            )
        program += "from medicarche.cli import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", program, "--environment", str(hosting or ENVIRONMENT), *where, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **more},
            process_group=0,
        )

    def marks(self) -> list[str]:
        """Return the marks in the cloud, each as often as it is there."""
        found = observe(self.connections, self.straight.environment.name, ())
        return sorted(item.mark for item in found if item.mark is not None)

    def writes(self) -> int:
        """Return how many writes have gone through the proxy."""
        return len(self.proxy.faults.writes)

    def foreign(self) -> list[str]:
        """Return the networks and groups that aren't ours."""
        network = self.connections.member.network
        items = [
            *network.collection("/networks", "networks"),
            *network.collection("/security-groups", "security_groups"),
        ]
        return sorted(repr(i) for i in items if not str(i["description"]).startswith("medicarche:faults:"))

    def servers(self) -> dict[str, dict[str, Any]]:
        """Return the project's servers by name.

        Raises:
            AssertionError: two have one name.
        """
        found = self.connections.member.compute.collection("/servers/detail", "servers")
        by_name = {str(raw["name"]): raw for raw in found}
        assert len(by_name) == len(found), sorted(raw["name"] for raw in found)
        return by_name


def until(condition: Callable[[], object]) -> None:
    """Wait for something to happen in the cloud."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Stand between us and the cloud."""
    cloud = EmbeddedCloud(NAME, Paths.from_environment())
    namespace.enter(cloud.netns)
    folder = tmp_path_factory.mktemp("real")
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDICARCHE_HOME", str(folder / "home"))
    options = Options(ENVIRONMENT, cloud=MEMBER_CLOUD, admin_cloud=ADMIN_CLOUD)
    selected = select(replace(options, paths=Paths.from_environment()))
    straight = replace(selected, target=replace(selected.target, clouds_yaml=cloud.clouds_yaml))
    with connect(straight.target) as connections:
        session = connections.member.sdk.session
        upstreams = {s: str(session.get_endpoint(service_type=s)) for s in ("compute", "network", "image")}
        network = connections.member.network
        theirs = network.post("/networks", {"network": {"name": "private"}})["network"]["id"]
        group = {"security_group": {"name": "private-sg", "description": "medicarche:other:x"}}
        group_id = network.post("/security-groups", group)["security_group"]["id"]
        try:
            with HurtingProxy(upstreams) as proxy:
                clouds = proxy.clouds_yaml(cloud.clouds_yaml, folder / "clouds.yaml")
                hurt = replace(straight, target=replace(straight.target, clouds_yaml=clouds))
                yield Real(proxy, hurt, straight, connections, cloud)
        finally:
            network.delete(f"/networks/{theirs}")
            network.delete(f"/security-groups/{group_id}")
            patch.undo()
