"""A company of 100 invented people on two sites, the same at every run.

``python -m medicarche.testing.company > environments/example-people.csv`` writes the file that the example
environment's directory is made from.
"""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
from typing import TYPE_CHECKING, Final

from medicarche.spec.directory import Member
from medicarche.spec.people_file import COLUMNS, SSH_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GROUPS", "SITES", "as_csv", "members"]

_FIRST: Final = (
    "Agathe", "Bastien", "Capucine", "Driss", "Éloïse", "Ferdinand", "Garance", "Hippolyte", "Inès",
    "Joachim", "Khadija", "Léonard", "Maëlle", "Noé", "Océane", "Philibert", "Quitterie", "Raphaël",
    "Solène", "Théodore",
)  # fmt: skip
_LAST: Final = (
    "Aubépin", "Boisclair", "Chantereau", "Desbruyères", "Estournel", "Fontanille", "Grandval",
    "Hautefeuille", "Islemer", "Jonquière", "Kervadec", "Lormont", "Marivaux", "Noirval", "Ormesson",
    "Peyrelade", "Quercy", "Rochebrune", "Sainte-Aulaire", "Tournemire", "Valbonne", "Wattignies",
    "Yvernaux",
)  # fmt: skip
SITES: Final = {"ARCHE": "La Défense", "ARCADE": "Paris 8e"}
#: group → what it is, and how many of the 100 are in it
GROUPS: Final = {
    "direction": ("Direction", 4),
    "dsi": ("Direction des systèmes d'information", 4),
    "communication": ("Communication", 6),
    "finance": ("Comptabilité et finances", 8),
    "commercial": ("Commercial", 12),
    "qualite": ("Qualité et affaires réglementaires", 16),
    "recherche": ("Recherche en virologie", 50),
}
_COUNT: Final = 100


def members(domain: str = "medicarche.example") -> tuple[Member, ...]:
    """Return the people, sorted by login; each in one department, every tenth in the next one too."""
    departments = [name for name, (_, count) in GROUPS.items() for _ in range(count)]
    names = list(GROUPS)
    found = []
    for number in range(_COUNT):
        # 20 and 23 have no factor in common: no two people have both names in common
        first, last = _FIRST[number % len(_FIRST)], _LAST[number % len(_LAST)]
        department = departments[number]
        groups = {department}
        if number % 10 == 9:  # noqa: PLR2004 - every tenth
            groups.add(names[(names.index(department) + 1) % len(names)])
        login = f"{_plain(first)}.{_plain(last)}"
        found.append(
            Member(
                login=login,
                first_name=first,
                last_name=last,
                mail=f"{login}@{domain}",
                site=tuple(SITES)[number % len(SITES)],
                groups=tuple(sorted(groups)),
            )
        )
    return tuple(sorted(found, key=lambda member: member.login))


def _plain(name: str) -> str:
    """Return a name in small letters without accents."""
    parted = unicodedata.normalize("NFKD", name.lower())
    return "".join(c for c in parted if c.isascii() and (c.isalpha() or c == "-"))


def as_csv(people: Sequence[Member]) -> str:
    """Return a people's file, with a column of SSH keys where somebody has one."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    keys = any(member.ssh_key for member in people)
    writer.writerow((*COLUMNS, SSH_KEY) if keys else COLUMNS)
    for member in people:
        writer.writerow(
            [
                *(member.login, member.first_name, member.last_name, member.mail, member.site),
                " ".join(member.groups),
                *([member.ssh_key] if keys else []),
            ]
        )
    return stream.getvalue()


if __name__ == "__main__":
    sys.stdout.write(as_csv(members()))
