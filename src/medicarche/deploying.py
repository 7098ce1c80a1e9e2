"""The applications' part of the main job: their files, what is left out, their instances, the deployment."""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from medicarche import cloud_directory, converge
from medicarche.cloud.calls import ApiError
from medicarche.embedded import namespace
from medicarche.given_certificate import read_certificate
from medicarche.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.deploy import DeployResult, Held, Obtained
    from medicarche.progress import Reporter
    from medicarche.spec.environment import Site
    from medicarche.target import Selection

__all__ = [
    "as_deployed",
    "boot_again",
    "check_certificates",
    "left_out",
    "note_blind",
    "note_left_out",
    "note_without_key",
    "obtain",
    "run",
    "wait_for_instances",
]

#: seconds that instances may take from their creation to SSH with cloud-init finished
READY_TIMEOUT = 300.0
#: in the environment's folder: names of the applications that the last run didn't deploy
_LEFT_OUT = "left-out.json"


def check_certificates(selection: Selection, reporter: Reporter) -> None:
    """Read the operator's own certificates; tell which end soon.

    Raises:
        MedicarcheError: one can't be used.
    """
    for instance in selection.environment.instances:
        if instance.certificate is not None:
            given = read_certificate(instance.certificate)
            if given.ends_soon:
                reporter.note(f"{instance.name}: {instance.certificate.chain} ends on {given.ends:%Y-%m-%d}")


def obtain(selection: Selection, reporter: Reporter) -> Obtained:
    """Get the files that applications are made from, from outside of the cloud's name space.

    Raises:
        MedicarcheError: one that is needed can't be had, or isn't what it should be.
    """
    from medicarche.deploy import obtain as get  # noqa: PLC0415 - slow to import, and not always wanted

    with namespace.outside():
        return get(selection.environment, selection.paths.cache, reporter)


def note_blind(selection: Selection, reporter: Reporter) -> None:
    """Tell which supervision can't look at the cloud, and that the directory's people can't be on it."""
    for name in selection.blind:
        reporter.note(f"{name} doesn't look at the cloud itself: how instances reach its API isn't known")
    for note in cloud_directory.note_of(selection):
        reporter.note(note)


def note_without_key(selection: Selection, reporter: Reporter) -> None:
    """Tell whom the groups let in over SSH, and who has no key to come in with."""
    directory = selection.environment.directory
    without = [m.login for m in directory.ssh_members if not m.ssh_key] if directory is not None else []
    if directory is not None and without:
        names = ", ".join(without)
        reporter.note(f"{directory.people_file.name}: no ssh_key of {names}; nobody logs in by that account")


def note_left_out(selection: Selection) -> None:
    """Write down which applications this run doesn't deploy."""
    names = sorted(a.name for a in selection.environment.applications if not a.deployed)
    write_private(selection.folder / _LEFT_OUT, (json.dumps(names) + "\n").encode())


def left_out(selection: Selection) -> frozenset[str]:
    """Return the names of the applications that the environment file or the last run left out."""
    by_file = {a.name for a in selection.environment.applications if not a.deployed}
    try:
        noted = json.loads((selection.folder / _LEFT_OUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        noted = []
    return frozenset({*by_file, *noted})


def as_deployed(selection: Selection) -> Selection:
    """Return the selection without the applications whose file couldn't be had when last provisioned.

    Those that have it on this machine meanwhile aren't left out: the next run deploys them.
    """
    from medicarche.deploy import held as known  # noqa: PLC0415 - slow to import, and not always wanted

    here = {n for n, file in known(selection.environment, selection.paths.cache).items() if file.path}
    optional = {a.name for a in selection.environment.applications if a.if_unavailable == "leave-out"}
    return selection.without(left_out(selection) & optional - here)


def wait_for_instances(
    selection: Selection,
    connections: Connections,
    instances: tuple[InstanceState, ...],
    reporter: Reporter,
) -> None:
    """Pin the instances' host keys from their console logs, and wait until SSH and cloud-init are done.

    Raises:
        Unreachable: an instance isn't ready in its time.
    """
    by_user: dict[str, list[InstanceState]] = {}
    for instance in instances:
        by_user.setdefault(selection.user_of(instance.name), []).append(instance)
    for user, theirs in by_user.items():
        selection.ssh(user).wait_ready(
            theirs,
            console_log=lambda server: _console_log(connections, server),
            stopped=lambda: [
                i.name
                for i in converge.instances(connections, selection.environment.name)
                if i.status == "SHUTOFF"
            ],
            timeout=READY_TIMEOUT,
            reporter=reporter,
        )


def _console_log(connections: Connections, server_id: str) -> str:
    """Return a server's console log; empty while it has none, as for a moment of its reboot."""
    try:
        return converge.console_log(connections, server_id)
    except ApiError as error:
        if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            return ""
        raise


def boot_again(
    selection: Selection,
    connections: Connections,
    instances: Sequence[InstanceState],
    reporter: Reporter,
) -> None:
    """Reboot instances that hang in their first boot; their console logs, which Nova ends, are kept.

    Raises:
        CloudError: Nova refuses or doesn't answer.
    """
    for instance in instances:
        log = selection.folder / f"console-{instance.name}.log"
        write_private(log, _console_log(connections, instance.id).encode())
        converge.reboot(connections, instance.id)
        reporter.note(f"{instance.name} hung in its first boot and is rebooted; its console log: {log}")


def run(
    selection: Selection,
    site: Site,
    instances: tuple[InstanceState, ...],
    reporter: Reporter,
    *,
    dry_run: bool = False,
    artefacts: Mapping[str, Held] | None = None,
) -> DeployResult:
    """Deploy the applications, or say what would change in the instances (``dry_run``).

    ``artefacts``: the files that applications are made from; without them what is known of them here.
    """
    from medicarche.deploy import deploy  # noqa: PLC0415 - slow to import, and not always wanted
    from medicarche.deploy import held as known  # noqa: PLC0415 - likewise

    note_without_key(selection, reporter)
    return deploy(
        selection.environment,
        instances,
        selection.folder,
        package_proxy=site.package_proxy,
        cloud=_looking(selection, site),
        dry_run=dry_run,
        artefacts=artefacts if artefacts is not None else known(selection.environment, selection.paths.cache),
        at_once=_at_once(selection),
        reporter=reporter,
    )


def _at_once(selection: Selection) -> int | None:
    """Return how many instances are deployed at the same time; None: all of them.

    The embedded cloud's share this machine's processors. More than these at once end no sooner, and hold up
    the one that all wait for in the end.
    """
    return max(2, len(os.sched_getaffinity(0))) if selection.embedded is not None else None


def _looking(selection: Selection, site: Site) -> dict[str, Any] | None:
    """Return what the supervision looks at the cloud with: where its API is, and a reader's credential."""
    if selection.embedded is None or not any("cloud" in a.egress for a in selection.environment.applications):
        return None
    return {"api": [list(address) for address in site.api], "entry": selection.embedded.reader_entry()}
