"""OpenStack I/O: connecting, observing, checking, acting. All calls to a cloud's API leave from here."""

from medicarche.cloud.calls import Ambiguous, ApiError, Clock
from medicarche.cloud.check import check
from medicarche.cloud.connect import Connection, Connections, Target, connect
from medicarche.cloud.observe import observe

__all__ = [
    "Ambiguous",
    "ApiError",
    "Clock",
    "Connection",
    "Connections",
    "Target",
    "check",
    "connect",
    "observe",
]
