"""The embedded OpenStack as the rest of Medicarche sees it: `EmbeddedCloud`."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ruamel.yaml import YAML

from medicarche.embedded import (
    bridge,
    cloud_secrets,
    configure,
    lock,
    logs,
    namespace,
    package_proxy,
    preflight,
    readiness,
    recipe,
    rootfs,
)
from medicarche.embedded.cgroups import is_unified
from medicarche.embedded.mirrors import mirrors_for
from medicarche.embedded.node import Node
from medicarche.errors import CommandError, MachineError
from medicarche.paths import Paths
from medicarche.spec.environment import Mirrors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from medicarche.progress import Reporter, Stage

__all__ = ["ADMIN_CLOUD", "MEMBER_CLOUD", "CloudStatus", "EmbeddedCloud", "SiteFacts"]

#: The entries of the cloud's clouds.yaml: the company's user, and the cloud's admin.
MEMBER_CLOUD: Final = "medicarche"
ADMIN_CLOUD: Final = "medicarche-admin"
PROXY_PORT: Final = 3142
DASHBOARD_PORT: Final = 8080
RUN: Final = Path("/run/medicarche")
_READY_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What the embedded cloud is like, for `medicarche.spec.environment.Site`.

    Attributes:
        hypervisor: ``lxc`` or ``kvm``.
        disk_format: of the images that it boots.
        package_proxy: address and port at which instances find the package proxy.
        external_physical_network: the provider's name for the external network.
    """

    hypervisor: recipe.Hypervisor
    disk_format: Literal["raw", "qcow2"]
    package_proxy: tuple[str, int]
    external_physical_network: str


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """How the cloud is.

    Attributes:
        name: the cloud's.
        state: ``absent``, ``stopped``, ``running`` (not, or not yet, ready), ``ready``.
        waiting: service → why it isn't ready.
        dashboard: Horizon's URL on the host.
        forwards: all forwards as the bridge has them: ``{"listen", "got", "connect"}`` each.
        folder: where the cloud's data is.
        clouds_yaml: the file with its credentials.
        netns: its network name space.
        hypervisor: ``lxc`` or ``kvm``.
    """

    name: str
    state: Literal["absent", "stopped", "running", "ready"]
    folder: Path
    clouds_yaml: Path
    netns: Path
    hypervisor: str | None = None
    waiting: Mapping[str, str] = field(default_factory=dict)
    dashboard: str | None = None
    forwards: tuple[Mapping[str, Any], ...] = ()


