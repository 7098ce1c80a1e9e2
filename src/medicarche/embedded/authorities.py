"""The authorities that the node's Keystone believes: of the environments whose directory it asks.

All are in one file: python-ldap and the TLS library below it know one for a whole process, and read it once.
uwsgi has Keystone's processes begin anew when the file changes (`medicarche.embedded.services`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from medicarche.process import run

if TYPE_CHECKING:
    from medicarche.embedded.node import Node

__all__ = ["BUNDLE", "trust"]

BUNDLE: Final = "/etc/medicarche/authorities.pem"
_EACH: Final = "/etc/medicarche/authorities"
#: "$1": the environment; standard input: the certificate. What is the same already isn't written
_SCRIPT: Final = f"""
set -e
umask 022
mkdir -p {_EACH}
cat > {_EACH}/"$1".pem
cat {_EACH}/*.pem > {BUNDLE}.new
if cmp -s {BUNDLE}.new {BUNDLE}; then rm {BUNDLE}.new; else mv {BUNDLE}.new {BUNDLE}; fi
"""
_SECONDS: Final = 30.0


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
    command = node.command(["sh", "-c", _SCRIPT, "trust", environment])
    run(command, stdin=certificate, timeout=_SECONDS)
