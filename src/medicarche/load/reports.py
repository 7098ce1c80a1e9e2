"""Keeping a run: its files, its report beside the earlier ones, and the summary of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medicarche.load.compare import compare
from medicarche.report.load import run_page, summary_page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from medicarche.load.run import Run, Store

__all__ = ["keep", "write_all", "write_one"]

_PAGE = "report.html"


def keep(store: Store, run: Run) -> Path:
    """Save a run, write its report and the summary; return the report's path."""
    store.save(run)
    page = write_one(store, store.one(run.name))
    _summary(store)
    return page


def write_one(store: Store, run: Mapping[str, Any]) -> Path:
    """Write a run's report, beside its JSON and CSV."""
    changes = compare(run["key_figures"], store.before(run))
    path = store.folder / str(run["name"]) / _PAGE
    path.write_text(run_page(run, changes), encoding="utf-8")
    return path


def write_all(store: Store) -> Path:
    """Write all runs' reports and the summary anew; return the summary's path."""
    for run in store.runs():
        write_one(store, run)
    return _summary(store)


def _summary(store: Store) -> Path:
    path = store.folder / "index.html"
    path.write_text(summary_page(store.runs()), encoding="utf-8")
    return path
