"""What an application declares of itself: read by the deployment, the plan and the tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from medicarche.spec.environment import Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from medicarche.spec.environment import Application, Listener, Size

__all__ = ["Artefact", "Declaration", "Operations"]


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that the operator gives, and that is uploaded from the operator's machine.

    Attributes:
        source: an ``https`` URL, or a path (a relative one is read from the environment file's folder).
        sha256: its digest in 64 hexadecimal digits; None where it stands in ``<source>.sha256``.
        what: what it is, for messages.
    """

    source: str
    sha256: str | None
    what: str


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
        https_at: where nginx serves it over TLS, where the public port itself is shared out by something of
            the application's own; empty: on the public port.
        artefact: gives the file that it is made from, where Debian has none.
        cloud_listeners: the sockets that it opens besides, where it may reach the cloud's API.
        health: the page that `medicarche status` and the supervision ask for; its answer needs all that the
            application needs.
        traits: whom its port is for, what its people can be, whether it is a directory.
        service_account: it asks the directory with an account of its own, before it knows who logs in.
        lists_people: its account may list those whom it sees, and not only find one by the name.
        beside: the kind of application in whose instance it always is, and which stays when it is declared no
            more: its module takes it out then (``Remains``, ``withdraw``). Empty: its instance goes with it.
    """

    kind: str
    minimum: Size
    listeners: tuple[Listener, ...]
    egress: frozenset[str]
    secrets: Mapping[str, str]
    host_names: tuple[str, ...]
    check_settings: Callable[[Application], Iterable[str]]
    module: str
    https_at: str = ""
    artefact: Callable[[Application], Artefact] | None = None
    health: str = "/"
    cloud_listeners: tuple[Listener, ...] = ()
    traits: Traits = field(default_factory=Traits)
    service_account: bool = False
    lists_people: bool = False
    beside: str = ""


class Operations(Protocol):
    """The module that a declaration names."""

    def deploy(self, application: Mapping[str, object], instance: Mapping[str, object]) -> None:
        """Add the application's operations for the current host."""
        ...
