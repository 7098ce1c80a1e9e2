"""Running a plan: as much at once as its graph and the services' limits allow."""

from __future__ import annotations

import dataclasses
import queue
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from medicarche.cloud.act import act, check_rights, external_networks
from medicarche.cloud.work import Work
from medicarche.converge.result import Failure, Result, Timing
from medicarche.converge.schedule import Schedule
from medicarche.converge.waiting import Wait, poll
from medicarche.errors import ConvergenceError, MedicarcheError
from medicarche.plan.model import Verb
from medicarche.plan.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from medicarche.cloud import Connections
    from medicarche.plan.model import Action, Plan
    from medicarche.progress import Reporter, Stage

__all__ = ["apply"]

#: seconds for a server to get ready, and to be gone; between two looks at all servers
READY_TIMEOUT, GONE_TIMEOUT, POLL_INTERVAL = 900.0, 300.0, 1.0


def apply(
    connections: Connections,
    plan: Plan,
    *,
    images: Mapping[str, Path],
    reporter: Reporter,
    parallelism: int = 8,
    cancel: threading.Event | None = None,
    poll_interval: float = POLL_INTERVAL,
) -> Result:
    """Run a plan to its end.

    Where an action fails, all that doesn't depend on it is still done.

    Args:
        connections: the cloud.
        plan: what to do.
        images: image name → file, of the images that the plan creates.
        reporter: where to say what is done.
        parallelism: how many actions may be under way at once.
        cancel: set from elsewhere (a signal's handler), it keeps further actions from beginning; those under
            way are finished, and servers aren't waited for.
        poll_interval: seconds between two looks at the servers that are waited for.

    Returns:
        What was done. ``cancelled`` tells a run that was cut short.

    Raises:
        CloudRefused: an admin is needed, and there is none; nothing was done.
        ConvergenceError: an image's file is missing, nothing was done; or actions failed.
    """
    run = _Run(
        connections,
        plan,
        images=images,
        reporter=reporter,
        parallelism=parallelism,
        cancel=cancel or threading.Event(),
        poll_interval=poll_interval,
    )
    result = run.run()
    result.raise_failures()
    return result


