"""A person's SSH public key: what is taken is a whole key of a kind that sshd trusts, and nothing else."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from medicarche.spec.ssh_key import stored, wrong_key

OPENSSH = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
ED25519 = ed25519.Ed25519PrivateKey.generate()
LINE = ED25519.public_key().public_bytes(*OPENSSH).decode()


def _rsa(bits: int) -> str:
    return rsa.generate_private_key(65537, bits).public_key().public_bytes(*OPENSSH).decode()


def _made(*parts: bytes) -> str:
    blob = b"".join(len(part).to_bytes(4) + part for part in parts)
    return f"{parts[0].decode()} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        f"{LINE} alice@her-laptop and more",
        _rsa(3072),
        _made(b"sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
    ],
    ids=["ed25519", "with a comment", "rsa", "on a security key"],
)
def test_a_key_is_taken_and_kept_without_its_comment(line: str) -> None:
    assert wrong_key(line) == ""
    assert stored(line) == " ".join(line.split()[:2])


NISTP256 = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*OPENSSH).decode()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (NISTP256, "doesn't begin with a kind of key that is taken (ssh-ed25519, "),
        (f'command="/bin/sh" {LINE}', "doesn't begin with a kind of key that is taken"),
        (f"restrict,pty {LINE}", "doesn't begin with a kind of key that is taken"),
        (f"{LINE}\n{LINE}", "has several lines; "),
        ("ssh-ed25519", "isn't a whole key of the kind ssh-ed25519; "),
        ("ssh-ed25519 é", "isn't a whole key of the kind ssh-ed25519; "),
        (LINE[:-4], "isn't a whole key of the kind ssh-ed25519; "),
        (LINE.replace("ssh-ed25519 ", "ssh-rsa "), "isn't a whole key of the kind ssh-rsa; "),
        (_made(b"ssh-ed25519", bytes(31)), "isn't a whole key of the kind ssh-ed25519; "),
        (_made(b"ssh-ed25519", bytes(32), b"x"), "isn't a whole key of the kind ssh-ed25519; "),
        (_made(b"ssh-rsa", b"\x01\x00\x01"), "isn't a whole key of the kind ssh-rsa; "),
        (_rsa(2048), "is an RSA key of 2048 bits; write one of 3072 to 16384, or ed25519"),
        (_made(b"ssh-rsa", b"\x03", b"\x01" * 4096), "is an RSA key of 32761 bits; "),
    ],
    # a key is another one in each process of a run
    ids=range(13),
)  # fmt: skip
def test_what_is_no_key_or_too_weak_is_told_with_what_to_do(line: str, told: str) -> None:
    assert wrong_key(line).startswith(told)


def test_a_private_key_is_told_and_not_shown() -> None:
    private = ED25519.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    for line in (private, private.replace("\n", " ")):
        told = wrong_key(line)
        assert told.startswith("holds a private key, which is no secret any more; make another pair")
        assert not [part for part in private.split()[4:] if part in told]
