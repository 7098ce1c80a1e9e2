"""The instances' images, built from Debian's packages: what is in them, their key, their making."""

from __future__ import annotations

from medicarche.image.builder import build
from medicarche.image.recipe import disk_format, properties, recipe_hash

__all__ = ["build", "disk_format", "properties", "recipe_hash"]
