"""The generator's engine: many connections in one thread, by epoll, and what is noted of them."""

from __future__ import annotations

import resource
import select
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medicarche.load.connection import Connection, Phase, WrongAnswer
from medicarche.load.samples import Samples

if TYPE_CHECKING:
    from medicarche.load.connection import Request

__all__ = ["TICK", "Engine", "Limits"]

#: seconds that the engine waits for events at most, and between two looks at the time limits
TICK = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """The generator's limits.

    Attributes:
        answer: seconds that an answer, or a connection, may take.
        connections: at the same time, in the open model.
    """

    answer: float = 30.0
    connections: int = 200


class Engine(ABC):
    """Sockets, their events and what is noted of them. What comes next is the model's decision."""

    def __init__(self, request: Request, limits: Limits) -> None:
        self.samples = Samples()
        self._request = request
        self.limits = limits
        self._message = request.as_bytes()
        self._context = request.context()
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._looked = self._expired = 0.0
        self._used = 0.0

    @abstractmethod
    def ready(self, connection: Connection, now: float) -> None:
        """Go on with a connection that can take a request."""

    @abstractmethod
    def gone(self, connection: Connection, now: float) -> None:
        """Go on without a connection that is gone, whatever for."""

    @abstractmethod
    def unmade(self, connection: Connection, why: str, now: float) -> None:
        """Count what fails with a connection that couldn't be made; `gone` is called after it."""

    def begin(self) -> None:
        """Start the clocks."""
        self._used = _processor_seconds()
        self.samples.began = self._looked = time.perf_counter()

    def finish(self) -> Samples:
        """Close everything, and return what was seen."""
        for connection in list(self._connections.values()):
            self.drop(connection)
        self._poll.close()
        samples = self.samples
        last = max([*samples.ended[-1:], *samples.failed_at[-1:]], default=samples.began)
        samples.seconds = last - samples.began
        samples.processor_seconds = _processor_seconds() - self._used
        samples.asked = max(samples.asked, samples.succeeded + samples.failed)
        return samples

    @property
    def busy(self) -> bool:
        """Whether there are connections."""
        return bool(self._connections)

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def waiting_for_answers(self) -> bool:
        """Whether a request is under way."""
        return any(c.phase is Phase.WAITING for c in self._connections.values())

    def connect(self, now: float) -> Connection | None:
        """Begin a connection; None where it is refused at once."""
        try:
            connection = Connection(self._request, self._context, now)
        except WrongAnswer:
            return None
        self._connections[connection.fileno()] = connection
        self._poll.register(connection.fileno(), select.EPOLLOUT)
        return connection

    def send(self, connection: Connection, now: float, due: float | None = None) -> None:
        """Send the request; due now where nothing else is said."""
        self.samples.sent += len(self._message)
        try:
            connection.send(self._message, now if due is None else due, now)
        except WrongAnswer as error:
            self._broken(connection, str(error), now)

    def fail(self, now: float, why: str) -> None:
        """Count a request that failed."""
        self.samples.failures[why] += 1
        self.samples.failed_at.append(now)

    def turn(self, seconds: float) -> None:
        """Wait for events at most so long, and follow them."""
        before = time.perf_counter()
        self.samples.lag = max(self.samples.lag, before - self._looked)
        events = self._poll.poll(seconds, 512)
        now = self._looked = time.perf_counter()
        for descriptor, _ in events:
            connection = self._connections.get(descriptor)
            if connection is not None:
                self._follow(connection, time.perf_counter())
        if now - self._expired > TICK:
            self._expired = now
            self._expire(now)

    def _follow(self, connection: Connection, now: float) -> None:
        connecting = connection.phase is Phase.CONNECTING
        try:
            ended = connection.advance(now)
        except WrongAnswer as error:
            self._broken(connection, str(error), now)
            return
        if connecting and not connection.wants_write:
            self._poll.modify(connection.fileno(), select.EPOLLIN)
        if not ended:
            return
        if not connection.used:
            self.samples.connect.append(now - connection.began)
        elif not self._note(connection, now):
            return
        self.ready(connection, now)

    def _note(self, connection: Connection, now: float) -> bool:
        """Write an answer down; tell whether its connection can be used again."""
        samples = self.samples
        if connection.sent and not connection.noted_first_byte:
            connection.noted_first_byte = True
            samples.connection_first_byte.append(connection.first_byte - connection.began)
        status = connection.status
        samples.statuses[status] += 1
        wrong = ""
        if status != self._request.status:
            wrong = f"status {status}"
        elif self._request.contains and self._request.contains not in b"".join(connection.body):
            wrong = "another content"
        if wrong:
            self.fail(now, wrong)
        else:
            samples.ended.append(now)
            samples.latency.append(now - connection.due)
            samples.service.append(now - connection.sent)
            samples.first_byte.append(connection.first_byte - connection.sent)
        if connection.reusable:
            return True
        samples.replaced += 1
        self._lose(connection, now)
        return False

    def _broken(self, connection: Connection, why: str, now: float) -> None:
        if connection.phase is Phase.WAITING:
            self.fail(now, why)
        elif connection.phase is Phase.IDLE:
            self.samples.replaced += 1  # closed between two requests: a server may do that
        else:
            self.unmade(connection, f"no connection: {why}", now)
        self._lose(connection, now)

    def _expire(self, now: float) -> None:
        for connection in list(self._connections.values()):
            if connection.phase is Phase.WAITING:
                since = connection.due
            elif connection.phase is Phase.IDLE:
                continue
            else:
                since = connection.began
            if now - since > self.limits.answer:
                self._broken(connection, "time-out", now)

    def _lose(self, connection: Connection, now: float) -> None:
        self.drop(connection)
        self.gone(connection, now)

    def drop(self, connection: Connection) -> None:
        """Close a connection that isn't needed any more."""
        descriptor = connection.fileno()
        if self._connections.pop(descriptor, None) is not None:
            self.samples.received += connection.received
            self._poll.unregister(descriptor)
        connection.close()


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
