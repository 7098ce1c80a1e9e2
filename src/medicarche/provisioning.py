"""The main job: cloud, image, environment, applications. What the CLI and the acceptance fixtures share."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from medicarche import converge, forwards, image, people, ssh
from medicarche.cloud import check, connect, observe
from medicarche.embedded import namespace
from medicarche.errors import CloudUnsuitable, MedicarcheError, Unreachable
from medicarche.given_certificate import read_certificate
from medicarche.plan import derive, make_plan, plan_destroy
from medicarche.plan.model import Verb
from medicarche.plan.resources import Kind
from medicarche.private_files import write_private
from medicarche.progress import SilentReporter
from medicarche.runlock import held
from medicarche.spec.environment import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from medicarche.cloud import Connections
    from medicarche.converge import InstanceState
    from medicarche.deploy import DeployResult, Held, Obtained
    from medicarche.plan.model import Observed, Plan
    from medicarche.plan.resources import Resource
    from medicarche.progress import Reporter
    from medicarche.target import Selection

__all__ = [
    "Destroyed",
    "Planned",
    "Provisioned",
    "as_deployed",
    "destroy",
    "left_out",
    "plan",
    "provision",
    "site_of",
]

#: seconds that instances may take from their creation to SSH with cloud-init finished
READY_TIMEOUT = 300.0
#: in the environment's folder: names of the applications that the last run didn't deploy
_LEFT_OUT = "left-out.json"


@dataclass(frozen=True, slots=True)
class Planned:
    """What is wanted, what was observed, and the difference."""

    connections: Connections
    site: Site
    wanted: tuple[Resource, ...]
    observed: tuple[Observed, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A built environment.

    Attributes:
        selection: the environment and its cloud, without the applications whose file couldn't be had.
        connections: to that cloud.
        site: what the cloud at hand gives.
        plan: what was done to the cloud.
        instances: as they are now.
        deployment: what was done in the instances; None where it wasn't asked for.
        summary: where the time went in the cloud; None where there was nothing to do.
        seconds: what each part took.
    """

    selection: Selection
    connections: Connections
    site: Site
    plan: Plan
    instances: tuple[InstanceState, ...]
    deployment: DeployResult | None
    seconds: Mapping[str, float]
    summary: converge.Summary | None = None


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What the project held before and after, by kind: only what carried the mark is gone."""

    plan: Plan
    before: tuple[Observed, ...]
    after: tuple[Observed, ...]


def site_of(selection: Selection) -> Site:
    """Return what the cloud at hand gives; makes the environment's key pair where there is none."""
    environment = selection.environment
    hypervisor, proxy, physical = "kvm", None, None
    api: tuple[tuple[str, int], ...] = ()
    if selection.embedded is not None:
        facts = selection.embedded.site_facts()
        hypervisor, proxy, physical = facts.hypervisor, facts.package_proxy, facts.external_physical_network
        api = facts.api
    key_pair = ssh.ensure_key_pair(selection.folder, environment.key_pair)
    return Site(
        disk_format=image.disk_format(hypervisor),
        hypervisor=hypervisor,
        package_proxy=proxy,
        image_recipes={
            i.name: image.recipe_hash(i, environment.locale, hypervisor) for i in environment.images
        },
        public_key=key_pair.public,
        external_physical_network=physical,
        api=api,
    )


def plan(selection: Selection, reporter: Reporter | None = None) -> Planned:
    """Observe the cloud and plan; changes nothing. To be called inside the cloud's name space.

    ``reporter`` is told where servers that are under way are waited for.

    Raises:
        CloudError: the cloud can't be used as it is.
    """
    # Keystone takes its time; in the meantime what is wanted is worked out
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="connect") as pool:
        connecting = pool.submit(connect, selection.target)
        site = site_of(selection)
        wanted = derive(selection.environment, site)
        connections = people.with_secrets(connecting.result(), selection.folder)
    note = (reporter or SilentReporter()).note
    observed = observe(connections, selection.environment.name, wanted, note=note)
    planned = make_plan(selection.environment.name, wanted, observed)
    return Planned(connections, site, wanted, observed, planned)


