"""Evidence: what really answers, listens and is offered, seen from a vantage point.

Nothing here knows the declaration's file; what was declared is handed in, and compared with what was seen.
All of it is to be called from inside the cloud's network name space where the cloud is an embedded one.
"""

from __future__ import annotations

from medicarche.probe.capture import Capture, Packet
from medicarche.probe.http import Client, answers
from medicarche.probe.sockets import Difference, Listening, compare, parse_ss
from medicarche.probe.ssh_policy import accepts_key, offered_methods
from medicarche.probe.tcp import Endpoint, PortState, scan
from medicarche.probe.tls import Certificate, inspect, versions_offered

__all__ = [
    "Capture",
    "Certificate",
    "Client",
    "Difference",
    "Endpoint",
    "Listening",
    "Packet",
    "PortState",
    "accepts_key",
    "answers",
    "compare",
    "inspect",
    "offered_methods",
    "parse_ss",
    "scan",
    "versions_offered",
]
