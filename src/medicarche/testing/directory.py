"""Asking the directory as an application does: from that one's instance, over TLS that is verified."""

from __future__ import annotations

import ssl
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ldap3 import LEVEL, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException

from medicarche.deploy.directory import base_of
from medicarche.ssh.tunnel import tunnel
from medicarche.testing.machines import ssh_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from medicarche.converge import InstanceState
    from medicarche.spec.environment import Application
    from medicarche.testing.built import Built

__all__ = ["LEVEL", "SUBTREE", "Directory", "LDAPException", "asked_from"]

#: seconds for a connection, and for an answer
_PATIENCE = 20


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory as it is seen from an instance.

    Attributes:
        server: it, at the tunnel's end here.
        base: the distinguished name that it begins at.
        made: the connections, which are closed in the end.
    """

    server: Server
    base: str
    made: list[Connection] = field(default_factory=list)

    def person(self, login: str) -> str:
        """Return a person's distinguished name."""
        return f"uid={login},ou=people,{self.base}"

    def service(self, application: str) -> str:
        """Return the distinguished name of an application's account."""
        return f"cn={application},ou=services,{self.base}"

    def connect(self, dn: str | None = None, password: str | None = None) -> Connection:
        """Return a connection that isn't bound yet; without a name an anonymous one."""
        connection = Connection(self.server, dn, password, receive_timeout=_PATIENCE)
        self.made.append(connection)
        return connection

    def lets_in(self, dn: str, password: str) -> bool:
        """Tell whether somebody is who they say."""
        connection = self.connect(dn, password)
        try:
            return bool(connection.bind())
        finally:
            connection.unbind()

    def seen(self, connection: Connection) -> set[str]:
        """Return the names of the attributes that the last search has shown a value of."""
        entries = [entry.entry_attributes_as_dict for entry in connection.entries]
        return {name for entry in entries for name, values in entry.items() if values}

    def changes(self, connection: Connection, dn: str, values: dict[str, str]) -> bool:
        """Try to change an entry, and tell whether that could be done."""
        changes = {name: [("MODIFY_REPLACE", [value])] for name, value in values.items()}
        return bool(connection.modify(dn, changes))  # type: ignore[no-untyped-call]  # so in its stubs

    def compares(self, connection: Connection, dn: str, password: str) -> bool:
        """Try to have a password compared, without logging in; tell whether it fits."""
        return bool(connection.compare(dn, "userPassword", password))  # type: ignore[no-untyped-call]  # likewise


@contextmanager
def asked_from(
    built: Built, asking: InstanceState, serving: InstanceState, application: Application, authority: Path
) -> Iterator[Directory]:
    """Give the directory as one instance reaches it at the other's private address.

    Args:
        built: the environment.
        asking: from where.
        serving: the directory's instance.
        application: the directory.
        authority: the only one that is believed.
    """
    address = str(serving.private_address)
    tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(authority), valid_names=[address])
    with (
        closing(ssh_to(built.selection, asking.name).connect(asking)) as client,
        tunnel(client, address, application.port) as (host, port),
    ):
        server = Server(host, port=port, use_ssl=True, tls=tls, connect_timeout=_PATIENCE)
        found = Directory(server, base_of(built.selection.environment.domain))
        try:
            yield found
        finally:
            for connection in found.made:
                connection.unbind()
