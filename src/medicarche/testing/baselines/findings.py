"""From what was seen to a finding on each check of a baseline. Pure but for reading the catalogues."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from medicarche.report import Accepted

__all__ = ["Finding", "Judge", "Seen", "State", "catalogue"]


class State(StrEnum):
    """What may be said of a check."""

    MET = "met"
    NOT_MET = "not met"
    ACCEPTED = "accepted"
    NOT_AUTOMATED = "not automated"


_WORDS: Final = {
    "fr": {
        State.MET: "respecté",
        State.NOT_MET: "NON RESPECTÉ",
        State.ACCEPTED: "dérogation",
        State.NOT_AUTOMATED: "non automatisé",
    },
    "en": {
        State.MET: "met",
        State.NOT_MET: "NOT MET",
        State.ACCEPTED: "exemption",
        State.NOT_AUTOMATED: "not automated",
    },
}
_COLUMNS: Final = {
    "fr": ("Contrôle", "Intitulé", "Résultat", "Constat ou motif"),
    "en": ("Check", "Title", "Result", "Seen, or reason"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw: whether the baseline is met, and the words for it (a deviation names each thing)."""

    met: bool
    words: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A check, and what came of it; ``words``: what was seen, or the reason."""

    check: str
    title: str
    state: State
    words: str


@cache
def catalogue(baseline: str) -> Mapping[str, Mapping[str, Any]]:
    """Return a baseline's checks as data: check → title in each language, level, reasons."""
    path = Path(__file__).with_name(f"{baseline.replace('-', '')}.yaml")
    entries: dict[str, dict[str, Any]] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return entries


@dataclass(frozen=True, slots=True)
class Judge:
    """Says what came of a baseline's checks somewhere.

    Attributes:
        baseline: its name, the first part of each check's id.
        where: the instance, application or cloud.
        exemptions: of the environment.
        language: ``fr`` or ``en``.
    """

    baseline: str
    where: str
    exemptions: Sequence[Accepted]
    language: str

    def listed(self, seen: Mapping[str, Seen], *, container: bool = False) -> list[Finding]:
        """Return a finding for each check of the baseline's catalogue.

        Raises:
            KeyError: a check isn't automated, and the catalogue has no reason.
        """
        found = []
        for name, entry in catalogue(self.baseline).items():
            reason = entry.get("by_hand") or (entry.get("container") if container else None)
            if reason is not None:
                found.append(
                    Finding(self._id(name), entry[self.language], State.NOT_AUTOMATED, reason[self.language])
                )
            else:
                found.append(self._judged(name, entry[self.language], seen[name]))
        return found

    def free(self, seen: Iterable[tuple[str, str, Seen]]) -> list[Finding]:
        """Return findings of a tool that has its own checks: (check, title, what was seen)."""
        return [self._judged(name, title, what) for name, title, what in seen]

    def table(self, findings: Iterable[Finding]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return columns and rows for the report."""
        words = _WORDS[self.language]
        return _COLUMNS[self.language], [(f.check, f.title, words[f.state], f.words) for f in findings]

    def _id(self, name: str) -> str:
        return f"{self.baseline}/{name}"

    def _judged(self, name: str, title: str, seen: Seen) -> Finding:
        check = self._id(name)
        if seen.met:
            return Finding(check, title, State.MET, seen.words)
        for accepted in self.exemptions:
            if accepted.covers(check, self.where):
                words = f"{accepted.reason[self.language]} [{seen.words}]"
                return Finding(check, title, State.ACCEPTED, words)
        return Finding(check, title, State.NOT_MET, seen.words)