@dataclasses.dataclass(frozen=True, slots=True)
class _Returned:
    """An action's call has returned."""

    action: Action
    identifier: str | None = None
    error: MedicarcheError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Polled:
    """A look at the servers has returned."""

    settled: Mapping[str, MedicarcheError | None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Broken:
    """A worker has stumbled over a mistake of ours."""

    error: BaseException


@contextmanager
def _interruptible(cancel: threading.Event) -> Iterator[threading.Event]:
    """Let the first Ctrl-C cancel, and the second one interrupt as usual.

    What is under way is finished: its end must be known. Where somebody else handles the signal, or in
    another thread than the main one, nothing is changed.

    Yields:
        An event that tells whether there was one.
    """
    interrupted = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted
        return

    def note(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupted.set()
        cancel.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Run:
    """One run of a plan. The main thread schedules; workers call; one of them looks at the servers."""

    def __init__(
        self,
        connections: Connections,
        plan: Plan,
        *,
        images: Mapping[str, Path],
        reporter: Reporter,
        parallelism: int,
        cancel: threading.Event,
        poll_interval: float,
    ) -> None:
        self._connections = connections
        self._plan = plan
        self._images = images
        self._reporter = reporter
        self._parallelism = parallelism
        self._cancel = cancel
        self._interval = poll_interval
        self._clock = connections.clock
        self._ids = _known_ids(plan)
        self._schedule = Schedule(plan.actions, parallelism)
        self._events: queue.SimpleQueue[_Returned | _Polled | _Broken] = queue.SimpleQueue()
        self._waits: dict[str, Wait] = {}
        self._actions = {action.id: action for action in plan.actions}
        self._stages: dict[str, tuple[ExitStack, Stage]] = {}
        self._began: dict[str, float] = {}
        self._start = self._clock.monotonic()
        self._timings: list[Timing] = []
        self._failures: list[Failure] = []
        self._polling = False
        self._cut_short = False

    def run(self) -> Result:
        work = Work(
            connections=self._connections,
            environment=self._plan.environment,
            ids=self._ids,
            images=self._images,
            external=external_networks(self._connections, self._plan),
        )
        self._check_plan(work)
        with (
            _interruptible(self._cancel) as interrupted,
            ThreadPoolExecutor(self._parallelism + 1, thread_name_prefix="converge") as pool,
        ):
            while self._advance(pool, work):
                self._handle(self._events.get())
        if interrupted.is_set():
            raise KeyboardInterrupt
        return Result(
            ids=dict(self._ids),
            done=tuple(self._schedule.done),
            failed=tuple(self._failures),
            skipped=self._schedule.skipped,
            cancelled=self._cancel.is_set() and bool(self._schedule.skipped or self._cut_short),
            timings=tuple(self._timings),
        )

    def _advance(self, pool: ThreadPoolExecutor, work: Work) -> bool:
        """Begin what may begin; say whether anything is under way."""
        if self._cancel.is_set():
            self._give_up_waiting()
        else:
            for action in self._schedule.ready():
                self._begin(action)
                pool.submit(self._call, work, action)
        if self._waits and not self._polling:
            self._polling = True
            pool.submit(self._poll, tuple(self._waits.values()))
        return self._schedule.running or self._polling

    def _handle(self, event: _Returned | _Polled | _Broken) -> None:
        if isinstance(event, _Broken):
            raise event.error
        if isinstance(event, _Returned):
            self._returned(event)
            return
        self._polling = False
        for action_id, error in event.settled.items():
            if self._waits.pop(action_id, None) is not None:
                self._end(self._actions[action_id], error)

    def _call(self, work: Work, action: Action) -> None:
        """Run in a worker: do the action, report the end."""
        stage = self._stages[action.id][1]
        try:
            identifier = act(dataclasses.replace(work, progress=stage.update), action)
        except MedicarcheError as error:
            self._events.put(_Returned(action, error=error))
        except BaseException as error:  # noqa: BLE001 - a mistake of ours: the main thread must hear of it
            self._events.put(_Broken(error))
        else:
            self._events.put(_Returned(action, identifier=identifier))

    def _poll(self, waits: tuple[Wait, ...]) -> None:
        """Run in a worker: look at the servers after the interval."""
        self._cancel.wait(self._interval)
        try:
            settled: Mapping[str, MedicarcheError | None] = poll(self._connections, waits)
        except MedicarcheError as error:
            settled = {wait.action: error for wait in waits}
        except BaseException as error:  # noqa: BLE001 - a mistake of ours: the main thread must hear of it
            self._events.put(_Broken(error))
            return
        self._events.put(_Polled(settled))

    def _returned(self, event: _Returned) -> None:
        action = event.action
        if event.error is not None:
            self._end(action, event.error)
            return
        if event.identifier is not None:
            self._ids[action.address] = event.identifier
        elif action.observed is not None and self._ids.get(action.address) == action.observed.id:
            del self._ids[action.address]
        if action.kind is Kind.SERVER and action.verb is not Verb.UPDATE:
            gone = action.verb is Verb.DELETE
            server = event.identifier or (action.observed.id if action.observed else "")
            limit = GONE_TIMEOUT if gone else READY_TIMEOUT
            self._schedule.release(action.id)
            self._waits[action.id] = Wait(action.id, server, gone, self._clock.monotonic() + limit)
            self._stages[action.id][1].update("waiting for its end" if gone else "waiting for ACTIVE")
            return
        self._end(action, None)

    def _begin(self, action: Action) -> None:
        stack = ExitStack()
        stage = stack.enter_context(self._reporter.stage(action.id.partition("#")[0]))
        self._stages[action.id] = (stack, stage)
        self._began[action.id] = self._clock.monotonic()

    def _end(self, action: Action, error: MedicarcheError | None) -> None:
        self._schedule.finish(action.id, failed=error is not None)
        now = self._clock.monotonic()
        self._timings.append(Timing(action.id, self._began[action.id] - self._start, now - self._start))
        stack, _stage = self._stages.pop(action.id)
        if error is None:
            stack.close()
            return
        self._failures.append(Failure(action.id, error.message, error.hint))
        # the stage shows a failure where its context manager sees one
        stack.__exit__(type(error), error, None)

    def _give_up_waiting(self) -> None:
        for action_id in list(self._waits):
            del self._waits[action_id]
            self._cut_short = True
            self._stages.pop(action_id)[0].close()

    def _check_plan(self, work: Work) -> None:
        """Make sure, before anything is done, that the plan can be run."""
        if self._plan.conflicts:
            told = "\n".join(f"  {conflict}" for conflict in self._plan.conflicts)
            raise ConvergenceError(f"this is in the way:\n{told}")
        check_rights(work, self._plan)
        missing = [
            action.wanted.name
            for action in self._plan.actions
            if action.verb is Verb.CREATE
            and action.wanted is not None
            and action.kind is Kind.IMAGE
            and not (action.wanted.name in self._images and self._images[action.wanted.name].is_file())
        ]
        if missing:
            raise ConvergenceError(f"there is no file to upload for: {', '.join(missing)}")


def _known_ids(plan: Plan) -> dict[str, str]:
    """Return address → id of what is there before the plan runs."""
    ids = {
        action.address: action.observed.id
        for action in plan.actions
        if action.observed is not None and action.observed.mark is not None
    }
    return ids | dict(plan.kept)
