"""Load tests: what is loaded, and from where. Locust itself is imported by the scenarios only."""

from __future__ import annotations

from medicarche.load.targets import LoadTarget, read_status, targets

__all__ = ["LoadTarget", "read_status", "targets"]
