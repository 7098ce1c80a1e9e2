"""A fake cloud for the tests here."""

from __future__ import annotations

from fake_openstack.fixtures import (
    already_there,
    cloud,
    companys,
    connections,
    first_cloud,
    first_connections,
    image,
    target,
)

__all__ = [
    "already_there",
    "cloud",
    "companys",
    "connections",
    "first_cloud",
    "first_connections",
    "image",
    "target",
]
