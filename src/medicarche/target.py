"""Which cloud is meant: the one that is configured, else the embedded one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medicarche.cloud import Target
from medicarche.embedded import namespace
from medicarche.embedded.cloud import EmbeddedCloud
from medicarche.errors import CloudUnreachable, MedicarcheError
from medicarche.paths import Paths
from medicarche.spec import load_environment
from medicarche.ssh import Ssh

if TYPE_CHECKING:
    from collections.abc import Collection

    from medicarche.spec.environment import Environment

__all__ = ["EMBEDDED_NAME", "Options", "Selection", "select"]

EMBEDDED_NAME = "medicarche"
_CLOUD_NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")


@dataclass(frozen=True, slots=True)
class Options:
    """What a user says on the command line.

    Attributes:
        environment_file: the environment to build.
        cloud: an entry of ``clouds.yaml``; None for ``OS_CLOUD``, and the embedded cloud without that.
        admin_cloud: an entry with administrator's rights there, for what only an admin may create.
        embedded_name: the embedded cloud's name; several can run side by side.
        paths: where clouds, secrets and caches are kept.
        without: names of applications that aren't deployed this time.
    """

    environment_file: Path = Path("environments/medicarche.yaml")
    cloud: str | None = None
    admin_cloud: str | None = None
    embedded_name: str | None = None
    paths: Paths = field(default_factory=Paths.from_environment)
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The environment and the cloud that a command works on.

    Attributes:
        environment: what the environment file says.
        target: the entries of ``clouds.yaml``.
        embedded: the embedded cloud, where the target is on it.
        folder: the environment's secrets on that cloud: key pair, authority, credentials, pinned host keys.
        paths: where clouds and caches are kept.
        blind: applications that the file lets look at the cloud, and that can't look at this one.
    """

    environment: Environment
    target: Target
    embedded: EmbeddedCloud | None
    folder: Path
    paths: Paths
    blind: tuple[str, ...] = ()

    def without(self, names: Collection[str]) -> Selection:
        """Return this selection with those applications left out: declared, and not deployed."""
        return replace(self, environment=self.environment.without(names))

    def enter(self) -> None:
        """Enter the embedded cloud's network name space, and refuse its addresses anywhere else.

        Does nothing for a configured cloud.

        Raises:
            CloudUnreachable: the embedded cloud isn't up.
        """
        if self.embedded is None:
            return
        self.guard()
        if not self.embedded.netns.exists():
            raise CloudUnreachable(
                f"the embedded cloud {self.embedded.name!r} isn't up",
                hint="medicarche cloud up (or: nox -s provision)",
            )
        namespace.enter(self.embedded.netns)

    def user_of(self, instance: str) -> str:
        """Return the default user of an instance's image."""
        wanted = self.environment.instance(instance).image
        return next(i.user for i in self.environment.images if i.name == wanted)

    def ssh(self, user: str) -> Ssh:
        """Return SSH to the environment's instances as that user, with the environment's key and pins."""
        return Ssh(self.folder, user=user, key_name=self.environment.key_pair)

    def guard(self) -> None:
        """Refuse connections to the embedded cloud's private addresses from outside of it."""
        if self.embedded is not None:
            prefixes = [subnet.cidr for network in self.environment.networks for subnet in network.subnets]
            namespace.guard(prefixes, self.embedded.netns)


def select(options: Options) -> Selection:
    """Read the environment file and find the cloud that is meant.

    Raises:
        SpecificationError: the environment file is wrong.
        MedicarcheError: the embedded cloud's name can't be used, or no application has a name of ``without``.
    """
    from medicarche import deploy  # noqa: PLC0415 - the applications' own checks; slow to import

    environment = load_environment(
        options.environment_file,
        check_settings=deploy.check_settings,
        private_listeners=deploy.listeners,
        minimum_size=deploy.minimum_size,
        traits=deploy.traits,
    )
    _refuse_unknown(environment, options.without)
    environment = environment.without(options.without)
    cloud = options.cloud or os.environ.get("OS_CLOUD")
    if cloud:
        target = Target(
            name=cloud, clouds_yaml=None, cloud=cloud, admin_cloud=options.admin_cloud, embedded=False
        )
        return Selection(
            # how instances reach its API, and by whose right, is known of the embedded cloud only
            environment.without_egress("cloud"),
            target,
            None,
            options.paths.environment(cloud, environment.name),
            options.paths,
            blind=tuple(a.name for a in environment.applications if "cloud" in a.egress),
        )
    embedded = embedded_cloud(options, environment)
    name = f"embedded-{embedded.name}"
    target = Target(
        name=name,
        clouds_yaml=embedded.clouds_yaml,
        cloud="medicarche",
        admin_cloud="medicarche-admin",
        embedded=True,
    )
    return Selection(
        environment, target, embedded, options.paths.environment(name, environment.name), options.paths
    )


def _refuse_unknown(environment: Environment, names: tuple[str, ...]) -> None:
    known = [a.name for a in environment.applications]
    wrong = sorted(set(names) - set(known))
    if wrong:
        raise MedicarcheError(
            f"{', '.join(wrong)}: no such application in {environment.source}",
            hint=f"known: {', '.join(known)}",
        )


def embedded_cloud(options: Options, environment: Environment | None = None) -> EmbeddedCloud:
    """Return the embedded cloud of that name, up or not.

    Raises:
        MedicarcheError: the name can't be one.
    """
    name = options.embedded_name or os.environ.get("MEDICARCHE_EMBEDDED_NAME") or EMBEDDED_NAME
    if not _CLOUD_NAME.fullmatch(name):
        raise MedicarcheError(
            f"{name!r} can't be an embedded cloud's name",
            hint="a lower-case letter, then at most 15 lower-case letters, digits and dashes",
        )
    if environment is None:
        return EmbeddedCloud(name, options.paths)
    return EmbeddedCloud(
        name, options.paths, mirrors=environment.mirrors, external_gateway=_external_gateway(environment)
    )


def _external_gateway(environment: Environment) -> str | None:
    """Return the external network's gateway with its prefix length: the embedded cloud's node has to be it.

    Through it instances come to the packages, and people to the instances.
    """
    for network in environment.networks:
        for subnet in network.subnets:
            if network.external and subnet.gateway is not None:
                return f"{subnet.gateway}/{subnet.cidr.partition('/')[2]}"
    return None
