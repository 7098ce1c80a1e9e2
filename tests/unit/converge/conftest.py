"""A fake cloud for the tests here."""

from __future__ import annotations

from fake_openstack.fixtures import *  # noqa: F403 - fixtures, and those that they stand on
