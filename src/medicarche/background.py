"""Work that goes on beside: waited for where its result is needed, and not where the process ends before."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_background"]

T = TypeVar("T")


def in_background(work: Callable[[], T], name: str) -> Future[T]:
    """Begin ``work`` on a thread of its own, and return what will be its result, or its exception.

    The process's end doesn't wait for it, as it would for a pool's threads: a service that doesn't answer
    keeps nobody who was told of another error. The thread is in the network name space of the caller.

    Args:
        work: what is done.
        name: the thread's, for traces.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - handed on to who asks for the result
            result.set_exception(error)
        else:
            result.set_result(found)

    threading.Thread(target=run, name=name, daemon=True).start()
    return result
