"""Ctrl-C: once to finish what is under way, twice to stop at once."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["interruptible"]


@contextmanager
def interruptible(cancel: threading.Event) -> Iterator[threading.Event]:
    """Let the first Ctrl-C cancel, and the second one interrupt as usual.

    What is under way is finished: its end must be known. Where somebody else handles the signal, or in
    another thread than the main one, nothing is changed.

    Yields:
        An event that tells whether there was one.
    """
    interrupted = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted
        return

    def note(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupted.set()
        cancel.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
