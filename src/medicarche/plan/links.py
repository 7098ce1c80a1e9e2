"""Who refers to whom among the observed resources."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medicarche.plan.model import Observed

__all__ = ["Links"]


class Links:
    """References between observed resources, by the cloud's ids.

    Args:
        ours: address → the observed resources that carry its mark.
    """

    def __init__(self, ours: Mapping[str, Sequence[Observed]]) -> None:
        self._ours = ours
        #: all observed resources that carry the mark
        self.ours: Sequence[Observed] = [observed for found in ours.values() for observed in found]
        #: the cloud's id → address, of what isn't ours but is used
        self.adopted: dict[str, str] = {}
        #: address → id, of what stays (or is replaced) under this address
        self.kept: dict[str, str] = {}
        self._referrers: dict[str, list[Observed]] | None = None

    def ids(self, observed: Observed) -> frozenset[str]:
        """Return the cloud's ids of all that a resource refers to."""
        known = dict(observed.references)
        found: set[str] = set()
        for address in observed.resource.referred():
            if address.startswith("id:"):
                found.add(address.removeprefix("id:"))
            elif address in known:
                found.add(known[address])
            else:
                found |= {other.id for other in self._ours.get(address, ())}
        return frozenset(found)

    def referrers(self, cloud_id: str) -> list[Observed]:
        """Return those of ours that refer to something."""
        if self._referrers is None:
            self._referrers = defaultdict(list)
            for observed in self.ours:
                for referred in self.ids(observed):
                    self._referrers[referred].append(observed)
        return self._referrers.get(cloud_id, [])

    def translate(self, observed: Observed, value: Any) -> Any:  # noqa: ANN401 - address, addresses or None
        """Return an observed reference as the wanted side would write it.

        What isn't ours but is used gets its address; a reference to something of ours that isn't what is
        kept under its address becomes ``id:...``, so that it compares unequal.
        """
        if isinstance(value, tuple):
            return tuple(sorted(self.translate(observed, item) for item in value))
        if not isinstance(value, str):
            return value
        if value.startswith("id:"):
            return self.adopted.get(value.removeprefix("id:"), value)
        actual = dict(observed.references).get(value)
        if actual is None or actual == self.kept.get(value, actual):
            return value
        return f"id:{actual}"

    def addresses(self, observed: Observed, field: str) -> tuple[str, ...]:
        """Return a reference field's addresses, translated."""
        value = self.translate(observed, getattr(observed.resource, field))
        if value is None:
            return ()
        return value if isinstance(value, tuple) else (value,)
