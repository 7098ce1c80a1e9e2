"""Weaknesses that are known and accepted, as data: each with a reason, and the role of who answers for it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from medicarche.errors import SpecificationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ALL", "Accepted", "file_of", "load_exemptions"]

#: the scope that means everything
ALL = "all"
_LANGUAGES = ("en", "fr")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A weakness that is accepted.

    Attributes:
        check: the baseline's check that it is about (``bp-028/R5``).
        scope: names of instances or applications, or `ALL`.
        reason: language → why.
        owner: language → the role of who answers for it.
        review: when it is looked at again.
    """

    check: str
    scope: tuple[str, ...]
    reason: dict[str, str]
    owner: dict[str, str]
    review: dt.date

    def covers(self, check: str, where: str) -> bool:
        """Tell whether a check that failed somewhere is accepted."""
        return self.check == check and (ALL in self.scope or where in self.scope)


def file_of(environment_file: Path) -> Path:
    """Return where an environment's exemptions are: ``exemptions/<its name>`` beside its file."""
    return environment_file.parent / "exemptions" / environment_file.name


def load_exemptions(path: Path) -> tuple[Accepted, ...]:
    """Return the exemptions of a file; none where there is no such file.

    Raises:
        SpecificationError: the file can't be read, or isn't a list of exemptions.
    """
    if not path.exists():
        return ()
    try:
        entries = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SpecificationError(f"{path}: {error}") from error
    if not isinstance(entries, list):
        raise SpecificationError(f"{path}: not a list of exemptions", hint="see docs/guide.md")
    wrong = [f"{path}: {number}. {what}" for number, e in enumerate(entries, 1) for what in _mistakes(e)]
    if wrong:
        raise SpecificationError(
            "\n".join(wrong),
            hint="an exemption has `check`, `scope`, `reason` and `owner` in both languages, `review`",
        )
    return tuple(
        Accepted(e["check"], tuple(e["scope"]), dict(e["reason"]), dict(e["owner"]), e["review"])
        for e in entries
    )


def _mistakes(entry: Any) -> list[str]:  # noqa: ANN401 - what somebody wrote into a file
    if not isinstance(entry, dict):
        return ["not a mapping"]
    found = [f"{key}: no such key" for key in entry if key not in Accepted.__slots__]
    if not isinstance(entry.get("check"), str):
        found.append("check: not a text")
    scope = entry.get("scope")
    if not isinstance(scope, list) or not scope or not all(isinstance(name, str) for name in scope):
        found.append("scope: not a list of names")
    for key in ("reason", "owner"):
        texts = entry.get(key)
        if not isinstance(texts, dict) or any(not isinstance(texts.get(x), str) for x in _LANGUAGES):
            found.append(f"{key}: not a text in each of {', '.join(_LANGUAGES)}")
    if not isinstance(entry.get("review"), dt.date):
        found.append("review: not a date, as 2027-06-30")
    return found
