"""Enables the project's own pytest plug-in; ``pytester`` is there for the tests of that plug-in."""

from __future__ import annotations

import signal

pytest_plugins = ("medicarche.pytest_plugin", "pytester")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts its background jobs so; tests of Ctrl-C, and the programs that they start, need it
    signal.signal(signal.SIGINT, signal.default_int_handler)
