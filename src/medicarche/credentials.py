"""An environment's generated passwords: one per purpose, in one file that only its owner may read."""

from __future__ import annotations

import json
import secrets
import string
from typing import TYPE_CHECKING

from medicarche.errors import MedicarcheError
from medicarche.private_files import locked, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Credentials"]

#: Letters and digits only: they need no quoting in a shell, in SQL, in PHP or in a URL.
_ALPHABET = string.ascii_letters + string.digits
#: 128 bits of NIST SP 800-63B's "look-up secret" strength need 22 characters of this alphabet.
_SHORTEST = 22


class Credentials:
    """The generated passwords of one environment.

    The values never show in this object's representation, nor in an error.

    Args:
        folder: the environment's folder (`medicarche.paths.Paths.environment`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"Credentials({str(self._folder)!r})"

    @property
    def path(self) -> Path:
        """The file: a JSON object, purpose → password; mode 0600."""
        return self._folder / "credentials.json"

    def get_or_create(self, name: str, length: int = 32) -> str:
        """Return the password of a purpose; made the first time, the same ever after.

        Args:
            name: the purpose, as ``website/database``.
            length: of a new password, in characters of about 5.95 bits each; at least 22 (131 bits).

        Raises:
            ValueError: ``length`` is too short to be a secret.
            MedicarcheError: the file is there and can't be read as what it should be.
        """
        if length < _SHORTEST:
            raise ValueError(f"a password of {length} characters is too short: at least {_SHORTEST}")
        with locked(self._folder):
            known = self._read()
            if name not in known:
                known[name] = _generate(length)
                self._write(known)
            return known[name]

    def get_or_create_all(self, names: Iterable[str], length: int = 32) -> dict[str, str]:
        """Return the passwords of many purposes, reading and writing the file once; see `get_or_create`."""
        if length < _SHORTEST:
            raise ValueError(f"a password of {length} characters is too short: at least {_SHORTEST}")
        wanted = tuple(names)
        with locked(self._folder):
            known = self._read()
            missing = [name for name in wanted if name not in known]
            known |= {name: _generate(length) for name in missing}
            if missing:
                self._write(known)
        return {name: known[name] for name in wanted}

    def renew(self, name: str, length: int = 32) -> str:
        """Make a new password for a purpose, in the place of the old one where there was one."""
        if length < _SHORTEST:
            raise ValueError(f"a password of {length} characters is too short: at least {_SHORTEST}")
        with locked(self._folder):
            known = self._read()
            known[name] = _generate(length)
            self._write(known)
            return known[name]

    def forget(self, name: str) -> None:
        """Remove a purpose's password; that there is none is no mistake."""
        self.forget_all((name,))

    def forget_all(self, names: Iterable[str]) -> None:
        """Remove the passwords of many purposes; see `forget`."""
        going = set(names)
        with locked(self._folder):
            known = self._read()
            if going & known.keys():
                self._write({name: value for name, value in known.items() if name not in going})

    def names(self) -> frozenset[str]:
        """Return the purposes that have a password."""
        return frozenset(self._read())

    def get(self, name: str) -> str | None:
        """Return the password of a purpose, or None where none was made yet."""
        return self._read().get(name)

    def values(self) -> frozenset[str]:
        """Return all passwords: what a log has to mask."""
        return frozenset(self._read().values())

    def _write(self, known: dict[str, str]) -> None:
        write_private(self.path, (json.dumps(known, indent=2, sort_keys=True) + "\n").encode())

    def _read(self) -> dict[str, str]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        try:
            known = json.loads(text)
        except ValueError:
            known = None
        if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
            raise MedicarcheError(
                f"{self.path}: not a file of passwords (a JSON object of strings)",
                hint="put it back from a backup; without it the applications' passwords are lost",
            )
        return known


def _generate(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
