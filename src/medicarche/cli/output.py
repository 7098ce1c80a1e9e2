"""Where the command line writes: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from medicarche.progress import ConsoleReporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["print_json", "progress", "results", "table"]

PIPE_WIDTH = 400


def progress() -> ConsoleReporter:
    """Return the reporter for long work."""
    return ConsoleReporter(Console(stderr=True))


def results() -> Console:
    """Return the console for results; colour only on a terminal (and NO_COLOR is obeyed, as rich does)."""
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH  # a reader of our output wants whole lines, not those of 80 columns
    return console


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print a value as JSON, for other programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[str | None]]) -> Table:
    """Return a plain table."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*("—" if cell is None or cell == "" else cell for cell in row))
    return made
