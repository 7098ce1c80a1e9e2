"""The requirements as data: id, and what it asks for in English and French."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Requirement", "load_requirements"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement.

    Attributes:
        id: what a test names (``CLOUD-3``).
        english: what it asks for.
        french: the same.
        application_kind: the kind of application that it is about, or None. A test of a deployed application
            proves the requirement of its kind, and of no other.
    """

    id: str
    english: str
    french: str
    application_kind: str | None = None


@cache
def load_requirements() -> Mapping[str, Requirement]:
    """Return all requirements by id, in the order of their file."""
    text = files("medicarche.report").joinpath("requirements.yaml").read_text(encoding="utf-8")
    entries = YAML(typ="safe").load(text)
    return MappingProxyType(
        {
            key: Requirement(key, entry["en"], entry["fr"], entry.get("application_kind"))
            for key, entry in entries.items()
        }
    )
