"""How long work tells what it does: a protocol, and its rendering with rich."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from rich.console import Console

__all__ = ["ConsoleReporter", "Reporter", "SilentReporter"]


class Reporter(Protocol):
    """Where long work says what it is doing. Safe to call from any thread."""

    def stage(self, title: str) -> AbstractContextManager[Stage]:
        """Open a stage; a context manager. Its duration is shown at its end, its failure where it fails."""
        ...

    def note(self, text: str) -> None:
        """Say one line that stays."""
        ...


class Stage(Protocol):
    """A stage under way."""

    def update(self, text: str) -> None:
        """Say what the stage is doing now; overwrites what was said before."""
        ...


class _SilentStage:
    def update(self, text: str) -> None:
        """Say nothing."""


class SilentReporter:
    """Says nothing: for tests and for ``--json`` output."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:  # noqa: ARG002 - the protocol's argument
        """Run the stage silently."""
        yield _SilentStage()

    def note(self, text: str) -> None:
        """Say nothing."""


class _ConsoleStage:
    def __init__(self, reporter: ConsoleReporter, title: str) -> None:
        self._reporter = reporter
        self._title = title

    def update(self, text: str) -> None:
        self._reporter._show(self._title, text)  # noqa: SLF001 - two halves of one thing


class ConsoleReporter:
    """Shows stages on a rich console: a spinner with the stages under way, a line for each one done.

    Without a terminal (CI, a pipe) each stage's begin and end is a plain line, and no control sequence
    is written.

    Args:
        console: where to write; standard error is the usual place, standard output stays for results.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._open: dict[str, str] = {}
        self._status = console.status("") if console.is_terminal else None

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """Open a stage; see `Reporter`."""
        started = time.monotonic()
        self._show(title, "")
        if self._status is None:
            self._console.print(f"… {title}", highlight=False, markup=False)
        try:
            yield _ConsoleStage(self, title)
        except BaseException:
            self._close(title, "✗", "red", time.monotonic() - started)
            raise
        self._close(title, "✓", "green", time.monotonic() - started)

    def note(self, text: str) -> None:
        """Say one line that stays."""
        with self._lock:
            self._console.print(f"  {text}", highlight=False, markup=False)

    def _show(self, title: str, text: str) -> None:
        with self._lock:
            self._open[title] = text
            self._render()

    def _close(self, title: str, sign: str, colour: str, seconds: float) -> None:
        with self._lock:
            self._open.pop(title, None)
            self._console.print(
                f"{sign} {title} ({seconds:.1f} s)", style=colour, highlight=False, markup=False
            )
            self._render()

    def _render(self) -> None:
        if self._status is None:
            return
        if not self._open:
            self._status.stop()
            return
        lines = [f"{title}: {text}" if text else title for title, text in self._open.items()]
        self._status.update(" · ".join(lines).replace("[", r"\["))
        self._status.start()
