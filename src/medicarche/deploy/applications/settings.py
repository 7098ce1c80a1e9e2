"""Checks that several applications' settings share; one sentence for each thing that is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["administrator", "unknown"]

#: names that every password guesser tries first
_GUESSED = {"admin", "administrator", "root", "test", "user", "nextcloud", "odoo", "syncthing"}


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
