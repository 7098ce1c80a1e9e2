"""Security baselines: each check automated, or listed with the reason why not; exemptions by name only.

Nothing remains installed in an instance: what is asked there is asked by one script, in one round trip.
"""

from __future__ import annotations

from medicarche.testing.baselines.findings import Finding, Judge, Seen, State

__all__ = ["Finding", "Judge", "Seen", "State"]
