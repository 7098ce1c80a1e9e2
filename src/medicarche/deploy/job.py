"""What the deployment's own process is handed on its standard input, and says on its standard output.

Both are JSON: one object in, one object a line out. The job holds secrets; it is never written to disk and
never on a command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medicarche.deploy import directory
from medicarche.deploy.applications import KINDS
from medicarche.deploy.watching import watched
from medicarche.embedded.mirrors import mirrors_for, parse_one_line
from medicarche.errors import DeploymentError
from medicarche.given_certificate import read_certificate
from medicarche.spec.supervision import exporters, supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from medicarche.credentials import Credentials
    from medicarche.deploy.artefacts import Held
    from medicarche.pki import Authority
    from medicarche.spec.environment import Application, Environment
    from medicarche.ssh import Instance, Ssh

__all__ = ["DeployResult", "InstanceResult", "longest_first", "make_job"]


@dataclass(frozen=True, slots=True)
class InstanceResult:
    """What was done to one instance.

    Attributes:
        operations: how many there are.
        changed: names of those that changed something (or, in a dry run, would).
        details: operation's name → what differed, in words.
    """

    operations: int
    changed: tuple[str, ...]
    details: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeployResult:
    """What was done, by instance name. ``dry_run``: what would be done."""

    instances: dict[str, InstanceResult]
    dry_run: bool = False

    @property
    def changes(self) -> int:
        """How many operations changed something, in all instances."""
        return sum(len(i.changed) for i in self.instances.values())


def longest_first(environment: Environment, instances: Sequence[Instance]) -> list[Instance]:
    """Return the instances in the order in which they are best begun where few are deployed at a time.

    What the others ask comes first, as they wait for it. Then what takes longest, which is nearly the best
    for the whole (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969); how long is guessed by
    the disk and the memory that its applications need at least.
    """

    def key(instance: Instance) -> tuple[bool, int, int, str]:
        applications = [a for a in environment.applications_of(instance.name) if a.deployed]
        needs = [KINDS[a.kind].minimum for a in applications if a.kind in KINDS]
        asked = any(a.traits.serves == "applications" for a in applications)
        return (not asked, -sum(n.disk_gib for n in needs), -sum(n.ram_mib for n in needs), instance.name)

    return sorted(instances, key=key)


def make_job(
    environment: Environment,
    instances: Sequence[Instance],
    *,
    ssh: Ssh,
    credentials: Credentials,
    authority: Authority,
    package_proxy: str | None,
    dry_run: bool,
    log: Path,
    artefacts: Mapping[str, Held] | None = None,
    everyone: Sequence[Instance] = (),
    cloud: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put together all that the deployment's process needs; passwords and certificates are made here.

    ``artefacts``: application's name → the file that it is made from, of those that need one.
    ``everyone``: all of the environment's instances, where ``instances`` are some of them only. ``cloud``:
    what the supervision looks at the cloud with.

    Raises:
        DeploymentError: an instance has no address, or an application's kind isn't known.
    """
    watcher = supervisor(environment)
    return {
        "dry_run": dry_run,
        "log": str(log),
        "instances": [
            _instance(
                environment,
                i,
                ssh=ssh,
                credentials=credentials,
                authority=authority,
                artefacts=artefacts or {},
                everyone=everyone or instances,
            )
            | {
                "package_proxy": package_proxy,
                # where nobody supervises there is none
                "exporters": [exporter.job for exporter in exporters(environment, i.name)],
            }
            | (
                {
                    "watched": watched(
                        environment, everyone or instances, watcher, authority.ca_certificate, cloud
                    )
                }
                if watcher is not None and watcher.deployed and i.name == watcher.instance
                else {}
            )
            for i in instances
        ],
    }


def _instance(
    environment: Environment,
    instance: Instance,
    *,
    ssh: Ssh,
    credentials: Credentials,
    authority: Authority,
    artefacts: Mapping[str, Held],
    everyone: Sequence[Instance],
) -> dict[str, Any]:
    addresses = [a for a in (instance.floating_address, instance.private_address) if a]
    if not addresses:
        raise DeploymentError(f"{instance.name}: it has no address", hint="run `medicarche provision`")
    applications = [a for a in environment.applications_of(instance.name) if a.deployed]
    for application in applications:
        if application.kind not in KINDS:
            known = ", ".join(sorted(KINDS))
            raise DeploymentError(
                f"{application.name}: no application of kind {application.kind!r}", hint=f"known: {known}"
            )
    given = environment.instance(instance.name).certificate
    labels = {instance.name, *(label for a in applications for label in KINDS[a.kind].host_names)}
    names = [f"{label}.{environment.domain}" for label in sorted(labels)] + ["localhost"]
    if given is not None:
        own = read_certificate(given)
        names += [name for name in own.names if name not in names]
        certificate, private_key = own.chain, own.key
    else:
        issued = authority.issue(instance.name, names, [*addresses, "127.0.0.1"])
        certificate = issued.certificate.read_text(encoding="ascii")
        private_key = issued.key.read_text(encoding="ascii")
    ca = authority.ensure().read_text(encoding="ascii")
    kinds = {a.kind for a in environment.applications_of(instance.name)}
    parts = [
        _application(environment, a, credentials, artefacts.get(a.name))
        | {"directory": directory.told(environment, a, everyone, ca)}
        for a in applications
    ]
    return {
        "name": instance.name,
        "address": addresses[0],
        "private_address": instance.private_address,
        "user": ssh.user,
        "key": str(ssh.key.private),
        "known_hosts": str(ssh.known_hosts.path),
        "host_names": [*names, *addresses, "127.0.0.1"],
        "certificate": certificate,
        "private_key": private_key,
        "organization": environment.organization,
        "domain": environment.domain,
        "language": environment.locale.language,
        "timezone": environment.locale.timezone,
        "mirror": _mirror(environment, instance.name),
        "applications": parts,
        # may have been here beside another kind, and are declared no more; what is only left out stays
        "abandoned": sorted(k for k, d in KINDS.items() if d.beside in kinds and k not in kinds),
        "ssh_accounts": directory.accounts_told(environment, instance.name, everyone, ca, credentials),
    }


def _mirror(environment: Environment, instance: str) -> str:
    """Return the base URL of the Debian mirror that an instance's image was built from; may be empty."""
    wanted = environment.instance(instance).image
    suite = next(i.suite for i in environment.images if i.name == wanted)
    sources = parse_one_line("\n".join(mirrors_for(environment.mirrors, suite)))
    return next((source.uri for source in sources), "")


def _application(
    environment: Environment, application: Application, credentials: Credentials, artefact: Held | None
) -> dict[str, Any]:
    return {
        "name": application.name,
        "kind": application.kind,
        "port": application.port,
        "egress": list(application.egress),
        "serves": application.traits.serves,
        "https_at": KINDS[application.kind].https_at or str(application.port),
        "artefact": artefact and {"path": artefact.path and str(artefact.path), "sha256": artefact.sha256},
        "title": application.title,
        "settings": dict(application.settings),
        "secrets": {
            purpose: credentials.get_or_create(
                f"{application.name}/{purpose}", 64 if purpose.startswith("salt_") else 32
            )
            for purpose in KINDS[application.kind].secrets
        }
        | directory.secrets_of(environment, application, credentials),
    }
