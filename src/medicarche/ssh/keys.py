"""The environment's SSH key pair, made once and never replaced."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medicarche.errors import MedicarcheError
from medicarche.private_files import locked, write_private

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KeyPair", "ensure_key_pair", "protect_key"]

#: readable by its owner only, and by nobody writable
_MODE = 0o400


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key pair: the private key's file (0400), and the public key as one line without comment."""

    private: Path
    public: str


def protect_key(folder: Path, name: str = "administration") -> bool:
    """Put back the mode of the private key's file; says whether it was another one.

    It isn't done in passing wherever the key is used: who only looks must not hide that others could read.
    """
    path = folder / name
    with locked(folder):
        loose = path.exists() and stat.S_IMODE(path.stat().st_mode) != _MODE
        if loose:
            path.chmod(_MODE)
    return loose


def ensure_key_pair(folder: Path, name: str = "administration") -> KeyPair:
    """Return the environment's SSH key pair (Ed25519); made the first time, the same ever after.

    Args:
        folder: the environment's folder; made 0700.
        name: the key pair's name, and its file's.

    Raises:
        MedicarcheError: the file is there and isn't an Ed25519 private key: it is never overwritten.
    """
    path = folder / name
    with locked(folder):
        if not path.exists():
            content = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
            write_private(path, content, mode=_MODE)
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MedicarcheError(
            f"{path}: not a private key in OpenSSH form without passphrase",
            hint="put it back from a backup, or move it away: with a new one the instances are replaced",
        ) from error
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(path, public.decode())
