"""What an action needs in order to act, and how something is created exactly once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from medicarche.cloud import marks
from medicarche.cloud.calls import Ambiguous, ApiError
from medicarche.cloud.conflicts import Conflict, conflict
from medicarche.errors import CloudRefused, ConvergenceError
from medicarche.plan.model import mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from medicarche.cloud.calls import Clock
    from medicarche.cloud.connect import Connection, Connections
    from medicarche.cloud.listing import Listing, Raw
    from medicarche.plan.model import Observed
    from medicarche.plan.resources import Kind, Resource

__all__ = ["Handler", "Work", "create_once", "while_in_use"]

#: how often a POST whose fate stays unknown is sent at most, and how often the mark is looked for after each
POSTS, LOOKS = 3, 3
#: seconds to wait for what is in use, or in the wrong state, to get free
IN_USE_TIMEOUT = 120.0
#: number of waits after which even a clock that stands still gives up
LONGEST_WAITS = 30


@dataclass(frozen=True, slots=True)
class Work:
    """What an action needs.

    Attributes:
        connections: the cloud.
        environment: the environment's name.
        ids: logical address → cloud id of what there is already; grows while the plan runs.
        images: image name → the file to upload.
        external: ids and addresses of external networks.
        progress: says how far an action is, in a few words.
        looks_first: what is to be created is asked for by its mark first: the environment is there already,
            so that its lists may have kept something back.
    """

    connections: Connections
    environment: str
    ids: Mapping[str, str]
    images: Mapping[str, Path] = field(default_factory=dict)
    external: frozenset[str] = frozenset()
    progress: Callable[[str], None] = lambda _text: None
    looks_first: bool = False

    @property
    def member(self) -> Connection:
        """The project's member."""
        return self.connections.member

    @property
    def admin(self) -> Connection:
        """The admin.

        Raises:
            CloudRefused: there is none.
        """
        if self.connections.admin is None:
            raise CloudRefused("this needs an admin of the cloud", hint="Name one: --admin-cloud ENTRY")
        return self.connections.admin

    @property
    def clock(self) -> Clock:
        """Time."""
        return self.connections.clock

    def mark(self, resource: Resource) -> str:
        """Return the resource's ownership mark."""
        return mark(self.environment, resource.address)

    def description(self, resource: Resource, *, shared: bool = False) -> str:
        """Return the resource's description: its mark, its project where others see it (shared), purpose."""
        return marks.description(self.environment, resource, self.member.project_id if shared else None)

    def id_of(self, reference: str) -> str:
        """Return the cloud id behind a logical address or an ``id:`` reference.

        Raises:
            ConvergenceError: what is referred to isn't there.
        """
        if reference.startswith("id:"):
            return reference.removeprefix("id:")
        try:
            return self.ids[reference]
        except KeyError:
            raise ConvergenceError(f"{reference} isn't there, and nothing in the plan makes it") from None

    def is_external(self, network: str) -> bool:
        """Say whether a network (its address, or an ``id:`` reference) is external."""
        return network in self.external or self.ids.get(network, network.removeprefix("id:")) in self.external


class Handler(Protocol):
    """One kind of resource: how it is read from lists, made, changed and removed."""

    kind: Kind

    def read(self, listing: Listing) -> None:
        """Add the resources of this kind to the listing."""
        ...

    def needs_admin(self, work: Work, resource: Resource) -> bool:
        """Say whether only an admin can make, change or remove the resource."""
        ...

    def create(self, work: Work, wanted: Any) -> str:  # noqa: ANN401 - each handler names its own kind
        """Make the resource and return its id. Its mark is in the POST."""
        ...

    def update(self, work: Work, observed: Observed, wanted: Any) -> None:  # noqa: ANN401 - as above
        """Change the resource in place."""
        ...

    def delete(self, work: Work, observed: Observed) -> None:
        """Remove the resource; that it is gone already is success."""
        ...


def create_once(work: Work, post: Callable[[], Raw], find: Callable[[], Sequence[Raw]]) -> Raw:
    """Create something exactly once.

    Args:
        work: for its clock.
        post: sends the POST.
        find: looks for the mark and returns what carries it.

    Returns:
        What was made, or what was found to be there already.

    Raises:
        ApiError: it was refused.
        Ambiguous: POST after POST had no answer, and nothing carries the mark.
    """
    if work.looks_first and (found := find()):
        return found[0]
    deadline = work.clock.monotonic() + IN_USE_TIMEOUT
    posts = waits = 0
    while True:
        try:
            return post()
        except Ambiguous:
            posts += 1
            # the service may still be at work on it: look more than once before sending another
            for look in range(LOOKS):
                work.clock.back_off(look)
                if found := find():
                    return found[0]
            if posts == POSTS:
                raise
        except ApiError as error:
            meaning = conflict(error)
            if meaning is Conflict.EXISTS and (found := find()):
                return found[0]
            # without our mark it is somebody else's, or about to be removed by this very plan
            late = work.clock.monotonic() >= deadline or waits == LONGEST_WAITS
            if meaning not in {Conflict.EXISTS, Conflict.WAIT} or late:
                raise
            work.clock.back_off(waits, error.retry_after)
            waits += 1


def while_in_use(work: Work, call: Callable[[], object]) -> None:
    """Run a call that fails as long as something is in use or in the wrong state, until it doesn't.

    Raises:
        ApiError: it was refused for another reason, or for too long.
    """
    deadline = work.clock.monotonic() + IN_USE_TIMEOUT
    for attempt in range(LONGEST_WAITS + 1):
        try:
            call()
        except ApiError as error:
            late = work.clock.monotonic() >= deadline or attempt == LONGEST_WAITS
            if conflict(error) is not Conflict.WAIT or late:
                raise
            work.clock.back_off(attempt, error.retry_after)
        else:
            return
