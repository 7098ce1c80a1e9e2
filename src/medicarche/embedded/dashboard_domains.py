"""The domains that Horizon's log-in page offers beside the cloud's own accounts: those of the directories.

Its settings read the file, and uwsgi has its process begin anew when that changes
(`medicarche.embedded.services`). Without any domain the page asks for none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from medicarche.embedded.gathered import Gathered

if TYPE_CHECKING:
    from medicarche.embedded.node import Node

__all__ = ["DOMAINS", "offer"]

DOMAINS: Final = "/etc/medicarche/dashboard-domains"
_DOMAINS: Final = Gathered(DOMAINS, "/etc/medicarche/dashboard-domains.d")


def offer(node: Node, environment: str, domain: str | None) -> None:
    """Offer the domain of an environment's directory on the log-in page; None: offer none of its.

    Raises:
        MachineError: the node doesn't run.
        CommandError: the file can't be written.
    """
    _DOMAINS.put(node, environment, f"{domain}\n" if domain else "")
