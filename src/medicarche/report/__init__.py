"""Reports: what was proved, requirement by requirement."""

from __future__ import annotations

from medicarche.report.requirements import Requirement, load_requirements
from medicarche.report.verdicts import Outcome, Summary, Verdict, summarise

__all__ = ["Outcome", "Requirement", "Summary", "Verdict", "load_requirements", "summarise"]
