"""The requirements as data: id, and what it asks for in English and French."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from medicarche.errors import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Requirement", "load_requirements"]

#: the company's own list; another company names its own file
_OWN = Path(__file__).with_name("requirements.yaml")
_KINDS = ("application_kind", "needs")
_KEYS = {"en", "fr", *_KINDS}


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement.

    Attributes:
        id: what a test names (``CLOUD-3``).
        english: what it asks for.
        french: the same.
        application_kind: the kind of application that it is about, or None. A test of a deployed application
            proves the requirement of its kind, and of no other.
        needs: the kind of application without which there is nothing to prove, or None.
    """

    id: str
    english: str
    french: str
    application_kind: str | None = None
    needs: str | None = None

    def text(self, language: str) -> str:
        """Return what it asks for, in ``fr`` or ``en``."""
        return self.french if language == "fr" else self.english


@cache
def load_requirements(path: Path | None = None) -> Mapping[str, Requirement]:
    """Return all requirements by id, in the order of their file.

    Args:
        path: the file; the one beside this module where it isn't given.

    Raises:
        SpecificationError: the file can't be read, or isn't a list of requirements.
    """
    path = path or _OWN
    try:
        entries = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SpecificationError(
            f"{path}: {error}", hint="the list of requirements is a YAML file, as report/requirements.yaml is"
        ) from error
    if not isinstance(entries, dict) or not entries:
        raise SpecificationError(f"{path}: no requirements", hint="a mapping: id → {en: ..., fr: ...}")
    wrong = [f"{path}: {key}: {what}" for key, entry in entries.items() for what in _mistakes(key, entry)]
    if wrong:
        raise SpecificationError("\n".join(wrong), hint="each requirement has its text as `en` and as `fr`")
    return MappingProxyType(
        {
            key: Requirement(
                key,
                entry["en"],
                entry["fr"],
                entry.get("application_kind"),
                entry.get("needs", entry.get("application_kind")),
            )
            for key, entry in entries.items()
        }
    )


def _mistakes(key: Any, entry: Any) -> list[str]:  # noqa: ANN401 - what somebody wrote into a file
    if not isinstance(key, str):
        return ["an id is a word, as CLOUD-1"]
    if not isinstance(entry, dict):
        return ["not a mapping with `en` and `fr`"]
    unknown = [f"{name}: no such key" for name in entry if name not in _KEYS]
    return unknown + [
        f"{name}: {'missing' if name not in entry else 'not a text'}"
        for name in ("en", "fr", *_KINDS)
        if not isinstance(entry.get(name), str) and (name not in _KINDS or name in entry)
    ]
