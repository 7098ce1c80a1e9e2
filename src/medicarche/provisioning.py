"""The main job: cloud, image, environment, applications. What the CLI and the acceptance fixtures share."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from medicarche import cloud_directory, converge, deploying, forwards, image, people, ssh
from medicarche.cloud.check import check
from medicarche.cloud.connect import connect
from medicarche.cloud.observe import observe
from medicarche.errors import CloudUnsuitable, MedicarcheError, NotReady, Unreachable
from medicarche.plan import derive, plan_destroy
from medicarche.plan.model import Verb
from medicarche.plan.phases import after_deployment, before_deployment, something_left
from medicarche.plan.resources import Kind
from medicarche.planning import plan, site_of
from medicarche.runlock import held
from medicarche.spec.cloud_groups import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from medicarche.cloud.connect import Connections
    from medicarche.converge import InstanceState
    from medicarche.deploy import DeployResult
    from medicarche.plan.model import Observed, Plan
    from medicarche.plan.resources import Resource
    from medicarche.planning import Planned
    from medicarche.progress import Reporter
    from medicarche.spec.environment import Site
    from medicarche.target import Selection

__all__ = [
    "Destroyed",
    "Provisioned",
    "destroy",
    "provision",
]


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
            deploying.check_certificates(selection, reporter)
            # what can't be had is told before anything begins
            with _timed(seconds, "artefacts"):
                obtained = deploying.obtain(selection, reporter)
            artefacts, selection = obtained.files, selection.without(obtained.unavailable)
            deploying.note_blind(selection, reporter)
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
            cloud_directory.trust_authority(selection)
            summary = None
            now = before_deployment(planned.plan)
            if not now.empty:
                summary = _apply(selection, planned.connections, now, reporter, files=files, cancel=cancel)
            instances = converge.connected_instances(planned.connections, selection.environment.name)
            cloud_directory.offer_log_in(selection)
        _tidy(selection, instances)
        deployment = None
        if deploy:
            with _timed(seconds, "instances ready"):
                new = frozenset(r.name for r in created if r.kind is Kind.SERVER)
                instances = _ready(selection, planned.connections, instances, new, reporter, confirm, cancel)
            deploying.note_left_out(selection)
            with _timed(seconds, "deploy"):
                deployment = deploying.run(selection, planned.site, instances, reporter, artefacts=artefacts)
        with _timed(seconds, "groups' roles"):
            _give_roles(selection, planned, reporter, cancel, deployed=deploy)
    return Provisioned(
        selection, planned.connections, planned.site, planned.plan, instances, deployment, seconds, summary
    )


def _ready(  # noqa: PLR0917 - what a run has
    selection: Selection,
    connections: Connections,
    instances: tuple[InstanceState, ...],
    new: frozenset[str],
    reporter: Reporter,
    confirm: Callable[[Plan], bool],
    cancel: threading.Event | None,
) -> tuple[InstanceState, ...]:
    """Wait for the instances; one that stops meanwhile is started again, a new one that hangs too; once.

    The plan was made before: who types ``reboot`` in a container ends it, and Nova says so seconds later.
    """
    try:
        deploying.wait_for_instances(selection, connections, instances, reporter)
    except NotReady as error:
        # one that this run has made has nothing to lose; another's owner decides
        if not error.names <= new:
            raise
        reporter.note(error.message)
        hanging = [i for i in instances if i.name in error.names]
        deploying.boot_again(selection, connections, hanging, reporter)
        deploying.wait_for_instances(selection, connections, instances, reporter)
    except Unreachable:
        again = plan(selection, reporter)
        again.connections.close()
        now = before_deployment(again.plan)
        if now.empty or now.conflicts or _to_create(now) or not confirm(now):
            raise
        _apply(selection, connections, now, reporter, cancel=cancel)
        instances = converge.connected_instances(connections, selection.environment.name)
        deploying.wait_for_instances(selection, connections, instances, reporter)
    return instances


def _tidy(selection: Selection, instances: tuple[InstanceState, ...]) -> None:
    """Forget the secrets of whom the file doesn't name any more; let a browser reach what there is now."""
    environment = selection.environment
    people.forget_others(selection.folder, [p.login for p in environment.people if p.cloud_role is not None])
    people.forget_credentials(selection.folder, [c.name for c in environment.application_credentials])
    if selection.embedded is not None:
        selection.embedded.forward(forwards.wanted(environment, instances))


def _give_roles(
    selection: Selection,
    planned: Planned,
    reporter: Reporter,
    cancel: threading.Event | None,
    *,
    deployed: bool,
) -> None:
    """Do what had to wait for the directory, as the cloud is now."""
    if not something_left(planned.plan):
        return
    directory = serving(selection.environment)
    if not deployed or directory is None or not directory.deployed:
        reporter.note("the directory's groups get their roles on the cloud when it is deployed")
        return
    again = plan(selection, reporter)
    again.connections.close()
    left = after_deployment(again.plan)
    if not left.empty:
        _apply(selection, planned.connections, left, reporter, cancel=cancel)


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
        cloud_directory.offer_log_in(selection, gone=True)
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
