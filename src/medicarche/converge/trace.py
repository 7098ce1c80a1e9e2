"""Where a run's time went: its critical path, a lower bound, and a file for a trace viewer.

The file is in the Trace Event Format of Chrome, that ``chrome://tracing`` and https://ui.perfetto.dev open.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from medicarche.converge.schedule import LIMITS, service_of
from medicarche.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from medicarche.plan.model import Action

__all__ = ["Summary", "Timing", "chrome_trace", "keep", "summarize"]

MICROSECONDS = 1_000_000
#: how many files are kept
KEPT = 20
SUFFIX = ".trace.json"


@dataclass(frozen=True, slots=True)
class Timing:
    """When an action began, its call returned, and it ended, in seconds after the plan began.

    Between the return and the end a server is waited for.
    """

    action: str
    began: float
    returned: float
    ended: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """A run's times, in seconds.

    What an action took is what it took in this run, beside the others: the bound is the run's own. It tells
    how much was lost by the order of things, not how fast another cloud would be.

    Attributes:
        wall: the whole run.
        path: the ids of the actions on the critical path, in their order.
        critical: the critical path: the longest chain of actions that had to wait for each other.
        work: the calls' own time, shared by as many as may be under way at once; the busiest service's
            where that is longer.
    """

    wall: float
    path: tuple[str, ...]
    critical: float
    work: float

    @property
    def lower_bound(self) -> float:
        """Return what the run couldn't have been quicker than."""
        return max(self.critical, self.work)

    def __str__(self) -> str:
        chain = " → ".join(action.partition("#")[0] for action in self.path)
        ratio = f"{self.wall / self.lower_bound:.2f} times" if self.lower_bound else "no time over"
        return (
            f"{self.wall:.1f} s, {ratio} its lower bound of {self.lower_bound:.1f} s; "
            f"critical path {self.critical:.1f} s: {chain or 'nothing'}"
        )


def summarize(
    actions: Sequence[Action], timings: Iterable[Timing], *, wall: float, parallelism: int
) -> Summary:
    """Find the critical path and the lower bound.

    Args:
        actions: of the plan, in topological order.
        timings: of those that were run.
        wall: seconds that the run took.
        parallelism: how many calls may be under way at once.
    """
    took = {timing.action: timing.ended - timing.began for timing in timings}
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for action in actions:
        if action.id not in took:
            continue
        last = max((a for a in action.after if a in ends), key=lambda a: (ends[a], a), default=None)
        before[action.id] = last
        ends[action.id] = took[action.id] + (ends[last] if last else 0.0)
    path: list[str] = []
    step = max(ends, key=lambda a: (ends[a], a), default=None)
    critical = ends[step] if step else 0.0
    while step is not None:
        path.insert(0, step)
        step = before[step]
    return Summary(wall, tuple(path), critical, _work(actions, timings, parallelism))


def _work(actions: Sequence[Action], timings: Iterable[Timing], parallelism: int) -> float:
    services = {action.id: service_of(action.kind) for action in actions}
    calls: dict[str, float] = defaultdict(float)
    for timing in timings:
        calls[services[timing.action]] += timing.returned - timing.began
    by_service = [seconds / min(LIMITS[service], parallelism) for service, seconds in calls.items()]
    return max([sum(calls.values()) / parallelism, *by_service])


def chrome_trace(
    actions: Sequence[Action], timings: Iterable[Timing], summary: Summary, *, began: datetime
) -> dict[str, object]:
    """Return a run as a Chrome trace: an event per action, and one within it for its call."""
    kinds = {action.id: action for action in actions}
    events: list[dict[str, object]] = []
    free: list[float] = []
    for timing in sorted(timings, key=lambda timing: (timing.began, timing.action)):
        lane = next((n for n, end in enumerate(free) if end <= timing.began), len(free))
        free[lane : lane + 1] = [timing.ended]
        action = kinds[timing.action]
        common = {"ph": "X", "pid": 1, "tid": lane + 1, "ts": round(timing.began * MICROSECONDS)}
        events.append(
            {
                **common,
                "name": timing.action.partition("#")[0],
                "cat": f"{service_of(action.kind)},{action.verb.value}",
                "dur": round((timing.ended - timing.began) * MICROSECONDS),
                "args": {
                    "id": timing.action,
                    "reason": action.reason,
                    "after": sorted(action.after),
                    "failed": timing.failed,
                    "critical": timing.action in summary.path,
                },
            }
        )
        if timing.returned < timing.ended:
            call = round((timing.returned - timing.began) * MICROSECONDS)
            events.append({**common, "name": "call", "cat": "call", "dur": call})
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "began": began.isoformat(),
            "wall_seconds": round(summary.wall, 3),
            "critical_seconds": round(summary.critical, 3),
            "work_seconds": round(summary.work, 3),
            "lower_bound_seconds": round(summary.lower_bound, 3),
            "critical_path": list(summary.path),
        },
    }


def keep(folder: Path, trace: dict[str, object], *, began: datetime, kept: int = KEPT) -> Path:
    """Write a trace into a folder, and remove the oldest ones beyond a number.

    Raises:
        OSError: it can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = began.strftime("%Y%m%dT%H%M%SZ")
    names = (f"{stem}{f'_{n}' if n > 1 else ''}{SUFFIX}" for n in count(1))
    path = next(folder / name for name in names if not (folder / name).exists())
    write_private(path, (json.dumps(trace) + "\n").encode())
    for old in sorted(folder.glob(f"*{SUFFIX}"))[:-kept]:
        old.unlink(missing_ok=True)
    return path
