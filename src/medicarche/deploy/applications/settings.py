"""Checks that several applications' settings share; one sentence for each thing that is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["administrator", "archive", "unknown"]

#: names that every password guesser tries first
_GUESSED = {"admin", "administrator", "root", "test", "user", "grafana", "nextcloud", "odoo", "syncthing"}


def unknown(settings: Mapping[str, str], known: Iterable[str]) -> Iterable[str]:
    """Tell settings that aren't known."""
    names = sorted(known)
    for key in sorted(set(settings) - set(names)):
        yield f"{key}: unknown; known are {', '.join(names)}"


def administrator(settings: Mapping[str, str]) -> Iterable[str]:
    """Tell what is wrong with the administrator's login."""
    login = settings.get("administrator", "")
    if not re.fullmatch(r"[a-z][a-z0-9._-]{1,59}", login):
        yield "administrator: a login of 2 to 60 small letters, digits, '.', '_', '-'"
    elif login in _GUESSED:
        yield f"administrator: {login!r} is what attackers try first; take another name"


def archive(settings: Mapping[str, str], makers: str, endings: Sequence[str]) -> Iterable[str]:
    """Tell what is wrong with the archive that an application is made from.

    Args:
        settings: the application's; ``archive`` and ``sha256`` are looked at.
        makers: whose form it has, for people.
        endings: what its name may end with.
    """
    source = settings.get("archive", f"https://{endings[0]}")
    if "://" in source and not source.startswith("https://"):
        yield "archive: an https URL, or a file's path"
    elif not source.endswith(tuple(endings)):
        yield f"archive: one of {', '.join(endings)}, as {makers}'s makers publish it"
    if not re.fullmatch(r"[0-9a-f]{64}", settings.get("sha256", "0" * 64)):
        yield "sha256: 64 hexadecimal digits, in small letters"
