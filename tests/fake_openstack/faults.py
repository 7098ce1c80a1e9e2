"""Faults to order: answers lost, errors, a cloud that dies at a chosen call."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from enum import Enum, auto

__all__ = ["Fault", "Faults", "Kind"]

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


class Kind(Enum):
    """What goes wrong."""

    DROP = auto()  # the connection closes, nothing was done
    LOSE = auto()  # it was done, the connection closes before the answer
    STALL = auto()  # it was done, the answer never comes
    REFUSE = auto()  # answered with a status, nothing was done
    REFUSE_AFTER = auto()  # it was done, and answered with a status all the same


@dataclass
class Fault:
    """A fault that strikes the next calls that match.

    Attributes:
        method: the HTTP method.
        path: a regular expression, searched in the path.
        times: how many calls it strikes.
        status: of the answer, with ``headers`` and ``body``, or ``raw`` bytes instead of that.
    """

    kind: Kind
    method: str
    path: str
    times: int = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)
    raw: bytes | None = None


class Faults:
    """The faults ordered, and the calls seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordered: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        self.dead = False
        self._dies_at: tuple[int, bool] | None = None

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
                if fault.method == method and re.search(fault.path, path) and fault.times > 0:
                    fault.times -= 1
                    return fault
            return None
