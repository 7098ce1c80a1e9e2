"""Which actions may begin: the plan's graph, and limits per service. Pure; it starts nothing itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from medicarche.plan.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.plan.model import Action

__all__ = ["Schedule", "service_of"]

#: calls under way per service: more only queue up in a small cloud's API
LIMITS = {"compute": 4, "network": 6, "image": 2, "identity": 2}
_IDENTITY = {
    Kind.PROJECT, Kind.USER, Kind.ROLE_ASSIGNMENT, Kind.APPLICATION_CREDENTIAL, Kind.DOMAIN, Kind.GROUP_ROLE,
}  # fmt: skip


def service_of(kind: Kind) -> str:
    """Return the service that a kind belongs to."""
    if kind is Kind.IMAGE:
        return "image"
    if kind in _IDENTITY:
        return "identity"
    return "compute" if kind in {Kind.FLAVOR, Kind.KEY_PAIR, Kind.SERVER} else "network"


class Schedule:
    """The state of a plan's run.

    Args:
        actions: the plan's actions.
        parallelism: how many may be under way in all.
    """

    def __init__(self, actions: Iterable[Action], parallelism: int) -> None:
        self._actions = {action.id: action for action in actions}
        self._parallelism = parallelism
        self._pending = dict(self._actions)
        self._running: dict[str, Action] = {}
        self.done: list[str] = []
        self.failed: list[str] = []
        for action in self._actions.values():
            if unknown := action.after - self._actions.keys():
                raise ValueError(
                    f"{action.id} is to come after {sorted(unknown)}, which the plan doesn't hold"
                )

    def ready(self) -> list[Action]:
        """Return the actions that may begin now, in the plan's order, and count them as under way."""
        busy = Counter(service_of(action.kind) for action in self._running.values())
        begun = []
        done = set(self.done)
        for action in list(self._pending.values()):
            service = service_of(action.kind)
            if len(self._running) >= self._parallelism:
                break
            if action.after <= done and busy[service] < LIMITS[service]:
                busy[service] += 1
                self._running[action.id] = self._pending.pop(action.id)
                begun.append(action)
        return begun

    def release(self, action_id: str) -> None:
        """Free an action's place: its call has returned, it is only waited for."""
        self._running.pop(action_id, None)

    def finish(self, action_id: str, *, failed: bool = False) -> None:
        """Note that an action is done, or failed."""
        self.release(action_id)
        (self.failed if failed else self.done).append(action_id)

    @property
    def running(self) -> bool:
        """A call is under way."""
        return bool(self._running)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The ids of the actions that haven't begun."""
        return tuple(self._pending)
