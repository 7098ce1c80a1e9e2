"""The load report: one self-contained HTML page per run, and a summary over runs. Pure: from JSON to HTML."""

from __future__ import annotations

from medicarche.report.load.pages import run_page, summary_page

__all__ = ["run_page", "summary_page"]
