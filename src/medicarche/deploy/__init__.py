"""Deploying the applications into the instances, by pyinfra in a process of its own (design, section 5)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from medicarche.credentials import Credentials
from medicarche.deploy.applications import KINDS
from medicarche.deploy.artefacts import Held, Obtained, held, obtain
from medicarche.deploy.declaration import Artefact, Declaration
from medicarche.deploy.directory import hand_over
from medicarche.deploy.job import DeployResult, InstanceResult, longest_first, make_job
from medicarche.errors import DeploymentError
from medicarche.pki import Authority
from medicarche.private_files import make_private_folder
from medicarche.process import last_lines
from medicarche.ssh import Ssh

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO

    from medicarche.progress import Reporter, Stage
    from medicarche.spec.environment import Application, Environment, Listener, Size, Traits
    from medicarche.ssh import Instance

__all__ = [
    "KINDS",
    "Artefact",
    "Declaration",
    "DeployResult",
    "Held",
    "InstanceResult",
    "Obtained",
    "authority",
    "check_settings",
    "deploy",
    "held",
    "listeners",
    "minimum_size",
    "obtain",
    "traits",
]


def listeners(application: Application) -> tuple[Listener, ...]:
    """Return the sockets that an application opens besides its public port: all on loopback.

    None for one that isn't deployed.
    """
    declaration = KINDS.get(application.kind)
    if declaration is None or not application.deployed:
        return ()
    return (*declaration.listeners, *(declaration.cloud_listeners if "cloud" in application.egress else ()))


def minimum_size(application: Application) -> Size | None:
    """Return the smallest instance that carries an application, or None where its kind isn't known."""
    declaration = KINDS.get(application.kind)
    return declaration.minimum if declaration is not None else None


def check_settings(application: Application) -> Iterable[str]:
    """Say what is wrong with an application's kind and settings, one sentence each, ``key: what``."""
    declaration = KINDS.get(application.kind)
    if declaration is None:
        return (f"kind: {application.kind!r} isn't known; known are {', '.join(sorted(KINDS))}",)
    return tuple(declaration.check_settings(application))


def traits(kind: str) -> Traits | None:
    """Return what holds for all applications of a kind, or None where it isn't known."""
    declaration = KINDS.get(kind)
    return declaration.traits if declaration is not None else None


def authority(environment: Environment, folder: Path) -> Authority:
    """Return the certificate authority of an environment, whose secrets are in ``folder``."""
    return Authority(folder, organization=environment.organization, domain=environment.domain)


def deploy(
    environment: Environment,
    instances: Sequence[Instance],
    folder: Path,
    *,
    reporter: Reporter,
    package_proxy: tuple[str, int] | None = None,
    dry_run: bool = False,
    cloud: Mapping[str, Any] | None = None,
    artefacts: Mapping[str, Held] | None = None,
    at_once: int | None = None,
) -> DeployResult:
    """Bring all instances to what the environment declares; what is right already isn't touched.

    It may be killed at any instant: the next run finishes. The instances have to be ready
    (`medicarche.ssh.Ssh.wait_ready`), and this process inside the cloud's network name space, if it has one.

    Args:
        environment: what is wanted.
        instances: the instances as they are.
        folder: the environment's folder of secrets; its log goes to ``deploy.log`` there.
        reporter: says which operation each instance is at.
        package_proxy: address and port at which instances reach a package proxy.
        dry_run: only say what would be done.
        cloud: what the supervision looks at the cloud with: ``api``, addresses and ports at which instances
            reach it, and ``entry``, a reader's entry of clouds.yaml.
        artefacts: application's name → the file that it is made from (`obtain`), of those that need one.
        at_once: how many instances are changed at the same time; None: all.

    Raises:
        DeploymentError: an operation failed; names the instance, the operation, its last lines, the log.
    """
    mine = [i for i in instances if any(i.name == known.name for known in environment.instances)]
    if not mine:
        return DeployResult({}, dry_run)
    if importlib.util.find_spec("pyinfra") is None:
        raise DeploymentError(
            "pyinfra isn't installed: it deploys the applications",
            hint='pip install "medicarche[deploy]"',
        )
    log = make_private_folder(folder) / "deploy.log"
    proxy = f"http://{package_proxy[0]}:{package_proxy[1]}" if package_proxy else None
    by_user: dict[str, list[Instance]] = {}
    users = {image.name: image.user for image in environment.images}
    for instance in longest_first(environment, mine):
        by_user.setdefault(users[environment.instance(instance.name).image], []).append(instance)
    job: dict[str, Any] = {}
    for user, members in by_user.items():
        part = make_job(
            environment,
            members,
            ssh=Ssh(folder, user=user, key_name=environment.key_pair),
            credentials=Credentials(folder),
            authority=authority(environment, folder),
            package_proxy=proxy,
            dry_run=dry_run,
            log=log,
            artefacts=artefacts,
            everyone=mine,
            cloud=cloud,
        )
        job = {**part, "instances": [*job.get("instances", []), *part["instances"]], "at_once": at_once}
    hand_over(environment, Credentials(folder), folder)
    with reporter.stage("Comparing the applications" if dry_run else "Deploying the applications") as stage:
        return _run(job, log, stage)


def _run(job: dict[str, Any], log: Path, stage: Stage) -> DeployResult:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    arguments = [sys.executable, "-m", "medicarche.deploy.runner"]
    with (
        os.fdopen(descriptor, "ab") as errors,
        subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
        ) as child,
    ):
        try:
            _hand_over(child.stdin, job)
            results, failures = _listen(_events(child.stdout), stage)
            code = child.wait()
        except BaseException:
            child.terminate()
            raise
    if failures:
        raise DeploymentError(
            "\n".join(failures) + f"\nThe whole log: {log}",
            hint="put right what it says, then run `medicarche provision` again: it goes on where it stopped",
        )
    if code != 0:
        raise DeploymentError(
            f"the deployment's process ended with code {code}:\n{last_lines(log)}\nThe whole log: {log}",
            hint="run `medicarche provision` again: it goes on where it stopped",
        )
    return DeployResult(results, job["dry_run"])


def _hand_over(stream: IO[str] | None, job: dict[str, Any]) -> None:
    if stream is None:
        raise DeploymentError("the deployment's process has no standard input")
    try:
        with stream:
            json.dump(job, stream)
    except BrokenPipeError:
        pass  # it ended at once: its exit code and its log say why


def _events(stream: IO[str] | None) -> Iterator[dict[str, Any]]:
    for line in stream or ():
        try:
            event = json.loads(line)
        except ValueError:
            event = {"event": "failed", "operation": "an answer that isn't JSON", "lines": [line.rstrip()]}
        yield event


def _listen(events: Iterable[dict[str, Any]], stage: Stage) -> tuple[dict[str, InstanceResult], list[str]]:
    results: dict[str, InstanceResult] = {}
    failures: list[str] = []
    under_way: dict[str, str] = {}
    for event in events:
        host = event.get("host", "")
        match event["event"]:
            case "started":
                under_way[host] = event["operation"]
                stage.update(", ".join(f"{name}: {what}" for name, what in sorted(under_way.items())))
            case "failed":
                lines = "".join(f"\n    {line}" for line in event["lines"])
                failures.append(f"{host or 'all instances'}: {event['operation']} failed{lines}")
            case "done":
                details = {name: tuple(lines) for name, lines in event["changed"].items()}
                results[host] = InstanceResult(event["operations"], tuple(details), details)
    return results, failures
