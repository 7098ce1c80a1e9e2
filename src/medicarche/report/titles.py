"""A sentence for each test: in French from the file beside the test's module, else from the test's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Titles"]

#: beside the tests; test function → language → sentence
_FILE = "titles.yaml"
_NEGATED = re.compile(r"\b(can|isn|doesn|aren|wasn|don|hasn|won)t\b")
_POSSESSIVE = re.compile(r"\b(novas|neutrons|authoritys|administrators|environments)\b")


class Titles:
    """Finds the sentence that says what a test checks.

    Args:
        root: pytest's; tests' ids are relative to it.
        language: ``fr`` or ``en``.
    """

    def __init__(self, root: Path, language: str) -> None:
        self._root = root
        self._language = language
        self._files: dict[Path, Mapping[str, Mapping[str, str]]] = {}

    def of(self, nodeid: str) -> str:
        """Return a test's sentence; of several with one function each has its parameters behind it."""
        path, _, rest = nodeid.partition("::")
        name, _, parameters = rest.rpartition("::")[2].partition("[")
        sentence = self._written(name, (self._root / path).parent) or _sentence(name)
        return f"{sentence} [{parameters}" if parameters else sentence

    def _written(self, name: str, folder: Path) -> str | None:
        """Return what the nearest file says that knows the test: its own folder's, or one above."""
        for place in (folder, *folder.parents):
            if place not in self._files:
                self._files[place] = _read(place / _FILE)
            sentence = self._files[place].get(name, {}).get(self._language)
            if sentence or place == self._root:
                return sentence
        return None


def _sentence(name: str) -> str:
    words = name.removeprefix("test_").replace("_", " ")
    words = _NEGATED.sub(lambda match: f"{match[1]}'t" if match[1] != "can" else "can't", words)
    words = _POSSESSIVE.sub(lambda match: f"{match[0][:-1]}'s", words)
    return words[:1].upper() + words[1:]


def _read(path: Path) -> Mapping[str, Mapping[str, str]]:
    if not path.is_file():
        return {}
    found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}
