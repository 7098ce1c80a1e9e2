"""The passwords and keys of one embedded cloud: generated for it, kept in one file, shared with no other."""

from __future__ import annotations

import json
import secrets
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

from medicarche.private_files import write_private

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Secrets", "load", "load_or_generate", "values"]


#: what clouds that were made before don't have until they are started again
_LATER = {"reader_credential_id": "", "reader_credential_secret": ""}


@dataclass(frozen=True, slots=True)
class Secrets:
    """One password per account and purpose.

    Attributes:
        admin: of the cloud's all-powerful user ``admin``.
        member: of the company's user; for logging into the dashboard.
        application_credential_id: with its secret, what our own code acts with.
        application_credential_secret: see there.
        reader_credential_id: with its secret, what the supervision looks with.
        reader_credential_secret: see there.
        database: of the services' database account.
        rabbitmq: of the services' account in RabbitMQ.
        erlang_cookie: what RabbitMQ's own tools show.
        glance: of the service's user in Keystone; likewise ``placement``, ``nova``, ``neutron``.
        placement: see there.
        nova: see there.
        neutron: see there.
        metadata: signs what Neutron's metadata agent tells Nova's metadata service.
        horizon: signs the dashboard's sessions.
        token_keys: Keystone's Fernet keys for tokens: the staged one, then the primary one.
        credential_keys: Keystone's Fernet keys for stored credentials.
    """

    admin: str
    member: str
    application_credential_id: str
    application_credential_secret: str
    reader_credential_id: str
    reader_credential_secret: str
    database: str
    rabbitmq: str
    erlang_cookie: str
    glance: str
    placement: str
    nova: str
    neutron: str
    metadata: str
    horizon: str
    token_keys: tuple[str, str]
    credential_keys: tuple[str, str]

    @classmethod
    def generate(cls) -> Secrets:
        """Make new ones, of 256 bits each."""

        def word() -> str:
            return secrets.token_urlsafe(32)

        def keys() -> tuple[str, str]:
            return Fernet.generate_key().decode(), Fernet.generate_key().decode()

        return cls(
            admin=word(),
            member=secrets.token_urlsafe(15),  # 120 bits: a person types it
            application_credential_id=uuid.UUID(bytes=secrets.token_bytes(16)).hex,
            application_credential_secret=word(),
            reader_credential_id=uuid.UUID(bytes=secrets.token_bytes(16)).hex,
            reader_credential_secret=word(),
            database=word(),
            rabbitmq=word(),
            erlang_cookie=secrets.token_hex(24),
            glance=word(),
            placement=word(),
            nova=word(),
            neutron=word(),
            metadata=word(),
            horizon=word(),
            token_keys=keys(),
            credential_keys=keys(),
        )


def load_or_generate(path: Path) -> Secrets:
    """Read a cloud's secrets, or generate and keep them; so too those that it was made without."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    generated = asdict(Secrets.generate())
    if kept.keys() != generated.keys():
        write_private(path, json.dumps({**generated, **kept}, indent=1).encode())
    return load(path)


def load(path: Path) -> Secrets:
    """Read a cloud's secrets; empty are those that it runs without since before there were such.

    Raises:
        FileNotFoundError: it has none yet.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    data["token_keys"] = tuple(data["token_keys"])
    data["credential_keys"] = tuple(data["credential_keys"])
    return Secrets(**{**_LATER, **data})


def values(path: Path) -> frozenset[str]:
    """Return all of a cloud's secrets: what a report has to mask. None where it has none yet."""
    try:
        known = asdict(load(path))
    except FileNotFoundError:
        return frozenset()
    for name in ("application_credential_id", "reader_credential_id"):  # names, not secrets
        del known[name]
    return frozenset(
        secret for kept in known.values() for secret in ([kept] if isinstance(kept, str) else kept) if secret
    )
