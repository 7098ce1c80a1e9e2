"""The generator: requests by count, or by a rate.

Two models (Schroeder, Wierman, Harchol-Balter: "Open versus closed", NSDI 2006):

- *closed*: so many clients; each sends its next request when its last one is answered (h2load, Locust). A
  server that stalls slows the clients down, and what they would have asked meanwhile is never asked.
- *open*: requests are due by a schedule, answered or not. Each is timed from when it was due, so that waiting
  for a stalled server, or for a free connection, counts ("coordinated omission" can't happen).
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from medicarche.errors import MedicarcheError
from medicarche.load.engine import TICK, Engine, Limits

if TYPE_CHECKING:
    from medicarche.load.connection import Connection, Request
    from medicarche.load.samples import Samples

__all__ = ["MOST_REQUESTS", "MOST_SECONDS", "Limits", "closed", "open_schedule"]

#: no run of the generator is larger, whatever is asked for: it is pointed at one's own applications
MOST_REQUESTS = 2_000_000
MOST_SECONDS = 3_600.0
#: a request that starts this much later than it was due (or one interval of its schedule) missed its slot
_PUNCTUAL = 0.01
#: seconds after which an idle connection isn't trusted any more: servers close them (nginx after 75)
_FRESH = 50.0
#: failures of each client without one success, after which the rest isn't tried
_HOPELESS = 5


def closed(
    request: Request,
    *,
    clients: int,
    requests: int,
    limits: Limits | None = None,
    seconds: float = MOST_SECONDS,
) -> Samples:
    """Send so many requests by so many clients, as ``h2load -c CLIENTS -n REQUESTS`` shares them out.

    Args:
        request: what is asked.
        clients: connections, each with one request at a time.
        requests: of all of them together.
        limits: time limits.
        seconds: no request is begun after these.

    Raises:
        MedicarcheError: the numbers are out of their bounds.
    """
    if not 1 <= clients <= requests or requests > MOST_REQUESTS:
        raise MedicarcheError(
            f"{clients} clients and {requests} requests: not 1 <= clients <= requests <= {MOST_REQUESTS}"
        )
    return _Closed(request, limits or Limits(), clients, requests, seconds).run()


def open_schedule(request: Request, *, rate: float, seconds: float, limits: Limits | None = None) -> Samples:
    """Send ``rate`` requests a second for ``seconds`` seconds, each when it is due, answered or not.

    Args:
        request: what is asked.
        rate: requests a second, evenly spaced.
        seconds: how long requests are due.
        limits: what isn't answered ``limits.answer`` seconds after it was due has failed; a request for
            which no connection is free waits, and its latency counts that.

    Raises:
        MedicarcheError: the numbers are out of their bounds.
    """
    if not (rate > 0 and 0 < seconds <= MOST_SECONDS and rate * seconds <= MOST_REQUESTS):
        raise MedicarcheError(
            f"{rate:g} requests/s for {seconds:g} s: at most {MOST_SECONDS:g} s and {MOST_REQUESTS} requests"
        )
    return _Open(request, limits or Limits(), rate, seconds).run()


class _Closed(Engine):
    """Clients that each have their share of the requests."""

    def __init__(self, request: Request, limits: Limits, clients: int, requests: int, seconds: float) -> None:
        super().__init__(request, limits)
        self._clients = clients
        self._requests = requests
        self._seconds = seconds
        share, rest = divmod(requests, clients)
        self._left = [share + (number < rest) for number in range(clients)]
        self._owners: dict[Connection, int] = {}

    def run(self) -> Samples:
        """Run to the end, or until nothing but failures came."""
        self.begin()
        for client in range(self._clients):
            self._start(client, self.samples.began)
        samples = self.samples
        while self.count and (samples.succeeded or samples.failed < _HOPELESS * self._clients):
            self.turn(TICK)
        unasked = self._requests - samples.succeeded - samples.failed
        if unasked:
            samples.failures["never started"] += unasked
        return self.finish()

    def ready(self, connection: Connection, now: float) -> None:
        client = self._owners[connection]
        if self._may_ask(client, now):
            self._left[client] -= 1
            self.send(connection, now)
        else:
            self.drop(connection)

    def gone(self, connection: Connection, now: float) -> None:
        self._start(self._owners.pop(connection), now)

    def unmade(self, connection: Connection, why: str, now: float) -> None:
        # the request that the connection was meant for has failed with it
        self._left[self._owners[connection]] -= 1
        self.fail(now, why)

    def _may_ask(self, client: int, now: float) -> bool:
        return self._left[client] > 0 and now - self.samples.began < self._seconds

    def _start(self, client: int, now: float) -> None:
        while self._may_ask(client, now):
            connection = self.connect(now)
            if connection is not None:
                self._owners[connection] = client
                return
            self._left[client] -= 1
            self.fail(now, "refused")


class _Open(Engine):
    """A schedule, the requests that wait for a connection, and the connections that wait for a request."""

    def __init__(self, request: Request, limits: Limits, rate: float, seconds: float) -> None:
        super().__init__(request, limits)
        self._interval = 1 / rate
        self._total = max(round(rate * seconds), 1)
        self._issued = 0
        self._waiting: deque[float] = deque()
        self._free: list[Connection] = []
        self._opening = 0

    def run(self) -> Samples:
        """Run until all that was due is answered, or has failed."""
        self.begin()
        while self._issued < self._total or self._waiting or self.waiting_for_answers:
            now = time.perf_counter()
            self._issue(now)
            self._hand_out(now)
            self._open_more(now)
            self._give_up(now)
            wait = TICK
            if self._issued < self._total:
                wait = min(self._due(self._issued) - time.perf_counter(), TICK)
            self.turn(max(wait, 0.0))
        self.samples.asked = self._total
        return self.finish()

    def ready(self, connection: Connection, now: float) -> None:
        if not connection.used:
            self._opening -= 1
        if self._waiting:
            self._send_late(connection, now)
        else:
            self._free.append(connection)

    def gone(self, connection: Connection, now: float) -> None:
        del now
        if connection in self._free:
            self._free.remove(connection)
        elif not connection.established:
            self._opening -= 1

    def unmade(self, connection: Connection, why: str, now: float) -> None:
        del connection
        if self._waiting:
            self._waiting.popleft()
            self.fail(now, why)

    def _due(self, number: int) -> float:
        return self.samples.began + number * self._interval

    def _issue(self, now: float) -> None:
        while self._issued < self._total and self._due(self._issued) <= now:
            self._waiting.append(self._due(self._issued))
            self._issued += 1

    def _hand_out(self, now: float) -> None:
        """Give waiting requests to free connections, the one that was used last first."""
        while self._waiting and self._free:
            connection = self._free.pop()
            if now - max(connection.sent, connection.established) > _FRESH:
                self.drop(connection)
            else:
                self._send_late(connection, now)

    def _send_late(self, connection: Connection, now: float) -> None:
        due = self._waiting.popleft()
        if now - due > max(_PUNCTUAL, self._interval):
            self.samples.missed += 1
        self.send(connection, now, due)

    def _open_more(self, now: float) -> None:
        """Open one connection more for each request that waits, as long as there may be more."""
        while len(self._waiting) > self._opening and self.count < self.limits.connections:
            if self.connect(now) is None:
                self._waiting.popleft()
                self.fail(now, "refused")
            else:
                self._opening += 1

    def _give_up(self, now: float) -> None:
        while self._waiting and now - self._waiting[0] > self.limits.answer:
            self._waiting.popleft()
            self.samples.missed += 1
            self.fail(now, "never started")
