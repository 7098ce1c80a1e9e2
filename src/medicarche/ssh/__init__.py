"""Reaching the instances over SSH: the environment's key, pinned host keys, waiting until they are ready.

A host key is learnt from the instance's own console log, which comes through the cloud's API, and is kept
with the server's id; an unknown or different key is refused, never accepted blindly (design, section 4).
"""

from __future__ import annotations

from medicarche.ssh.connection import Ssh, keep_alive
from medicarche.ssh.instance import Instance
from medicarche.ssh.keys import KeyPair, ensure_key_pair, protect_key
from medicarche.ssh.known_hosts import ConsoleLog, KnownHosts, Pin, host_keys

__all__ = [
    "ConsoleLog",
    "Instance",
    "KeyPair",
    "KnownHosts",
    "Pin",
    "Ssh",
    "ensure_key_pair",
    "host_keys",
    "keep_alive",
    "protect_key",
]
