"""No secret in what is told of a test: every generated one is known, and masked wherever it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from medicarche.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medicarche.target import Selection

__all__ = ["mask", "masked", "secrets_of"]

_MASK = "********"
#: shorter ones aren't secrets, and masking them would eat the text
_SHORTEST = 8
#: characters of its beginning or end that give a secret away: pytest shows 'Abcdefgh12...90XYZ' of a long one
_PART = 8
#: secrets by their form: private keys (RFC 7468 and OpenSSH's own), Keystone's Fernet tokens
_FORMS = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.*?-----END (?P=kind)-----|\bgAAAAA[\w-]{60,}={0,2}",
    re.DOTALL,
)


def secrets_of(selection: Selection) -> frozenset[str]:
    """Return every generated secret: the environment's, and those of its embedded cloud's services."""
    found = Credentials(selection.folder).values()
    return found | selection.embedded.secret_values() if selection.embedded is not None else found


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in a text, its beginning and end too, and what is by its form a key or a token."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _MASK)
        if len(secret) >= 2 * _PART and (secret[:_PART] in text or secret[-_PART:] in text):
            text = _parts(secret).sub(_MASK, text)
    return _FORMS.sub(_MASK, text)


def _parts(secret: str) -> re.Pattern[str]:
    """Return what finds as much as there is of a secret's beginning or of its end."""
    begins, ends = re.escape(secret[:_PART]), re.escape(secret[-_PART:])
    after = "".join(f"(?:{re.escape(c)}" for c in secret[_PART:]) + ")?" * (len(secret) - _PART)
    before = "(?:" * (len(secret) - _PART) + "".join(f"{re.escape(c)})?" for c in secret[:-_PART])
    return re.compile(f"{begins}{after}|{before}{ends}")


def masked(value: Any, secrets: Iterable[str]) -> Any:  # noqa: ANN401 - whatever a report is serialised to
    """Return plain data (as of JSON, tuples too) with every string in it masked."""
    secrets = tuple(secrets)
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, dict):
        return {masked(key, secrets): masked(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked(inner, secrets) for inner in value)
    return value
