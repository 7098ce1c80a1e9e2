"""Running a plan: as much at once as its graph and the services' limits allow."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from medicarche.cloud.act import act, check_rights, external_networks
from medicarche.cloud.work import Work
from medicarche.converge import trace
from medicarche.converge.interruption import interruptible
from medicarche.converge.result import Failure, Result
from medicarche.converge.schedule import Schedule
from medicarche.converge.trace import Timing
from medicarche.converge.waiting import Wait, poll
from medicarche.errors import ConvergenceError, MedicarcheError
from medicarche.plan.model import Verb
from medicarche.plan.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from medicarche.cloud.connect import Connections
    from medicarche.plan.model import Action, Plan
    from medicarche.progress import Reporter, Stage

__all__ = ["apply"]

#: seconds for a server to get ready, and to be gone; between two looks at all servers
READY_TIMEOUT, GONE_TIMEOUT, POLL_INTERVAL = 900.0, 300.0, 1.0
#: names in a line of what is left
MOST_LISTED = 12


def apply(
    connections: Connections,
    plan: Plan,
    *,
    images: Mapping[str, Path],
    reporter: Reporter,
    parallelism: int = 8,
    cancel: threading.Event | None = None,
    poll_interval: float = POLL_INTERVAL,
    traces: Path | None = None,
) -> Result:
    """Run a plan to its end.

    Where an action fails, all that doesn't depend on it is still done. Ctrl-C is as setting ``cancel``; what
    is left is told. A second one leaves at once, whatever is under way.

    Args:
        connections: the cloud.
        plan: what to do.
        images: image name → file, of the images that the plan creates.
        reporter: where to say what is done.
        parallelism: how many actions may be under way at once.
        cancel: set from elsewhere (a signal's handler), it keeps further actions from beginning; those under
            way are finished, and servers aren't waited for.
        poll_interval: seconds between two looks at the servers that are waited for.
        traces: the folder to write the run's trace into.

    Returns:
        What was done. ``cancelled`` tells a run that was cut short.

    Raises:
        CloudRefused: an admin is needed, and there is none; nothing was done.
        ConvergenceError: an image's file is missing, nothing was done; or actions failed.
        KeyboardInterrupt: there was a Ctrl-C.
    """
    run = _Run(
        connections,
        plan,
        images=images,
        reporter=reporter,
        parallelism=parallelism,
        cancel=cancel or threading.Event(),
        poll_interval=poll_interval,
        traces=traces,
    )
    result = run.run()
    result.raise_failures()
    return result


@dataclasses.dataclass(frozen=True, slots=True)
class _Returned:
    """An action's call has returned; ``error`` is a `MedicarcheError`, or a mistake of ours."""

    action: Action
    identifier: str | None = None
    error: BaseException | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Polled:
    """A look at the servers has returned."""

    settled: Mapping[str, MedicarcheError | None]
    mistake: BaseException | None = None


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
        traces: Path | None,
    ) -> None:
        self._connections = connections
        self._plan = plan
        self._images = images
        self._reporter = reporter
        self._parallelism = parallelism
        self._cancel = cancel
        self._interval = poll_interval
        self._traces = traces
        self._clock = connections.clock
        self._ids = _known_ids(plan)
        self._schedule = Schedule(plan.actions, parallelism)
        self._events: queue.SimpleQueue[_Returned | _Polled] = queue.SimpleQueue()
        self._waits: dict[str, Wait] = {}
        self._actions = {action.id: action for action in plan.actions}
        self._stages: dict[str, tuple[ExitStack, Stage]] = {}
        self._began: dict[str, float] = {}
        self._call_returned: dict[str, float] = {}
        self._start = self._clock.monotonic()
        self._started_at = datetime.now(UTC)
        self._timings: list[Timing] = []
        self._failures: list[Failure] = []
        self._polling = False
        self._unseen: Counter[str] = Counter()
        self._cut_short: list[str] = []
        self._mistake: BaseException | None = None

    def run(self) -> Result:
        work = Work(
            connections=self._connections,
            environment=self._plan.environment,
            ids=self._ids,
            images=self._images,
            external=external_networks(self._connections, self._plan),
        )
        self._check_plan(work)
        with interruptible(self._cancel) as interrupted:
            try:
                while self._advance(work):
                    self._handle(self._events.get())
            except KeyboardInterrupt:
                self._reporter.note(self._left("stopped at once"))
                for action_id in list(self._stages):
                    self._stages.pop(action_id)[0].__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
                raise
            finally:
                summary, written = self._trace()
        if self._mistake is not None:
            raise self._mistake
        if interrupted.is_set():
            self._reporter.note(self._left("stopped on demand"))
            raise KeyboardInterrupt
        return Result(
            ids=dict(self._ids),
            done=tuple(self._schedule.done),
            failed=tuple(self._failures),
            skipped=self._schedule.skipped,
            cancelled=self._cancel.is_set() and bool(self._schedule.skipped or self._cut_short),
            timings=tuple(self._timings),
            summary=summary,
            trace=written,
        )

    def _advance(self, work: Work) -> bool:
        """Begin what may begin; say whether anything is under way."""
        if self._cancel.is_set() or self._mistake is not None:
            self._give_up_waiting()
        else:
            for action in self._schedule.ready():
                self._begin(action)
                _start(self._call, work, action)
        if self._waits and not self._polling:
            self._polling = True
            _start(self._poll, tuple(self._waits.values()))
        return self._schedule.running or self._polling

    def _handle(self, event: _Returned | _Polled) -> None:
        if isinstance(event, _Returned):
            self._returned(event)
            return
        self._polling = False
        self._mistake = self._mistake or event.mistake
        for action_id, error in event.settled.items():
            if self._waits.pop(action_id, None) is not None:
                self._end(self._actions[action_id], error)

    def _call(self, work: Work, action: Action) -> None:
        """Run in a worker: do the action, report the end."""
        stage = self._stages[action.id][1]
        # of what is replaced the old one may still be listed: that would be found
        looks_first = self._plan.begun and not action.replacement
        try:
            identifier = act(
                dataclasses.replace(work, progress=stage.update, looks_first=looks_first), action
            )
        except BaseException as error:  # noqa: BLE001 - a mistake of ours too: the main thread must hear of it
            self._events.put(_Returned(action, error=error))
        else:
            self._events.put(_Returned(action, identifier=identifier))

    def _poll(self, waits: tuple[Wait, ...]) -> None:
        """Run in a worker: look at the servers after the interval."""
        try:
            self._clock.wait(self._cancel, self._interval)
            self._events.put(_Polled(poll(self._connections, waits, self._unseen)))
        except MedicarcheError as error:
            self._events.put(_Polled({wait.action: error for wait in waits}))
        except BaseException as error:  # noqa: BLE001 - a mistake of ours: the main thread must hear of it
            self._events.put(_Polled({}, error))

    def _returned(self, event: _Returned) -> None:
        action = event.action
        self._call_returned[action.id] = self._clock.monotonic()
        if event.error is not None:
            self._mistake = self._mistake or (
                None if isinstance(event.error, MedicarcheError) else event.error
            )
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

    def _end(self, action: Action, error: BaseException | None) -> None:
        self._schedule.finish(action.id, failed=error is not None)
        now = self._clock.monotonic() - self._start
        began, returned = self._began[action.id] - self._start, self._call_returned[action.id] - self._start
        self._timings.append(Timing(action.id, began, returned, now, failed=error is not None))
        stack, _stage = self._stages.pop(action.id)
        if error is None:
            stack.close()
            return
        if isinstance(error, MedicarcheError):
            self._failures.append(Failure(action.id, error.message, error.hint))
        # the stage shows a failure where its context manager sees one
        stack.__exit__(type(error), error, None)

    def _give_up_waiting(self) -> None:
        for action_id in list(self._waits):
            del self._waits[action_id]
            self._cut_short.append(action_id)
            self._stages.pop(action_id)[0].close()

    def _left(self, why: str) -> str:
        """Return what is done and what isn't, for somebody who has stopped the run."""
        under_way = [i for i in self._stages if i not in self._waits]
        waited_for = [*self._cut_short, *self._waits]
        lines = [f"{why}: {len(self._schedule.done)} of {len(self._actions)} actions are done"]
        for what, actions in (
            ("failed", self._schedule.failed),
            ("under way, with an unknown end", under_way),
            ("ordered, and not waited for", waited_for),
            ("left", self._schedule.skipped),
        ):
            if actions:
                lines.append(f"{what}: {_listed(actions)}")
        return "\n  ".join(lines)

    def _trace(self) -> tuple[trace.Summary, Path | None]:
        """Sum up the times, and write the trace; what can't be written is told, and is no failure."""
        wall = self._clock.monotonic() - self._start
        actions = self._plan.actions
        summary = trace.summarize(actions, self._timings, wall=wall, parallelism=self._parallelism)
        if self._traces is None:
            return summary, None
        made = trace.chrome_trace(actions, self._timings, summary, began=self._started_at)
        try:
            return summary, trace.keep(self._traces, made, began=self._started_at)
        except OSError as error:
            self._reporter.note(f"the run's trace isn't kept: {error}")
            return summary, None

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


def _start(work: Callable[..., None], *arguments: object) -> None:
    """Run something in a worker that doesn't hold up the end of the process."""
    threading.Thread(target=work, args=arguments, name="converge", daemon=True).start()


def _listed(actions: Sequence[str]) -> str:
    shown = ", ".join(action.partition("#")[0] for action in actions[:MOST_LISTED])
    more = len(actions) - MOST_LISTED
    return f"{shown} and {more} more" if more > 0 else shown
