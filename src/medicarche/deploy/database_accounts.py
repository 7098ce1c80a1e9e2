"""The databases' accounts for the supervision: they log in by the unix socket, see figures, read no data.

Imported in the deployment's own process only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from medicarche.deploy.asking import ask
from medicarche.deploy.operations import note, shell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from pyinfra.api.command import StringCommand

__all__ = ["DATABASES", "Accounts", "accounts", "leave"]


@dataclass(frozen=True, slots=True)
class _Account:
    """The account ``prometheus`` of one database.

    Attributes:
        client: runs what it reads on its standard input, as the database's administrator.
        shown: asks for the account; nothing where there is none.
        right: what is shown of one that is right.
        make: makes it.
        drop: takes it away, with all that it was given.
    """

    client: str
    shown: str
    right: str
    make: str
    drop: str


#: at most so many connections: the exporter holds one, a second while it is restarted
_CONNECTIONS = 3
DATABASES: Final[Mapping[str, _Account]] = {
    "mariadb": _Account(
        client="mariadb --batch --skip-column-names",
        shown="SHOW GRANTS FOR prometheus@localhost",
        # nothing but to log in: who may ask for the status is everybody
        right="GRANT USAGE ON *.* TO `prometheus`@`localhost` IDENTIFIED VIA unix_socket"
        f" WITH MAX_USER_CONNECTIONS {_CONNECTIONS}",
        make="CREATE USER prometheus@localhost IDENTIFIED VIA unix_socket"
        f" WITH MAX_USER_CONNECTIONS {_CONNECTIONS};",
        drop="DROP USER IF EXISTS prometheus@localhost;",
    ),
    "postgresql": _Account(
        client="runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -1 -f -",
        shown="SELECT rolsuper, rolcreaterole, rolcreatedb, rolconnlimit, (SELECT string_agg(of.rolname, ',')"
        " FROM pg_auth_members m JOIN pg_roles of ON of.oid = m.roleid WHERE m.member = own.oid)"
        " FROM pg_roles own WHERE rolname = 'prometheus' AND rolcanlogin",
        # https://www.postgresql.org/docs/17/predefined-roles.html
        right=f"f|f|f|{_CONNECTIONS}|pg_monitor",
        make=f"CREATE ROLE prometheus LOGIN CONNECTION LIMIT {_CONNECTIONS} IN ROLE pg_monitor;",
        drop="DROP ROLE IF EXISTS prometheus;",
    ),
}


class Accounts(FactBase[dict[str, str]]):
    """Database → what it shows of the account, in one command; none where it isn't there or has none."""

    default = dict

    def command(self, databases: Sequence[str]) -> str:
        """Ask them all."""
        asked = [
            f'echo "{DATABASES[name].shown}" | {DATABASES[name].client} 2>/dev/null | sed "s/^/{name} /"'
            for name in databases
        ]
        return "; ".join([*asked, "true"])

    def process(self, output: Iterable[str]) -> dict[str, str]:
        """Put the lines of one database together."""
        found: dict[str, list[str]] = {}
        for line in output:
            database, _, shown = line.strip().partition(" ")
            if database:
                found.setdefault(database, []).append(shown)
        return {database: "\n".join(lines) for database, lines in found.items()}


@operation()
def accounts(databases: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Give each database its account, with these rights and no others."""
    yield from list(_wanted(ask(Accounts, databases=databases), databases))


def _wanted(found: dict[str, str], databases: Sequence[str]) -> Iterator[StringCommand]:
    for database in databases:
        account = DATABASES[database]
        if found.get(database) != account.right:
            note(f"{database}: the supervision's account {'differs' if database in found else 'is missing'}")
            yield shell(account.client, f"{account.drop}\n{account.make}\n")


@operation()
def leave() -> Generator[StringCommand, None, None]:
    """Take the accounts away again where nobody supervises any more."""
    yield from list(_unwanted(ask(Accounts, databases=tuple(DATABASES))))


def _unwanted(found: dict[str, str]) -> Iterator[StringCommand]:
    for database in found:
        note(f"{database}: the supervision's account must not be there")
        yield shell(DATABASES[database].client, f"{DATABASES[database].drop}\n")
