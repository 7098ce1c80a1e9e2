"""A fake cloud for the tests here."""

from __future__ import annotations

from fake_openstack.fixtures import cloud, connections, target

__all__ = ["cloud", "connections", "target"]
