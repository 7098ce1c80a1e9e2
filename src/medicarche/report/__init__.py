"""Reports: what was proved, requirement by requirement."""

from __future__ import annotations

from medicarche.report.evidence import Evidence, Item, shorten
from medicarche.report.exemptions import Accepted, load_exemptions
from medicarche.report.exemptions import file_of as exemptions_of
from medicarche.report.page import html, write
from medicarche.report.requirements import Requirement, load_requirements
from medicarche.report.titles import Titles
from medicarche.report.verdicts import Outcome, Summary, Verdict, summarise

__all__ = [
    "Accepted",
    "Evidence",
    "Item",
    "Outcome",
    "Requirement",
    "Summary",
    "Titles",
    "Verdict",
    "exemptions_of",
    "html",
    "load_exemptions",
    "load_requirements",
    "shorten",
    "summarise",
    "write",
]
