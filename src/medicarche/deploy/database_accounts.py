"""The databases' accounts for the supervision: they log in by the unix socket, see figures, read no data.

Imported in the deployment's own process only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from medicarche.deploy.asking import ask
from medicarche.deploy.operations import note, shell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from pyinfra.api.command import StringCommand

__all__ = ["DATABASES", "Accounts", "Procedure", "accounts", "leave"]


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


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure of MariaDB that counts what its caller must not read.

    Attributes:
        name: in the database `_OURS`.
        owner: with whose rights it looks; the caller has none but to call it.
        body: its statements.
    """

    name: str
    owner: str
    body: str

    @property
    def shown(self) -> tuple[str, str]:
        """What the account's question shows of it where it is right: the right to call it, and itself."""
        return (
            f"GRANT EXECUTE ON PROCEDURE `{_OURS}`.`{self.name}` TO `prometheus`@`localhost`",
            f"procedure {self.name} {self._digest}",
        )

    @property
    def make(self) -> str:
        """The statements that make it, for a client that knows delimiters."""
        return (
            f"CREATE DATABASE IF NOT EXISTS {_OURS};\nDELIMITER //\n"
            f"CREATE DEFINER={self.owner} PROCEDURE {_OURS}.{self.name}()\n"
            f"READS SQL DATA SQL SECURITY DEFINER COMMENT '{self._digest}'\n{self.body.strip()} //\n"
            f"DELIMITER ;\nGRANT EXECUTE ON PROCEDURE {_OURS}.{self.name} TO prometheus@localhost;\n"
        )

    @property
    def _digest(self) -> str:
        return hashlib.sha256(f"{self.owner}\n{self.body}".encode()).hexdigest()


#: the database of our procedures, beside those of the applications
_OURS = "medicarche"
#: at most so many connections: the exporter holds one, two while it is restarted; a procedure's caller one
_CONNECTIONS = 3
DATABASES: Final[Mapping[str, _Account]] = {
    "mariadb": _Account(
        client="mariadb --batch --skip-column-names",
        shown="SHOW GRANTS FOR prometheus@localhost;"
        " SELECT CONCAT('procedure ', ROUTINE_NAME, ' ', ROUTINE_COMMENT) FROM information_schema.ROUTINES"
        " WHERE ROUTINE_SCHEMA = 'medicarche' ORDER BY ROUTINE_NAME",
        # nothing but to log in, and to call our procedures: who may ask for the status is everybody
        right="GRANT USAGE ON *.* TO `prometheus`@`localhost` IDENTIFIED VIA unix_socket"
        f" WITH MAX_USER_CONNECTIONS {_CONNECTIONS}",
        make="CREATE USER prometheus@localhost IDENTIFIED VIA unix_socket"
        f" WITH MAX_USER_CONNECTIONS {_CONNECTIONS};",
        # the account last: as long as it is there, what is left is seen
        drop=f"DROP DATABASE IF EXISTS {_OURS}; DROP USER IF EXISTS prometheus@localhost;",
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
def accounts(
    databases: Sequence[str], procedures: Sequence[Procedure] = ()
) -> Generator[StringCommand, None, None]:
    """Give each database its account, with these rights and no others; ``procedures`` are MariaDB's."""
    yield from list(_wanted(ask(Accounts, databases=databases), databases, procedures))


def _wanted(
    found: dict[str, str], databases: Sequence[str], procedures: Sequence[Procedure]
) -> Iterator[StringCommand]:
    for database in databases:
        account = DATABASES[database]
        theirs = sorted(procedures, key=lambda each: each.name) if database == "mariadb" else []
        callable_, there = zip(*(each.shown for each in theirs), strict=True) if theirs else ((), ())
        if found.get(database) != "\n".join([account.right, *callable_, *there]):
            note(f"{database}: the supervision's account {'differs' if database in found else 'is missing'}")
            made = "".join(each.make for each in theirs)
            yield shell(account.client, f"{account.drop}\n{account.make}\n{made}")


@operation()
def leave() -> Generator[StringCommand, None, None]:
    """Take the accounts away again where nobody supervises any more."""
    yield from list(_unwanted(ask(Accounts, databases=tuple(DATABASES))))


def _unwanted(found: dict[str, str]) -> Iterator[StringCommand]:
    for database in found:
        note(f"{database}: the supervision's account must not be there")
        yield shell(DATABASES[database].client, f"{DATABASES[database].drop}\n")
