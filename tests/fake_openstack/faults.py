"""Faults to order: answers lost, errors, a cloud that dies at a chosen call."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BESIDE", "Fault", "Faults", "Kind"]

#: instead of a kill, another run of the same, from another machine, goes by in that moment
BESIDE = "another run"
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


class Kind(Enum):
    """What goes wrong."""

    DROP = auto()  # the connection closes, nothing was done
    LOSE = auto()  # it was done, the connection closes before the answer
    STALL = auto()  # it was done, the answer never comes
    REFUSE = auto()  # answered with a status, nothing was done
    REFUSE_AFTER = auto()  # it was done, and answered with a status all the same
    CHANGE = auto()  # it was done, and the answer's body changed on its way
    LATE = auto()  # the connection closes; it is done a few calls later


@dataclass
class Fault:
    """A fault that strikes the next calls that match.

    Attributes:
        method: the HTTP method; any where it is empty.
        path: a regular expression, searched in the path.
        times: how many calls it strikes.
        skip: how many calls that match it lets pass before.
        status: of the answer, with ``headers`` and ``body``, or ``raw`` bytes instead of that.
        before: done to the cloud before the call is answered.
        change: makes the changed body out of the true one; of a call that succeeded.
        delay: of a late one: after how many further calls it is done.
    """

    kind: Kind
    method: str
    path: str
    times: int = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)
    raw: bytes | None = None
    skip: int = 0
    before: Callable[[], object] | None = None
    change: Callable[[Any], Any] | None = None
    delay: int = 3


class Faults:
    """The faults ordered, and the calls seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordered: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        self.dead = False
        self._dies_at: tuple[int, bool] | None = None
        self._late: list[list[Any]] = []
        #: calls that were struck since the last revival
        self.struck = 0

    def order(self, fault: Fault) -> None:
        """Let a fault strike."""
        with self._lock:
            self._ordered.append(fault)

    def die_at(self, write: int, *, after_effect: bool) -> None:
        """Answer nothing any more from the given write on (0 is the next); it may have its effect, or not."""
        with self._lock:
            self._dies_at = (write + len(self.writes), after_effect)

    def revive(self) -> None:
        """Answer again."""
        with self._lock:
            self.dead = False
            self._dies_at = None
            self._ordered.clear()
            self._late.clear()
            self.struck = 0

    def pardon(self) -> None:
        """Forget what was ordered; what was put off is still done."""
        with self._lock:
            self._ordered.clear()

    def put_off(self, calls: int, work: Callable[[], object]) -> None:
        """Have something done after so many further calls."""
        with self._lock:
            self._late.append([calls, work])

    def due(self) -> list[Callable[[], object]]:
        """Return what was put off until the call that is being answered."""
        with self._lock:
            for entry in self._late:
                entry[0] -= 1
            found = [work for calls, work in self._late if calls <= 0]
            self._late = [entry for entry in self._late if entry[0] > 0]
            return found

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The writing calls seen so far; authentication isn't one."""
        return [call for call in self.calls if call[0] in WRITES and "/auth/tokens" not in call[1]]

    def strike(self, method: str, path: str) -> Fault | None:
        """Note a call and return the fault that strikes it."""
        with self._lock:
            if self.dead:
                return Fault(Kind.DROP, method, path)
            writes = len(self.writes)
            self.calls.append((method, path))
            if self._dies_at is not None and len(self.writes) > writes == self._dies_at[0]:
                self.dead = True
                return Fault(Kind.LOSE if self._dies_at[1] else Kind.DROP, method, path)
            for fault in self._ordered:
                if fault.method not in {method, ""} or not re.search(fault.path, path) or fault.times <= 0:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                self.struck += 1
                return fault
            return None
