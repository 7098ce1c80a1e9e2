"""A person's SSH public key: one line of an ``authorized_keys`` file, without options."""

from __future__ import annotations

import base64
import binascii
from typing import Final

__all__ = ["stored", "wrong_key"]

#: what else there is rests on NIST's curves or SHA-1, which our sshd leaves out in the key exchange too
_KINDS: Final = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa")
_WRITE: Final = "write the one line of a .pub file (ssh-keygen -t ed25519 makes one)"
#: ANSSI, "Règles et recommandations concernant le choix des mécanismes cryptographiques", for after 2030
_RSA_BITS: Final = 3072
#: bits; OpenSSH takes no longer ones (SSHBUF_MAX_BIGNUM)
_RSA_MOST_BITS: Final = 16384
_ED25519_BYTES: Final = 32


def wrong_key(line: str) -> str:
    """Say what is wrong with a public key, in words that don't hold it; an empty text where it is right."""
    if "PRIVATE KEY" in line:
        return (
            "holds a private key, which is no secret any more; make another pair, and write its public half:"
            " the one line of the .pub file"
        )
    if "\n" in line or "\r" in line:
        return f"has several lines; {_WRITE}"
    kind, _, rest = line.partition(" ")
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        return f"doesn't begin with a kind of key that is taken ({known}), and no options; {_WRITE}"
    try:
        parts = _parts(base64.b64decode(rest.split(" ")[0], validate=True))
    except (binascii.Error, ValueError):
        return f"isn't whole: what stands behind {kind} is no key; {_WRITE}"
    if parts[0] != kind.encode():
        return f"says {kind} and holds a key of another kind; {_WRITE}"
    return _wrong_parts(kind, parts[1:])


def _wrong_parts(kind: str, parts: list[bytes]) -> str:
    if kind == "ssh-rsa":
        exponent, modulus = (int.from_bytes(part) for part in parts) if len(parts) == 2 else (0, 0)  # noqa: PLR2004
        if exponent <= 1 or exponent % 2 == 0 or modulus % 2 == 0:
            return f"isn't whole: it is no RSA key; {_WRITE}"
        if not _RSA_BITS <= modulus.bit_length() <= _RSA_MOST_BITS:
            bits = modulus.bit_length()
            return f"is an RSA key of {bits} bits; write one of {_RSA_BITS} to {_RSA_MOST_BITS}, or ed25519"
        return ""
    application = 1 if kind.startswith("sk-") else 0
    if len(parts) != 1 + application or len(parts[0]) != _ED25519_BYTES:
        return f"isn't whole: it is no ed25519 key; {_WRITE}"
    return ""


def _parts(blob: bytes) -> list[bytes]:
    """Part what RFC 4253 (section 6.6) puts into a public key: strings, each behind its length.

    Raises:
        ValueError: it ends in the midst of one, or there is none.
    """
    found = []
    while blob:
        length = int.from_bytes(blob[:4])
        part, rest = blob[4 : 4 + length], blob[4 + length :]
        if len(blob) < 4 or len(part) != length:  # noqa: PLR2004 - bytes of a length
            raise ValueError("cut off")
        found.append(part)
        blob = rest
    if not found:
        raise ValueError("empty")
    return found


def stored(line: str) -> str:
    """Return a key that is right as the directory keeps it: without its comment."""
    return " ".join(line.split(" ")[:2])
