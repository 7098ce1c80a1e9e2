"""The authorities that the node's Keystone believes: of the environments whose directory it asks.

All are in one file: python-ldap and the TLS library below it know one for a whole process, and read it once.
uwsgi has Keystone's processes begin anew when the file changes (`medicarche.embedded.services`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from medicarche.embedded.gathered import Gathered

if TYPE_CHECKING:
    from medicarche.embedded.node import Node

__all__ = ["BUNDLE", "trust"]

BUNDLE: Final = "/etc/medicarche/authorities.pem"
_AUTHORITIES: Final = Gathered(BUNDLE, "/etc/medicarche/authorities")


def trust(node: Node, environment: str, certificate: str) -> None:
    """Have Keystone believe an environment's authority; believing it twice is believing it once.

    Args:
        node: it, running.
        environment: the environment's name; an authority that it had before is believed no more.
        certificate: PEM.

    Raises:
        MachineError: the node doesn't run.
        CommandError: the file can't be written.
    """
    _AUTHORITIES.put(node, f"{environment}.pem", certificate)
