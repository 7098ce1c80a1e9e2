"""Running a plan, and looking at what came of it."""

from medicarche.converge.apply import apply
from medicarche.converge.inspect import AuditEntry, InstanceState, audit_trail, console_log, instances
from medicarche.converge.result import Failure, Result

__all__ = [
    "AuditEntry",
    "Failure",
    "InstanceState",
    "Result",
    "apply",
    "audit_trail",
    "console_log",
    "instances",
]