def provision(
    selection: Selection,
    reporter: Reporter,
    *,
    deploy: bool = True,
    confirm: Callable[[Plan], bool] = lambda _: True,
    cancel: threading.Event | None = None,
) -> Provisioned:
    """Build the environment, wherever an earlier run left it.

    Brings the embedded cloud up where it is the target, builds the image, converges the cloud, waits for the
    instances, deploys the applications. The process is in the cloud's network name space afterwards.

    Args:
        selection: the environment and its cloud.
        reporter: where progress is told.
        deploy: deploy the applications too.
        confirm: asked before anything is changed; may raise instead of saying no.
        cancel: set from elsewhere: nothing new is begun.

    Raises:
        MedicarcheError: of the part that failed; calling it again goes on from there.
    """
    seconds: dict[str, float] = {}
    lock = held(selection.folder / "run.lock", "this environment")
    with lock, _ImageBuilder(selection, reporter) as builder:
        _protect_key(selection, reporter)
        artefacts = None
        if deploy:
            _check_certificates(selection, reporter)
            # what can't be had is told before anything begins
            with _timed(seconds, "artefacts"):
                obtained = _artefacts(selection, reporter)
            artefacts, selection = obtained.files, selection.without(obtained.unavailable)
            _note_blind(selection, reporter)
        if selection.embedded is not None:
            if not selection.embedded.clouds_yaml.exists():
                selection.embedded.make_room(reporter)
                builder.begin()  # a new cloud has no image: build it while the cloud starts
            with _timed(seconds, "cloud"):
                selection.embedded.up(reporter)
        selection.enter()
        with _timed(seconds, "plan"), reporter.stage("Compare the cloud with the environment"):
            planned = plan(selection, reporter)
            if planned.plan.conflicts:
                raise CloudUnsuitable("\n".join(planned.plan.conflicts))
            created = _to_create(planned.plan)
            if created:
                check(planned.connections, created)
        if not confirm(planned.plan):
            raise MedicarcheError("stopped before anything was changed")
        with _timed(seconds, "images"):
            files = builder.files() if any(r.kind is Kind.IMAGE for r in created) else {}
        with _timed(seconds, "converge"):
            summary = None
            if not planned.plan.empty:
                summary = _apply(
                    selection, planned.connections, planned.plan, reporter, files=files, cancel=cancel
                )
            instances = converge.connected_instances(planned.connections, selection.environment.name)
        people.forget_others(
            selection.folder, [p.login for p in selection.environment.people if p.cloud_role is not None]
        )
        people.forget_credentials(
            selection.folder, [c.name for c in selection.environment.application_credentials]
        )
        if selection.embedded is not None:
            selection.embedded.forward(forwards.wanted(selection.environment, instances))
        deployment = None
        if deploy:
            with _timed(seconds, "instances ready"):
                instances = _ready(selection, planned.connections, instances, reporter, confirm, cancel)
            _note_left_out(selection)
            with _timed(seconds, "deploy"):
                deployment = run_deployment(selection, planned.site, instances, reporter, artefacts=artefacts)
    return Provisioned(
        selection, planned.connections, planned.site, planned.plan, instances, deployment, seconds, summary
    )


def _ready(  # noqa: PLR0917 - what a run has
    selection: Selection,
    connections: Connections,
    instances: tuple[InstanceState, ...],
    reporter: Reporter,
    confirm: Callable[[Plan], bool],
    cancel: threading.Event | None,
) -> tuple[InstanceState, ...]:
    """Wait for the instances; one that stops meanwhile is started again, once.

    The plan was made before: who types ``reboot`` in a container ends it, and Nova says so seconds later.
    """
    try:
        wait_for_instances(selection, connections, instances, reporter)
    except Unreachable:
        again = plan(selection, reporter)
        again.connections.close()
        if again.plan.empty or again.plan.conflicts or _to_create(again.plan) or not confirm(again.plan):
            raise
        _apply(selection, connections, again.plan, reporter, cancel=cancel)
        instances = converge.connected_instances(connections, selection.environment.name)
        wait_for_instances(selection, connections, instances, reporter)
    return instances


def _protect_key(selection: Selection, reporter: Reporter) -> None:
    if ssh.protect_key(selection.folder, selection.environment.key_pair):
        reporter.note("the private key's file had another mode than 0400: it is put back")


def destroy(selection: Selection, reporter: Reporter) -> Destroyed:
    """Remove what carries the environment's mark, and nothing else. To be called inside the name space."""
    with (
        held(selection.folder / "run.lock", "this environment"),
        connect(selection.target) as connections,
    ):
        wanted = derive(selection.environment, site_of(selection))
        with reporter.stage("Look for what carries the environment's mark"):
            before = observe(connections, selection.environment.name, wanted, note=reporter.note)
        planned = plan_destroy(selection.environment.name, before)
        if not planned.empty:
            _apply(selection, connections, planned, reporter)
        after = observe(connections, selection.environment.name, wanted)
        people.forget_others(selection.folder, [o.resource.name for o in after if _is_account(o)])
        people.forget_credentials(
            selection.folder,
            [o.resource.name for o in after if o.resource.kind is Kind.APPLICATION_CREDENTIAL],
        )
    return Destroyed(planned, before, after)


def _apply(
    selection: Selection,
    connections: Connections,
    planned: Plan,
    reporter: Reporter,
    *,
    files: Mapping[str, Path] | None = None,
    cancel: threading.Event | None = None,
) -> converge.Summary | None:
    """Run a plan, and keep its trace in the environment's folder."""
    traces = selection.folder / "runs"
    result = converge.apply(
        connections, planned, images=files or {}, reporter=reporter, cancel=cancel, traces=traces
    )
    if result.cancelled:
        raise MedicarcheError(
            f"stopped on demand: {len(result.done)} of {len(planned.actions)} actions are done",
            hint="Run the same command again to go on from here.",
        )
    return result.summary


