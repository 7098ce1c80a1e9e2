"""What SSH needs to know of an instance."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Instance", "addresses"]


class Instance(Protocol):
    """What is needed of an instance; `medicarche.converge.InstanceState` has it."""

    @property
    def name(self) -> str:
        """Its logical name."""
        ...

    @property
    def id(self) -> str:
        """The server's id in the cloud: another one is another machine, with other host keys."""
        ...

    @property
    def private_address(self) -> str | None:
        """Its fixed address."""
        ...

    @property
    def floating_address(self) -> str | None:
        """Its floating address, which is preferred where there is one."""
        ...


def addresses(instance: Instance) -> tuple[str, ...]:
    """Return an instance's addresses, the preferred one first."""
    return tuple(a for a in (instance.floating_address, instance.private_address) if a)
