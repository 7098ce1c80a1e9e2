"""The environment, and the cloud that it is on: the one that is configured, else the embedded one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medicarche.connecting import target_of
from medicarche.embedded import namespace
from medicarche.embedded.cloud import EmbeddedCloud
from medicarche.errors import CloudUnreachable, MedicarcheError
from medicarche.spec import load_environment
from medicarche.ssh import Ssh

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from medicarche.cloud.connect import Target
    from medicarche.options import Options
    from medicarche.paths import Paths
    from medicarche.spec.environment import Environment

__all__ = ["Selection", "embedded_cloud", "select"]


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
    target = target_of(options)
    folder = options.paths.environment(target.name, environment.name)
    if target.embedded:
        return Selection(environment, target, embedded_cloud(options, environment), folder, options.paths)
    return Selection(
        # how instances reach its API, and by whose right, is known of the embedded cloud only
        environment.without_egress("cloud"),
        target,
        None,
        folder,
        options.paths,
        blind=tuple(a.name for a in environment.applications if "cloud" in a.egress),
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
    name = options.place().name
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