class EmbeddedCloud:
    """A real OpenStack on this machine: one node, its data, its way to the host's loopback.

    Args:
        name: several clouds with different names can be on one machine.
        paths: where clouds and caches are.
        mirrors: Debian mirrors that the user named.
        external_gateway: the node's address on the external network, with its prefix length.
    """

    def __init__(
        self,
        name: str = "medicarche",
        paths: Paths | None = None,
        mirrors: Mirrors | None = None,
        external_gateway: str = "10.20.20.1/24",
    ) -> None:
        self.name = name
        self.paths = paths or Paths.from_environment()
        self.external_gateway = external_gateway
        self.folder = self.paths.cloud(name)
        self.clouds_yaml = self.folder / "clouds.yaml"
        self._mirrors = mirrors or Mirrors()
        self._node = Node(f"medicarche-{name}", self.folder, RUN / name)
        self._secrets_file = self.folder / "secrets.json"
        self._log = self.folder / "build.log"

    @property
    def netns(self) -> Path:
        """The cloud's network name space, as ip-netns(8) names it."""
        return self._node.netns

    def preflight(self) -> None:
        """Look whether this machine can carry the cloud.

        Raises:
            MachineError: with everything that is wrong, one line each.
        """
        packages, schema = self._layers()
        preflight.check(
            home=self.paths.home,
            cache=self.paths.cache,
            sources=mirrors_for(self._mirrors, recipe.SUITE),
            cached=packages.complete and schema.complete,
            running=self._node.leader() is not None,
        )

    def up(self, reporter: Reporter) -> None:
        """Bring the cloud up, from nothing or from whatever a killed run or a reboot left; ready when it returns.

        Where it is up and ready already, that is all that is looked at.

        Raises:
            MachineError: the machine can't carry it, or another checkout's cloud has this name.
            CommandError: a stage failed; with the service's last log lines.
            Locked: another run is at it.
        """
        if os.geteuid() != 0:
            self.preflight()
        with lock.held(self._lock_file, f"the embedded cloud {self.name}"):
            self._check_owner()
            if self._marked_ready() and not self._look():
                self._start_helpers()
                return
            preflight.install_missing(reporter, log=self._log)
            with reporter.stage("Checking this machine"):
                self.preflight()
            packages, schema = self._build_layers(reporter)
            self._clean_up()
            self._prepare(packages, schema)
            with reporter.stage("Starting the node"):
                self._remember_owner()
                started = time.time()
                self._node.start((schema.tree, packages.tree))
                self._start_helpers()
            with reporter.stage("Waiting for OpenStack's services") as stage:
                self._wait(started, stage)
            cloud_secrets.write_private(self._ready_file, json.dumps({"since": started}))
            (self.folder / "complete").touch()

    def down(self, reporter: Reporter) -> None:
        """Stop the cloud, instances included; its data stays. Nothing else of it is left on the host.

        Raises:
            MachineError: something can't be removed; it is named.
            Locked: another run is at it.
        """
        with lock.held(self._lock_file, f"the embedded cloud {self.name}"):
            self._check_owner()
            with reporter.stage("Stopping the embedded cloud"):
                self._stop()

    def purge(self, reporter: Reporter) -> None:
        """Stop the cloud and remove all its data. The caches stay.

        Raises:
            MachineError: something can't be removed; it is named.
            Locked: another run is at it.
        """
        with lock.held(self._lock_file, f"the embedded cloud {self.name}"):
            self._check_owner()
            with reporter.stage("Stopping the embedded cloud"):
                self._stop()
            with reporter.stage("Removing its data"):
                rootfs.remove_tree(self.folder)
            self._lock_file.unlink(missing_ok=True)

    def status(self) -> CloudStatus:
        """Say how the cloud is; asks its services where it runs."""
        waiting: Mapping[str, str] = {}
        state: Literal["absent", "stopped", "running", "ready"]
        if self._node.leader() is not None and self._ours():
            waiting = self._look()
            state = "running" if waiting or not self._marked_ready() else "ready"
        else:
            state = "stopped" if (self.folder / "data").is_dir() else "absent"
        forwards = tuple(bridge.state(self.folder).get("forwards", ()))
        return CloudStatus(
            name=self.name,
            state=state,
            folder=self.folder,
            clouds_yaml=self.clouds_yaml,
            netns=self.netns,
            hypervisor=None if state == "absent" else self._hypervisor(),
            waiting=waiting,
            dashboard=self._dashboard(forwards),
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
            package_proxy=(self.external_gateway.partition("/")[0], PROXY_PORT),
            external_physical_network=configure.EXTERNAL_NETWORK,
        )

    def dashboard_login(self) -> tuple[str, str]:
        """Return the user and the password with which a person logs into the dashboard.

        Raises:
            FileNotFoundError: the cloud was never started.
        """
        return configure.MEMBER, cloud_secrets.load(self._secrets_file).member

    def forward(self, ports: Mapping[int, tuple[str, int]]) -> dict[int, int | None]:
        """Let the host's loopback ports lead into the cloud; the dashboard's stays.

        Args:
            ports: port on 127.0.0.1 → address and port inside. Forwards that aren't named any more end.

        Returns:
            Each port that was asked for → the one that it got, another where it was taken.

        Raises:
            CommandError: the bridge doesn't run.
        """
        wanted = [{"listen": ["127.0.0.1", port], "connect": list(target)} for port, target in ports.items()]
        got = bridge.set_forwards(self.folder, [_DASHBOARD, *wanted])["forwards"]
        return {f["listen"][1]: (f["got"] or [None, None])[1] for f in got if f["listen"][1] in ports}

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs a program in the node.

        Raises:
            MachineError: the cloud isn't up.
        """
        return self._node.command(arguments)

    # --- layers and configuration

    def _layers(self) -> tuple[rootfs.Layer, rootfs.Layer]:
        folder = self.paths.cache / "node"
        packages = rootfs.Layer(folder, "packages", recipe.packages_hash(self._hypervisor()))
        script = configure.render_schema_script()
        return packages, rootfs.Layer(folder, "schema", recipe.digest([packages.name, script]))

    def _build_layers(self, reporter: Reporter) -> tuple[rootfs.Layer, rootfs.Layer]:
        packages, schema = self._layers()
        if not packages.complete:
            with reporter.stage("Installing OpenStack's packages (once)") as stage:
                rootfs.ensure_layer(
                    packages,
                    lambda tree: rootfs.install_packages(
                        tree,
                        hypervisor=self._hypervisor(),
                        sources=mirrors_for(self._mirrors, recipe.SUITE),
                        log=self._log,
                        stage=stage,
                    ),
                )
        if not schema.complete:
            with reporter.stage("Making OpenStack's databases (once)") as stage:
                rootfs.ensure_layer(
                    schema,
                    lambda tree: rootfs.make_schema(
                        tree,
                        packages=packages.tree,
                        script=configure.render_schema_script(),
                        log=self._log,
                        stage=stage,
                    ),
                )
        return packages, schema

    def _prepare(self, packages: rootfs.Layer, schema: rootfs.Layer) -> None:
        """Make the cloud's folder: secrets, credentials, configuration."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        made_of = self.folder / "layers"
        if (self.folder / "complete").exists() and made_of.read_text() != schema.name:
            raise MachineError(
                f"the embedded cloud {self.name} was made from other packages than those of this Medicarche",
                hint="remove it and make it anew: medicarche cloud purge, then cloud up",
            )
        made_of.write_text(schema.name, encoding="utf-8")
        (self.folder / "hypervisor").write_text(self._hypervisor(), encoding="utf-8")
        secrets = cloud_secrets.load_or_generate(self._secrets_file)
        _write_clouds_yaml(self.clouds_yaml, secrets)
        settings = configure.Settings(
            secrets=secrets,
            hypervisor=self._hypervisor(),
            unified=is_unified(),
            external_gateway=self.external_gateway,
        )
        configure.write_layer(configure.render(settings), self._node.config, (schema.tree, packages.tree))

    def _hypervisor(self) -> recipe.Hypervisor:
        """What the cloud was made with; for a new one, what works here."""
        with suppress(FileNotFoundError):
            return "kvm" if (self.folder / "hypervisor").read_text(encoding="utf-8") == "kvm" else "lxc"
        try:
            from medicarche.embedded import kvm
        except ImportError:
            return "lxc"
        return "kvm" if kvm.kvm_works() else "lxc"

    # --- running

    def _start_helpers(self) -> None:
        """Start the package proxy and the bridge; what runs is left alone."""
        packages, _ = self._layers()
        socket = package_proxy.start(
            packages.tree,
            self.folder / "proxy",
            self.paths.cache / "packages",
            mirrors_for(self._mirrors, recipe.SUITE),
        )
        config = self.folder / "bridge.json"
        forwards = [dict(f) for f in self._forwards_kept()]
        cloud_secrets.write_private(
            config,
            json.dumps(
                {
                    "netns": str(self.netns),
                    "forwards": forwards,
                    "package_proxy": {
                        "listen": [self.external_gateway.partition("/")[0], PROXY_PORT],
                        "upstream_socket": str(socket),
                    },
                    "ready_file": str(self.folder / "bridge.ready"),
                    "log": str(self.folder / "bridge.log"),
                }
            ),
        )
        bridge.start(config)

    def _forwards_kept(self) -> Iterable[Mapping[str, Any]]:
        """The forwards that there were before; the dashboard's where there were none."""
        try:
            return list(json.loads((self.folder / "bridge.json").read_text(encoding="utf-8"))["forwards"])
        except (OSError, ValueError, KeyError):
            return [_DASHBOARD]

    def _wait(self, started: float, stage: Stage) -> None:
        leader = self._node.leader()
        waiting: dict[str, str] = {}
        with subprocess.Popen(self._readiness(leader, started, _READY_SECONDS), stdout=subprocess.PIPE, text=True) as p:
            assert p.stdout is not None  # noqa: S101 - for the type checker: it was asked for
            try:
                for line in p.stdout:
                    waiting = json.loads(line)
                    stage.update(", ".join(waiting))
                    if self._node.leader() != leader:
                        p.kill()
            except BaseException:
                p.kill()
                raise
        if p.returncode != 0:
            raise self._failure(waiting)

    def _failure(self, waiting: Mapping[str, str]) -> CommandError:
        if self._node.leader() is None:
            said = logs.last_lines(self._node.console)
            return CommandError(
                f"the node ended while OpenStack's services were starting; its last words:\n{said}",
                hint="try again: medicarche cloud up",
            )
        probe = next(iter(waiting), "identity")
        service = readiness.LOGS[probe]
        reasons = "\n".join(f"- {name}: {why}" for name, why in waiting.items())
        return CommandError(
            f"OpenStack's services aren't ready after {_READY_SECONDS:g} s:\n{reasons}\n"
            f"The last lines of {service}:\n{self.logs(service, 12)}",
            hint=f"medicarche cloud logs {service}",
        )

    def _look(self) -> dict[str, str]:
        """Ask all services once; returns who isn't ready, and why."""
        leader = self._node.leader()
        if leader is None:
            return {"node": "it doesn't run"}
        done = subprocess.run(
            self._readiness(leader, self._since(), 0), capture_output=True, text=True, check=False, timeout=120
        )
        try:
            found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            return {"readiness": done.stderr.strip()[-200:] or "no answer"}
        return found

    def _readiness(self, leader: int | None, since: float, seconds: float) -> list[str]:
        return namespace.inside_command(
            self.netns,
            [
                *(sys.executable, "-c", "import sys; from medicarche.embedded.readiness import main; sys.exit(main())"),
                *("--secrets", str(self._secrets_file), "--since", str(since), "--seconds", str(seconds)),
                *("--metadata-socket", f"/proc/{leader}/root/var/lib/neutron/metadata_proxy"),
            ],
        )

    def _since(self) -> float:
        try:
            return float(json.loads(self._ready_file.read_text(encoding="utf-8"))["since"])
        except (OSError, ValueError, KeyError):
            return 0.0

    def _marked_ready(self) -> bool:
        return self._ready_file.exists() and self._node.leader() is not None

    # --- ending

    def _stop(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        bridge.stop(self.folder)
        package_proxy.stop(self.folder / "proxy")
        self._node.stop()
        with suppress(FileNotFoundError):
            shutil.rmtree(self._node.run_folder)
        with suppress(OSError):
            RUN.rmdir()

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
    def _lock_file(self) -> Path:
        return self.folder.with_name(f"{self.name}.lock")

    @property
    def _owner_file(self) -> Path:
        return self._node.run_folder / "owner"

    @property
    def _ready_file(self) -> Path:
        return self._node.run_folder / "ready"

    def _ours(self) -> bool:
        try:
            return Path(self._owner_file.read_text(encoding="utf-8")) == self.folder.resolve()
        except FileNotFoundError:
            return True

    def _check_owner(self) -> None:
        if self._ours():
            return
        owner = Path(self._owner_file.read_text(encoding="utf-8"))
        if owner.is_dir() and self._node.leader() is not None:
            raise MachineError(
                f"an embedded cloud called {self.name} runs on this machine already, with its data in {owner}",
                hint="give this one another name, or stop the other: MEDICARCHE_HOME="
                f"{owner.parent.parent} medicarche cloud down",
            )

    def _remember_owner(self) -> None:
        self._node.run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._owner_file.write_text(str(self.folder.resolve()), encoding="utf-8")

    @staticmethod
    def _dashboard(forwards: Iterable[Mapping[str, Any]]) -> str | None:
        for forward in forwards:
            if forward["connect"] == _DASHBOARD["connect"] and forward.get("got"):
                address, port = forward["got"]
                return f"http://{address}:{port}/"
        return None


_DASHBOARD: Final[dict[str, list[Any]]] = {"listen": ["127.0.0.1", DASHBOARD_PORT], "connect": ["127.0.0.1", 80]}


def _write_clouds_yaml(path: Path, secrets: cloud_secrets.Secrets) -> None:
    """Write the cloud's credentials in openstacksdk's format, readable by their owner only."""
    common = {"region_name": configure.REGION, "identity_api_version": 3}
    content = {
        "clouds": {
            MEMBER_CLOUD: {
                "auth_type": "v3applicationcredential",
                "auth": {
                    "auth_url": configure.IDENTITY_URL,
                    "application_credential_id": secrets.application_credential_id,
                    "application_credential_secret": secrets.application_credential_secret,
                },
                **common,
            },
            ADMIN_CLOUD: {
                "auth": {
                    "auth_url": configure.IDENTITY_URL,
                    "username": "admin",
                    "password": secrets.admin,
                    "project_name": "admin",
                    "user_domain_name": "Default",
                    "project_domain_name": "Default",
                },
                **common,
            },
        }
    }
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(content, stream)
    cloud_secrets.write_private(path, stream.getvalue())
