"""A person's SSH public key: one line of an ``authorized_keys`` file, without options."""

from __future__ import annotations

from typing import Final

__all__ = ["stored", "wrong_key"]

#: what else there is rests on NIST's curves or SHA-1, which our sshd leaves out in the key exchange too
_KINDS: Final = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa")
_WRITE: Final = "write the one line of a .pub file (ssh-keygen -t ed25519 makes one)"
#: ANSSI, "Règles et recommandations concernant le choix des mécanismes cryptographiques", for after 2030
_RSA_BITS: Final = 3072
#: OpenSSH takes no longer ones (SSHBUF_MAX_BIGNUM)
_RSA_MOST_BITS: Final = 16384


def wrong_key(line: str) -> str:
    """Say what is wrong with a public key, in words that don't hold it; an empty text where it is right."""
    if "PRIVATE KEY" in line:
        return (
            "holds a private key, which is no secret any more; make another pair, and write its public half:"
            " the one line of the .pub file"
        )
    if "\n" in line or "\r" in line:
        return f"has several lines; {_WRITE}"
    kind = line.partition(" ")[0]
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        return f"doesn't begin with a kind of key that is taken ({known}), and no options; {_WRITE}"
    # slow to import, and most environments name no key
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key  # noqa: PLC0415

    try:
        key = load_ssh_public_key(stored(line).encode())
    except (ValueError, UnsupportedAlgorithm):
        return f"isn't a whole key of the kind {kind}; {_WRITE}"
    if isinstance(key, RSAPublicKey) and not _RSA_BITS <= key.key_size <= _RSA_MOST_BITS:
        return (
            f"is an RSA key of {key.key_size} bits; write one of {_RSA_BITS} to {_RSA_MOST_BITS}, or ed25519"
        )
    return ""


def stored(line: str) -> str:
    """Return a key that is right as the directory keeps it: without its comment."""
    return " ".join(line.split(" ")[:2])
