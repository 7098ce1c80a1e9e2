"""Enables the project's own pytest plug-in; ``pytester`` is there for the tests of that plug-in."""

from __future__ import annotations

pytest_plugins = ("medicarche.pytest_plugin", "pytester")
