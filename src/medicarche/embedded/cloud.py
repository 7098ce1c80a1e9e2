"""The embedded OpenStack as the rest of Medicarche sees it: `EmbeddedCloud`."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ruamel.yaml import YAML

from medicarche import host_packages, runlock
from medicarche.embedded import (
    authorities,
    build,
    cloud_secrets,
    configure,
    dashboard_domains,
    helpers,
    kvm,
    logs,
    preflight,
    recipe,
    rootfs,
)
from medicarche.embedded.mirrors import mirrors_for
from medicarche.embedded.node import Node
from medicarche.embedded.place import Place
from medicarche.embedded.service_watch import ServiceWatch
from medicarche.embedded.services import service_named
from medicarche.embedded.status import CloudStatus, SiteFacts
from medicarche.errors import MachineError
from medicarche.paths import Paths
from medicarche.spec.environment import Mirrors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.progress import Reporter

__all__ = ["EmbeddedCloud"]

#: of a cloud for which no environment says anything else
_EXTERNAL_GATEWAY: Final = "10.20.20.1/24"


class EmbeddedCloud:
    """A real OpenStack on this machine: one node, its data, its way to the host's loopback.

    Args:
        name: several clouds with different names can be on one machine.
        paths: where clouds and caches are.
        mirrors: Debian mirrors that the user named.
        external_gateway: the node's address on the external network, with its prefix length; where none is
            given, the one that the cloud was made with.
    """

    def __init__(
        self,
        name: str = "medicarche",
        paths: Paths | None = None,
        mirrors: Mirrors | None = None,
        external_gateway: str | None = None,
    ) -> None:
        self.name = name
        self.paths = paths or Paths.from_environment()
        place = Place(name, self.paths)
        self.folder, self.clouds_yaml, self._lock_file = place.folder, place.clouds_yaml, place.lock
        self._wanted_gateway = external_gateway
        self._mirrors = mirrors or Mirrors()
        self._node = Node(place.node, self.folder, place.run_folder)
        self._secrets_file = self.folder / "secrets.json"
        self._services = ServiceWatch(self._node, self._secrets_file)
        self._helpers = helpers.Helpers(self.folder, self._node.netns, self.paths.cache)
        self._log = self.folder / "build.log"
        self._fits = False

    @property
    def netns(self) -> Path:
        """The cloud's network name space, as ip-netns(8) names it."""
        return self._node.netns

    @property
    def external_gateway(self) -> str:
        """The node's address on the external network, with its prefix length."""
        return self._wanted_gateway or self._made_with or _EXTERNAL_GATEWAY

    @property
    def _made_with(self) -> str | None:
        """The external gateway that the cloud was made with, or None where it isn't there."""
        if not (self.folder / "complete").exists():
            return None
        with suppress(FileNotFoundError):
            return self._gateway_file.read_text(encoding="utf-8").strip()
        return _EXTERNAL_GATEWAY

    @property
    def _gateway_file(self) -> Path:
        return self.folder / "external-gateway"

    def make_room(self, reporter: Reporter) -> None:
        """Install what is missing on this machine, and look whether it can carry the cloud; once is enough.

        Raises:
            MachineError: with everything that is wrong, one line each.
        """
        if self._fits:
            return
        if os.geteuid() == 0:
            host_packages.ensure(preflight.missing_packages(), reporter, log=self._log)
        with reporter.stage("Checking this machine"):
            self.preflight()
        self._fits = True

    def preflight(self) -> None:
        """Look whether this machine can carry the cloud.

        Raises:
            MachineError: with everything that is wrong, one line each.
        """
        packages, schema = self._layers()
        preflight.check(
            home=self.paths.home,
            cache=self.paths.cache,
            sources=self._sources(),
            cached=packages.is_complete() and schema.is_complete(),
            running=self._node.leader() is not None,
        )

    def up(self, reporter: Reporter) -> None:
        """Bring the cloud up, from nothing or from what a killed run or a reboot left; ready when it returns.

        Where it is up and ready already, that is all that is looked at.

        Raises:
            MachineError: the machine can't carry it, another checkout's cloud has this name, or it was made
                with another external network than is wanted.
            CommandError: a stage failed; with the service's last log lines.
            Locked: another run is at it.
        """
        if os.geteuid() != 0:
            self.preflight()
        with runlock.held(self._lock_file, f"the embedded cloud {self.name}"):
            self._check_owner()
            self._check_gateway()
            if self._services.marked_ready() and not self._services.look():
                self._start_helpers()
                return
            self.make_room(reporter)
            packages, schema = self._layers()
            build.ensure_layers(
                packages,
                schema,
                hypervisor=self._hypervisor(),
                sources=self._sources(),
                log=self._log,
                reporter=reporter,
            )
            self._clean_up()
            build.prepare(
                self.name,
                self.folder,
                self._node.config,
                (schema, packages),
                hypervisor=self._hypervisor(),
                external_gateway=self.external_gateway,
            )
            self._gateway_file.write_text(f"{self.external_gateway}\n", encoding="utf-8")
            with reporter.stage("Starting the node"):
                if not (self.folder / "complete").exists():
                    build.seed_databases((schema, packages), self._node.upper)
                self._remember_owner()
                started = time.time()
                self._node.start((schema.tree, packages.tree))
                self._start_helpers()
            with reporter.stage("Waiting for OpenStack's services") as stage:
                self._services.wait(started, stage)
            self._services.mark_ready(started)
            (self.folder / "complete").touch()

    def down(self, reporter: Reporter) -> None:
        """Stop the cloud, instances included; its data stays. Nothing else of it is left on the host.

        Raises:
            MachineError: something can't be removed; it is named.
            Locked: another run is at it.
        """
        with runlock.held(self._lock_file, f"the embedded cloud {self.name}"):
            self._check_owner()
            with reporter.stage("Stopping the embedded cloud"):
                self._stop()

    def purge(self, reporter: Reporter) -> None:
        """Stop the cloud and remove all its data. The caches stay.

        Raises:
            MachineError: something can't be removed; it is named.
            Locked: another run is at it.
        """
        with runlock.held(self._lock_file, f"the embedded cloud {self.name}"):
            self._check_owner()
            with reporter.stage("Stopping the embedded cloud"):
                self._stop()
            with reporter.stage("Removing its data"):
                rootfs.remove_tree(self.folder)

    def status(self) -> CloudStatus:
        """Say how the cloud is; asks its services where it runs."""
        waiting: Mapping[str, str] = {}
        state: Literal["absent", "stopped", "running", "ready"]
        if self._node.leader() is not None and self._ours():
            waiting = self._services.look()
            state = "running" if waiting or not self._services.marked_ready() else "ready"
        else:
            state = "stopped" if (self.folder / "data").is_dir() else "absent"
        forwards = self._helpers.forwards()
        return CloudStatus(
            name=self.name,
            state=state,
            folder=self.folder,
            clouds_yaml=self.clouds_yaml,
            netns=self.netns,
            hypervisor=None if state == "absent" else self._hypervisor(),
            waiting=waiting,
            dashboard=helpers.dashboard(forwards),
            forwards=forwards,
        )

    def logs(self, service: str | None = None, lines: int = 50) -> str:
        """Return the last lines of a service's logs, or of the node's whole journal.

        Raises:
            MedicarcheError: there is no such service; the hint names those that there are.
        """
        return logs.read(self._node.upper, service, lines)

    def site_facts(self) -> SiteFacts:
        """Say what images must be like, and where instances find packages."""
        hypervisor = self._hypervisor()
        return SiteFacts(
            hypervisor=hypervisor,
            disk_format="raw" if hypervisor == "lxc" else "qcow2",
            package_proxy=(self.external_gateway.partition("/")[0], helpers.PROXY_PORT),
            external_physical_network=configure.EXTERNAL_NETWORK,
            api=self._api(),
        )

    def _api(self) -> tuple[tuple[str, int], ...]:
        """Return where instances find the API: those that their security groups let."""
        address = self.external_gateway.partition("/")[0]
        names = ("keystone", "nova-api", "neutron-api", "glance-api")
        return tuple((address, port) for name in names if (port := service_named(name).port) is not None)

    def keystone_asks_from(self) -> str:
        """Return the prefix from which instances see Keystone: its node is the external network's gateway."""
        return f"{self.external_gateway.partition('/')[0]}/32"

    def trust(self, environment: str, certificate: str) -> None:
        """Have Keystone believe the authority (PEM) of an environment whose directory it asks.

        Raises:
            MachineError: the cloud isn't up.
            CommandError: the node's file can't be written.
        """
        authorities.trust(self._node, environment, certificate)

    def offer_domain(self, environment: str, domain: str | None) -> None:
        """Offer the domain of an environment's directory on the dashboard's log-in page; None: none of its.

        Raises:
            MachineError: the cloud isn't up.
            CommandError: the node's file can't be written.
        """
        dashboard_domains.offer(self._node, environment, domain)

    def reader_entry(self) -> dict[str, Any]:
        """Return the entry of clouds.yaml of who only looks at the project: what the supervision acts with.

        Raises:
            MachineError: the cloud was started before it had one.
        """
        content = YAML(typ="safe", pure=True).load(self.clouds_yaml.read_text(encoding="utf-8"))
        try:
            entry: dict[str, Any] = content["clouds"][build.READER_CLOUD]
        except KeyError as error:
            raise MachineError(
                f"the embedded cloud {self.name!r} runs since before the supervision could look at it",
                hint="start it again: medicarche cloud down, then medicarche provision",
            ) from error
        return entry

    def processor_seconds(self) -> float:
        """Return what the cloud, its instances included, has used of the processor so far, in seconds."""
        return self._node.processor_seconds()

    def dashboard_login(self) -> tuple[str, str]:
        """Return the user and the password with which a person logs into the dashboard.

        Raises:
            FileNotFoundError: the cloud was never started.
        """
        return configure.MEMBER, cloud_secrets.load(self._secrets_file).member

    def secret_values(self) -> frozenset[str]:
        """Return the passwords and keys of its services: what a report has to mask."""
        return cloud_secrets.values(self._secrets_file)

    def forward(self, ports: Mapping[int, tuple[str, int]]) -> dict[int, int | None]:
        """Let the host's loopback ports lead into the cloud; the dashboard's stays.

        Args:
            ports: port on 127.0.0.1 → address and port inside. Forwards that aren't named any more end.

        Returns:
            Each port that was asked for → the one that it got, another where it was taken.

        Raises:
            CommandError: the bridge doesn't run.
        """
        return self._helpers.forward(ports)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs a program in the node.

        Raises:
            MachineError: the cloud isn't up.
        """
        return self._node.command(arguments)

    # --- layers and configuration

    def _layers(self) -> tuple[rootfs.Layer, rootfs.Layer]:
        return build.layers(self.paths.cache, self._hypervisor())

    def _sources(self) -> tuple[str, ...]:
        return mirrors_for(self._mirrors, recipe.SUITE)

    def _hypervisor(self) -> recipe.Hypervisor:
        """What the cloud was made with; for a new one, what works here."""
        with suppress(FileNotFoundError):
            return "kvm" if (self.folder / "hypervisor").read_text(encoding="utf-8") == "kvm" else "lxc"
        return "kvm" if kvm.kvm_works() else "lxc"

    # --- running

    def _start_helpers(self) -> None:
        packages, _ = self._layers()
        self._helpers.start(
            packages.tree, self._sources(), self.external_gateway.partition("/")[0], relays=self._api()
        )

    # --- ending

    def _stop(self) -> None:
        self._services.forget()
        self._helpers.stop()
        self._node.stop()
        with suppress(FileNotFoundError):
            shutil.rmtree(self._node.run_folder)

    def _clean_up(self) -> None:
        """Remove what an earlier start left; a cloud that never became ready is made anew."""
        self._stop()
        if self.folder.exists() and not (self.folder / "complete").exists():
            for part in ("data", "work", "config", "secrets.json", "layers", "clouds.yaml"):
                path = self.folder / part
                if path.is_dir():
                    rootfs.remove_tree(path)
                else:
                    path.unlink(missing_ok=True)

    # --- whose it is

    @property
    def _owner_file(self) -> Path:
        return self._node.run_folder / "owner"

    def _ours(self) -> bool:
        try:
            return Path(self._owner_file.read_text(encoding="utf-8")) == self.folder.resolve()
        except FileNotFoundError:
            return True

    def _check_gateway(self) -> None:
        made_with = self._made_with
        if made_with is not None and made_with != self.external_gateway:
            raise MachineError(
                f"the embedded cloud {self.name!r} was made with the external gateway {made_with};"
                f" this environment's is {self.external_gateway}",
                hint="let MEDICARCHE_EMBEDDED_NAME name another cloud for it,"
                " or remove this one: medicarche cloud purge",
            )

    def _check_owner(self) -> None:
        if self._ours():
            return
        owner = Path(self._owner_file.read_text(encoding="utf-8"))
        if owner.is_dir() and self._node.leader() is not None:
            raise MachineError(
                f"an embedded cloud called {self.name} runs here already, with its data in {owner}",
                hint="give this one another name, or stop the other: MEDICARCHE_HOME="
                f"{owner.parent.parent} medicarche cloud down",
            )

    def _remember_owner(self) -> None:
        self._node.run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._owner_file.write_text(str(self.folder.resolve()), encoding="utf-8")
