"""A listener in an instance, for as long as a test needs it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

__all__ = ["listener"]


@contextmanager
def listener(machine: Host, port: int, *, seconds: int = 120) -> Iterator[None]:
    """Let something really listen on a TCP port of all of an instance's addresses, as a transient unit.

    The unit ends by itself after ``seconds``, should the test be killed before it stops it.

    Raises:
        AssertionError: it doesn't listen after 10 s.
    """
    unit = f"medicarche-test-{port}"
    machine.check_output(
        "systemd-run --quiet --collect --unit=%s --property=RuntimeMaxSec=%s"
        " python3 -m http.server --bind 0.0.0.0 --directory /nonexistent %s",
        unit,
        str(seconds),
        str(port),
    )
    try:
        deadline = time.monotonic() + 10
        while not machine.check_output("ss --no-header --listening --tcp --numeric 'sport = :%s'", str(port)):
            assert time.monotonic() < deadline, f"nothing listens on port {port}"  # noqa: S101 - a test's helper
            time.sleep(0.1)
        yield
    finally:
        machine.run("systemctl stop %s", unit)