def run_deployment(
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
    from medicarche.deploy import deploy as run  # noqa: PLC0415 - slow to import, and not always wanted
    from medicarche.deploy import held as known  # noqa: PLC0415 - likewise

    return run(
        selection.environment,
        instances,
        selection.folder,
        package_proxy=site.package_proxy,
        cloud=_looking(selection, site),
        dry_run=dry_run,
        artefacts=artefacts if artefacts is not None else known(selection.environment, selection.paths.cache),
        reporter=reporter,
    )


def _looking(selection: Selection, site: Site) -> dict[str, Any] | None:
    """Return what the supervision looks at the cloud with: where its API is, and a reader's credential."""
    if selection.embedded is None or not any("cloud" in a.egress for a in selection.environment.applications):
        return None
    return {"api": [list(address) for address in site.api], "entry": selection.embedded.reader_entry()}


def _note_blind(selection: Selection, reporter: Reporter) -> None:
    for name in selection.blind:
        reporter.note(f"{name} doesn't look at the cloud itself: how instances reach its API isn't known")


def left_out(selection: Selection) -> frozenset[str]:
    """Return the names of the applications that the environment file or the last run left out."""
    by_file = {a.name for a in selection.environment.applications if not a.deployed}
    try:
        noted = json.loads((selection.folder / _LEFT_OUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        noted = []
    return frozenset({*by_file, *noted})


def _note_left_out(selection: Selection) -> None:
    names = sorted(a.name for a in selection.environment.applications if not a.deployed)
    write_private(selection.folder / _LEFT_OUT, (json.dumps(names) + "\n").encode())


def as_deployed(selection: Selection) -> Selection:
    """Return the selection without the applications whose file couldn't be had when last provisioned.

    Those that have it on this machine meanwhile aren't left out: the next run deploys them.
    """
    from medicarche.deploy import held as known  # noqa: PLC0415 - slow to import, and not always wanted

    here = {n for n, file in known(selection.environment, selection.paths.cache).items() if file.path}
    optional = {a.name for a in selection.environment.applications if a.if_unavailable == "leave-out"}
    return selection.without(left_out(selection) & optional - here)


def _check_certificates(selection: Selection, reporter: Reporter) -> None:
    for instance in selection.environment.instances:
        if instance.certificate is not None:
            given = read_certificate(instance.certificate)
            if given.ends_soon:
                reporter.note(f"{instance.name}: {instance.certificate.chain} ends on {given.ends:%Y-%m-%d}")


def _artefacts(selection: Selection, reporter: Reporter) -> Obtained:
    from medicarche.deploy import obtain  # noqa: PLC0415 - slow to import, and not always wanted

    with namespace.outside():
        return obtain(selection.environment, selection.paths.cache, reporter)


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
            console_log=lambda server: converge.console_log(connections, server),
            stopped=lambda: [
                i.name
                for i in converge.instances(connections, selection.environment.name)
                if i.status == "SHUTOFF"
            ],
            timeout=READY_TIMEOUT,
            reporter=reporter,
        )


class _ImageBuilder:
    """Builds the images in a thread that stays in the host's network name space, where the mirrors are."""

    def __init__(self, selection: Selection, reporter: Reporter) -> None:
        self._selection = selection
        self._reporter = reporter
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="image")
        self._future: Future[dict[str, Path]] | None = None

    def __enter__(self) -> Self:
        self._pool.submit(threading.get_ident).result()  # the thread begins here, before its process enters
        return self

    def __exit__(self, *details: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self) -> None:
        """Start building; returns at once."""
        if self._future is None:
            self._future = self._pool.submit(self._build)

    def files(self) -> dict[str, Path]:
        """Return image name → file, built by now."""
        self.begin()
        assert self._future is not None  # noqa: S101 - begin() has set it
        return self._future.result()

    def _build(self) -> dict[str, Path]:
        selection = self._selection
        hypervisor = selection.embedded.site_facts().hypervisor if selection.embedded is not None else "kvm"
        locale, mirrors = selection.environment.locale, selection.environment.mirrors
        return {
            i.name: image.build(i, locale, hypervisor, selection.paths, mirrors, self._reporter)
            for i in selection.environment.images
        }


def _is_account(observed: Observed) -> bool:
    return observed.resource.kind is Kind.USER and (observed.mark is not None or not observed.id)


def _to_create(planned: Plan) -> tuple[Resource, ...]:
    """Return what is to be created; and changed quotas, which say whether it fits."""
    return tuple(
        action.wanted
        for action in planned.actions
        if action.wanted is not None and (action.verb is Verb.CREATE or action.kind is Kind.QUOTA)
    )


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[part] = time.monotonic() - began
