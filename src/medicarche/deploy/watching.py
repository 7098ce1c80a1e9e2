"""What the supervision watches: computed from the environment, and the addresses that the cloud has given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medicarche.deploy.applications import KINDS
from medicarche.errors import DeploymentError
from medicarche.given_certificate import read_certificate
from medicarche.spec.supervision import exporters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from medicarche.spec.environment import Application, Environment
    from medicarche.ssh import Instance

__all__ = ["watched"]


def watched(
    environment: Environment,
    instances: Sequence[Instance],
    application: Application,
    authority: Path,
    cloud: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return all that is watched: every declared instance that the cloud has, and each application in it.

    Args:
        environment: what is declared.
        instances: as the cloud has them.
        application: the one that watches.
        authority: the certificate of the environment's authority.
        cloud: what it looks at the cloud with: where its API is, and a reader's entry of clouds.yaml.

    Raises:
        DeploymentError: it is to look at the cloud, and how isn't known.
    """
    looks = "cloud" in application.egress
    if looks and cloud is None:
        raise DeploymentError(
            f"{application.name}: it is to watch the cloud itself, and how instances reach this cloud's API"
            " isn't known",
            hint="remove cloud from its egress; its instances are then found by this file alone",
        )
    addresses = {i.name: i.private_address for i in instances if i.private_address}
    return {
        "environment": environment.name,
        "own": application.instance,
        "cloud": cloud if looks else None,
        "instances": [
            # one that the cloud doesn't have (any more) is missed by name: InstanceAbsente
            {"name": i.name, "address": addresses.get(i.name, "")}
            for i in environment.instances
        ],
        # Prometheus' name of the targets → instances
        "exporters": _exporters(environment),
        "applications": [
            _probed(environment, a, addresses[a.instance], authority)
            for a in environment.applications
            if a.deployed and a.instance in addresses
        ],
    }


def _exporters(environment: Environment) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for instance in environment.instances:
        for exporter in exporters(environment, instance.name):
            found.setdefault(exporter.job, []).append(instance.name)
    return found


def _probed(
    environment: Environment, application: Application, address: str, authority: Path
) -> dict[str, Any]:
    given = environment.instance(application.instance).certificate
    name = f"{application.instance}.{environment.domain}"
    believed: Path | None = authority
    if given is not None:
        names = read_certificate(given).names
        name = names[0].replace("*", application.instance) if names else name
        believed = given.authority
    place = f"{address}:{application.port}"
    if application.traits.serves == "people":
        scheme, prober, probe = "https", "http", f"https://{place}{KINDS[application.kind].health}"
    else:
        # what is for other applications has no page: whether it speaks TLS is looked at
        scheme, prober, probe = "ldaps", "tcp", place
    return {
        "name": application.name,
        "title": application.title,
        "instance": application.instance,
        "host": f"{name}:{application.port}",
        "url": f"{scheme}://{name}:{application.port}/",
        "probe": probe,
        "prober": prober,
        "authority": believed.read_text(encoding="ascii") if believed is not None else "",
    }
