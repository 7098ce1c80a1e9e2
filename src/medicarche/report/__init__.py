"""Reports: what was proved, requirement by requirement."""

from __future__ import annotations

from medicarche.report.evidence import Evidence, Item
from medicarche.report.requirements import Requirement, load_requirements
from medicarche.report.verdicts import Outcome, Summary, Verdict, summarise

__all__ = [
    "Evidence",
    "Item",
    "Outcome",
    "Requirement",
    "Summary",
    "Verdict",
    "load_requirements",
    "summarise",
]
