"""The crowd: people of one application, by Locust, as many as its standard input says.

``python -m medicarche.load.people SCENARIO.py`` is started by `medicarche.load.crowd`, in a process of its
own, as Locust patches the standard library. A line ``{"users": 10, "rate": 5}`` sets how many people there
are; each second a line of JSON tells what they saw. It ends with its standard input.
"""

from __future__ import annotations

import functools
import json
import logging
import resource
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import gevent  # type: ignore[import-untyped]  # it has no type hints
import locust.stats
from gevent.fileobject import FileObjectThread  # type: ignore[import-untyped]  # as above
from locust import events
from locust.env import Environment
from locust.util.load_locustfile import load_locustfile

from medicarche.load.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import User

_SECOND = 1.0
_MILLISECONDS = 1000.0


class _Second:
    """What was seen in one second, by transaction."""

    def __init__(self) -> None:
        self.latency: dict[str, Histogram] = {}
        self.failures: dict[str, Counter[str]] = {}
        self.statuses: dict[str, Counter[str]] = {}

    def record(
        self,
        name: str,
        response_time: float,
        exception: object = None,
        response: Any = None,  # noqa: ANN401 - of whatever client
        **_more: object,
    ) -> None:
        """Write one answer down; Locust calls it."""
        latency = self.latency.setdefault(name, Histogram())
        if exception is None:
            latency.record(response_time / _MILLISECONDS)
        else:
            self.failures.setdefault(name, Counter())[str(exception)[:120]] += 1
        status = getattr(response, "status_code", 0)
        self.statuses.setdefault(name, Counter())[str(status or "none")] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            name: {
                "latency": histogram.encode(),
                "failures": self.failures.get(name, {}),
                "statuses": self.statuses.get(name, {}),
            }
            for name, histogram in self.latency.items()
        }


def _noted(on_start: Callable[[User], None]) -> Callable[[User], None]:
    """Let a person be there from the end of what they begin with: a log-in, mostly."""

    @functools.wraps(on_start)
    def arrive(person: User) -> None:
        on_start(person)
        vars(person)["arrived"] = True

    return arrive


class _Crowd:
    """People, and the second that is being filled."""

    def __init__(self, scenario: str) -> None:
        found = load_locustfile(scenario)
        classes = found[-2] if len(found) == 3 else found[0]  # noqa: PLR2004 - older ones return the text too
        if not classes:
            sys.exit(f"Error: {scenario}: no people in it, or their application isn't deployed")
        for kind in classes.values():
            kind.on_start = _noted(kind.on_start)
        self._environment = Environment(user_classes=list(classes.values()), events=events)
        self._runner = self._environment.create_local_runner()
        self._second = _Second()
        self._wanted = 0
        self._lag = 0.0
        events.request.add_listener(self._record)
        events.user_error.add_listener(self._stumble)

    def _record(self, **details: Any) -> None:  # noqa: ANN401 - Locust's
        self._second.record(**details)

    def _stumble(self, exception: Exception, **_more: object) -> None:
        """Count what goes wrong in a scenario itself: somebody who can't go on isn't served."""
        self._second.record("scenario", 0.0, f"{type(exception).__name__} in the scenario: {exception}")

    def listen(self) -> None:
        """Follow the orders on standard input until it ends."""
        for line in FileObjectThread(sys.stdin.buffer):
            order = json.loads(line)
            self._wanted = int(order["users"])
            self._runner.start(self._wanted, spawn_rate=float(order["rate"]), wait=False)
        self._runner.quit()

    def _there(self) -> int:
        # a greenlet that has ended has no arguments any more
        people = [person for greenlet in self._runner.user_greenlets for person in greenlet.args[:1]]
        return sum("arrived" in vars(person) for person in people)

    def tell(self) -> None:
        """Write what was seen, every second."""
        due = time.monotonic()
        while True:
            due += _SECOND
            gevent.sleep(max(due - time.monotonic(), 0.0))
            lag = max(time.monotonic() - due, 0.0)
            if lag > _SECOND:
                due = time.monotonic()
            seen, self._second = self._second, _Second()
            used = resource.getrusage(resource.RUSAGE_SELF)
            line = {
                "at": time.time(),
                "users": self._there(),
                "wanted": self._wanted,
                "transactions": seen.as_json(),
                "processor_seconds": used.ru_utime + used.ru_stime,
                "lag": lag,
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


def main() -> None:
    """Run until standard input ends."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    locust.stats.CONSOLE_STATS_INTERVAL_SEC = 3600
    crowd = _Crowd(sys.argv[1])
    teller = gevent.spawn(crowd.tell)
    crowd.listen()
    teller.kill()


if __name__ == "__main__":
    main()
