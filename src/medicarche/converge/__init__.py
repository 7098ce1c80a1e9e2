"""Running a plan, and looking at what came of it."""

from medicarche.converge.apply import apply
from medicarche.converge.inspect import (
    AuditEntry,
    InstanceState,
    audit_trail,
    connected_instances,
    console_log,
    instances,
)
from medicarche.converge.reboot import reboot
from medicarche.converge.result import Failure, Result
from medicarche.converge.trace import Summary

__all__ = [
    "AuditEntry",
    "Failure",
    "InstanceState",
    "Result",
    "Summary",
    "apply",
    "audit_trail",
    "connected_instances",
    "console_log",
    "instances",
    "reboot",
]
