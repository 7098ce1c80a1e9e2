"""What an application declares of itself: read by the deployment, the plan and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from medicarche.spec.environment import Application, Listener

__all__ = ["Declaration", "Operations", "Size"]


@dataclass(frozen=True, slots=True)
class Size:
    """The smallest instance that carries an application, and who says so."""

    ram_mib: int
    disk_gib: int
    source: str


@dataclass(frozen=True, slots=True)
class Declaration:
    """One kind of application.

    Attributes:
        kind: the word in the environment file.
        minimum: the smallest instance.
        listeners: the sockets that it opens in its instance, all on loopback.
        egress: what it has to reach from its instance.
        secrets: purpose → what it is, of the passwords generated for each application of this kind.
        host_names: labels under the environment's domain that lead to it, besides the instance's name.
        check_settings: says in sentences what is wrong with an application's settings.
        module: the module with its pyinfra operations; imported in the deployment's own process only.
    """

    kind: str
    minimum: Size
    listeners: tuple[Listener, ...]
    egress: frozenset[str]
    secrets: Mapping[str, str]
    host_names: tuple[str, ...]
    check_settings: Callable[[Application], Iterable[str]]
    module: str


class Operations(Protocol):
    """The module that a declaration names."""

    def deploy(self, application: Mapping[str, object], instance: Mapping[str, object]) -> None:
        """Add the application's operations for the current host."""
        ...
